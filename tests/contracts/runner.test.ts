/** The contract of a runner: the same for CLIs of this host and of another one. */
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ulid } from 'ulid';
import { describe, expect, it, onTestFinished } from 'vitest';
import { AppError } from '../../src/errors.ts';
import { NO_EXECUTIONS } from '../../src/executor/earlier.ts';
import type { ExecutionResult } from '../../src/executor/execute.ts';
import { runCli } from '../../src/executor/run-cli.ts';
import type { Flow, Runner } from '../../src/executor/runner.ts';
import { createLogger } from '../../src/logger.ts';
import type { ExecutionEvent } from '../../src/protocol/event.ts';
import type { ResolvedPrompt } from '../../src/protocol/prompt.ts';
import { createProviders } from '../../src/providers/registry.ts';
import type { Claim } from '../../src/records/ports.ts';
import { createBreaker } from '../../src/remote/breaker.ts';
import { createExecutorClient } from '../../src/remote/client.ts';
import { OPEN_CREDENTIALS } from '../../src/remote/executions/without-records.ts';
import { createHttpRunner } from '../../src/remote/http-runner.ts';
import { createPricing } from '../../src/usage/pricing.ts';
import type { JournalEntry } from '../fakes/fake-cli-journal.ts';
import type { Step } from '../fakes/fake-cli-steps.ts';
import { eventually } from '../helpers/eventually.ts';
import { EXECUTOR_SECRET, startExecutor } from '../helpers/executor-program.ts';
import { fakePrompt, journalOf } from '../helpers/fake-cli.ts';
import { isAlive } from '../helpers/proc.ts';
import { sharedFromStart } from '../helpers/shared.ts';
import { tempDir } from '../helpers/temp.ts';
import { executorBench, KNOWN_SESSION, NATIVE_SESSION } from '../integration/executor/bench.ts';
import { PROVIDER_HOST, providerSettings } from '../unit/providers/settings.ts';
import { newJob } from './records/samples.ts';

const GRACE_MS = 300;
const MAX_OUTPUT_BYTES = 300_000;
/** gemini is missing, and another CLI answers with what it was asked. */
const PROVIDERS = {
  gemini: { binary: '/missing/gemini', fallback: 'echo' },
  codex: { binary: '/missing/codex' },
  custom: { echo: { binary: '/bin/sh', args: ['-c', 'printf "echo: "; cat'] } },
};

interface Side {
  readonly runner: Runner;
  readonly workspace: string;
  starts(): readonly Extract<JournalEntry, { event: 'start' }>[];
  /** Signals that a CLI has got. */
  signals(pid: number): readonly string[];
}

async function here(): Promise<Side> {
  const bench = await executorBench(PROVIDERS);
  let runner: Runner | null = null;
  const elsewhere = (local: Runner): Runner => {
    runner = local;
    return local;
  };
  bench.open({ elsewhere }, { killGraceMs: GRACE_MS, maxOutputBytes: MAX_OUTPUT_BYTES });
  return {
    ...{ runner: runner ?? expect.unreachable(), workspace: bench.workspace, starts: bench.started },
    signals: (pid) => signalsIn(bench.file('journal'), pid),
  };
}

/** Makes sides that share one executor program. */
function overHttp(): () => Promise<Side> {
  const shared = sharedFromStart(() => {
    const dir = tempDir();
    const claude = { binary: join(dir, 'bin', 'claude') };
    return startExecutor({
      dir,
      config: { providers: { ...PROVIDERS, claude } },
      env: {
        BULLPEN_KILL_GRACE_MS: String(GRACE_MS),
        BULLPEN_MAX_OUTPUT_BYTES: String(MAX_OUTPUT_BYTES),
      },
    });
  });
  return async () => {
    const { url, workspace, dir } = shared();
    const logger = createLogger('debug', { write: () => undefined });
    const client = createExecutorClient({ url, secret: EXECUTOR_SECRET, timeoutMs: 20_000 });
    const breaker = createBreaker({ probe: () => client.known(), logger });
    onTestFinished(() => {
      breaker.stop();
      client.close();
    });
    const runner = createHttpRunner({
      ...{ client, breaker, logger, maxResultBytes: 100_000, instead: null, timeoutMs: 20_000 },
      prepare: {
        providers: createProviders(providerSettings(PROVIDERS), PROVIDER_HOST),
        pricing: createPricing({}),
        rights: { of: () => [] },
        settings: { roots: [workspace], trustedRoots: [], allowFullAccess: false, maxTimeoutMs: 3_600_000 },
        background: async (_claim, { sessionId }) => ({
          session: sessionId === KNOWN_SESSION ? { nativeSessionId: NATIVE_SESSION, tokens: null } : null,
          ...{ fork: false, rules: [], earlier: NO_EXECUTIONS },
          ...{ approvals: [], hasPlan: false, over: [], ofParent: [] },
        }),
      },
    });
    const before = journalOf(join(dir, 'journal'), 'start').length;
    return {
      ...{ runner, workspace, starts: () => journalOf(join(dir, 'journal'), 'start').slice(before) },
      signals: (pid) => signalsIn(join(dir, 'journal'), pid),
    };
  };
}

