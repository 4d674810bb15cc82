import { expect, it } from 'vitest';
import { LOG_START } from '../../../src/records/change-log.ts';
import { WINDOW } from '../../../src/records/claims.ts';
import type { Refusal } from '../../../src/records/gate-records.ts';
import type { Claim } from '../../../src/records/ports.ts';
import type { Bench } from './bench.ts';
import { claimed, create, failed, finishOf, newJob, openNode, running, submitted, WAITS } from './samples.ts';

const CREDENTIAL = 'claude:work';
const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const BACKOFF = { firstMs: 5 * MINUTE_MS, maxMs: HOUR_MS };

export function gates(bench: () => Bench): void {
  const enter = (executionId: string, model: string | null = null) =>
    bench().gates.enter(CREDENTIAL, model, executionId);

  /** The execution may start, and is refused. Gives the wait until the next try. */
  async function refused(executionId: string, rest: Partial<Refusal> = {}): Promise<number> {
    const entered = await enter(executionId);
    const enteredAt = 'at' in entered ? entered.at : 0;
    return refuse({ executionId, enteredAt, ...rest });
  }

  async function refuse(rest: Partial<Refusal>): Promise<number> {
    const until = await bench().gates.refuse({
      credential: CREDENTIAL,
      word: null,
      reason: 'quota',
      executionId: 'e',
      enteredAt: await bench().now(),
      resetsAt: null,
      model: null,
      backoff: BACKOFF,
      ...rest,
    });
    return (until ?? Number.POSITIVE_INFINITY) - (await bench().now());
  }

  /** Node `n1` uses the credential for the provider of the jobs. */
  const named = (provider = 'claude') =>
    bench()
      .claimsOf('n1')
      .renew([], { [provider]: CREDENTIAL });
  const claim = async (max = 10): Promise<readonly Claim[]> => bench().claimsOf('n1').claim(max);
  const around = (ms: number) => [ms - 2000, ms] as const;

  function expectAround(actual: number, ms: number): void {
    const [least, most] = around(ms);
    expect(actual).toBeGreaterThan(least);
    expect(actual).toBeLessThanOrEqual(most);
  }

  it('a gate is closed until the reset, and then lets one execution try', async () => {
    expect(await enter('e1')).toMatchObject({ kind: 'open' });
    const resetsAt = (await bench().now()) + HOUR_MS;
    expectAround(await refused('e1', { resetsAt }), HOUR_MS);
    expect(await enter('e2')).toMatchObject({ kind: 'closed', reason: 'quota', until: resetsAt });
    await bench().advance(HOUR_MS);
    expect(await enter('e3')).toMatchObject({ kind: 'trying' });
    expect(await enter('e3')).toMatchObject({ kind: 'trying' });
    expect(await enter('e4')).toMatchObject({ kind: 'closed' });
  });

  it('without a reset the wait is 5 minutes and doubles up to an hour', async () => {
    for (const minutes of [5, 10, 20, 40, 60, 60]) {
      expectAround(await refused('e'), minutes * MINUTE_MS);
      await bench().advance(minutes * MINUTE_MS);
    }
  });

  it('a reset in the past is none, and one that is absurdly far is eight days away', async () => {
    const now = await bench().now();
    expectAround(await refused('e1', { resetsAt: now - 1 }), 5 * MINUTE_MS);
    await bench().advance(5 * MINUTE_MS);
    expectAround(await refused('e2', { resetsAt: now * 1000 }), 8 * 24 * HOUR_MS);
  });

  it('all executions that ran when the gate was closed are one refusal, and the later reset wins', async () => {
    const now = await bench().now();
    const enteredAt = now;
    expectAround(await refuse({ executionId: 'e1', enteredAt }), 5 * MINUTE_MS);
    expectAround(await refuse({ executionId: 'e2', enteredAt }), 5 * MINUTE_MS);
    expectAround(await refuse({ executionId: 'e3', enteredAt, resetsAt: now + HOUR_MS }), HOUR_MS);
    expectAround(await refuse({ executionId: 'e4', enteredAt, resetsAt: now + MINUTE_MS }), HOUR_MS);
  });

  it('the first answer to the one that tries opens the gate for all', async () => {
    await refused('e1');
    await bench().advance(5 * MINUTE_MS);
    await enter('e2');
    await bench().gates.answered(CREDENTIAL, { jobId: 'j', executionId: 'other' }, true);
    expect(await enter('e3')).toMatchObject({ kind: 'closed' });
    await bench().gates.answered(CREDENTIAL, { jobId: 'j', executionId: 'e2' }, true);
    expect(await enter('e3')).toMatchObject({ kind: 'open' });
    expect(await bench().gates.closed()).toEqual(new Map());
    expect(await bench().published(bench().requestChannel)).toContain('{"v":1,"type":"run","jobId":"j"}');
  });

  it('one that tries and says nothing leaves the try to the next, at its end or after two minutes', async () => {
    await refused('e1');
    await bench().advance(5 * MINUTE_MS);
    expect(await enter('e2')).toMatchObject({ kind: 'trying' });
    await bench().gates.answered(CREDENTIAL, { jobId: 'j', executionId: 'e2' }, false);
    expect(await enter('e3')).toMatchObject({ kind: 'trying' });
    await bench().advance(2 * MINUTE_MS);
    expect(await enter('e4')).toMatchObject({ kind: 'trying' });
  });

  it('a refusal of an execution from before the gate was opened changes nothing', async () => {
    const before = await bench().now();
    await refused('e1');
    await bench().tick();
    expect(await bench().gates.open(CREDENTIAL)).toBe(1);
    expect(await refuse({ executionId: 'e0', enteredAt: before - 1 })).toBeLessThanOrEqual(0);
    expect(await enter('e2')).toMatchObject({ kind: 'open' });
  });

  it('a limit of some models lets the others go on, and a job without a model is one of the last', async () => {
    await refused('e1', {
      word: 'opus',
      model: 'claude-opus-5-5',
      resetsAt: (await bench().now()) + HOUR_MS,
    });
    expect([...(await bench().gates.closed()).keys()]).toEqual([`${CREDENTIAL}|opus`]);
    expect(await enter('e2', 'claude-opus-5-5')).toMatchObject({ kind: 'closed' });
    expect(await enter('e2', 'Opus')).toMatchObject({ kind: 'closed' });
    expect(await enter('e2', 'sonnet')).toMatchObject({ kind: 'open' });
    expect(await enter('e2')).toMatchObject({ kind: 'closed' });
    await bench().gates.ran(CREDENTIAL, 'claude-sonnet-5-5');
    expect(await enter('e2')).toMatchObject({ kind: 'open' });
  });

  it('the gates of a login are those of its account, once that is known', async () => {
    const account = 'claude:account-1';
    const opus = { word: 'opus', model: 'claude-opus-5-5' };
    await refused('e1', { resetsAt: (await bench().now()) + HOUR_MS });
    await refused('e2', { ...opus, resetsAt: (await bench().now()) + HOUR_MS });
    await refuse({ ...opus, credential: account, resetsAt: (await bench().now()) + 2 * HOUR_MS });
    await bench().gates.reserve(CREDENTIAL, null, (await bench().now()) + 2 * HOUR_MS);
    const known = { node: 'n1', name: CREDENTIAL, account, credentials: { claude: account } };
    for (const _ of ['first', 'again']) await bench().gates.identify(known);
    const closed = await bench().gates.closed();
    expect([...closed.keys()].sort()).toEqual([account, `${account}|opus`]);
    expectAround((closed.get(`${account}|opus`)?.until ?? 0) - (await bench().now()), 2 * HOUR_MS);
    expect(await bench().gates.accounts()).toEqual(new Map([[CREDENTIAL, account]]));
    expect((await bench().gates.credentials()).get('claude')).toEqual(new Set([account]));
    await submitted(bench());
    expect(await claim()).toEqual([]);
    expect(await bench().gates.open(account)).toBe(3);
  });

  it('jobs of a limited credential are not claimed, others are, and one tries at the reset', async () => {
    await named();
    await refused('e1');
    const waiting = [await submitted(bench()), await submitted(bench())];
    const other = await submitted(bench(), { provider: 'codex' });
    expect((await claim()).map(({ jobId }) => jobId)).toEqual([other]);
    expect(await bench().claimsOf('n1').peek(10)).toEqual([]);
    await bench().advance(5 * MINUTE_MS);
    const [first, ...more] = await claim();
    expect(more).toEqual([]);
    expect(waiting).toContain(first?.jobId);
    expect(await enter(first?.executionId ?? '')).toMatchObject({ kind: 'trying' });
    if (first !== undefined) await bench().gates.answered(CREDENTIAL, first, true);
    expect(await claim()).toHaveLength(1);
  });

  it('a job that fails at a limit is claimed, so that it can fail', async () => {
    await named();
    await refused('e1');
    await submitted(bench());
    const failing = await submitted(bench(), { onQuota: 'fail' });
    expect((await claim()).map(({ jobId }) => jobId)).toEqual([failing]);
    const [entered] = await Promise.all([enter('e2'), claim()]);
    expect(entered).toMatchObject({ kind: 'closed' });
  });

  it('the rest of a limit is kept from jobs with a negative priority, until the later reset', async () => {
    await named();
    const now = await bench().now();
    const low = await submitted(bench(), { priority: -1, onQuota: 'fail' });
    for (const hours of [2, 1]) await bench().gates.reserve(CREDENTIAL, null, now + hours * HOUR_MS);
    expect(await claim()).toEqual([]);
    const other = await submitted(bench(), { priority: 0 });
    expect((await claim()).map(({ jobId }) => jobId)).toEqual([other]);
    expect(await bench().claimsOf('n1').peek(10)).toEqual([]);
    expect(await enter('e1')).toMatchObject({ kind: 'open' });
    await bench().advance(HOUR_MS);
    expect(await claim()).toEqual([]);
    await bench().advance(HOUR_MS);
    expect((await claim()).map(({ jobId }) => jobId)).toEqual([low]);
    await bench().gates.reserve(CREDENTIAL, null, now);
    await bench().gates.reserve(CREDENTIAL, 'opus', now * 1000);
    const opus = await submitted(bench(), { priority: -10, model: 'claude-opus-5-5' });
    const sonnet = await submitted(bench(), { priority: -10, model: 'claude-sonnet-5-5' });
    expect((await claim()).map(({ jobId }) => jobId)).toEqual([sonnet]);
    expect(await bench().gates.open(CREDENTIAL)).toBe(1);
    expect((await claim()).map(({ jobId }) => jobId)).toEqual([opus]);
  });

  it('only the jobs of limited models are not claimed, however many wait', async () => {
    await named();
    await refused('e1', { word: 'opus' });
    const opus = Array.from({ length: WINDOW + 10 }, () => newJob({ model: 'claude-opus-5-5' }));
    await Promise.all(opus.map((job) => bench().records.create(job)));
    const sonnet = await submitted(bench(), { model: 'claude-sonnet-5-5' });
    expect((await claim()).map(({ jobId }) => jobId)).toEqual([sonnet]);
  });

  it('another node with another credential goes on, and so do the jobs of a refused login', async () => {
    await named();
    await refused('e1');
    const id = await submitted(bench());
    await bench().claimsOf('n2').renew([], { claude: 'claude:home' });
    expect(await claimed(bench(), id, 'n2')).toMatchObject({ jobId: id });
    await bench().gates.open(CREDENTIAL);
    await bench().tick();
    await refused('e2', { reason: 'refused' });
    await bench().records.create(newJob());
    expect(await claim()).toHaveLength(1);
  });

  it('a refused login leaves a limit as it is, unless the job that tries the limit reports it', async () => {
    await named();
    const resetsAt = (await bench().now()) + HOUR_MS;
    await refused('e1', { resetsAt });
    expectAround(await refuse({ executionId: 'e2', reason: 'refused' }), HOUR_MS);
    expect(await enter('e3')).toMatchObject({ kind: 'closed', reason: 'quota', until: resetsAt });
    await submitted(bench());
    expect(await claim()).toEqual([]);
    await bench().advance(HOUR_MS);
    const [trying] = await claim();
    await refuse({ executionId: 'e4', reason: 'refused' });
    expect(await enter('e5')).toMatchObject({ kind: 'closed', reason: 'quota' });
    expectAround(await refused(trying?.executionId ?? '', { reason: 'refused' }), 10 * MINUTE_MS);
    expect(await enter('e5')).toMatchObject({ kind: 'closed', reason: 'refused' });
  });

  it('a limit takes over the gate of a refused login: its jobs wait, and do not fail', async () => {
    await refused('e1', { reason: 'refused' });
    const resetsAt = (await bench().now()) + HOUR_MS;
    expectAround(await refuse({ executionId: 'e2', resetsAt }), HOUR_MS);
    expect(await enter('e3')).toMatchObject({ kind: 'closed', reason: 'quota', until: resetsAt });
  });

  it('a job that waits for a limit has not failed, and keeps its tries', async () => {
    const first = await running(bench(), { maxAttempts: 1 });
    const outcome = failed(first.executionId, 'execution.quota');
    const quota = { outcome, backoffMs: HOUR_MS, quotaMs: 3 * HOUR_MS };
    expect(await bench().claimsOf('n1').finish(finishOf(first, quota))).toBe('scheduled');
    const record = await bench().record(first.jobId);
    expect(record).toMatchObject({ status: 'scheduled', waitReason: 'quota', failures: 0, attempt: 1 });
    expectAround((record.scheduledFor ?? 0) - (await bench().now()), HOUR_MS);
    await bench().advance(HOUR_MS);
    await bench().submissions.submit(first.jobId, 'second');
    const second = await claimed(bench(), first.jobId);
    expect(second).toMatchObject({ attempt: 2 });
    await bench().claimsOf('n1').finish(finishOf(second, quota));
    expect(await bench().upkeepOf('n1').expire(outcome, 10)).toEqual([]);
    await bench().advance(2 * HOUR_MS);
    expect(await bench().upkeepOf('n1').expire(outcome, 10)).toEqual([first.jobId]);
    expect(await bench().record(first.jobId)).toMatchObject({
      status: 'failed',
      outcome: { error: { code: 'execution.quota', message: expect.stringContaining('quotaTimeoutMs') } },
    });
  });

  it('a job is over when its wait for a limit is, or when it was cancelled meanwhile', async () => {
    const claim = await running(bench());
    const outcome = failed(claim.executionId, 'execution.quota');
    await bench().records.cancel(claim.jobId, false, outcome);
    const quota = { outcome, backoffMs: HOUR_MS, quotaMs: 3 * HOUR_MS };
    expect(await bench().claimsOf('n1').finish(finishOf(claim, quota))).toBe('finished');
  });

  it.each(['queue', 'project:default', 'provider:claude', 'node:n1'] as const)(
    'a job behind %s that a person has closed is given to no node until it opens',
    async (gate) => {
      await openNode(bench());
      const id = await submitted(bench());
      expect(await bench().gates.hold(gate, true)).toBe(true);
      expect(await bench().gates.hold(gate, true)).toBe(false);
      expect((await bench().gates.held()).map((one) => one.gate)).toEqual([gate]);
      expect(await claim()).toEqual([]);
      expect(await bench().submissions.submit(id, 'e1')).toEqual(WAITS);
      const entries = await bench().changeLog.after(LOG_START, 100);
      expect(entries.at(-2)?.gate ?? entries.at(-1)?.gate).toMatchObject({ kind: 'gate.closed', gate });
      expect(await bench().gates.hold(gate, false)).toBe(true);
      expect(await bench().gates.hold(gate, false)).toBe(false);
      expect((await claim()).map(({ jobId }) => jobId)).toEqual([id]);
    },
  );

  it('a drained node leaves its jobs to another one, and is still listed', async () => {
    await openNode(bench());
    const run = await running(bench());
    const id = await submitted(bench());
    await bench().gates.hold('node:n1', true);
    expect(await claim()).toEqual([]);
    await bench().claimsOf('n2').renew([]);
    expect((await bench().claimsOf('n2').claim(2)).map(({ jobId }) => jobId)).toEqual([id]);
    expect(await bench().gates.nodes()).toMatchObject([
      { id: 'n1', running: 1, given: 0 },
      { id: 'n2', running: 1, given: 0, free: 1 },
    ]);
    expect(await bench().claimsOf('n1').renew([run])).toEqual(['held']);
  });

  it('what stands in the way names pauses, drained nodes, and the limits of each node', async () => {
    expect(await bench().gates.inTheWay()).toBeNull();
    await named();
    await bench().claimsOf('n2').renew([]);
    const resetsAt = (await bench().now()) + HOUR_MS;
    await refused('e1', { resetsAt, word: 'opus' });
    await bench().gates.hold('node:n2', true);
    await bench().gates.hold('provider:codex', true);
    await bench().gates.ran(CREDENTIAL, 'claude-opus-4');
    const limits = { claude: { lastModel: 'claude-opus-4', until: { opus: resetsAt }, reserved: {} } };
    expect(await bench().gates.inTheWay()).toEqual({
      ...{ queue: false, projects: [], providers: ['codex'], budgets: {} },
      nodes: [
        { id: 'n1', drained: false, limits },
        { id: 'n2', drained: true, limits: {} },
      ],
    });
  });

  it('a gate that a person opens lets the jobs that wait for its limit go on at once', async () => {
    await named();
    const [run] = [await running(bench())];
    await refused(run.executionId, { resetsAt: (await bench().now()) + HOUR_MS });
    const outcome = failed(run.executionId, 'execution.quota');
    const finish = finishOf(run, { outcome, backoffMs: HOUR_MS, quotaMs: 9 * HOUR_MS });
    expect(await bench().claimsOf('n1').finish(finish)).toBe('scheduled');
    const delayed = await create(bench(), { delayMs: HOUR_MS });
    expect(await bench().gates.open(CREDENTIAL)).toBe(1);
    expect(await bench().record(run.jobId)).toMatchObject({ status: 'queued', scheduledFor: null });
    expect(await bench().record(delayed)).toMatchObject({ status: 'scheduled' });
    expect((await claim()).map(({ jobId }) => jobId)).toEqual([run.jobId]);
    const entries = await bench().changeLog.after(LOG_START, 100);
    expect(entries.flatMap(({ gate }) => gate?.kind ?? [])).toEqual(['gate.closed', 'gate.opened']);
  });
}
