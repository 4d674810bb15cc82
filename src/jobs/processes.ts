import { actorOf } from '../auth/principal.ts';
import { AppError } from '../errors.ts';
import type { Executor } from '../executor/ports.ts';
import type { Audit, Jobs, Processes } from '../http/ports.ts';
import type { Sessions } from '../http/session-ports.ts';
import type { CliProcess } from '../protocol/server-info.ts';
import type { Providers } from '../providers/registry.ts';

/** The processes of CLIs and terminals on this node, for admins. */
export function createProcessService({
  executor,
  jobs,
  sessions,
  processes,
  providers,
  note,
}: {
  readonly executor: Pick<Executor, 'endIdle'>;
  readonly jobs: Pick<Jobs, 'cancel'>;
  readonly sessions: Pick<Sessions, 'close'>;
  /** Those of CLIs and of terminals. */
  processes(): readonly CliProcess[];
  readonly providers: Pick<Providers, 'list'>;
  /** Notes what has no record. */
  readonly note: Audit['note'];
}): Processes {
  function get(id: string): CliProcess {
    const found = processes().find((one) => one.id === id);
    if (found === undefined) throw new AppError('process.not_found', `there is no process ${id}`);
    return found;
  }

  return {
    list: (provider) => processes().filter((one) => provider === null || one.provider === provider),
    get,
    async terminate(principal, id, force) {
      const found = get(id);
      // A terminal: no other process runs without a job.
      if (found.jobId === null && found.state === 'running' && found.sessionId !== null) {
        await sessions.close(principal, found.sessionId);
        note(actorOf(principal), { action: 'process.terminated', target: id });
      } else if (found.jobId === null) {
        await executor.endIdle((one) => one.id === id, force);
        note(actorOf(principal), { action: 'process.terminated', target: id });
      } else await jobs.cancel(principal, found.jobId, force);
      return found;
    },
    async cleanUp(principal, name) {
      if (!providers.list().some(({ provider }) => provider.name === name))
        throw new AppError('provider.not_found', `there is no provider ${JSON.stringify(name)}`);
      const ended = await executor.endIdle((one) => one.provider === name, false);
      note(actorOf(principal), { action: 'provider.cleaned', target: name, details: { ended } });
      return ended;
    },
  };
}
