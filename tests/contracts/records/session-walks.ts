/** Random lives of sessions: after every step record and stream are what they must be. */
import { ulid } from 'ulid';
import { expect, it } from 'vitest';
import type { ErrorCode } from '../../../src/errors.ts';
import {
  CHAT_TRANSITIONS,
  type SessionStatus,
  type SessionTrigger,
  TURN_ENDS,
} from '../../../src/protocol/session-states.ts';
import type { Claim } from '../../../src/records/ports.ts';
import type { TestRecords } from '../../helpers/redis-records.ts';
import { ALLOW, askOf, BY } from './approving.ts';
import { createBench } from './bench.ts';
import { randomOf, THOROUGHNESS } from './random.ts';
import {
  begun,
  CANCELLED,
  CREATED_AT,
  claimed,
  failed,
  finishOf,
  newJob,
  succeeded,
  text,
} from './samples.ts';

const WALKS = 15 * THOROUGHNESS;
const STEPS = 40;
/** Fixed, so that a failure is the same everywhere. */
const FIRST_SEED = 20_261_101;
const CODES: readonly (ErrorCode | null)[] = [
  ...[null, null, null],
  ...(['execution.crashed', 'execution.interrupted', 'auth.required', 'execution.node_unavailable'] as const),
];
const KINDS = [
  ...(['turn', 'turn', 'claim', 'claim', 'claim', 'say', 'ask', 'ask', 'decide', 'decide'] as const),
  ...(['park', 'finish', 'finish', 'cancel', 'read'] as const),
];

interface Turn {
  readonly id: string;
  state: 'queued' | 'running' | 'waiting' | 'ended';
  claim: Claim | null;
  said: number;
  /** Pending approvals. */
  readonly asks: Set<string>;
}

