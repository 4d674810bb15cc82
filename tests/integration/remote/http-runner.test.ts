import { ulid } from 'ulid';
import { describe, expect, it, onTestFinished } from 'vitest';
import { loadSettings } from '../../../src/config/load.ts';
import { AppError, wireError } from '../../../src/errors.ts';
import { NO_EXECUTIONS } from '../../../src/executor/earlier.ts';
import type { ExecutionResult } from '../../../src/executor/execute.ts';
import type { Flow, Runnable, Runner } from '../../../src/executor/runner.ts';
import { createLogger } from '../../../src/logger.ts';
import type { ExecutionEvent } from '../../../src/protocol/event.ts';
import { type ExecutionLine, RENEW_WITHIN_MS } from '../../../src/protocol/executor-service.ts';
import type { Outcome } from '../../../src/protocol/outcome.ts';
import type { ResolvedPrompt } from '../../../src/protocol/prompt.ts';
import { createProviders } from '../../../src/providers/registry.ts';
import type { Claim } from '../../../src/records/ports.ts';
import { BREAKER, createBreaker } from '../../../src/remote/breaker.ts';
import { createExecutorClient } from '../../../src/remote/client.ts';
import { LINE_STREAMS } from '../../../src/remote/door/execution-stream.ts';
import { createHttpRunner, type HttpRunnerOptions, LOST_AFTER_MS } from '../../../src/remote/http-runner.ts';
import { createPricing } from '../../../src/usage/pricing.ts';
import { newJob, succeeded } from '../../contracts/records/samples.ts';
import { NOTHING_BESIDE, type Reply, SECRET, scriptedExecutor } from '../../fakes/scripted-executor.ts';
import { eventually } from '../../helpers/eventually.ts';
import { PROVIDER_HOST, providerSettings } from '../../unit/providers/settings.ts';

const ROOT = '/srv/of/another/host';

function claimOf(request: Partial<ResolvedPrompt> = {}): Claim {
  const { id: jobId, ...job } = newJob({ cwd: ROOT, timeoutMs: 60_000, ...request });
  return { ...job, jobId, executionId: ulid(), attempt: 1, forged: false };
}

async function bench(options: Partial<HttpRunnerOptions> & { breaker?: never } = {}, opens = BREAKER) {
  const executor = await scriptedExecutor();
  const logged: Record<string, unknown>[] = [];
  const logger = createLogger('debug', { write: (line) => void logged.push(JSON.parse(line)) });
  const client = createExecutorClient({ url: executor.url, secret: SECRET, timeoutMs: 1000 });
  const breaker = createBreaker({ probe: () => client.known(), logger, settings: opens });
  onTestFinished(() => {
    client.close();
    breaker.stop();
  });
  const settings = { claude: { fallback: 'echo' }, custom: { echo: { binary: '/bin/cat' } } };
  const runner = createHttpRunner({
    ...{ client, breaker, logger, maxResultBytes: 100_000, instead: null, timeoutMs: 1000 },
    prepare: {
      providers: createProviders(providerSettings(settings), PROVIDER_HOST),
      pricing: createPricing({}),
      rights: { of: () => [] },
      settings: { roots: [ROOT], trustedRoots: [], allowFullAccess: false, maxTimeoutMs: 3_600_000 },
      background: async () => ({
        ...{ session: null, fork: false, rules: [], earlier: NO_EXECUTIONS },
        ...{ approvals: [], hasPlan: false, over: [], ofParent: [] },
      }),
    },
    ...options,
  });
  return { executor, runner, breaker, client, logged };
}

/** Runs it, and keeps what it says. */
function running(runnable: Runnable) {
  const stop = new AbortController();
  const force = new AbortController();
  const events: ExecutionEvent[] = [];
  let flow: Flow | null = null;
  let isElsewhere = false;
  const done: Promise<ExecutionResult> = runnable.run({
    signals: { stop: stop.signal, force: force.signal },
    watchesUse: false,
    emit: (event) => void events.push(event),
    onFlow: (given) => {
      flow = given;
    },
    onTalker: () => undefined,
    onElsewhere: () => {
      isElsewhere = true;
    },
  });
  done.catch(() => undefined); // awaited by the test
  return {
    events,
    done,
    stop,
    force,
    flow: () => flow,
    isElsewhere: () => isElsewhere,
    texts: () => events.flatMap((event) => (event.kind === 'text' ? [event.text] : [])),
  };
}

