/** Random lives of terminals: after every step record and stream are what a model says. */
import { ulid } from 'ulid';
import { expect, it } from 'vitest';
import {
  type SessionStatus,
  TERMINAL_TRANSITIONS,
  TERMINAL_TRIGGERS,
  type TerminalTrigger,
} from '../../../src/protocol/session-states.ts';
import type { NewTerminalEvent, SessionEntry, SessionRecord } from '../../../src/records/session-ports.ts';
import type { TestRecords } from '../../helpers/redis-records.ts';
import { BY } from './approving.ts';
import { randomOf, THOROUGHNESS } from './random.ts';
import { CREATED_AT, LOST, UNAVAILABLE } from './samples.ts';

const WALKS = 15 * THOROUGHNESS;
const STEPS = 60;
/** Fixed, so that a failure is the same everywhere. */
const FIRST_SEED = 20_261_115;
const ACT = { actor: BY.actor, project: 'default' };
const KINDS = [
  ...(['append', 'append', 'append', 'repeat', 'move', 'move', 'move', 'size'] as const),
  ...(['restore', 'copy', 'copy', 'close', 'lose', 'remove'] as const),
];
/** These end it, so they are rare. */
const ENDS: readonly string[] = ['close', 'lose', 'remove'];

type Status = Extract<SessionEntry, { readonly status: SessionStatus }>;
interface Copy {
  readonly record: SessionRecord;
  readonly statuses: readonly Status[];
}

const whatOf = ({ seq, status, reason, matchedLine }: Omit<Status, 'at'>) => ({
  ...{ seq, what: `${status} ${reason} ${matchedLine ?? null}` },
});

