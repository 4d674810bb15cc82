/** The records (src/records/ports.ts) over a real Redis. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createSigner } from '../../src/auth/signer.ts';
import { useTestRecords } from '../helpers/redis-records.ts';
import { approvalRules } from './records/approval-rules.ts';
import { ALLOW, approving, ask, BY, park, talking } from './records/approving.ts';
import { batches } from './records/batches.ts';
import { type Bench, createBench } from './records/bench.ts';
import { cancelling } from './records/cancelling.ts';
import { changing } from './records/changing.ts';
import { claiming } from './records/claiming.ts';
import { continuing } from './records/continuing.ts';
import { creating } from './records/creating.ts';
import { doorbells } from './records/doorbells.ts';
import { finishing } from './records/finishing.ts';
import { gates } from './records/gates.ts';
import { lanes } from './records/lanes.ts';
import { limiting } from './records/limiting.ts';
import { messaging } from './records/messaging.ts';
import { createModel } from './records/model.ts';
import { runSeed, type StepResult, THOROUGHNESS } from './records/random.ts';
import {
  CANCELLED,
  claimed,
  create,
  failed,
  finishOf,
  LOST,
  newJob,
  running,
  submitted,
  UNAVAILABLE,
} from './records/samples.ts';
import { sessionWalks } from './records/session-walks.ts';
import { sessions } from './records/sessions.ts';
import { shownStates } from './records/shown-states.ts';
import { starvation } from './records/starvation.ts';
import { submitting } from './records/submitting.ts';
import { terminalWalks } from './records/terminal-walks.ts';
import { terminals } from './records/terminals.ts';
import { upkeep } from './records/upkeep.ts';

const SUITES = {
  creating,
  batches,
  submitting,
  claiming,
  finishing,
  gates,
  continuing,
  lanes,
  limiting,
  cancelling,
  approving,
  messaging,
  changing,
  upkeep,
  doorbells,
};

const server = useTestRecords();

describe('the records', () => {
  let bench: Bench;
  beforeEach(async () => {
    bench = await createBench(server.make());
  });
  afterEach(async () => {
    await bench.verify();
  });

  for (const [name, suite] of Object.entries(SUITES)) describe(name, () => suite(() => bench));
});

describe('the records of approvals and sessions', () => {
  let bench: Bench;
  beforeEach(async () => {
    bench = await createBench(server.make());
  });
  afterEach(async () => {
    await bench.verify();
  });
  const signed = () => createBench(server.make(createSigner('a secret of thirty-two bytes or more')));
  describe('approvals', () => approvalRules(() => bench, signed));
  describe('sessions', () => sessions(() => bench, signed));
  describe('terminals', () => terminals(() => bench));
});

describe('the records and their model', () => {
  const SEEDS = 120 * THOROUGHNESS;
  const STEPS = 40;
  const AT_ONCE = 30;
  /** Fixed, so that a failure is the same everywhere; any other number tries other sequences. */
  const FIRST_SEED = 20_261_035;

  for (const topic of ['jobs', 'talk'] as const) {
    it(`give the same answers, records, events and log for ${SEEDS} random sequences of ${STEPS} steps about ${topic}`, async () => {
      const seen = new Map<string, number>();
      for (let first = FIRST_SEED; first < FIRST_SEED + SEEDS; first += AT_ONCE) {
        const seeds = Array.from({ length: AT_ONCE }, (_, index) => first + index);
        await Promise.all(
          seeds.map(async (seed) => {
            const sequence = { seed, steps: STEPS, topic };
            const wanted = await runSeed(createModel(), sequence);
            expectSame(await runSeed(server.make(), sequence), wanted, seed);
            count(wanted, REACHED[topic], seen);
          }),
        );
        await server.redis.flushall();
      }
      // A generator that never gets anywhere would agree about everything.
      for (const kind of REACHED[topic]) expect(seen.get(kind) ?? 0, kind).toBeGreaterThan(2);
    }, 300_000);
  }
});

