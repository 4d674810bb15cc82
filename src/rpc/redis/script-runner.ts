import { createHash } from 'node:crypto';
import type { Redis } from 'ioredis';
import { AppError, messageOf } from '../../errors.ts';
import * as batchScripts from './batch-scripts.ts';
import { prelude, type ScriptSettings } from './prelude.ts';
import * as jobScripts from './scripts.ts';
import * as upkeepScripts from './upkeep-scripts.ts';

const bodies = { ...jobScripts, ...batchScripts, ...upkeepScripts };

export type ScriptName = keyof typeof bodies;

export interface ScriptRunner {
  /**
   * Runs one script atomically.
   * @throws AppError redis.unavailable when Redis cannot be reached, is loading, or refuses writes
   */
  run(name: ScriptName, args: readonly (string | number)[]): Promise<unknown>;
}

/** Runs the protocol's scripts by hash; a Redis that does not know one yet (restart, flush) is given its text. */
export function createScriptRunner(redis: Redis, prefix: string, settings: ScriptSettings): ScriptRunner {
  const head = prelude(settings);
  const known = new Map<ScriptName, { text: string; sha: string }>();
  const load = (name: ScriptName) => {
    let script = known.get(name);
    if (script === undefined) {
      const text = `${head}${bodies[name]}`;
      script = { text, sha: createHash('sha1').update(text).digest('hex') };
      known.set(name, script);
    }
    return script;
  };

  return {
    async run(name, args) {
      const { text, sha } = load(name);
      try {
        return await redis.evalsha(sha, 1, prefix, ...args);
      } catch (error) {
        if (!messageOf(error).startsWith('NOSCRIPT')) throw unavailable(error);
      }
      try {
        return await redis.eval(text, 1, prefix, ...args);
      } catch (error) {
        throw unavailable(error);
      }
    },
  };
}

/** What Redis refuses because of its own state; inside a script too, whose name it then adds. */
const REFUSED = /^(OOM|MISCONF|READONLY|NOREPLICAS|LOADING|MASTERDOWN|CLUSTERDOWN|TRYAGAIN|BUSY) /;

/** An error of the Redis client as one of ours. A fault inside a script is a bug and says so. */
export function unavailable(error: unknown): AppError {
  if (error instanceof AppError) return error;
  const text = messageOf(error);
  const faulty = text.includes('user_script') || text.startsWith('ERR Error running script');
  if (faulty && !REFUSED.test(text)) {
    return new AppError('internal.error', `a script failed: ${text}`, { cause: error });
  }
  const why = text.startsWith('OOM')
    ? 'Redis is out of memory'
    : 'Redis cannot be reached or takes no writes';
  return new AppError('redis.unavailable', `${why}; nothing was lost, try again`, {
    cause: error,
    retryAfterSeconds: 2,
  });
}