const signalsIn = (journal: string, pid: number): readonly string[] =>
  journalOf(journal, 'signal').flatMap((entry) => (entry.pid === pid ? [entry.signal] : []));

/** Runs a job as a claim is run, and keeps what it says. */
function begin(
  { runner, workspace }: Side,
  { steps = [], ...request }: Partial<ResolvedPrompt> & { readonly steps?: readonly Step[] } = {},
) {
  const { id: jobId, ...job } = newJob({ prompt: fakePrompt(steps, 'hello'), cwd: workspace, ...request });
  const claim: Claim = { ...job, jobId, executionId: ulid(), attempt: 1, forged: false };
  const stop = new AbortController();
  const force = new AbortController();
  const events: ExecutionEvent[] = [];
  let flow: Flow | null = null;
  const running = async (): Promise<ExecutionResult> =>
    runCli(await runner.prepare(claim), {
      ...{ claim, runner, credentials: OPEN_CREDENTIALS, isUnderWay: false },
      controls: {
        signals: { stop: stop.signal, force: force.signal },
        onFlow: (given) => {
          flow = given;
        },
        onTalker: () => undefined,
        onElsewhere: () => undefined,
      },
      withRedis: (task) => task(),
      prepareAgain: () => runner.prepare(claim),
      waitForSlot: async () => undefined,
      emit: (event) => void events.push(event),
    });
  const done = running();
  done.catch(() => undefined); // awaited by the test
  const deltas = (): string =>
    events.flatMap((one) => (one.kind === 'text.delta' ? [one.text] : [])).join('');
  return {
    claim,
    events,
    done,
    outcome: async () => (await done).outcome,
    stop: (reason: string) => stop.abort(reason),
    force: () => force.abort(),
    flow: () => flow,
    deltas,
    /** Resolves when it has said this. */
    said: (text: string) => eventually(() => deltas() === text),
  };
}

const codeOf = (task: Promise<unknown>): Promise<unknown> =>
  task.then(
    () => null,
    (error: unknown) => (error instanceof AppError ? error.code : error),
  );

