/** The composition root of a sandboxed process: two connections, the RPC client, nothing else. */
import { readWorkerSettings } from '../src/config/worker.ts';
import { createFailpoint } from '../src/failpoint.ts';
import { createIdFactory } from '../src/ids.ts';
import { createLogger } from '../src/logger.ts';
import { createScriptRunner } from '../src/records/script-runner.ts';
import { createSubmissions } from '../src/records/submissions.ts';
import { openConnection } from '../src/redis/connection.ts';
import { createRedisDoorbells } from '../src/redis/doorbells.ts';
import { createNames } from '../src/redis/names.ts';
import { createRpcClient, type RunResult } from '../src/rpc/client.ts';

const POLL_MS = 2000;
const PARKED_MS = 15_000;

/**
 * Resolves when it is ready for a job: connected, and listening.
 * @param env the worker's environment, as the worker pool set it
 */
export async function createPromptProcessor(
  env: Readonly<Record<string, string | undefined>>,
): Promise<(jobId: string, signal: AbortSignal) => Promise<RunResult>> {
  const settings = readWorkerSettings(env);
  const logger = createLogger(settings.logLevel);
  const names = createNames(settings);
  const commands = openConnection(settings.redisUrl, 'patient', 'worker', logger);
  const subscriber = openConnection(settings.redisUrl, 'patient', 'worker-sub', logger);
  const scripts = createScriptRunner(commands, names.prefix, {
    ...settings,
    keepFinishedMs: settings.keepInRedisMs,
  });
  const client = createRpcClient({
    submissions: createSubmissions(scripts),
    doorbells: createRedisDoorbells(commands, subscriber, logger),
    channel: names.responses,
    newExecutionId: createIdFactory(),
    pollMs: POLL_MS,
    parkedMs: PARKED_MS,
    failpoint: createFailpoint(settings.failpoints),
  });
  await client.start();
  return (jobId, signal) => client.run(jobId, signal);
}
