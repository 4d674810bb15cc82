import { renameSync, rmSync } from 'node:fs';
import { mkdir, open as openFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import type { ProviderReport } from '../../../src/protocol/server-info.ts';
import { eventually } from '../../helpers/eventually.ts';
import { fakePrompt, installFakeCli, journalOf } from '../../helpers/fake-cli.ts';
import {
  barrier,
  ended,
  exited,
  failed,
  open,
  PATIENCE,
  rawLines,
  reached,
  run,
  scheduledAgain,
} from './row.ts';
import type { SharedSystem } from './shared-system.ts';

const report = async (system: SharedSystem, provider: string): Promise<ProviderReport> => {
  const { data } = (await (await system.api('GET', '/v1/providers')).json()) as { data: ProviderReport[] }; // documented
  return data.find(({ name }) => name === provider) ?? expect.unreachable(provider);
};

const starts = (system: SharedSystem): number => journalOf(system.journal, 'start').length;

/** Answers that are none, refusals of the vendor, and binaries that cannot be started. */
export function rowsOfAnswersAndBinaries(shared: () => SharedSystem): void {
  it.each([
    ['nothing at all', 'fake:silent', []],
    ['half a result', 'fake:plain', ['{"type":"result","subtype":"succ']],
  ])(
    'C13: exit 0 after %s is no success, is kept as it came, and is not tried again',
    async (_what, model, lines) => {
      const steps = [...lines.map((line) => ({ line })), { exit: 0 }];
      const request = { prompt: fakePrompt(steps), model, retry: { maxAttempts: 3 } };
      const { job, events } = await run(shared(), request);
      expect(job).toMatchObject({ ...failed('execution.bad_output', exited(0)), attempts: 1 });
      expect(rawLines(events)).toEqual(lines);
    },
  );

  it('C14: exit 0 with a result that says is_error has failed', async () => {
    const steps = [{ result: { is_error: true, result: 'it broke' } }, { exit: 0 }] as const;
    const { job } = await run(shared(), { prompt: fakePrompt(steps) });
    expect(job).toMatchObject(failed('execution.crashed', exited(0)));
    expect(job.outcome?.error?.message).toBe('it broke');
  });

  it('C15: exit 1 after a result of success has failed, and what was said is kept', async () => {
    const { job } = await run(shared(), {
      prompt: fakePrompt([{ delta: 'done' }, { result: {} }, { exit: 1 }]),
    });
    expect(job).toMatchObject(failed('execution.crashed', exited(1)));
    expect(job.outcome).toMatchObject({ text: 'done', usage: { costUsd: 0.01 } });
  });

  it('C16: a CLI that asks for a login is stopped soon, is not retried, and no other job tries either', async () => {
    const system = shared();
    const provider = 'asks-login';
    const question =
      'Open https://vendor.test/oauth/authorize?code=1 in a browser and press enter to continue';
    const request = {
      prompt: fakePrompt([{ stderr: `${question}\n` }, { hang: true }]),
      provider,
      retry: { maxAttempts: 3 },
    };
    const { job } = await run(system, { ...request, idleTimeoutMs: 2000 });
    expect(job).toMatchObject({ ...failed('auth.required', exited(143)), attempts: 1 });
    expect(await report(system, provider)).toMatchObject({
      authenticated: 'no',
      credentials: [{ status: 'refused' }],
    });

    const before = starts(system);
    const refused = await system.finished(await system.submit(request));
    expect(refused).toMatchObject({ ...failed('auth.required', null), attempts: 1 });
    expect(starts(system)).toBe(before);
  });

  it('C17: at a usage limit the job waits for its end without a slot, and no failure counts', async () => {
    const system = shared();
    const resetsAt = Math.ceil(Date.now() / 1000) + 3;
    const steps = [
      {
        line: JSON.stringify({ type: 'rate_limit_event', rate_limit_info: { status: 'rejected', resetsAt } }),
      },
      { result: { is_error: true, api_error_status: 429, result: 'Too many requests' } },
    ];
    const id = await system.submit({ prompt: fakePrompt(steps), retry: { mode: 'restart' } });
    const waiting = await scheduledAgain(system, id);
    expect(waiting).toMatchObject({ waitReason: 'quota', attempts: 1 });
    expect(Date.parse(waiting.scheduledFor ?? '')).toBeGreaterThanOrEqual(resetsAt * 1000);
    expect(await (await system.api('GET', '/claude-cli/health')).json()).toMatchObject({ running: 1 }); // the other job
    await eventually(async () => (await system.job(id)).attempts === 2, PATIENCE);
    await eventually(async () => (await system.job(id)).status === 'scheduled', PATIENCE);
    await system.api('POST', `/v1/jobs/${id}/cancel`);
    expect((await system.api('POST', '/v1/providers/claude/resume')).status).toBe(200);
    const { job, events } = await ended(system, id);
    expect(job).toMatchObject({ status: 'cancelled', attempts: 2 });
    const begun = events.flatMap((event) =>
      event.kind === 'execution.started' ? [Date.parse(event.at)] : [],
    );
    expect(begun[1]).toBeGreaterThanOrEqual(resetsAt * 1000);
  });

  it.each([
    ['that is missing', 'missing', 'is not installed'],
    ['without its interpreter', 'no-interpreter', 'cannot be started'],
  ])('C18: a binary %s is reported as such', async (_what, provider, message) => {
    const system = shared();
    const { job } = await run(system, { prompt: 'x', provider });
    expect(job).toMatchObject({
      ...failed('execution.cli_missing', null),
      attempts: 1,
    });
    expect(job.outcome?.error?.message).toContain(message);
    // What the kernel refuses is known only after the start.
    expect((await report(system, provider)).available).toBe(message === 'cannot be started');
  });

  // Not reported as such: execvp(3) gives what the kernel does not know to /bin/sh, which refuses
  // it.
  it('C18: a binary for another machine fails, and is not tried again', async () => {
    const { job } = await run(shared(), {
      prompt: 'x',
      provider: 'foreign-program',
      retry: { maxAttempts: 3 },
    });
    expect(job).toMatchObject({ ...failed('execution.crashed', undefined), attempts: 1 });
    expect(job.outcome?.exit?.code).toBeGreaterThan(0);
  });

  it('C18: a working directory that is missing is reported, at once and when it goes away later', async () => {
    const system = shared();
    const cwd = join(system.workspace, 'short-lived');
    const refused = await system.api('POST', '/v1/jobs', { prompt: 'x', cwd });
    expect(refused.status).toBe(400);
    expect(await refused.json()).toMatchObject({ code: 'cwd.not_allowed' });
    await mkdir(cwd);
    const id = await system.submit({ prompt: 'x', cwd, delayMs: 300 });
    rmSync(cwd, { recursive: true });
    expect((await ended(system, id)).job).toMatchObject(failed('cwd.not_allowed', null));
  });

  it('C19: a binary that is replaced while it runs harms no job, and the next run names the new version', async () => {
    const system = shared();
    const [started, go] = [barrier(system), barrier(system)];
    expect(await report(system, 'updated')).toMatchObject({ version: '1.0.0' });
    const steps = [{ touch: started }, { waitFor: go }, { line: 'old' }];
    const first = await run(system, { prompt: fakePrompt(steps), provider: 'updated' }, async () => {
      await reached(started);
      const next = await installFakeCli(system.path('next'), {
        FAKE_JOURNAL: system.journal,
        FAKE_VERSION: '2.0.0',
      });
      renameSync(next, system.path('updated/claude'));
      open(go);
    });
    expect(first.job).toMatchObject({ status: 'succeeded', attempts: 1 });
    expect(first.events.find(({ kind }) => kind === 'execution.started')).toMatchObject({ version: '1.0.0' });
    expect(await report(system, 'updated')).toMatchObject({ version: '2.0.0' });
    const second = await run(system, { prompt: 'x', provider: 'updated' });
    expect(second.job).toMatchObject({ status: 'succeeded' });
    expect(second.events.find(({ kind }) => kind === 'execution.started')).toMatchObject({
      version: '2.0.0',
    });
  });

  it('C19: a binary that is being written is a resource to wait for: the next attempt runs', async () => {
    const system = shared();
    const writing = await openFile(system.path('bin/written'), 'r+');
    try {
      const id = await system.submit({ prompt: 'x', provider: 'being-written', retry: { maxAttempts: 20 } });
      await scheduledAgain(system, id);
      await writing.close();
      const { job, events } = await ended(system, id);
      expect(job).toMatchObject({ status: 'succeeded', outcome: { text: 'done' } });
      const [first] = events.filter(({ kind }) => kind === 'execution.finished');
      expect(first).toMatchObject({
        outcome: { error: { code: 'execution.resource_limit', retryable: true }, exit: null },
      });
    } finally {
      await writing.close().catch(() => {});
    }
  });

  // The kernel is not asked whether a process was killed for lack of memory: there is a
  // signal, and it is reported.
  it.each([
    ['SIGKILL, as the kernel does without memory', { kill: 'SIGKILL' }, { code: null, signal: 'SIGKILL' }],
    ['exit 137', { exit: 137 }, exited(137)],
  ] as const)('C20: the end by %s is reported, with the output before it', async (_what, step, exit) => {
    const { job } = await run(shared(), { prompt: fakePrompt([{ delta: 'half' }, step]) });
    expect(job).toMatchObject(failed('execution.crashed', exit));
    expect(job.outcome?.text).toBe('half');
  });
}
