/**
 * The only place where queue, key and channel names occur. Every key carries one hash tag, so that all of
 * them share one slot and a script may build the names of the keys it needs from the prefix alone.
 */
import type { ChannelSettings } from '../config/schema.ts';

export interface Names {
  /** Prefix of every key, with the hash tag; also BullMQ's prefix. */
  readonly prefix: string;
  /** The BullMQ queue. */
  readonly queue: string;
  /** Channel of doorbells to executors and of raw requests. */
  readonly requests: string;
  /** Channel of announced outcomes and of raw answers. */
  readonly responses: string;
  job(id: string): string;
  events(id: string): string;
  /** Channel that says "job `id` has events up to seq". */
  live(id: string): string;
  /** Stream of record changes that every node projects. */
  readonly log: string;
  /** Sorted set of node id → last heartbeat, in Redis milliseconds. */
  readonly nodes: string;
  /** Sorted set of running job id → end of its lease. */
  readonly running: string;
  /** Sorted set of submitted job ids no executor has claimed. */
  readonly pending: string;
  /** The same for jobs only one node may run. */
  pendingOn(node: string): string;
  /** Sorted set of job ids BullMQ has to deliver → when to look whether it did. */
  readonly awaiting: string;
}

export function createNames(settings: ChannelSettings): Names {
  const prefix = `{${settings.prefix}}`;
  return {
    prefix,
    queue: 'prompts',
    requests: settings.requestChannel,
    responses: settings.responseChannel,
    job: (id) => `${prefix}:job:${id}`,
    events: (id) => `${prefix}:events:${id}`,
    live: (id) => `${prefix}:live:${id}`,
    log: `${prefix}:log`,
    nodes: `${prefix}:nodes`,
    running: `${prefix}:running`,
    pending: `${prefix}:pending`,
    awaiting: `${prefix}:awaiting`,
    pendingOn: (node) => `${prefix}:pending:${node}`,
  };
}
