/** The settings of a sandboxed worker, which gets nothing else of the server's environment. */
import { getCompileCacheDir } from 'node:module';
import { type Static, Type } from 'typebox';
import { Value } from 'typebox/value';
import { AppError } from '../errors.ts';

const WorkerSettings = Type.Object({
  redisUrl: Type.String(),
  prefix: Type.String(),
  requestChannel: Type.String(),
  responseChannel: Type.String(),
  keepInRedisMs: Type.Integer(),
  logLevel: Type.String(),
  /** The folder of `failpoint.ts`, in tests. */
  failpoints: Type.Optional(Type.String()),
});

export type WorkerSettings = Static<typeof WorkerSettings>;

/** The variable that holds them. */
const NAME = 'BULLPEN_WORKER';

/** Returns the whole environment of a worker process. */
export function workerEnvironment(settings: WorkerSettings): Record<string, string> {
  const { redisUrl, prefix, requestChannel, responseChannel, keepInRedisMs, logLevel, failpoints } = settings;
  const own = { redisUrl, prefix, requestChannel, responseChannel, keepInRedisMs, logLevel, failpoints };
  const compileCache = getCompileCacheDir();
  return {
    [NAME]: JSON.stringify(own),
    ...(compileCache === undefined ? {} : { NODE_COMPILE_CACHE: compileCache }),
  };
}

/** @throws AppError config.invalid when the process was not started by Bullpen */
export function readWorkerSettings(env: Readonly<Record<string, string | undefined>>): WorkerSettings {
  const settings: unknown = JSON.parse(env[NAME] ?? 'null');
  if (Value.Check(WorkerSettings, settings)) return settings;
  throw new AppError('config.invalid', 'a worker is started by the server, not by hand');
}
