/** Builds what a server needs to run CLIs in an executor on another host. */
import type { Logger } from 'pino';
import type { Settings } from '../config/schema.ts';
import { messageOf } from '../errors.ts';
import type { PrepareOptions } from '../executor/prepare.ts';
import type { Runner } from '../executor/runner.ts';
import type { Failpoint } from '../failpoint.ts';
import { createLogLimit } from '../log.ts';
import { missingCli, type ReportCli } from '../status/cli-reports.ts';
import type { Measure } from '../status/measures.ts';
import { pause } from '../timing.ts';
import { createBreaker } from './breaker.ts';
import { createExecutorClient, type ExecutorClient } from './client.ts';
import { createHttpRunner } from './http-runner.ts';

/** Between two looks at an executor that has not been reached since the start. */
const LOOK_AGAIN_MS = 2000;

export interface RemoteExecutor {
  /** Makes the runner. @param here runs CLIs in this server */
  runner(here: Runner): Runner;
  /** Why the executor is not used, or was not reached since the start; null: it is used. */
  problem(): string | null;
  readonly measures: readonly Measure[];
  /** Asks the executor for the CLIs of its host. */
  clis(): Promise<ReportCli>;
  /** Looks until the executor can be used, and logs that. The start does not wait for it. */
  start(): void;
  stop(): Promise<void>;
}

/** The settings of a server. With an executor on another host it keeps no processes ready. */
export const withExecutor = (settings: Settings): Settings =>
  settings.executor === 'http' ? { ...settings, warmProcesses: 0, sessionIdleMs: 0 } : settings;

/** Null: CLIs run in the server. */
export function openRemoteExecutor(
  settings: Settings,
  prepare: PrepareOptions,
  version: string,
  logger: Logger,
  failpoint?: Failpoint,
): RemoteExecutor | null {
  const { executor, executorFallback, serviceUrl, serviceSecrets, serviceTimeoutMs } = settings;
  const [secret] = serviceSecrets;
  if (executor === 'local' || secret === undefined) return null;
  const limited = createLogLimit();
  const client = createExecutorClient({
    ...{ url: serviceUrl, secret, version, timeoutMs: serviceTimeoutMs },
    onLimited() {
      const requests = limited('limited');
      if (requests !== null)
        logger.warn({ requests }, 'the executor refuses requests: name this server in CLAUDE_SERVICE_EXEMPT');
    },
  });
  const stopping = new AbortController();
  let looking: Promise<void> | null = null;
  let unreached: string | null = null;
  const breaker = createBreaker({ probe: () => client.known(), logger });
  const problem = () => breaker.problem() ?? unreached;

  async function look(): Promise<void> {
    for (let said: string | null = null; !stopping.signal.aborted; ) {
      const reason = await client.known().then(() => null, messageOf); // it is signed, as what follows
      if (stopping.signal.aborted) return;
      unreached = reason && `not reached since the start: ${reason}`;
      if (reason === null) return logHealth(client, serviceUrl, logger);
      if (reason !== said)
        logger.warn({ url: serviceUrl, reason }, 'the executor on another host cannot be used now');
      said = reason;
      await pause(LOOK_AGAIN_MS, stopping.signal);
    }
  }

  return {
    runner: (here) =>
      createHttpRunner({
        ...{ client, breaker, prepare, failpoint, logger, problem },
        maxResultBytes: settings.maxResultBytes,
        instead: executorFallback === 'local' ? here : null,
        timeoutMs: serviceTimeoutMs,
      }),
    problem,
    measures: breaker.measures,
    clis: () => clisOf(client),
    start() {
      looking = look();
    },
    async stop() {
      stopping.abort();
      breaker.stop();
      client.close();
      await looking;
    },
  };
}

async function logHealth(client: ExecutorClient, url: string, logger: Logger): Promise<void> {
  try {
    const health = await client.health();
    const found = { url, node: client.node, health };
    if (health.status === 'healthy') logger.info(found, 'the executor on another host is healthy');
    else logger.warn(found, 'the executor on another host is not healthy');
  } catch (error) {
    logger.warn({ url, reason: messageOf(error) }, 'the health of the executor on another host is not known');
  }
}

async function clisOf(client: ExecutorClient): Promise<ReportCli> {
  const found = await client.clis().catch(messageOf);
  return async ({ provider: { name } }, known) => {
    if (typeof found === 'string') return missingCli(name, found, 'start the executor on the other host');
    const report = found.providers.find((one) => one.name === name);
    const none = 'the executor on the other host has no provider of this name';
    if (report === undefined) return missingCli(name, none, 'name it in the settings of the executor');
    return report.available && known !== null ? { ...report, ...known } : report;
  };
}
