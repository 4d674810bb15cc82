/** Whole servers that use a real executor. */
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { StoredEvent } from '../../../src/protocol/event.ts';
import type { Step } from '../../fakes/fake-cli-steps.ts';
import { eventually } from '../../helpers/eventually.ts';
import { EXECUTOR_SECRET, type ExecutorProgram, startExecutor } from '../../helpers/executor-program.ts';
import { fakePrompt, installFakeCli } from '../../helpers/fake-cli.ts';
import { isAlive } from '../../helpers/proc.ts';
import { launchServer, startServer, type TestServer } from '../../helpers/server.ts';
import { sharedFromStart, whenOver } from '../../helpers/shared.ts';
import { makeTempDir, removeDir } from '../../helpers/temp.ts';

/** What a busy machine may take for the steps of a whole system. */
const PATIENT = { timeoutMs: 60_000, intervalMs: 100 };

/** A job that is lost is not continued. */
const ONCE = { autoContinue: false };

/** The environment of a server that uses the executor. */
const using = ({ url, workspace }: Pick<ExecutorProgram, 'url' | 'workspace'>) => ({
  BULLPEN_EXECUTOR: 'http',
  CLAUDE_SERVICE_URL: url,
  CLAUDE_SERVICE_SECRET: EXECUTOR_SECRET,
  BULLPEN_ROOTS: workspace,
  BULLPEN_CWD: workspace,
});

const begin = (server: TestServer, steps: readonly Step[], rest: Record<string, unknown> = {}) =>
  server.run({ prompt: fakePrompt(steps, 'hello'), ...rest }, 0);

/** The events of a job until `enough`, or until it has ended. */
async function eventsOf(
  server: TestServer,
  id: string,
  enough: (events: readonly StoredEvent[]) => boolean = () => false,
): Promise<readonly StoredEvent[]> {
  const events: StoredEvent[] = [];
  const accept = { accept: 'application/x-ndjson' };
  const { body } = await server.api('GET', `/v1/jobs/${id}/events`, undefined, accept);
  if (body === null) throw new Error('an answer without a body');
  const decoder = new TextDecoder();
  let rest = '';
  for await (const chunk of body) {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) if (line !== '') events.push(JSON.parse(line)); // the documented lines
    if (enough(events)) break;
  }
  return events;
}

const deltasOf = (events: readonly StoredEvent[]): readonly string[] =>
  events.flatMap((event) => (event.kind === 'text.delta' ? [event.text] : []));

const startsOf = ({ journal }: Pick<ExecutorProgram, 'journal'>) =>
  journal().filter((entry) => entry.event === 'start');

const codeOf = async (response: Promise<Response>): Promise<unknown> => {
  const answer = await response;
  return [answer.status, ((await answer.json()) as { code?: unknown }).code]; // a problem has one
};

const executorCheck = async (server: TestServer): Promise<{ ok: boolean; detail: string | null }> => {
  const { checks } = (await (await server.api('GET', '/ready')).json()) as {
    readonly checks: { readonly executor: { ok: boolean; detail: string | null } };
  }; // the documented answer
  return checks.executor;
};