const event = (n: number, body: ExecutionEvent = { kind: 'text', text: `t${n}` }): ExecutionLine => ({
  ...{ type: 'event', n, event: body, raw: null },
});
const started = (n: number): ExecutionLine =>
  event(n, {
    ...{ kind: 'execution.started', executionId: 'of the executor', pid: 4711 },
    ...{ provider: 'claude', version: null, start: 'cold' },
  });
const ended = (outcome: Partial<Outcome> = {}): ExecutionLine => ({
  type: 'ended',
  outcome: { ...succeeded('of the executor'), executor: 'local', ...outcome },
  reported: NOTHING_BESIDE,
});
const refused = (code: 'execution.cli_missing' | 'execution.cancelled'): ExecutionLine => {
  const { executor: _, ...outcome } = { ...succeeded('e'), executor: undefined };
  const error = wireError(code, 'as the executor says');
  return { type: 'ended', outcome: { ...outcome, status: 'failed', error }, reported: NOTHING_BESIDE };
};
const failedWith = (code: 'execution.cancelled' | 'execution.interrupted'): ExecutionLine =>
  ended({ status: 'cancelled', error: wireError(code, 'as the executor says') });
const stream = (...lines: readonly (ExecutionLine | string)[]): Reply => ({ lines });
const cut = (...lines: readonly ExecutionLine[]): Reply => ({ lines, ends: 'cut' });
const held = (...lines: readonly ExecutionLine[]): Reply => ({ lines, ends: 'never' });

const codeOf = (task: Promise<unknown>): Promise<unknown> =>
  task.then(
    () => null,
    (error: unknown) => (error instanceof AppError ? error.code : error),
  );