describe('the fair order', () => starvation(() => server.make()));

describe('a session', () => sessionWalks(() => server.make()));

describe('a terminal', () => terminalWalks(() => server.make()));

describe('the shown states', () => shownStates(() => server.make()));

/** What the random sequences must have come to, each one often. */
const REACHED = {
  jobs: [
    ...['created', 'replayed', 'mismatch', 'gone', 'later', 'underway', 'deliver', 'remove'],
    ...['requested', 'cancelled', 'scheduled', 'held', 'changed', 'finished', 'running'],
    ...['delayed', 'cancel', 'lost', 'backoff', 'session', 'concurrency_key', 'limited'],
    ...['execution.node_unavailable', 'queue.expired', 'job.finished'],
  ],
  talk: [
    ...['waiting', 'approval.requested', 'approval.expired', 'job.waiting', 'allowed', 'denied', 'expired'],
    ...['decided', 'repeated', 'over', 'deferred', 'granted', 'interrupt', 'execution.interrupted'],
    ...['sent', 'steered', 'refused', 'not_running', 'superseded', 'execution.lost'],
  ],
};

/** Fails at the first step that differs. */
function expectSame(actual: readonly StepResult[], wanted: readonly StepResult[], seed: number): void {
  for (const [index, { step, result }] of wanted.entries()) {
    expect(actual[index], `seed ${seed}, step ${step}`).toEqual({ step, result });
  }
  expect(actual).toHaveLength(wanted.length);
}

function count(results: readonly StepResult[], kinds: readonly string[], seen: Map<string, number>): void {
  const text = JSON.stringify(results);
  for (const kind of kinds) {
    const times = text.split(`"${kind}"`).length - 1;
    seen.set(kind, (seen.get(kind) ?? 0) + times);
  }
}

