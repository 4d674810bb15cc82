/** What `GET /health` of the executor says, from looks that are cached. It spends no prompt. */
import type { CliReport } from '../../protocol/server-info.ts';
import type { RegisteredProvider } from '../../providers/registry.ts';
import type { ExecutorHealth } from '../ports.ts';

/** Health checks come every few seconds, from several places. */
const CACHE_MS = 10_000;

export interface ExecutorHealthOptions {
  reportCli(one: RegisteredProvider): Promise<CliReport>;
  /** It runs prompts that name none. */
  readonly provider: RegisteredProvider;
  /** Why nothing can be started now, or null. */
  problem(): string | null;
  activeRequests(): number;
  /** Milliseconds of a clock that only goes forward. Default: the process's. */
  now?(): number;
}

const LOGGED_IN = { yes: true, no: false, unknown: null } as const;

export function createExecutorHealth(options: ExecutorHealthOptions): () => Promise<ExecutorHealth> {
  const { reportCli, provider, now = () => performance.now() } = options;
  let looked: { readonly report: Promise<CliReport>; readonly at: number } | null = null;

  return async () => {
    if (looked === null || now() - looked.at > CACHE_MS) looked = { report: reportCli(provider), at: now() };
    const { available, version, authenticated, why, todo } = await looked.report;
    const isUsable = available && authenticated !== 'no';
    const ofCli = isUsable ? todo : [why, todo].filter((part) => part !== null).join('; ');
    const ofExecutor = options.problem();
    return {
      status: isUsable && ofExecutor === null ? 'healthy' : 'unhealthy',
      claudeAvailable: available,
      version,
      loggedIn: LOGGED_IN[authenticated],
      problem: ofExecutor ?? ofCli,
      activeRequests: options.activeRequests(),
    };
  };
}