describe('an execution on another host', () => {
  it('is submitted once, and its events and its outcome are those of this server', async () => {
    const { executor, runner } = await bench();
    const claim = claimOf();
    executor.script('events', stream(started(1), event(2), { type: 'alive' }, event(3), ended()));
    const run = running(await runner.prepare(claim));
    const { outcome } = await run.done;
    expect(outcome).toMatchObject({ executionId: claim.executionId, executor: 'http', text: 'done' });
    expect(run.events[0]).toMatchObject({ executionId: claim.executionId, pid: 4711 });
    expect(run.texts()).toEqual(['t2', 't3']);
    expect(run.isElsewhere()).toBe(true);
    expect(executor.of('submit').map(({ body }) => body)).toMatchObject([
      { id: claim.executionId, jobId: claim.jobId, request: { cwd: ROOT }, grants: [] },
    ]);
  });

  it('goes on where a stream broke, without an event twice', async () => {
    const { executor, runner } = await bench();
    executor.script('events', cut(started(1), event(2)), stream(event(3)), cut(event(4)), stream(ended()));
    const run = running(await runner.prepare(claimOf()));
    await run.done;
    expect(run.texts()).toEqual(['t2', 't3', 't4']);
    expect(executor.of('events').map(({ path }) => path.split('=')[1])).toEqual(['0', '2', '3', '4']);
  });

  it('is asked for by its id when the answer to its submit is lost', async () => {
    const { executor, runner } = await bench();
    executor.script('submit', 'reset');
    executor.script('events', stream(started(1), ended()));
    expect((await running(await runner.prepare(claimOf())).done).outcome.error).toBeNull();
    expect(executor.of('submit')).toHaveLength(1);
  });

  it('is sent again, the same, when the executor does not know it', async () => {
    const { executor, runner } = await bench();
    executor.script('submit', 'silent', { json: { node: 'node-1', execution: known }, status: 202 });
    executor.script('events', { problem: 'execution.not_found' }, stream(started(1), ended()));
    await running(await runner.prepare(claimOf())).done;
    const [first, second, ...more] = executor.of('submit').map(({ body }) => body);
    expect(second).toEqual(first);
    expect(more).toEqual([]);
  });

  it('is lost rather than sent to another node', async () => {
    const { executor, runner, client } = await bench();
    await client.known();
    executor.script('submit', 'silent');
    executor.script('events', { problem: 'execution.not_found' });
    const run = running(await runner.prepare(claimOf()));
    await eventually(() => executor.of('submit').length === 1);
    executor.become('node-2');
    expect(await codeOf(run.done)).toBe('execution.lost');
    expect(executor.of('submit')).toHaveLength(1);
  });

  it('waits while the executor takes nothing', async () => {
    const { executor, runner } = await bench();
    const taken: Reply = { json: { node: 'node-1', execution: known }, status: 202 };
    const full = { problem: 'store.unavailable' } as const; // its disk is full
    const other = { problem: 'executor.unavailable' } as const; // it has another version
    executor.script(
      'submit',
      { problem: 'queue.full' },
      { problem: 'signature.expired' },
      full,
      other,
      taken,
    );
    executor.script('events', stream(started(1), ended()));
    expect((await running(await runner.prepare(claimOf())).done).outcome.error).toBeNull();
    expect(executor.of('submit')).toHaveLength(5);
    expect(executor.of('events')).toHaveLength(1);
  });

  it('is asked for when something on the way has sent its submit twice', async () => {
    const { executor, runner } = await bench();
    executor.script('submit', { problem: 'signature.replayed' });
    executor.script('events', stream(started(1), ended()));
    expect((await running(await runner.prepare(claimOf())).done).outcome.error).toBeNull();
    expect(executor.of('submit')).toHaveLength(1);
  });

  it('is not sent without end to an executor that fails with it and does not have it', async () => {
    const { executor, runner } = await bench({ lostAfterMs: 400 });
    executor.script('submit', { problem: 'internal.error' });
    executor.script('events', { problem: 'execution.not_found' });
    const error = await running(await runner.prepare(claimOf())).done.catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ code: 'execution.lost', message: expect.stringContaining('as scripted') });
    expect(executor.of('cancel')).toHaveLength(1);
  });

  it('that is too large for a proxy fails, and others do not wait for it', async () => {
    const { executor, runner, breaker } = await bench();
    executor.script('submit', { json: '<html>', status: 413 });
    for (let times = 0; times < 12; times += 1)
      expect(await codeOf(running(await runner.prepare(claimOf())).done)).toBe('request.too_large');
    expect(breaker.state).toBe('closed');
  });

  it('fails when it was not taken within its timeout', async () => {
    const { executor, runner } = await bench();
    executor.script('submit', { problem: 'queue.full' });
    const run = running(await runner.prepare(claimOf({ timeoutMs: 300 })));
    expect(await codeOf(run.done)).toBe('executor.unavailable');
  });

  it('is refused as the executor refuses it', async () => {
    const { executor, runner } = await bench();
    executor.script('submit', { problem: 'execution.id_reused' });
    expect(await codeOf(running(await runner.prepare(claimOf())).done)).toBe('execution.id_reused');
  });

  it('was not started when there is no event: the error is thrown, so that a fallback may run', async () => {
    const { executor, runner } = await bench();
    executor.script('events', stream(refused('execution.cli_missing')));
    const claim = claimOf();
    const error = await running(await runner.prepare(claim)).done.catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ code: 'execution.cli_missing', message: 'as the executor says' });

    const session: ExecutionEvent = {
      ...{ kind: 'session', sessionId: claim.sessionId, nativeSessionId: 'n', model: null },
    };
    executor.script('events', stream(started(1), event(2, session), ended({ sessionId: claim.sessionId })));
    const missing = error instanceof AppError ? error : new AppError('internal.error', 'no error');
    const fallback = await runner.prepareFallback(claim, missing);
    expect(fallback).toMatchObject({ provider: { name: 'echo' }, fallbackReason: 'as the executor says' });
    const run = running(fallback);
    expect((await run.done).outcome).toMatchObject({ sessionId: null, executionId: claim.executionId });
    expect(run.events[1]).toMatchObject({ kind: 'session', sessionId: null });
    expect(executor.of('submit').at(-1)?.body).toMatchObject({
      id: `${claim.executionId}-fallback`,
      request: { provider: 'echo' },
    });
  });

  it('is lost, with what it said, when an event is missing', async () => {
    const { executor, runner } = await bench();
    executor.script('events', stream(started(1), event(2), event(4)));
    const run = running(await runner.prepare(claimOf()));
    const { outcome } = await run.done;
    expect(outcome).toMatchObject({ text: 't2', status: 'failed', executor: 'http' });
    expect(outcome.error).toMatchObject({ code: 'execution.lost', message: expect.stringContaining('3') });
    expect(executor.of('cancel')).toHaveLength(1);
  });

  it.each([
    ['the pages of a proxy', { json: 'ok' }],
    ['streams without a line', { lines: [] }],
  ] as const)('is lost when only %s answer for too long', async (_, reply) => {
    const { executor, runner } = await bench({ lostAfterMs: 400 });
    executor.script('events', stream(started(1)), reply);
    const { outcome } = await running(await runner.prepare(claimOf())).done;
    expect(outcome.error).toMatchObject({ code: 'execution.lost' });
  });

  it('is lost when the executor does not answer for too long', async () => {
    const { executor, runner } = await bench({ lostAfterMs: 400 });
    executor.script('events', cut(started(1), event(2)), 'reset');
    const { outcome } = await running(await runner.prepare(claimOf())).done;
    expect(outcome).toMatchObject({ text: 't2', error: { code: 'execution.lost' } });
    // Requests may arrive where answers do not, and renew it.
    expect(executor.of('cancel').map(({ body }) => body)).toEqual([{ reason: 'cancelled', force: true }]);
  });

  it('whose events cannot be read for a while is a warning in the log, once', async () => {
    const { executor, runner, logged } = await bench();
    const resets: Reply[] = Array.from({ length: 6 }, () => 'reset');
    executor.script('events', ...resets, stream(started(1), ended()));
    await running(await runner.prepare(claimOf())).done;
    const warnings = logged.filter(({ level }) => Number(level) >= 40);
    expect(warnings).toMatchObject([{ msg: 'the events of an execution broke off' }]);
  });

  it('is given up after the executor has ended it, also by a stream without a reader', () => {
    const { streamMs, lastLinesMs } = LINE_STREAMS;
    const { leaseMs, killGraceMs } = loadSettings({ HOME: ROOT }, ROOT);
    const executorMs = streamMs + lastLinesMs + RENEW_WITHIN_MS + leaseMs / 3 + killGraceMs;
    expect(LOST_AFTER_MS).toBeGreaterThanOrEqual(executorMs);
  });
});

