import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, writeFileSync } from 'node:fs';
import { expect, it, onTestFinished } from 'vitest';
import { fakePrompt, journalOf } from '../../helpers/fake-cli.ts';
import {
  barrier,
  besideAnother,
  ended,
  KILLED,
  open,
  reached,
  run,
  signalsOf,
  succeeded,
  warnings,
} from './row.ts';
import type { SharedSystem } from './shared-system.ts';

interface Stranger {
  readonly pid: number;
  /** The code or the signal it ended with; null while it lives. */
  ended(): number | string | null;
}

/**
 * A process in a group of its own. It has this very number where the kernel lets us choose it and
 * no other process is faster; else it has any. The number is not tried again: the parent of the
 * faster process may send a signal to it, even after the exit of that process.
 */
async function stranger(wanted: number): Promise<Stranger> {
  try {
    writeFileSync('/proc/sys/kernel/ns_last_pid', String(wanted - 1));
  } catch {
    // Not ours to write: the number will be another one.
  }
  const child = spawn('sleep', ['1000'], { detached: true, stdio: 'ignore' });
  await once(child, 'spawn');
  let end: number | string | null = null;
  child.once('exit', (code, signal) => {
    end = code ?? signal;
  });
  onTestFinished(() => {
    child.kill('SIGKILL');
  });
  return { pid: child.pid ?? expect.unreachable(), ended: () => end };
}

/** Ends that cross each other, cancels in any number, and a number that is given again. */
export function rowsOfRaces(shared: () => SharedSystem): void {
  it('C29: a cancel that crosses the end leaves one end, and a later one gets that answer', async () => {
    const system = shared();
    const cross = async (): Promise<string> => {
      const [started, go] = [barrier(system), barrier(system)];
      const id = await system.submit({
        prompt: fakePrompt([{ touch: started }, { waitFor: go }, { delta: 'done' }]),
      });
      await reached(started);
      open(go);
      const { status: answer } = await system.api('POST', `/v1/jobs/${id}/cancel`);
      const { job } = await ended(system, id);
      expect([202, 409]).toContain(answer);
      expect(answer === 202 ? ['succeeded', 'cancelled'] : ['succeeded']).toContain(job.status);
      const late = await system.api('POST', `/v1/jobs/${id}/cancel`);
      expect(late.status).toBe(job.status === 'cancelled' ? 200 : 409);
      expect(await late.json()).toMatchObject(
        job.status === 'cancelled' ? { id } : { code: 'job.already_finished' },
      );
      expect(await system.job(id)).toEqual(job);
      return job.status;
    };
    await besideAnother(system, () => Promise.all(Array.from({ length: 6 }, cross)));
  });

  it('C30: a hundred cancels at once are one, and the CLI is signalled once', async () => {
    const system = shared();
    const deaf = barrier(system);
    const steps = [{ ignore: ['SIGTERM'] }, { touch: deaf }, { hang: true }] as const;
    const { job, events } = await run(system, { prompt: fakePrompt(steps) }, async (id) => {
      await reached(deaf);
      const cancel = async () => (await system.api('POST', `/v1/jobs/${id}/cancel`)).status;
      const answers = await Promise.all(Array.from({ length: 100 }, cancel));
      expect(answers[0]).toBe(202);
      // 200: by then it was over.
      expect(answers.filter((answer) => answer !== 202 && answer !== 200)).toEqual([]);
    });
    expect(job).toMatchObject({
      status: 'cancelled',
      outcome: { error: { code: 'execution.cancelled', retryable: false }, exit: KILLED },
    });
    expect(signalsOf(system, events)).toEqual(['SIGTERM']);
  });

  it('C30: a job that is cancelled while it waits is never started', async () => {
    const system = shared();
    const [started, go] = [barrier(system), barrier(system)];
    const blocking = { prompt: fakePrompt([{ touch: started }, { waitFor: go }]), concurrencyKey: 'c30' };
    const first = await system.submit(blocking);
    await reached(started);
    const waiting = await system.submit({ prompt: 'never', concurrencyKey: 'c30' });
    const before = journalOf(system.journal, 'start').length;
    expect((await system.api('POST', `/v1/jobs/${waiting}/cancel`)).status).toBe(202);
    expect((await ended(system, waiting)).job).toMatchObject({
      status: 'cancelled',
      attempts: 0,
      outcome: { executionId: null, error: { code: 'execution.cancelled' } },
    });
    open(go);
    expect((await ended(system, first)).job).toMatchObject({ status: 'succeeded' });
    expect(journalOf(system.journal, 'start')).toHaveLength(before);
  });

  it('C31: a process that got the number of a CLI that has exited is not taken for it', async () => {
    const system = shared();
    const go = barrier(system);
    // What holds the output open makes the server look for leftovers a second after the exit.
    const steps = [{ spawn: { holdPipe: true, setsid: true } }, { touch: go }, { delta: 'done' }] as const;
    let reused: Stranger = { pid: 0, ended: () => 'not started' };
    const { job, events } = await run(system, { prompt: fakePrompt(steps) }, async () => {
      await reached(go);
      const { pid } = journalOf(system.journal, 'spawned').at(-1) ?? expect.unreachable();
      await expect.poll(() => existsSync(`/proc/${pid}`)).toBe(false);
      reused = await stranger(pid);
    });
    expect(job).toMatchObject(succeeded('done'));
    expect(warnings(events)).toEqual(['leaked_pipe']);
    expect(reused.ended()).toBeNull();
  });
}