async function walk(rpc: TestRecords, seed: number, reached: Set<string>): Promise<void> {
  const random = randomOf(seed);
  const bench = await createBench(rpc);
  const pick = <T>(list: readonly T[]): T | undefined => list[Math.floor(random() * list.length)];
  const first = newJob();
  const isMade = seed % 2 === 0;
  const id = isMade ? ulid() : first.id;
  const turns: Turn[] = [];
  let status: SessionStatus = isMade ? 'ready' : 'starting';
  let reason: string | null = null;
  let known: readonly unknown[] = [];

  const move = (trigger: SessionTrigger, code: string | null = null): void => {
    const next = CHAT_TRANSITIONS[status][trigger];
    if (next === undefined) return;
    [status, reason] = [next, code];
    reached.add(next);
  };
  const asks = (): number => turns.reduce((sum, turn) => sum + turn.asks.size, 0);
  const open = (): Turn[] => turns.filter(({ state }) => state !== 'ended');
  const end = (turn: Turn, code: string | null): void => {
    turn.state = 'ended';
    turn.asks.clear();
    if (open().length === 0) move(TURN_ENDS[code ?? ''] ?? 'ended', code);
    else if (asks() === 0) move('answered');
  };

  const steps = {
    async turn() {
      const job = turns.length === 0 && !isMade ? first : newJob({ sessionId: id });
      const made = await bench.records.create(job);
      expect(made.kind).toBe(status === 'closed' ? 'closed' : 'created');
      if (made.kind !== 'created') return;
      turns.push({ id: job.id, state: 'queued', claim: null, said: 0, asks: new Set() });
      move('message');
    },
    async claim() {
      const [next] = open();
      if (next?.state !== 'queued') return;
      await bench.submissions.submit(next.id, ulid());
      next.claim = await claimed(bench, next.id);
      next.state = 'running';
      next.said = 0;
      move('started');
    },
    async say(turn: Turn) {
      const events = turn.said === 0 ? [begun(id), text('a')] : [text('b')];
      const { jobId, executionId } = turn.claim as Claim; // it runs
      await bench.claimsOf('n1').append(jobId, executionId, turn.said, events);
      turn.said += events.length;
    },
    async ask(turn: Turn) {
      const asked = { id: ulid(), ask: askOf(`c${random()}`), expiresAt: (await bench.now()) + 1e9 };
      const opened = await bench.approvals.open(turn.claim as Claim, asked); // it runs
      expect(opened).toMatchObject({ approvalId: asked.id });
      turn.asks.add(asked.id);
      move('asked');
    },
    async decide() {
      const turn = turns.find((one) => one.asks.size > 0);
      const [approval] = turn?.asks ?? [];
      if (turn === undefined || approval === undefined) return;
      const scope = random() < 0.2 ? 'session' : 'call';
      await bench.approvals.decide(approval, { decision: ALLOW, scope }, BY);
      turn.asks.delete(approval);
      if (turn.state === 'waiting' && turn.asks.size === 0) turn.state = 'queued';
      if (asks() === 0) move('answered');
    },
    async park(turn: Turn) {
      if (turn.asks.size === 0) return;
      const outcome = failed((turn.claim as Claim).executionId, 'execution.awaiting_approval'); // it runs
      const parked = { outcome, backoffMs: null, parked: true, from: turn.said };
      expect(await bench.claimsOf('n1').finish(finishOf(turn.claim as Claim, parked))).toBe('waiting');
      turn.state = 'waiting';
    },
    async finish(turn: Turn) {
      const code = pick(CODES) ?? null;
      const { executionId } = turn.claim as Claim; // it runs
      const outcome = code === null ? succeeded(executionId) : failed(executionId, code);
      const rest = { outcome, backoffMs: null, from: turn.said };
      expect(await bench.claimsOf('n1').finish(finishOf(turn.claim as Claim, rest))).toBe('finished');
      end(turn, code);
    },
    async cancel() {
      const turn = pick(open().filter(({ state }) => state !== 'running'));
      if (turn === undefined) return;
      await bench.records.cancel(turn.id, false, CANCELLED);
      end(turn, 'execution.cancelled');
    },
    async close() {
      if (turns.length === 0 && !isMade) return;
      const ids = open().map((turn) => turn.id);
      expect(await bench.sessions.close(id, BY)).toEqual({ found: true, open: ids });
      move('closed');
    },
    async read() {
      const after = Math.floor(random() * known.length);
      const page = await bench.sessions.events(id, after, 5);
      expect(page).toEqual(known.slice(after, after + 5));
    },
  };

  if (isMade) {
    await bench.sessions.create({
      ...{ id, kind: 'chat', name: null, status: 'ready', project: 'default', principal: 'alice' },
      ...{ options: { provider: 'claude', cwd: '/' }, fork: null, node: null, tags: [], metadata: {} },
      ...{ createdAt: CREATED_AT, by: BY.actor },
    });
  }
  known = await check(`seed ${seed}`);
  for (let step = 0; step < STEPS; step += 1) {
    const kind = step > STEPS * 0.8 && random() < 0.05 ? 'close' : (pick(KINDS) ?? 'turn');
    const running = turns.find(({ state }) => state === 'running');
    switch (kind) {
      case 'say':
      case 'ask':
      case 'park':
      case 'finish':
        if (running !== undefined) await steps[kind](running);
        break;
      default:
        await steps[kind]();
    }
    known = await check(`seed ${seed}, step ${step}: ${kind}`);
  }

  /** What must hold after each step. */
  async function check(where: string): Promise<readonly unknown[]> {
    const record = await bench.sessions.read(id);
    const events = await bench.sessions.events(id, 0, 10_000);
    if (record !== null) {
      expect(record, where).toMatchObject({ status, statusReason: reason, turns: turns.length });
      expect(record.lastSeq, where).toBe(events.length);
    } else expect(turns.length, where).toBeLessThan(2);
    expect(await bench.sessions.open(id), where).toEqual(open().map((turn) => turn.id));
    expect(
      events.map(({ seq }) => seq),
      where,
    ).toEqual(events.map((_, index) => index + 1));
    expect(events.slice(0, known.length), where).toEqual(known);
    for (const turn of turns) {
      const own = events.flatMap((event) =>
        'jobSeq' in event && event.jobId === turn.id ? [event.jobSeq] : [],
      );
      const { lastSeq } = await bench.record(turn.id);
      expect(own, where).toEqual(Array.from({ length: lastSeq }, (_, index) => index + 1));
    }
    return events;
  }
}

export function sessionWalks(make: () => TestRecords): void {
  it(`its record and stream are what ${WALKS} random lives of ${STEPS} steps make of them`, async () => {
    const reached = new Set<string>();
    for (let seed = FIRST_SEED; seed < FIRST_SEED + WALKS; seed += 1) await walk(make(), seed, reached);
    expect([...reached].sort()).toEqual(
      Object.keys(CHAT_TRANSITIONS).sort(), // each status was reached
    );
  }, 300_000);
}
