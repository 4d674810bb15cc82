/** The executions of an executor over a real store. The test takes the place of the executor. */
import { pino } from 'pino';
import { ulid } from 'ulid';
import { expect, it } from 'vitest';
import type { ExecutionLine } from '../../../src/protocol/executor-service.ts';
import type { Finish, TimedEvent } from '../../../src/records/ports.ts';
import { createExecutions, type Executions } from '../../../src/remote/executions/executions.ts';
import { createRetention } from '../../../src/remote/executions/retention.ts';
import { createLedger } from '../../../src/store/ledger.ts';
import type { Store } from '../../../src/store/store.ts';
import { pause } from '../../../src/timing.ts';
import { eventually } from '../../helpers/eventually.ts';
import { anOutcome, NO_DELIVERY, testStore } from '../store/test-store.ts';
import { submission } from './submissions.ts';

const HERE = { workspace: '/work' };
const REPORTED = {
  sessionTokens: { inputTokens: 1, outputTokens: 2, cacheReadTokens: 3, cacheWriteTokens: 4 },
  ...{ limitedModel: 'opus', account: 'a', finalLine: null },
};

function open(store: Store): Executions {
  return createExecutions({
    ...{ node: 'n1', bootId: ulid(), store, refusedMs: 60_000, newId: ulid },
    resolve: async () => submission(HERE).request,
    kick: () => undefined,
    lookAtCancel: () => undefined,
    logger: pino({ enabled: false }),
  });
}

const text = (value: string): TimedEvent => ({
  ...{ event: { kind: 'text.delta', text: value }, raw: `"${value}"`, at: Date.now() },
});

const finishOf = (id: string, rest: Partial<Finish> = {}): Finish => ({
  ...{ ...NO_DELIVERY, jobId: id, executionId: id, outcome: anOutcome({ executionId: id }) },
  ...{ reported: REPORTED, ...rest },
});

/** As the executor does: claims, intends, ends. */
async function ended({ claims, ledger }: Executions, id: string, finish = finishOf(id)): Promise<void> {
  const { claims: claimed } = await claims.claim(1000);
  for (const claim of claimed) await ledger.intend(claim);
  await ledger.ended(finish);
  await claims.finish(finish);
  await ledger.delivered(id, false);
}

async function read(lines: AsyncIterable<ExecutionLine>): Promise<readonly ExecutionLine[]> {
  const all: ExecutionLine[] = [];
  for await (const line of lines) all.push(line);
  return all;
}

const numbers = (lines: readonly ExecutionLine[]): readonly (number | string)[] =>
  lines.map((line) => (line.type === 'event' ? line.n : line.type));
const upTo = (count: number): readonly number[] => Array.from({ length: count }, (_, index) => index + 1);
const never = (): AbortSignal => AbortSignal.timeout(60_000);

it('readers that join at any moment, and begin at any number, get each line once and in order', async () => {
  const executions = open(await testStore());
  const asked = submission(HERE);
  await executions.submit(asked);
  const { id } = asked;
  const readers: Promise<readonly (number | string)[]>[] = [];
  let from = 0;
  for (let batch = 0; batch < 60; batch += 1) {
    const events = Array.from({ length: 1 + (batch % 7) }, (_, index) => text(`${from + index + 1}`));
    const stored = executions.claims.append(id, id, from, events);
    const after = Math.max(0, from - (batch % 3));
    readers.push(executions.follow(id, after, never()).then(read).then(numbers));
    await stored;
    // A repeated append adds nothing.
    if (batch % 5 === 0) await executions.claims.append(id, id, from, events);
    from += events.length;
  }
  await ended(executions, id, finishOf(id, { from, tail: [text('last')] }));
  for (const got of await Promise.all(readers)) {
    const first = Number(got[0]);
    expect(got).toEqual([...upTo(from + 1).slice(first - 1), 'ended']);
  }
  expect(await read(await executions.follow(id, from, never()))).toEqual([
    { type: 'event', n: from + 1, event: { kind: 'text.delta', text: 'last' }, raw: '"last"' },
    { type: 'ended', outcome: anOutcome({ executionId: id }), reported: REPORTED },
  ]);
});

it('a slow reader makes the store be read later, page by page', async () => {
  const store = await testStore();
  const pages: number[] = [];
  const counted: Store = {
    ...store,
    async run(op, args) {
      const value = await store.run(op, args);
      if (op === 'events.page') pages.push(JSON.stringify(value).length);
      return value;
    },
  };
  const executions = open(counted);
  const { id } = submission(HERE);
  await executions.submit({ ...submission(HERE), id });
  const long = 'x'.repeat(100_000);
  for (let n = 0; n < 40; n += 1) await executions.claims.append(id, id, n, [text(long)]);
  await ended(executions, id, finishOf(id, { from: 40 }));
  const lines = (await executions.follow(id, 0, never()))[Symbol.asyncIterator]();
  await lines.next();
  await pause(200, never());
  expect(pages).toHaveLength(1);
  expect(Math.max(...pages)).toBeLessThan(1_000_000);
  let count = 1;
  while ((await lines.next()).done !== true) count += 1;
  expect(count).toBe(41);
  expect(pages.length).toBeGreaterThan(10);
});

