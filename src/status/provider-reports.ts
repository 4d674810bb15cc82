import type { Executor } from '../executor/ports.ts';
import type { Credentials } from '../limits/credentials.ts';
import type { ProviderReport } from '../protocol/server-info.ts';
import type { Providers } from '../providers/registry.ts';
import { type ReportCli, shownByJobs } from './cli-reports.ts';

export interface ProviderReportsOptions {
  readonly providers: Providers;
  /** Asks the host that runs the CLIs, once for all of them. */
  clis(): Promise<ReportCli>;
  readonly credentials: Pick<Credentials, 'names' | 'reports' | 'succeededAt'>;
  readonly executor: Pick<Executor, 'runningOf'>;
}

/**
 * Reports each provider: its CLI and version, whether it is logged in, and what a person has to do.
 */
export function createProviderReports({
  providers,
  clis,
  credentials,
  executor,
}: ProviderReportsOptions): () => Promise<readonly ProviderReport[]> {
  return async () => {
    const [found, reportCli] = await Promise.all([credentials.reports(), clis()]);
    return Promise.all(
      providers.list().map(async (one): Promise<ProviderReport> => {
        const { name, login, capabilities } = one.provider;
        const logins = found.get(name) ?? [];
        const own = logins.find((credential) => credential.name === credentials.names()[name]);
        const isRefused = own?.status === 'refused';
        const known = shownByJobs(login, { isRefused, succeededAt: credentials.succeededAt(name) });
        return {
          ...(await reportCli(one, known)),
          credentials: [...logins],
          running: executor.runningOf(name),
          concurrency: one.defaults.concurrency,
          fallback: one.fallback,
          capabilities: { ...capabilities },
        };
      }),
    );
  };
}