describe('what this host cannot decide', () => {
  it.each([
    ['a folder outside the roots', { cwd: '/srv/of/another/host-2' }, 'cwd.not_allowed'],
    ['a folder with ..', { cwd: `${ROOT}/../x` }, 'cwd.not_allowed'],
    ['a job that asks a person', { onPermissionDenied: 'ask' }, 'executor.unsupported'],
    ['full access', { permissionMode: 'fullAccess' }, 'permission_mode.denied'],
  ] as const)('%s is refused before anything is sent', async (_, request, code) => {
    const { executor, runner } = await bench();
    expect(await codeOf(runner.prepare(claimOf(request)))).toBe(code);
    expect(executor.requests).toEqual([]);
  });
});

describe('an execution on another host that is stopped', () => {
  const STOPS = [
    ['cancelled', 'execution.cancelled', 'cancelled', 'cancelled', 'execution.cancelled'],
    ['interrupted', 'execution.interrupted', 'interrupted', 'cancelled', 'execution.interrupted'],
    ['shutdown', 'execution.cancelled', 'cancelled', 'failed', 'execution.lost'],
    ['fenced', 'execution.cancelled', 'cancelled', 'failed', 'execution.lost'],
    ['day_spent', 'execution.cancelled', 'cancelled', 'failed', 'execution.budget'],
  ] as const;
  it.each(STOPS)('by %s ends there, for the reason of this server', async (why, code, sent, status, own) => {
    const { executor, runner } = await bench();
    executor.script('events', held(started(1)));
    const run = running(await runner.prepare(claimOf()));
    await eventually(() => run.events.length === 1);
    run.stop.abort(why);
    await eventually(() => executor.of('cancel').length === 1);
    expect(executor.of('cancel')[0]?.body).toEqual({ reason: sent, force: false });
    executor.say(failedWith(code));
    expect((await run.done).outcome).toMatchObject({ status, error: { code: own } });
  });

  it('keeps a success that was faster', async () => {
    const { executor, runner } = await bench();
    executor.script('events', held(started(1)));
    const run = running(await runner.prepare(claimOf()));
    await eventually(() => run.events.length === 1);
    run.stop.abort('day_spent');
    executor.say(ended());
    expect((await run.done).outcome).toMatchObject({ status: 'succeeded', error: null });
  });

  it('is asked again until the executor has it, and without a grace when that is skipped', async () => {
    const { executor, runner } = await bench();
    executor.script('events', held(started(1)));
    executor.script('cancel', 'reset', { problem: 'store.unavailable' }, { json: answered });
    const run = running(await runner.prepare(claimOf()));
    await eventually(() => run.events.length === 1);
    run.stop.abort('cancelled');
    await eventually(() => executor.of('cancel').length === 3);
    run.force.abort();
    await eventually(() => executor.of('cancel').length === 4);
    expect(executor.of('cancel').at(-1)?.body).toEqual({ reason: 'cancelled', force: true });
    executor.say(failedWith('execution.cancelled'));
    await run.done;
  });

  it('before it was sent is not sent', async () => {
    const { executor, runner } = await bench();
    executor.script('submit', { problem: 'queue.full' });
    const run = running(await runner.prepare(claimOf()));
    await eventually(() => executor.of('submit').length === 1);
    run.stop.abort('cancelled');
    expect(await codeOf(run.done)).toBe('execution.cancelled');
  });

  it('after a submit whose answer was lost is cancelled at the executor', async () => {
    const { executor, runner } = await bench();
    executor.script('submit', 'reset');
    executor.script('events', 'reset');
    const run = running(await runner.prepare(claimOf()));
    await eventually(() => executor.of('events').length === 1);
    run.stop.abort('cancelled');
    await eventually(() => executor.of('cancel').length === 1);
    executor.script('events', stream(refused('execution.cancelled')));
    expect(await codeOf(run.done)).toBe('execution.cancelled');
  });
});

