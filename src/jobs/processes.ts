import { actorOf } from '../auth/principal.ts';
import { AppError } from '../errors.ts';
import type { Executor } from '../executor/executor.ts';
import type { Audit, Jobs, Processes } from '../http/ports.ts';
import type { CliProcess } from '../protocol/server-info.ts';
import type { Providers } from '../providers/registry.ts';

/** The processes of CLIs on this node, for admins. */
export function createProcessService({
  executor,
  jobs,
  providers,
  note,
}: {
  readonly executor: Pick<Executor, 'processes' | 'endIdle'>;
  readonly jobs: Pick<Jobs, 'cancel'>;
  readonly providers: Pick<Providers, 'list'>;
  /** Notes what has no record. */
  readonly note: Audit['note'];
}): Processes {
  function get(id: string): CliProcess {
    const found = executor.processes().find((one) => one.id === id);
    if (found === undefined) throw new AppError('process.not_found', `there is no process ${id}`);
    return found;
  }

  return {
    list: (provider) => executor.processes().filter((one) => provider === null || one.provider === provider),
    get,
    async terminate(principal, id, force) {
      const found = get(id);
      if (found.jobId === null) {
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
