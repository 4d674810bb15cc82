import { createHash } from 'node:crypto';
import type { Redis } from 'ioredis';
import { messageOf } from '../errors.ts';
import * as batchScripts from './batch-scripts.ts';
import { prelude, type ScriptSettings } from './prelude.ts';
import * as jobScripts from './scripts.ts';
import * as upkeepScripts from './upkeep-scripts.ts';

const bodies = { ...jobScripts, ...batchScripts, ...upkeepScripts };

export type ScriptName = keyof typeof bodies;

export interface ScriptRunner {
  /**
   * Runs one script atomically.
   * @throws AppError redis.unavailable when Redis cannot be reached, is loading, or takes no writes; redis.refused
   */
  run(name: ScriptName, args: readonly (string | number)[]): Promise<unknown>;
}

/** Runs the protocol's scripts by hash; a Redis that does not know one yet (restart, flush) is given its text. */
export function createScriptRunner(redis: Redis, prefix: string, settings: ScriptSettings): ScriptRunner {
  const head = prelude(settings);
  // What every key begins with: a user whose rights are `~PREFIX:*` may name it.
  const key = `${prefix}:`;
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
        return await redis.evalsha(sha, 1, key, ...args);
      } catch (error) {
        if (!messageOf(error).startsWith('NOSCRIPT')) throw error;
      }
      return redis.eval(text, 1, key, ...args);
    },
  };
}