describe('an execution that a server before this one began', () => {
  it('is followed from its first event, and never sent', async () => {
    const { executor, runner } = await bench();
    executor.script('events', stream(started(1), event(2), ended()));
    const claim = claimOf({ cwd: '/no longer/allowed' });
    const run = running(lasting(runner).goOn(claim));
    expect((await run.done).outcome).toMatchObject({ executionId: claim.executionId, error: null });
    expect(run.events).toHaveLength(2);
    expect(executor.of('submit')).toEqual([]);
  });

  it('is lost when the executor does not know it, and cancelled so that it never starts', async () => {
    const { executor, runner } = await bench();
    executor.script('events', { problem: 'execution.not_found' });
    const claim = claimOf();
    expect(await codeOf(running(lasting(runner).goOn(claim)).done)).toBe('execution.lost');
    expect(executor.of('cancel')).toMatchObject([
      { path: `/v1/executions/${claim.executionId}/cancel`, body: { force: true } },
    ]);
    expect(executor.of('submit')).toEqual([]);
  });

  it('goes on with its fallback, too', async () => {
    const { executor, runner } = await bench();
    const claim = claimOf();
    executor.script('events', stream(refused('execution.cli_missing')), stream(started(1), ended()));
    const missing = await running(lasting(runner).goOn(claim)).done.catch((error: unknown) => error);
    if (!(missing instanceof AppError)) throw missing;
    const { done } = running(await runner.prepareFallback(claim, missing));
    expect((await done).outcome.error).toBeNull();
    expect(executor.of('submit')).toEqual([]);
    expect(executor.of('events').at(-1)?.path).toContain(`${claim.executionId}-fallback`);
  });

  it('is given up with its fallback', async () => {
    const { executor, runner } = await bench();
    await lasting(runner).abandon('01J00000000000000000000001');
    expect(executor.of('cancel').map(({ path }) => path)).toEqual([
      '/v1/executions/01J00000000000000000000001/cancel',
      '/v1/executions/01J00000000000000000000001-fallback/cancel',
    ]);
    await executor.close();
    await lasting(runner).abandon('01J00000000000000000000001');
  });
});

