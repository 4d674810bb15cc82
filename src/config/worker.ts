/** The settings of a sandboxed worker, which gets nothing else of the server's environment. */
import { AppError } from '../errors.ts';
import type { LogLevel } from '../log.ts';
import { compileCacheVariable } from '../sibling-module.ts';

/** They come from the server's own settings, which were checked. */
export interface WorkerSettings {
  readonly redisUrl: string;
  readonly prefix: string;
  readonly requestChannel: string;
  readonly responseChannel: string;
  readonly keepInRedisMs: number;
  readonly logLevel: LogLevel;
  /** The folder of `failpoint.ts`, in tests. */
  readonly failpoints?: string;
}

/** The variable that holds them. */
const NAME = 'BULLPEN_WORKER';

/** Returns the whole environment of a worker process. */
export function workerEnvironment(settings: WorkerSettings): Record<string, string> {
  const { redisUrl, prefix, requestChannel, responseChannel, keepInRedisMs, logLevel, failpoints } = settings;
  const own = { redisUrl, prefix, requestChannel, responseChannel, keepInRedisMs, logLevel, failpoints };
  return { [NAME]: JSON.stringify(own), ...compileCacheVariable() };
}

/** @throws AppError config.invalid when the process was not started by Bullpen */
export function readWorkerSettings(env: Readonly<Record<string, string | undefined>>): WorkerSettings {
  const settings = env[NAME];
  if (settings === undefined)
    throw new AppError('config.invalid', 'a worker is started by the server, not by hand');
  return JSON.parse(settings);
}