it('a reader that leaves ends its stream, and no one is counted as a reader after that', async () => {
  const executions = open(await testStore());
  const { id } = submission(HERE);
  await executions.submit({ ...submission(HERE), id });
  const left = new AbortController();
  const reading = executions.follow(id, 0, left.signal).then(read);
  await eventually(async () => expect(await executions.claims.append(id, id, 0, [text('a')])).toBe('read'));
  left.abort();
  expect(numbers(await reading).filter((n) => n === 'ended')).toEqual([]);
  expect(await executions.claims.append(id, id, 1, [text('b')])).toBe('unread');
});

it('claims follow the order of the submissions, within the room of each provider', async () => {
  const executions = open(await testStore());
  const asked = ['claude', 'codex', 'claude', 'claude', 'codex'].map((provider) =>
    submission(HERE, { provider }),
  );
  for (const one of asked) await executions.submit(one);
  const ids = asked.map(({ id }) => id);
  const claim = async (max: number, room: Readonly<Record<string, number>>) =>
    (await executions.claims.claim(max, room)).claims.map(({ executionId }) => ids.indexOf(executionId));
  expect((await executions.claims.peek(2)).map(({ jobId }) => ids.indexOf(jobId))).toEqual([0, 1]);
  expect(await claim(3, { claude: 1 })).toEqual([0, 1, 4]);
  expect(await claim(3, { claude: 0 })).toEqual([]);
  expect(await claim(3, {})).toEqual([2, 3]);
  expect(await claim(3, {})).toEqual([]);
});

it('what was submitted and reported is known after a restart', async () => {
  const store = await testStore();
  const before = open(store);
  const asked = submission(HERE);
  await before.submit(asked);
  await ended(before, asked.id);
  const after = open(store);
  const [end] = await read(await after.follow(asked.id, 0, never()));
  expect(end).toMatchObject({ type: 'ended', reported: REPORTED });
  expect(await after.submit(asked)).toEqual({ id: asked.id, jobId: asked.jobId, state: 'ended', events: 0 });
  await expect(after.submit({ ...asked, principal: 'other' })).rejects.toMatchObject({
    code: 'execution.id_reused',
  });
  // A server's own ledger keeps nothing of that.
  const own = createLedger(store, 'boot');
  const claim = { jobId: 'j', executionId: 'e', attempt: 1, request: { provider: 'claude' } };
  await own.intend(claim);
  await own.ended(finishOf('e', { jobId: 'j' }));
  expect((await own.open()).outbox[0]?.reported).toEqual(REPORTED);
  await own.delivered('e', false);
  expect((await own.find(claim))?.finish?.reported).toBeUndefined();
});

it('executions that ended long ago are removed with their events, and no others', async () => {
  const store = await testStore();
  const executions = open(store);
  const DAY_MS = 86_400_000;
  const long = Date.now() - 10 * DAY_MS;
  const [old, recent] = [ulid(long), ulid()];
  for (const id of [old, recent]) {
    await executions.submit({ ...submission(HERE), id });
    await executions.claims.append(id, id, 0, [text('a')]);
    await ended(executions, id, finishOf(id, { from: 1 }));
  }
  await store.run('executions.intent', {
    ...{ executionId: 'x', jobId: 'x', attempt: 1, bootId: 'b', provider: 'claude' },
    at: new Date(long).toISOString(),
  });
  await store.run('executions.ended', {
    ...{ executionId: 'x', outcome: anOutcome(), delivery: NO_DELIVERY, at: new Date(long).toISOString() },
  });
  await store.run('executions.delivered', { executionId: 'x', superseded: false });
  const retention = createRetention({
    ...{ store, everyMs: 20, logger: pino({ enabled: false }) },
    settings: { keepEventsMs: DAY_MS, keepUsageMs: DAY_MS, maxTimeoutMs: DAY_MS },
  });
  retention.start();
  const eventsOf = async (id: string): Promise<number> => store.run('events.lastSeq', { jobId: id });
  await eventually(async () => {
    expect([await eventsOf(old), await eventsOf(recent)]).toEqual([0, 1]);
    expect(await store.run('executions.lastOf', { jobId: 'x' })).toBeNull();
  });
  await retention.stop();
  expect(await store.run('executions.lastOf', { jobId: recent })).not.toBeNull();
});

it('a submission is refused while a thousand wait, and is not known', async () => {
  const executions = open(await testStore());
  for (let n = 0; n < 1000; n += 1) await executions.submit(submission(HERE));
  const one = submission(HERE);
  await expect(executions.submit(one)).rejects.toMatchObject({ code: 'queue.full' });
  await expect(executions.follow(one.id, 0, never())).rejects.toMatchObject({ code: 'execution.not_found' });
  await executions.claims.claim(1);
  expect((await executions.submit(one)).state).toBe('waiting');
  expect(await executions.known()).toHaveLength(1000); // of 1,001
});
