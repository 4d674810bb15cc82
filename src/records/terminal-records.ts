import type { Redis } from 'ioredis';
import type { Names } from '../redis/names.ts';
import type { ScriptRunner } from './script-runner.ts';
import type { TerminalRecords } from './session-ports.ts';

/** {@link TerminalRecords} over Redis, for one node. */
export function createTerminalRecords(
  redis: Redis,
  names: Names,
  scripts: ScriptRunner,
  node: string,
): TerminalRecords {
  /**
   * The last seq of each terminal. When Redis has lost newer events, their numbers are not used
   * again, because readers have seen them.
   */
  const known = new Map<string, number>();

  return {
    async append(id, batch, events, keepFrom) {
      const sized = events.findLast(({ event }) => event.kind !== 'terminal.output')?.event;
      const size = sized !== undefined && 'cols' in sized && { cols: sized.cols, rows: sized.rows };
      const args = { id, batch, keepFrom, known: known.get(id) ?? 0, ...size };
      const list = events.flatMap(({ at, event }) => [at, JSON.stringify(event)]);
      const seq = Number(await scripts.run('terminal-append', args, list));
      if (seq > 0) known.set(id, seq);
      return seq;
    },

    async move(id, { trigger, reason, matchedLine, exitCode = null }) {
      const args = { id, trigger, reason, matchedLine, exitCode, known: known.get(id) ?? 0 };
      const isThere = (await scripts.run('terminal-move', args)) === 1;
      if (trigger === 'failed' || trigger === 'closed') known.delete(id);
      return isThere;
    },

    async readers(id) {
      const [, count] = (await redis.pubsub('NUMSUB', names.liveSession(id))) as [string, number]; // of one channel
      return Number(count);
    },

    async open() {
      const nodes = Object.entries(await redis.hgetall(names.terminals));
      return nodes.flatMap(([id, its]) => (its === node ? [id] : []));
    },
  };
}
