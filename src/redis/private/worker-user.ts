/** The Redis user of the sandboxed workers: what their one script touches, and the channel they listen on. */
import { channelRules } from './server-files.ts';

export const WORKER_USER = 'bullpen-worker';

/** What the script SUBMIT reads and writes. Not BullMQ's keys: those are the main process's alone. */
const KEYS = [
  '',
  'job:*',
  'events:*',
  'pending*',
  'lane:*',
  'log',
  'log:id',
  'awaiting',
  'pinned',
  'providers',
];

const COMMANDS = [
  // of the connection
  'ping',
  'info', // whether Redis has read its data
  'client|setname',
  'subscribe',
  'unsubscribe',
  // of the script
  'eval',
  'evalsha',
  'time',
  'hmget',
  'hset',
  'zadd',
  'zrange',
  'zrem',
  'sadd',
  'xadd',
  'xdel',
  'xrange',
  'xrevrange',
  'xsetid',
  'del',
  'publish',
];

/** Its rules, for `ACL SETUSER` and an ACL file; docs/operations.md prints them. */
export function workerRules(options: {
  readonly prefix: string;
  readonly requestChannel: string;
  readonly responseChannel: string;
}): readonly string[] {
  const prefix = `{${options.prefix}}:`;
  return [
    'resetkeys',
    'resetchannels',
    ...KEYS.map((key) => `~${prefix}${key}`),
    ...channelRules(options),
    `&${prefix}live:*`,
    '-@all',
    ...COMMANDS.map((command) => `+${command}`),
  ];
}
