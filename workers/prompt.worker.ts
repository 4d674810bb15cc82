/**
 * ③ The processor of a sandboxed worker (`bootstrap.ts`): it submits one job at a time to the
 * executor over RPC, and waits until the job has ended. It has two Redis connections and nothing
 * else.
 */
import type { SandboxedJob } from 'bullmq';
import { monotonicFactory } from 'ulid';
import { urlSecrets } from '../src/config/secrets.ts';
import { readWorkerSettings } from '../src/config/worker.ts';
import { createFailpoint } from '../src/failpoint.ts';
import { createLineLog } from '../src/log.ts';
import { createScriptRunner } from '../src/records/script-runner.ts';
import { createSubmissions } from '../src/records/submissions.ts';
import { createRedactor } from '../src/redactor.ts';
import { openConnection } from '../src/redis/connection.ts';
import { createRedisDoorbells } from '../src/redis/doorbells.ts';
import { createNames } from '../src/redis/names.ts';
import { createRpcClient, UNTIL_PROMOTED } from '../src/rpc/client.ts';
import { createJobWaits } from '../src/rpc/job-waits.ts';

const POLL_MS = 2000;
const CLEAN_AFTER_MS = 5000;

const settings = readWorkerSettings(process.env);
const logger = createLineLog(settings.logLevel, createRedactor(urlSecrets(settings.redisUrl)));
const names = createNames(settings);
const commands = openConnection(settings.redisUrl, 'patient', 'worker', logger);
const subscriber = openConnection(settings.redisUrl, 'patient', 'worker-sub', logger);
const waits = createJobWaits(createRedisDoorbells(commands, subscriber, logger), names.responses);
const run = createRpcClient({
  submissions: createSubmissions(
    createScriptRunner(commands, names.prefix, { ...settings, keepFinishedMs: settings.keepInRedisMs }, [
      'submit',
    ]),
  ),
  waits,
  newExecutionId: monotonicFactory(),
  pollMs: POLL_MS,
  failpoint: createFailpoint(settings.failpoints),
});
// BullMQ sends a job only after this module is loaded, so no job fails because Redis is away.
await waits.start();
// V8 keeps 7 MB of garbage from the start. Collecting it takes 50 ms of CPU, so it waits until a
// first burst of jobs is over.
setTimeout(() => globalThis.gc?.({ type: 'major', flavor: 'last-resort' }), CLEAN_AFTER_MS).unref();

/** Called by BullMQ for each delivery. */
export default async function prompt(
  job: SandboxedJob<{ jobId: string }>,
  token: string,
  signal: AbortSignal,
) {
  const result = await run(job.data.jobId, signal);
  // BullMQ shows a job that did not succeed as failed, and does not deliver it again.
  if (result.kind === 'finished' && result.status !== 'succeeded')
    throw bullError('UnrecoverableError', result.status);
  if (result.kind !== 'later') return result;
  await job.moveToDelayed(result.afterMs === null ? UNTIL_PROMOTED : Date.now() + result.afterMs, token);
  throw bullError('DelayedError', 'the job was moved to delayed');
}

/** An error that BullMQ knows by its own property `name`. Loading its classes would take 10 MB. */
function bullError(name: 'UnrecoverableError' | 'DelayedError', message: string): Error {
  return Object.assign(new Error(message), { name });
}
