/** The records of terminals: their events in the session's stream, and what moves them. */
import { ulid } from 'ulid';
import { expect, it } from 'vitest';
import type { NewTerminalEvent, SessionRecord } from '../../../src/records/session-ports.ts';
import { eventually } from '../../helpers/eventually.ts';
import { KEEP_MS } from '../../helpers/redis-records.ts';
import { BY } from './approving.ts';
import type { Bench } from './bench.ts';
import { CREATED_AT, LOST, UNAVAILABLE } from './samples.ts';

const AT = CREATED_AT;
const output = (offset: number, text: string) => ({
  at: AT,
  event: { kind: 'terminal.output', offset, data: Buffer.from(text).toString('base64') } as const,
});
const resized = (cols: number, rows: number) => ({
  at: AT,
  event: { kind: 'terminal.resized', cols, rows } as const,
});
const screen = (offset: number, cols = 80, rows = 24) => ({
  at: AT,
  event: { kind: 'terminal.screen', offset, cols, rows, data: 'YQ==' } as const,
});
const move = (trigger: 'started' | 'idle' | 'asked' | 'failed' | 'closed', rest: object = {}) => ({
  ...{ trigger, reason: null, matchedLine: null, ...rest },
});

export function terminals(bench: () => Bench): void {
  async function made(node = 'n1'): Promise<string> {
    const id = ulid();
    await bench().sessions.create({
      ...{ id, kind: 'terminal', name: null, status: 'starting', project: 'default', principal: 'alice' },
      ...{ options: { provider: 'claude', cwd: '/srv' }, fork: null, node, terminal: { cols: 80, rows: 24 } },
      ...{ tags: [], metadata: {}, createdAt: CREATED_AT, by: BY.actor },
    });
    return id;
  }

  /** The appends of each terminal, counted by its node. */
  const batches = new Map<string, number>();
  function append(id: string, events: readonly NewTerminalEvent[], keepFrom = 1, node = 'n1') {
    batches.set(id, (batches.get(id) ?? 0) + 1);
    return repeat(id, events, keepFrom, node);
  }
  const repeat = (id: string, events: readonly NewTerminalEvent[], keepFrom = 1, node = 'n1') =>
    records(node).append(id, batches.get(id) ?? 1, events, keepFrom);

  async function session(id: string): Promise<SessionRecord> {
    const record = await bench().sessions.read(id);
    if (record === null) throw new Error(`there is no session ${id}`);
    return record;
  }

  const eventsOf = (id: string) => bench().sessions.events(id, 0, 10_000);
  const texts = async (id: string) =>
    (await eventsOf(id)).map((event) => {
      switch (event.kind) {
        case 'session.status':
          return event.status;
        case 'terminal.output':
          return Buffer.from(event.data, 'base64').toString();
        case 'terminal.resized':
          return `${event.cols}x${event.rows}`;
        default:
          return event.kind;
      }
    });
  const records = (node = 'n1') => bench().terminalsOf(node);

  it('has its size and no turn; its output and its statuses are in one stream without a gap', async () => {
    const id = await made();
    expect(await session(id)).toMatchObject({
      ...{ kind: 'terminal', status: 'starting', node: 'n1', turns: 0, lastSeq: 1, matchedLine: null },
      terminal: { cols: 80, rows: 24, exitCode: null },
    });
    expect(await append(id, [output(0, '$ '), output(2, 'ls\r\n')])).toBe(3);
    expect(await records().move(id, move('started'))).toBe(true);
    expect(await append(id, [resized(120, 40), output(6, 'a')])).toBe(6);
    expect(await texts(id)).toEqual(['starting', '$ ', 'ls\r\n', 'busy', '120x40', 'a']);
    expect((await eventsOf(id)).map(({ seq }) => seq)).toEqual([1, 2, 3, 4, 5, 6]);
    expect((await eventsOf(id))[1]).toEqual({
      ...{ seq: 2, sessionId: id, at: new Date(AT).toISOString(), kind: 'terminal.output' },
      ...{ offset: 0, data: 'JCA=' },
    });
    expect(await session(id)).toMatchObject({ lastSeq: 6, terminal: { cols: 120, rows: 40 } });
  });

  it('a repeated append adds nothing twice and answers as the first one', async () => {
    const id = await made();
    const events = [output(0, 'a'), resized(100, 30), output(1, 'b')];
    const seq = await append(id, events);
    await records().move(id, move('started'));
    expect(await repeat(id, events)).toBe(seq);
    expect(await append(id, [screen(9, 90, 20)])).toBe(seq + 2);
    expect(await repeat(id, [screen(9, 90, 20)])).toBe(seq + 2);
    expect(await texts(id)).toEqual(['starting', 'a', '100x30', 'b', 'busy', 'terminal.screen']);
    expect(await session(id)).toMatchObject({ terminal: { cols: 90, rows: 20 } });
  });

  it('keeps no event before the number that its node names', async () => {
    const id = await made();
    await append(id, [output(0, 'a'), output(1, 'b'), output(2, 'c')]);
    await append(id, [output(3, 'd')], 4);
    expect((await eventsOf(id)).map(({ seq }) => seq)).toEqual([4, 5]);
    expect(await bench().sessions.entries(id, 1, 1)).toMatchObject([{ seq: 4 }]);
  });

  it('output is no revision and no entry of the log, but counts as activity once a minute', async () => {
    const id = await made();
    const [before, log] = [await session(id), await bench().log()];
    for (let n = 0; n < 20; n += 1) await append(id, [output(n, 'x')]);
    expect(await session(id)).toEqual({ ...before, lastSeq: 21 });
    expect(await bench().log()).toEqual(log);
    await bench().advance(61_000);
    for (let n = 20; n < 40; n += 1) await append(id, [output(n, 'x')]);
    expect(await session(id)).toMatchObject({ rev: before.rev + 1 });
    expect((await session(id)).lastActivityAt).toBeGreaterThan(before.lastActivityAt - 61_000);
  });

  it('its status has the line of the screen that it is from, until the next one', async () => {
    const id = await made();
    const line = 'Do you want to proceed?';
    await records().move(id, move('asked', { matchedLine: line }));
    expect(await session(id)).toMatchObject({ status: 'awaiting_input', matchedLine: line });
    const { rev } = await session(id);
    await records().move(id, move('asked', { matchedLine: line }));
    expect((await session(id)).rev).toBe(rev);
    await records().move(id, move('idle'));
    expect(await session(id)).toMatchObject({ status: 'ready', matchedLine: null });
    const [, asked, ready] = await eventsOf(id);
    expect(asked).toMatchObject({ kind: 'session.status', status: 'awaiting_input', matchedLine: line });
    expect(ready).not.toHaveProperty('matchedLine');
  });

  it('a close is final, with what the program wrote last and its exit code', async () => {
    const id = await made();
    await bench().sessions.close(id, { actor: BY.actor, project: 'default' });
    const { closedAt } = await session(id);
    expect(closedAt).not.toBeNull();
    await append(id, [output(0, 'bye')]);
    await records().move(id, move('failed', { reason: 'execution.crashed', exitCode: 129 }));
    await records().move(id, move('closed', { exitCode: 0 }));
    expect(await session(id)).toMatchObject({
      ...{ status: 'closed', statusReason: null, closedAt, terminal: { exitCode: 129 } },
    });
    expect(await texts(id)).toEqual(['starting', 'closed', 'bye']);
  });

  it('is removed when its program has ended, not before', async () => {
    const id = await made();
    const act = { actor: BY.actor, project: 'default' };
    expect(await bench().sessions.remove(id, act)).toBe(false);
    await records().move(id, move('failed', { reason: 'execution.crashed', exitCode: 1 }));
    expect(await session(id)).toMatchObject({ status: 'failed', closedAt: null, terminal: { exitCode: 1 } });
    expect(await bench().sessions.remove(id, act)).toBe(true);
    expect(await bench().sessions.read(id)).toBeNull();
    expect(await append(id, [output(0, 'late')])).toBe(0);
    expect(await records().move(id, move('closed'))).toBe(false);
    expect(await records().open()).toEqual([]);
  });

  it('a node knows its own that are not over; those of a lost node fail, as do those of one that left', async () => {
    const [own, other, over, left] = [await made('n1'), await made('n2'), await made('n2'), await made('n3')];
    await records('n2').move(over, move('closed', { exitCode: 0 }));
    expect(await records('n1').open()).toEqual([own]);
    expect(await records('n2').open()).toEqual([other]);
    const upkeep = bench().upkeepOf('n1');
    for (const node of ['n1', 'n2', 'n3'])
      await bench().upkeepOf(node).join({ version: '2.0.0', host: 'h' }, 60_000);
    await upkeep.settleLost(60_000, LOST, UNAVAILABLE);
    expect(await session(other)).toMatchObject({ status: 'starting' });
    await bench().upkeepOf('n3').leave();
    await bench().advance(61_000);
    await bench().claimsOf('n1').renew([]);
    await upkeep.settleLost(60_000, LOST, UNAVAILABLE);
    for (const id of [other, left])
      expect(await session(id)).toMatchObject({
        ...{ status: 'failed', statusReason: 'execution.node_unavailable' },
      });
    expect(await session(own)).toMatchObject({ status: 'starting' });
    expect(await session(over)).toMatchObject({ status: 'closed' });
    expect(await records('n2').open()).toEqual([]);
    expect(await append(other, [output(0, 'late')], 1, 'n2')).toBe(0);
  });

  it('one that Redis has lost is restored, and no number is used twice', async () => {
    const id = await made();
    const node = records();
    await node.move(id, move('asked', { matchedLine: 'y/n' }));
    await node.append(id, 1, [resized(100, 30)], 1);
    const [copy, entries] = [await session(id), await bench().sessions.entries(id, 0, 100)];
    expect(await node.append(id, 2, [output(0, 'a'), output(1, 'b')], 1)).toBe(5);
    await bench().loseSession(id);
    expect(await node.append(id, 3, [output(2, 'c')], 1)).toBe(0);
    const statuses = (entries ?? []).filter((entry) => 'status' in entry);
    await bench().sessions.restore(copy, statuses);
    expect(await session(id)).toEqual({ ...copy, rev: copy.rev + 1 });
    expect(await records().open()).toEqual([id]);
    expect(await node.append(id, 3, [output(2, 'c')], 1)).toBe(6);
    await node.move(id, move('idle'));
    const seqs = (await eventsOf(id)).map(({ seq }) => seq);
    expect(seqs).toEqual([1, 2, 6, 7]);
  });

  it('Redis keeps it while its program runs, and a long time after', async () => {
    const id = await made();
    await bench().advance(60 * 24 * KEEP_MS);
    expect(await session(id)).toMatchObject({ status: 'starting' });
    await append(id, [output(0, 'a')]);
    await records().move(id, move('closed', { exitCode: 0 }));
    await bench().advance(29 * 24 * KEEP_MS);
    expect(await texts(id)).toEqual(['starting', 'a', 'closed']);
    await bench().advance(2 * 24 * KEEP_MS);
    expect(await bench().sessions.read(id)).toBeNull();
    expect(await bench().sessions.entries(id, 0, 1)).toBeNull();
  });

  it('its readers are rung for output, and counted', async () => {
    const id = await made();
    expect(await records().readers(id)).toBe(0);
    await bench().follow(bench().liveSession(id));
    await append(id, [output(0, 'a')]);
    expect((await bench().published(bench().liveSession(id))).map(Number)).toEqual([2]);
    await eventually(async () => (await records().readers(id)) === 1);
  });

  it('no message and no job moves it by the table of a chat', async () => {
    const id = await made();
    await records().move(id, move('idle'));
    expect(await records().move(ulid(), move('idle'))).toBe(false);
    expect(await texts(id)).toEqual(['starting', 'ready']);
  });

  it('damaged parts of it fail no script', async () => {
    const id = await made();
    await bench().forgeSession(id, 'batch', 'many');
    await bench().forgeSession(id, 'lastActivityAt', 'never');
    expect(await append(id, [output(0, 'a')])).toBe(2);
    await bench().forgeSession(id, 'cols', 'wide');
    await expect(bench().sessions.read(id)).rejects.toMatchObject({ code: 'record.damaged' });
    expect(await append(id, [resized(80, 24)])).toBe(3);
    expect(await session(id)).toMatchObject({ terminal: { cols: 80, rows: 24 } });
    await bench().forgeSession(id, 'status', '');
    expect(await append(id, [output(1, 'b')])).toBe(0);
    expect(await records().move(id, move('idle'))).toBe(false);
  });
}