describe.each([
  ['here', 'local', () => here],
  ['over HTTP', 'http', overHttp],
] as const)('a runner of CLIs %s', (_, executor, make) => {
  const side = make();

  it('emits the events in order and returns the outcome, with its use', async () => {
    const run = begin(await side(), { steps: [{ delta: 'one ' }, { delta: 'two' }] });
    const { outcome, waits } = await run.done;
    expect(outcome).toMatchObject({
      ...{ status: 'succeeded', executionId: run.claim.executionId, provider: 'claude', executor },
      ...{ text: 'one two', sessionId: run.claim.sessionId, error: null, exit: { code: 0, signal: null } },
    });
    expect(outcome.usage).toMatchObject({ outputTokens: expect.any(Number), costBasis: 'reported' });
    expect(outcome.durationMs).toBeGreaterThan(0);
    expect(waits).toBe(false);
    const { executionId } = run.claim;
    expect(run.events[0]).toMatchObject({ kind: 'execution.started', executionId, start: 'cold' });
    expect(run.deltas()).toBe('one two');
  });

  it('starts one process for an execution, in its folder', async () => {
    const made = await side();
    await begin(made).outcome();
    expect(made.starts()).toMatchObject([{ cwd: made.workspace, resume: null }]);
  });

  it('continues a session', async () => {
    const made = await side();
    const run = begin(made, { sessionId: KNOWN_SESSION });
    expect(await run.outcome()).toMatchObject({ status: 'succeeded', sessionId: KNOWN_SESSION });
    expect(made.starts()).toMatchObject([{ resume: NATIVE_SESSION }]);
  });

  it('reports a CLI that crashed, with what it had said', async () => {
    const run = begin(await side(), { steps: [{ delta: 'half' }, { kill: 'SIGKILL' }] });
    expect(await run.outcome()).toMatchObject({
      ...{ status: 'failed', executor, error: { code: 'execution.crashed' } },
      exit: { code: null, signal: 'SIGKILL' },
    });
    expect(run.deltas()).toBe('half');
  });

  it.each([
    ['cancelled', 'cancelled', 'execution.cancelled'],
    ['shutdown', 'failed', 'execution.lost'],
    ['fenced', 'failed', 'execution.lost'],
    ['day_spent', 'failed', 'execution.budget'],
  ])('stops a CLI for the reason %s', async (reason, status, code) => {
    const made = await side();
    const run = begin(made, { steps: [{ delta: 'begun' }, { hang: true }] });
    await run.said('begun');
    run.stop(reason);
    expect(await run.outcome()).toMatchObject({ status, executor, error: { code } });
    expect(isAlive(made.starts()[0]?.pid ?? 0)).toBe(false);
  });

  it('interrupts a turn', async () => {
    const run = begin(await side(), { steps: [{ delta: 'begun' }, { hang: true }] });
    await run.said('begun');
    run.stop('interrupted');
    expect((await run.outcome()).error).toMatchObject({ code: 'execution.interrupted' });
  });

  it('kills a CLI that ignores the signal after the grace, and at once when that is skipped', async () => {
    const steps: readonly Step[] = [{ ignore: ['SIGTERM'] }, { delta: 'deaf' }, { hang: true }];
    const made = await side();
    for (const skips of [false, true]) {
      const run = begin(made, { steps });
      await run.said('deaf');
      if (skips) run.force();
      run.stop('cancelled');
      expect(await run.outcome()).toMatchObject({
        ...{ error: { code: 'execution.cancelled' }, exit: { signal: 'SIGKILL' } },
      });
      const pid = made.starts().at(-1)?.pid ?? expect.unreachable();
      expect(isAlive(pid)).toBe(false);
      expect(made.signals(pid)).toEqual(skips ? [] : ['SIGTERM']);
    }
  });

  it('ends a CLI at its timeout', async () => {
    const run = begin(await side(), { timeoutMs: 3000, steps: [{ delta: 'begun' }, { hang: true }] });
    expect((await run.outcome()).error).toMatchObject({ code: 'execution.timed_out' });
  });

  it('ends a CLI that is silent', async () => {
    const run = begin(await side(), { idleTimeoutMs: 1000, steps: [{ delta: 'begun' }, { hang: true }] });
    expect((await run.outcome()).error).toMatchObject({ code: 'execution.idle' });
  });

  it('ends a CLI that writes too much', async () => {
    const flood = { bytes: 4 * MAX_OUTPUT_BYTES, to: 'stdout', lines: true } as const;
    const run = begin(await side(), { steps: [{ flood }, { hang: true }] });
    expect((await run.outcome()).error).toMatchObject({ code: 'execution.output_limit' });
  });

  it('throws when the CLI is missing, and has emitted nothing', async () => {
    const run = begin(await side(), { provider: 'codex' });
    expect(await codeOf(run.done)).toBe('execution.cli_missing');
    expect(run.events).toEqual([]);
  });

  it('runs the fallback of a missing CLI, whose conversation cannot go on', async () => {
    const run = begin(await side(), { provider: 'gemini', prompt: 'Hi' });
    expect(await run.outcome()).toMatchObject({
      ...{ status: 'succeeded', provider: 'echo', text: 'echo: Hi', sessionId: null, executor },
      executionId: run.claim.executionId,
    });
    const [warning, started] = run.events;
    expect(warning).toMatchObject({ kind: 'warning', code: 'fallback' });
    expect(warning).toHaveProperty('message', expect.stringContaining('/missing/gemini is not installed'));
    expect(started).toMatchObject({ kind: 'execution.started', provider: 'echo' });
  });

  it('refuses what is not allowed, before anything is started', async () => {
    const made = await side();
    expect(await codeOf(begin(made, { cwd: '/' }).done)).toBe('cwd.not_allowed');
    expect(await codeOf(begin(made, { cwd: join(made.workspace, 'missing') }).done)).toBe('cwd.not_allowed');
    expect(await codeOf(begin(made, { permissionMode: 'fullAccess' }).done)).toBe('permission_mode.denied');
    expect(await codeOf(begin(made, { model: '--x' }).done)).toBe('execution.invalid_request');
    expect(made.starts()).toEqual([]);
  });

  it('can be stopped before its CLI has begun', async () => {
    const run = begin(await side());
    run.stop('cancelled');
    const code = await codeOf(run.outcome().then(({ error }) => Promise.reject(new Error(error?.code))));
    expect(String(code)).toContain('execution.cancelled');
  });

  it('goes on after the source of its events was slowed down', async () => {
    const made = await side();
    const go = join(made.workspace, ulid());
    const run = begin(made, { steps: [{ delta: 'a' }, { waitFor: go }, { delta: 'b' }] });
    await run.said('a');
    run.flow()?.pause();
    writeFileSync(go, '');
    await eventually(() => existsSync(go));
    run.flow()?.resume();
    await run.outcome();
    expect(run.deltas()).toBe('ab');
  });
});