describe('the keys of the records', () => {
  it('entries without a job behind them are removed at the claim and delay no job', async () => {
    const bench = await createBench(server.make());
    const { prefix } = bench;
    for (const pin of ['', 'n1']) {
      const name = JSON.stringify(['default', 'alice', 'claude', pin, '', '']);
      await server.redis.sadd(`${prefix}:ready`, name, `gone ${pin}`);
      await server.redis.zadd(`${prefix}:ready:${name}`, 1, `ghost ${pin}`);
    }
    await server.redis.zadd(`${prefix}:given:n1`, 1, 'given ghost');
    const other = await create(bench, { provider: 'wide', priority: -1 });
    const id = await submitted(bench);
    const claims = bench.claimsOf('n1');
    const first = await claims.claim(1);
    const second = await claims.claim(1);
    const third = await claims.claim(1);
    expect([...first, ...second, ...third]).toMatchObject([{ jobId: id }, { jobId: other }]);
    expect(await bench.upkeepOf('n1').counts()).toMatchObject({ pending: 0 });
    await bench.verify();
  });

  it('an entry of a job that has ended is dropped at the claim', async () => {
    const bench = await createBench(server.make());
    const { prefix } = bench;
    const claim = await running(bench);
    await bench.claimsOf('n1').finish(finishOf(claim));
    await server.redis.zadd(`${prefix}:given:n1`, 1, claim.jobId);
    expect(await bench.claimsOf('n1').claim(5)).toEqual([]);
    expect(await bench.upkeepOf('n1').counts()).toMatchObject({ pending: 0, running: 0 });
    await bench.verify();
  });

  it('the sets are empty when no job waits, after each way of leaving them', async () => {
    const bench = await createBench(server.make());
    const tag = bench.prefix;
    const claims = bench.claimsOf('n1');
    for (const pin of [null, 'n1']) {
      const cancelled = await submitted(bench, { provider: 'narrow' }, { pin });
      await bench.records.cancel(cancelled, false, CANCELLED);
      await submitted(bench, { ttlMs: 1000 }, { pin });
      await bench.advance(2000);
      await submitted(bench, { provider: 'narrow' }, { pin });
      await submitted(bench, { provider: 'wide' }, { pin });
      expect(await server.redis.keys(`${tag}:[rg]*`)).not.toEqual([]);
      for (const { jobId } of await claims.claim(10, { narrow: 5 })) expect(jobId).not.toBe(cancelled);
    }
    for (const set of ['ready*', 'given*', 'parked', 'due', 'pinned', 'expiries'])
      expect(await server.redis.keys(`${tag}:${set}`), set).toEqual([]);
    await bench.verify();
  });

  it('a ready job in a queue with a name of an earlier version is moved to its own, and runs', async () => {
    const bench = await createBench(server.make());
    const tag = bench.prefix;
    const id = await create(bench);
    const [name = ''] = await server.redis.smembers(`${tag}:ready`);
    const old = JSON.stringify(JSON.parse(name).slice(0, 5));
    await server.redis.rename(`${tag}:ready:${name}`, `${tag}:ready:${old}`);
    await server.redis.srem(`${tag}:ready`, name);
    await server.redis.sadd(`${tag}:ready`, old);
    const claims = bench.claimsOf('n1');
    const found = [...(await claims.claim(1)), ...(await claims.claim(1))];
    expect(found).toMatchObject([{ jobId: id }]);
    expect(await bench.upkeepOf('n1').counts()).toMatchObject({ pending: 0 });
    await bench.verify();
  });

  it('the jobs of the version before, which had other sets, are put where they belong', async () => {
    const bench = await createBench(server.make());
    const tag = bench.prefix;
    const ids = {
      pending: await create(bench, { priority: 5 }),
      undelivered: await create(bench),
      ahead: await create(bench, { concurrencyKey: 'k' }),
      behind: await create(bench, { concurrencyKey: 'k' }),
      due: await create(bench, { delayMs: 60_000 }),
    };
    const all = Object.values(ids);
    /** The sets as that version left them; it gave out execution ids before there was room. */
    const { redis } = server;
    for (const set of ['ready*', 'due', 'parked', 'released', 'turns'])
      for (const key of await redis.keys(`${tag}:${set}`)) await redis.del(key);
    await redis.hset(`${tag}:job:${ids.pending}`, 'executionId', 'old');
    await redis.hset(`${tag}:job:${ids.behind}`, 'executionId', 'old', 'waitReason', 'concurrency_key');
    for (const id of all) await redis.hdel(`${tag}:job:${id}`, 'given');
    await redis.zadd(`${tag}:pending`, 1, ids.pending);
    await redis.zadd(`${tag}:pending|claude`, 1, ids.pending);
    await redis.sadd(`${tag}:providers`, 'claude');
    for (const id of [ids.undelivered, ids.ahead, ids.due]) await redis.zadd(`${tag}:awaiting`, 1, id);

    const upkeep = bench.upkeepOf('n1');
    expect(await upkeep.migrate(all, false)).toBe(true);
    expect(await upkeep.migrate([], true)).toBe(true);
    expect(await upkeep.migrate([], false)).toBe(false);

    expect(await upkeep.counts()).toMatchObject({ pending: 3, parked: 1, scheduled: 1 });
    const claimedIds = (await bench.claimsOf('n1').claim(5)).map(({ jobId }) => jobId);
    expect(claimedIds).toEqual([ids.pending, ids.undelivered, ids.ahead]);
    for (const set of ['pending*', 'awaiting', 'providers'])
      expect(await redis.keys(`${tag}:${set}`), set).toEqual([]);
    await bench.verify();
  });

  it('a node does not start beside one whose records have another form, and says which', async () => {
    const bench = await createBench(server.make());
    const tag = bench.prefix;
    const { redis } = server;
    const join = (node: string) =>
      bench.upkeepOf(node).join({ version: '2.0.0', host: `host of ${node}` }, 1000);
    await join('n1');
    await join('n2');
    await redis.zadd(`${tag}:nodes`, String(await bench.now()), 'old'); // all that a node of the first form says
    const error = {
      code: 'config.invalid',
      message: expect.stringMatching(/^the server old uses .* an earlier/),
    };
    await expect(join('n3')).rejects.toMatchObject(error);
    const newer = JSON.stringify({ records: 4, version: '3.0.0', host: 'there' });
    await redis.hset(`${tag}:versions`, 'old', newer);
    const message = expect.stringMatching(
      /^the server old on there uses this Redis with version 3\.0\.0 of Bul/,
    );
    await expect(join('n3')).rejects.toMatchObject({ message });
    expect(await redis.zscore(`${tag}:nodes`, 'n3')).toBeNull();
    await join('old'); // its own heartbeat, from before an upgrade

    await redis.hdel(`${tag}:versions`, 'old', 'n1');
    await bench.claimsOf('n1').renew([]); // it was taken for lost
    await bench.advance(1001);
    await bench.claimsOf('n1').renew([]);
    await join('n3');
    await bench.upkeepOf('n1').leave();
    await bench.upkeepOf('n2').settleLost(500, LOST, UNAVAILABLE);
    expect(await redis.hkeys(`${tag}:versions`)).toEqual(['n3']);
    await bench.verify();
  });

  it('approvals and messages whose keys hold something else fail no script', async () => {
    const bench = await createBench(server.make());
    const tag = bench.prefix;
    const claim = await talking(bench);
    const { jobId, sessionId } = claim;
    const [lost, other] = [await ask(bench, claim, 'c1'), await ask(bench, claim, 'c2', 60_000)];
    await bench.messages.send(jobId, { id: 'm1', text: 'lost' });
    const keys = [`approval:${lost}`, `approvals:${jobId}`, `unanswered:${sessionId}`, `messages:${jobId}`];
    for (const key of keys) await server.redis.set(`${tag}:${key}`, 'no record');

    const allow = { decision: ALLOW, scope: 'call' } as const;
    await expect(bench.approvals.decide(lost, allow, BY)).rejects.toMatchObject({ code: 'record.damaged' });
    for (const id of [lost, other]) await bench.approvals.park(id, 'deferred');
    expect(await bench.approvals.take(lost, claim.executionId)).toBeNull();
    await bench.approvals.withdraw(lost);
    expect(await bench.approvals.ofJob(jobId)).toEqual([]);
    expect(await bench.approvals.unanswered(sessionId)).toEqual([]);
    expect(await bench.messages.take(jobId, claim.executionId)).toEqual([]);
    expect(await bench.messages.state(jobId, 'm1')).toBe('gone');
    expect(await bench.messages.withdraw(jobId, 'm1')).toBe(false);
    expect(await bench.messages.send(jobId, { id: 'm2', text: 'new' })).toBe('sent');
    const third = await ask(bench, claim, 'c3');
    expect(await bench.approvals.ofJob(jobId)).toMatchObject([{ id: third }]);
    await bench.approvals.park(third, 'deferred');
    await server.redis.set(`${tag}:unanswered:${sessionId}`, 'no record');
    await bench.advance(61_000);
    await bench.upkeepOf('n1').sweep(0, 10);
    expect(await park(bench, claim)).toBe('waiting');
    await bench.upkeepOf('n1').expire(CANCELLED, 10);
    await bench.records.cancel(jobId, false, CANCELLED);
    expect(await bench.approvals.unanswered(sessionId)).toMatchObject([{ id: third }]);
    expect(await bench.records.remove(jobId)).toBe(true);
    expect(await bench.upkeepOf('n1').counts()).toMatchObject({ approvals: 0 });
    await bench.verify();
  });

  it('a session with more open turns than a stack of Lua has room for can be closed', async () => {
    const bench = await createBench(server.make());
    const id = await create(bench);
    await create(bench, { sessionId: id });
    const many = `for i = 1, 9000 do
      redis.call('HSET', KEYS[1] .. ':job:' .. i, 'status', 'queued')
      redis.call('ZADD', KEYS[1] .. ':session:' .. ARGV[1] .. ':open', i, i)
    end`;
    await server.redis.eval(many, 1, bench.prefix, id);
    const { found, open } = await bench.sessions.close(id, BY);
    expect(found).toBe(true);
    expect(open).toHaveLength(9002);
    await bench.verify();
  });

  it('a server that was restarted and has forgotten the scripts is given them again', async () => {
    const bench = await createBench(server.make());
    const id = await submitted(bench);
    await server.redis.script('FLUSH');
    expect(await bench.claimsOf('n1').claim(1)).toMatchObject([{ jobId: id }]);
    await bench.verify();
  });

  it('a record from before there were projects is read, run and retried', async () => {
    const bench = await createBench(server.make());
    const tag = bench.prefix;
    /** Makes the record what the version before wrote. */
    const age = async (id: string): Promise<void> => {
      const key = `${tag}:job:${id}`;
      await server.redis.hset(key, 'owner', 'alice');
      await server.redis.hdel(key, 'project', 'principal', 'sessionId', 'failures');
    };
    const claims = bench.claimsOf('n1');
    const id = await submitted(bench, { maxAttempts: 2 });
    await age(id);
    const made = { project: 'default', principal: 'alice', sessionId: id };
    expect(await bench.record(id)).toMatchObject({ ...made, attempt: 0, failures: 0 });
    const claim = await claimed(bench, id);
    expect(claim).toMatchObject({ principal: 'alice', sessionId: id });
    expect(await claims.owned()).toEqual([{ ...claim, waitedMs: undefined }]);
    expect(await bench.record(id)).toMatchObject({ ...made, attempt: 1, failures: 0 });
    const failure = failed(claim.executionId, 'execution.overloaded');
    expect(await claims.finish(finishOf(claim, { outcome: failure }))).toBe('scheduled');
    await age(id);
    expect(await bench.record(id)).toMatchObject({ attempt: 1, failures: 1 });
    await bench.submissions.submit(id, 'e2');
    const second = await claimed(bench, id);
    const last = { ...failure, executionId: 'e2', sessionId: 'e1' };
    expect(await claims.finish(finishOf(second, { outcome: last }))).toBe('finished');
    await age(id);
    expect(await bench.record(id)).toMatchObject({ ...made, sessionId: 'e1', attempt: 2, failures: 2 });
    await bench.records.remove(id);
    const log = await server.redis.xrange(`${tag}:log`, '-', '+');
    expect(log[0]?.[1].slice(0, 8)).toEqual(['j', id, 'p', 'default', 's', id, 'o', 'alice']);
    expect(log.at(-1)?.[1].slice(0, 8)).toEqual(['d', id, 'p', 'default', 's', '', 'o', 'alice']);
    await bench.verify();
  });

  it('a batch from before there were projects is read', async () => {
    const bench = await createBench(server.make());
    const key = `${bench.prefix}:batch:b1`;
    await server.redis.hset(key, { owner: 'alice', createdAt: 7, entries: '[]' });
    const read = await bench.batches.read('b1');
    expect(read).toEqual({
      id: 'b1',
      project: 'default',
      principal: 'alice',
      createdAt: 7,
      refused: 0,
      jobs: [],
    });
    await bench.verify();
  });

  it('every key carries the one hash tag', async () => {
    const bench = await createBench(server.make());
    const tag = bench.prefix;
    await server.redis.flushall();
    await running(bench, { concurrencyKey: 'k', sessionId: '01J00000000000000000000000', ttlMs: 1000 });
    await create(bench, {}, { idempotency: { key: 'key', fingerprint: 'print' } });
    await submitted(bench, { concurrencyKey: 'k' }, { pin: 'n3' });
    await bench.claimsOf('n1').renew([]);
    await bench.claimsOf('n1').adopt(newJob({}, { kind: 'raw' }), 'e1');
    const keys = await server.redis.keys('*');
    expect(keys.length).toBeGreaterThan(2);
    expect(keys.filter((key) => !key.startsWith(`${tag}:`))).toEqual([]);
    await bench.verify();
  });
});