describe('the circuit breaker', () => {
  const SOON = { ...BREAKER, resetTimeout: 300 };

  it('opens after ten failures, and closes when the executor answers again', async () => {
    const { executor, runner, breaker, client, logged } = await bench({}, SOON);
    await client.known();
    executor.script('submit', { problem: 'server.stopping' });
    executor.script('known', 'reset', { json: { node: 'node-1', executions: [] } });
    executor.script('events', stream(started(1), ended()));
    const runs = await Promise.all(Array.from({ length: 5 }, () => runner.prepare(claimOf())));
    const done = Promise.all(runs.map((one) => running(one).done));
    await eventually(() => breaker.state === 'open');
    expect(runner.accepts()).toBe(false);
    expect(runner.problem()).toMatch(/^the circuit breaker is open: .*as scripted/);
    const sent = executor.of('submit').length;
    executor.script('submit', { json: { node: 'node-1', execution: known }, status: 202 });
    await done;
    expect(breaker.state).toBe('closed');
    expect(runner.problem()).toBeNull();
    expect(executor.of('submit').length).toBe(sent + 5);
    const [state, changes] = breaker.measures;
    expect(state?.samples().find(({ labels }) => labels['state'] === 'closed')?.value).toBe(1);
    expect(changes?.samples().map(({ value }) => value)).toEqual([1, 2, 2]);
    const said = logged.map(({ msg }) => msg).filter((msg) => /^the executor /.test(String(msg)));
    expect(said).toEqual([
      'the executor does not work: nothing is sent to it',
      'the executor is tried again',
      'the executor does not work: nothing is sent to it',
      'the executor is tried again',
      'the executor works again',
    ]);
  });

  it('does not count the refusals of requests', async () => {
    const { executor, runner, breaker } = await bench();
    executor.script('submit', { problem: 'cwd.not_allowed' });
    for (let times = 0; times < 12; times += 1)
      expect(await codeOf(running(await runner.prepare(claimOf())).done)).toBe('cwd.not_allowed');
    expect(breaker.state).toBe('closed');
  });

  it('with a fallback, what was never sent runs in the server while it is open', async () => {
    const here = { outcome: { ...succeeded('here'), executor: 'local' as const } };
    const instead = {
      prepare: async () => ({ run: async () => here }),
    } as unknown as Runner; // the parts that are used
    const { executor, runner, breaker } = await bench({ instead }, { ...BREAKER, volumeThreshold: 3 });
    await executor.close();
    const { outcome } = await running(await runner.prepare(claimOf())).done;
    expect(outcome).toMatchObject({ executor: 'local', executionId: 'here' });
    expect(breaker.state).toBe('open');
    expect(runner.accepts()).toBe(true);
    expect(runner.problem()).toBeNull();
  });

  it('with a fallback, what may have been sent does not run in the server', async () => {
    const instead = { prepare: () => Promise.reject(new Error('not here')) } as unknown as Runner;
    const { executor, runner } = await bench({ instead, lostAfterMs: 500 });
    executor.script('submit', 'reset');
    executor.script('events', 'reset');
    expect(await codeOf(running(await runner.prepare(claimOf())).done)).toBe('execution.lost');
  });
});

const known = { id: '01J00000000000000000000001', jobId: 'j', state: 'waiting', events: 0 } as const;
const answered = { node: 'node-1', execution: known };

function lasting({ lasting: runs }: Runner) {
  if (runs === null) throw new Error('nothing lasts');
  return runs;
}