describe('a server whose CLIs run in an executor on another host', () => {
  const shared = sharedFromStart(async () => {
    const executor = await startExecutor({ env: { ANTHROPIC_API_KEY: 'not a key' } }); // it is logged in
    const binary = await installFakeCli(join(executor.dir, 'bin-of-the-server'));
    const env = { ...using(executor), BULLPEN_EXECUTOR_FALLBACK: 'local' };
    return { executor, server: await startServer({ env, config: { providers: { claude: { binary } } } }) };
  });

  it('runs jobs there, and has their events, outcome and usage', async () => {
    const { executor, server } = shared();
    await eventually(() => server.log().includes('the executor on another host is healthy'), PATIENT);
    const before = startsOf(executor).length;
    const job = await server.run({ prompt: fakePrompt([{ delta: 'one ' }, { delta: 'two' }]) });
    expect(job).toMatchObject({ status: 'succeeded', cwd: executor.workspace });
    expect(job.outcome).toMatchObject({ executor: 'http', provider: 'claude', error: null });
    expect(job.outcome?.usage?.outputTokens).toBeGreaterThan(0);
    expect((await executor.client.known()).executions).toContainEqual(
      expect.objectContaining({ id: job.outcome?.executionId, jobId: job.id, state: 'ended' }),
    );
    const events = await eventsOf(server, job.id);
    expect(deltasOf(events)).toEqual(['one ', 'two']);
    expect(events.map(({ seq }) => seq)).toEqual(events.map((_, index) => index + 1));
    expect(startsOf(executor)).toHaveLength(before + 1);
    expect(await executorCheck(server)).toEqual({ ok: true, detail: null });
    expect(await (await server.api('GET', '/metrics')).text()).toContain(
      'bullpen_executor_breaker_state{state="closed"} 1',
    );
  });

  it('lists the processes there without looking for their pids here, and cancels them', async () => {
    const { executor, server } = shared();
    const job = await begin(server, [{ delta: 'begun' }, { hang: true }]);
    await eventsOf(server, job.id, (events) => deltasOf(events).length === 1);
    const { data } = (await (await server.api('GET', '/v1/processes')).json()) as {
      readonly data: readonly { readonly id: string }[];
    }; // the documented answer
    const pid = startsOf(executor).at(-1)?.pid ?? expect.unreachable();
    expect(data).toMatchObject([{ pid, alive: true, jobId: job.id, memoryBytes: null }]);
    await server.api('POST', `/v1/processes/${data[0]?.id}/terminate`, {});
    const ended = await server.finished(job.id);
    expect(ended).toMatchObject({ status: 'cancelled', outcome: { executor: 'http' } });
    expect(isAlive(pid)).toBe(false);
  });

  it('refuses what needs a CLI on this host', async () => {
    const { server } = shared();
    const { id, sessionId } = await server.run({ prompt: 'hello' });
    const asks = { prompt: 'x', onPermissionDenied: 'ask' };
    for (const [path, body] of [
      ['/v1/sessions', { kind: 'chat' }],
      ['/v1/sessions', { kind: 'terminal' }],
      [`/v1/jobs/${id}/messages`, { prompt: 'x' }],
      [`/v1/sessions/${sessionId}/messages`, { prompt: 'x' }],
      ['/v1/jobs', asks],
      [`/v1/jobs/${id}/retry`, { onPermissionDenied: 'ask' }],
    ] as const) {
      expect(await codeOf(server.api('POST', path, body)), path).toEqual([422, 'executor.unsupported']);
    }
    const batch = await server.api('POST', '/v1/batches', { prompts: [asks] });
    expect(await batch.text()).toContain('executor.unsupported');
  });

  it('continues a session in a later job', async () => {
    const { executor, server } = shared();
    const first = await server.run({ prompt: fakePrompt([], 'one') });
    const second = await server.run({ prompt: fakePrompt([], 'two'), sessionId: first.sessionId });
    expect(second).toMatchObject({ status: 'succeeded', sessionId: first.sessionId });
    expect(startsOf(executor).at(-1)?.resume).toBe(first.outcome?.nativeSessionId);
  });

  it('loses what ran on another executor before a restart, and ends what runs when it is stopped', async () => {
    const [other, { executor }] = [await startExecutor(), shared()];
    const dir = makeTempDir();
    whenOver(() => removeDir(dir));
    const first = await launchServer({ dir, env: using(other) });
    const lost = await begin(first, [{ delta: 'begun' }, { hang: true }], ONCE);
    await eventsOf(first, lost.id, (events) => deltasOf(events).length === 1);
    await first.kill('SIGKILL');

    const before = startsOf(executor).length;
    const second = await launchServer({ dir, env: { ...using(executor), BULLPEN_DRAIN_MS: '100' } });
    whenOver(() => second.stop());
    expect(await second.finished(lost.id)).toMatchObject({
      status: 'failed',
      outcome: {
        ...{ text: 'begun', provider: 'claude' },
        error: { code: 'execution.lost', message: 'the executor does not know the execution' },
      },
    });
    expect(startsOf(executor)).toHaveLength(before);

    const job = await begin(second, [{ delta: 'begun' }, { hang: true }], ONCE);
    await eventsOf(second, job.id, (events) => deltasOf(events).length === 1);
    const pid = startsOf(executor).at(-1)?.pid ?? expect.unreachable();
    await second.stop();
    expect(isAlive(pid)).toBe(false);
    const ends = second
      .log()
      .split('\n')
      .filter((line) => line.includes('"job ended"'));
    expect(ends.map((line) => JSON.parse(line))).toEqual([
      expect.objectContaining({ jobId: lost.id, status: 'failed' }),
      expect.objectContaining({ jobId: job.id, status: 'failed', code: 'execution.lost' }),
    ]);
    const { executions } = await executor.client.known();
    expect(executions.filter(({ jobId }) => jobId === job.id)).toMatchObject([{ state: 'ended' }]);
    expect(executions.map(({ state }) => state)).not.toContain('running');
  }, 120_000);

  it('is replaced by its server, where the settings say so', async () => {
    const { executor, server } = shared();
    await executor.stop();
    // Ten failures open the breaker: four jobs have them sooner than one.
    const jobs = await Promise.all([1, 2, 3, 4].map(() => begin(server, [])));
    for (const { id } of jobs) {
      const ended = await server.finished(id);
      expect(ended).toMatchObject({ status: 'succeeded', outcome: { executor: 'local' } });
    }
    expect(await executorCheck(server)).toMatchObject({
      ok: true,
      detail: expect.stringContaining('the circuit breaker is '),
    });
  });
});