async function walk(rpc: TestRecords, seed: number, reached: Set<string>): Promise<void> {
  const random = randomOf(seed);
  const pick = <T>(list: readonly T[]): T | undefined => list[Math.floor(random() * list.length)];
  const id = ulid();
  const node = rpc.terminalsOf('n1');
  let status: SessionStatus = 'starting';
  let [line, reason, code]: [string | null, string | null, number | null] = [null, null, null];
  let [cols, rows, seq, offset] = [80, 24, 1, 0];
  let entries: { seq: number; what: string }[] = [{ seq: 1, what: 'starting null null' }];
  /** The last append, its answer, and how many there were. */
  let last: { batch: number; events: readonly NewTerminalEvent[]; answer: number } | null = null;
  let batch = 0;
  let removed = false;
  let copy: Copy | null = null;
  const isOver = (): boolean => status === 'closed' || status === 'failed';

  function moved(trigger: TerminalTrigger, to: { reason: string | null; line: string | null }): void {
    const next = TERMINAL_TRANSITIONS[status][trigger];
    if (next === undefined || (next === status && to.reason === reason && to.line === line)) return;
    [status, reason, line] = [next, to.reason, to.line];
    seq += 1;
    entries.push({ seq, what: `${status} ${reason} ${line}` });
    reached.add(next);
  }

  function append(events: readonly NewTerminalEvent[], keepFrom: number): Promise<void> {
    batch += 1;
    return check(batch, events, keepFrom);
  }
  async function check(number: number, events: readonly NewTerminalEvent[], keepFrom: number) {
    const answer = await node.append(id, number, events, keepFrom);
    if (removed || status === 'failed') {
      expect(answer).toBe(0);
      return;
    }
    for (const { event } of events) {
      seq += 1;
      entries.push({ seq, what: event.kind });
      if (event.kind === 'terminal.output') offset += Buffer.byteLength(event.data, 'base64');
      else [cols, rows] = [event.cols, event.rows];
    }
    entries = entries.filter((entry) => entry.seq >= keepFrom);
    expect(answer).toBe(seq);
    last = { batch: number, events, answer };
  }
  const output = (): NewTerminalEvent => {
    const data = Buffer.from('x'.repeat(1 + Math.floor(random() * 9))).toString('base64');
    return { at: CREATED_AT, event: { kind: 'terminal.output', offset, data } };
  };
  const sized = (): NewTerminalEvent => {
    const size = { cols: 1 + Math.floor(random() * 200), rows: 1 + Math.floor(random() * 60) };
    const isScreen = random() < 0.3;
    const event = isScreen
      ? ({ kind: 'terminal.screen', offset, data: '', ...size } as const)
      : ({ kind: 'terminal.resized', ...size } as const);
    return { at: CREATED_AT, event };
  };

  const steps: Record<(typeof KINDS)[number], () => Promise<void>> = {
    append: () => append(random() < 0.5 ? [output()] : [output(), output()], 1),
    size: () => append([sized(), output()], Math.max(1, seq - 10)),
    async repeat() {
      if (last === null || removed || status === 'failed') return;
      expect(await node.append(id, last.batch, last.events, 1)).toBe(last.answer);
    },
    async move() {
      const alive = TERMINAL_TRIGGERS.filter((one) => one !== 'failed' && one !== 'closed');
      const trigger = random() < 0.06 ? pick(['failed', 'closed'] as const) : pick(alive);
      if (trigger === undefined) return;
      const matchedLine = trigger === 'asked' ? (pick(['y/n', 'Proceed?']) ?? null) : null;
      const why = trigger === 'failed' ? 'execution.crashed' : null;
      const ends = trigger === 'failed' || trigger === 'closed';
      const exitCode = ends ? Math.floor(random() * 200) : null;
      expect(await node.move(id, { trigger, reason: why, matchedLine, exitCode })).toBe(!removed);
      if (removed) return;
      code ??= exitCode;
      moved(trigger, { reason: why, line: matchedLine });
    },
    async close() {
      const { found } = await rpc.sessions.close(id, ACT);
      expect(found).toBe(!removed);
      if (!removed) moved('closed', { reason: null, line: null });
    },
    async lose() {
      await rpc.upkeepOf('n1').leave();
      await rpc.upkeepOf('n2').settleLost(60_000, LOST, UNAVAILABLE);
      await rpc.upkeepOf('n1').join({ version: '2.0.0', host: 'h' }, 60_000);
      if (!removed && !isOver()) moved('failed', { reason: 'execution.node_unavailable', line: null });
    },
    async remove() {
      expect(await rpc.sessions.remove(id, ACT)).toBe(removed || isOver());
      removed ||= isOver();
    },
    async copy() {
      const record = await rpc.sessions.read(id);
      const all = (await rpc.sessions.entries(id, 0, 10_000)) ?? [];
      if (record !== null) copy = { record, statuses: all.filter((entry) => 'status' in entry) };
    },
    /** Redis loses it, and has an older state back before the node says more. */
    async restore() {
      if (copy === null || removed || isOver()) return;
      const kept: Copy = copy;
      await rpc.loseSession(id);
      await rpc.sessions.restore(kept.record, kept.statuses);
      ({ status, statusReason: reason, matchedLine: line } = kept.record);
      ({ cols, rows } = kept.record.terminal ?? { cols, rows });
      entries = kept.statuses.map(whatOf); // all that is copied of its stream
      const known = seq;
      await node.move(id, { trigger: 'idle', reason: null, matchedLine: `back ${known}` });
      const next = TERMINAL_TRANSITIONS[status].idle;
      const after = (await rpc.sessions.read(id))?.lastSeq ?? 0;
      if (next !== undefined) {
        [status, reason, line] = [next, null, `back ${known}`];
        entries.push({ seq: after, what: `${next} null ${line}` });
      }
      seq = after;
      last = null;
    },
  };

  await rpc.upkeepOf('n1').join({ version: '2.0.0', host: 'h' }, 60_000);
  await rpc.upkeepOf('n2').join({ version: '2.0.0', host: 'h' }, 60_000);
  await rpc.sessions.create({
    ...{ id, kind: 'terminal', name: null, status, project: 'default', principal: 'alice' },
    ...{ options: { provider: 'claude', cwd: '/' }, fork: null, node: 'n1', terminal: { cols, rows } },
    ...{ tags: [], metadata: {}, createdAt: CREATED_AT, by: BY.actor },
  });
  for (let step = 0; step < STEPS; step += 1) {
    let kind = pick(KINDS) ?? 'append';
    if (ENDS.includes(kind) && random() > step / STEPS / 4) kind = 'append';
    await steps[kind]();
    reached.add(kind);
    await verify(`seed ${seed}, step ${step}: ${kind}`);
  }

  async function verify(where: string): Promise<void> {
    const record = await rpc.sessions.read(id);
    const open = await rpc.terminalsOf('n1').open();
    expect(open, where).toEqual(removed || isOver() ? [] : [id]);
    if (removed) {
      expect(record, where).toBeNull();
      return;
    }
    expect(record, where).toMatchObject({
      ...{ status, statusReason: reason, matchedLine: line, lastSeq: seq },
      terminal: { cols, rows, exitCode: code },
    });
    expect((record?.closedAt ?? null) !== null, where).toBe(status === 'closed');
    const events = await rpc.sessions.events(id, 0, 10_000);
    const seen = events.map((one) =>
      one.kind === 'session.status' ? whatOf(one) : { seq: one.seq, what: one.kind },
    );
    expect(seen, where).toEqual(entries);
  }
}

export function terminalWalks(make: () => TestRecords): void {
  it(`its record and stream are what ${WALKS} random lives of ${STEPS} steps make of them`, async () => {
    const reached = new Set<string>();
    for (let seed = FIRST_SEED; seed < FIRST_SEED + WALKS; seed += 1) await walk(make(), seed, reached);
    expect([...reached].sort()).toEqual(
      [...new Set([...KINDS, ...Object.keys(TERMINAL_TRANSITIONS)])]
        .filter((one) => one !== 'starting')
        .sort(),
    );
  }, 300_000);
}
