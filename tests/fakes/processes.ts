import { ulid } from 'ulid';
import type { Executor } from '../../src/executor/ports.ts';
import type { CliProcess } from '../../src/protocol/server-info.ts';

/** An executor whose processes a test makes. */
export class FakeProcesses implements Pick<Executor, 'processes' | 'endIdle'> {
  readonly listed: CliProcess[] = [];
  /** The idle processes that were ended, and whether by force. */
  readonly ended: { readonly id: string; readonly force: boolean }[] = [];

  processes = (): readonly CliProcess[] => this.listed;

  endIdle: Executor['endIdle'] = async (which, force) => {
    const ended = this.listed.filter((one) => one.state === 'idle' && which(one));
    for (const one of ended) {
      this.listed.splice(this.listed.indexOf(one), 1);
      this.ended.push({ id: one.id, force });
    }
    return ended.length;
  };

  /** @param jobId null: it is idle */
  add(provider: string, jobId: string | null): CliProcess {
    const one: CliProcess = {
      id: ulid(),
      state: jobId === null ? 'idle' : 'running',
      provider,
      pid: 4711 + this.listed.length,
      alive: true,
      jobId,
      attempt: jobId === null ? null : 1,
      sessionId: jobId,
      cwd: '/workspace',
      since: new Date().toISOString(),
      ageMs: 0,
      idleMs: 0,
      memoryBytes: null,
      cpuSeconds: null,
      openFiles: null,
      processes: null,
    };
    this.listed.push(one);
    return one;
  }
}
