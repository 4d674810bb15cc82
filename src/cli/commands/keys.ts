/** The command for the tokens of callers: keys. */
import { resolve } from 'node:path';
import type { Key, KeyCreated, KeyRequest } from '../../protocol/key.ts';
import type { Arguments, OptionSpecs } from '../arguments.ts';
import type { Command, CommandContext } from '../command.ts';
import { EXIT, usageError } from '../failures.ts';
import { type Column, formatAge, oneLine, renderTable } from '../format.ts';
import type { Output } from '../output.ts';

const list = (value: string, help: string) => ({ type: 'string', value, multiple: true, help }) as const;
const figure = (help: string) => ({ type: 'string', value: 'N', help }) as const;

const OF_CREATE = {
  name: { type: 'string', value: 'NAME', help: 'of the new key, for people' },
  project: { type: 'string', value: 'NAME', help: 'its project; default: default' },
  scopes: list('LIST', 'jobs:read, jobs:write, usage:read, metrics:read, audit:read, admin, …'),
  expires: { type: 'string', value: 'TIME', help: 'when it ends: 90d; default: never' },
  providers: list('LIST', 'providers that its jobs may use'),
  roots: list('LIST', 'folders in which its jobs may run'),
  tools: list('LIST', 'tools that its jobs may allow: Read,Bash(git *); "" for none'),
  'permission-modes': list('LIST', 'permission modes that its jobs may have'),
  'requests-per-minute': figure('requests a minute'),
  'jobs-per-hour': figure('jobs that it may make an hour'),
  'max-queued': figure('its jobs that have not started'),
  'max-running': figure('its jobs that run at the same time'),
  'usd-per-day': { type: 'string', value: 'USD', help: 'dollars that its jobs may cost a day' },
} satisfies OptionSpecs;

export const keysCommand: Command = {
  name: 'keys',
  usage: '[--json] | create OPTIONS | revoke ID | rotate ID',
  summary: 'list the keys of callers, make or end one',
  details: `A key is the token of one caller. What it makes belongs to its project, and it sees that
project only. \`create\` and \`rotate\` print the token, once. \`rotate\` gives a key
another token and ends the one before; \`revoke\` ends the key.`,
  options: {
    ...OF_CREATE,
    json: { type: 'boolean', help: 'print the answer as JSON' },
  },
  examples: [
    'bullpen keys create --name ci --project web --scopes jobs:write --expires 90d',
    'bullpen keys revoke 01K9ZV4Q4S9V0M0X2T6D8Y3B7C',
  ],
  async run(context, args) {
    const { output } = context;
    const [action = 'list', id, ...more] = args.positionals;
    const takesId = action === 'revoke' || action === 'rotate';
    const known = takesId || action === 'create' || action === 'list';
    if (!known || (id !== undefined) !== takesId || more.length > 0)
      throw usageError('keys takes no arguments, `create`, `revoke ID` or `rotate ID`');
    for (const option of action === 'create' ? [] : Object.keys(OF_CREATE))
      if (args.texts(option).length > 0) throw usageError(`--${option} belongs to \`create\``);
    const request = action === 'create' ? requestOf(args, context) : null;
    const client = await context.connect();
    if (request !== null) print(output, args, await client.createKey(request));
    else if (id !== undefined && action === 'rotate') print(output, args, await client.rotateKey(id));
    else if (id !== undefined) {
      const key = await client.revokeKey(id);
      if (args.flag('json')) output.json(key, 2);
      else output.note(`key ${id} is revoked`);
    } else {
      const data = await client.keys();
      if (args.flag('json')) output.json({ data }, 2);
      else output.text(`${renderTable(columns(context.now()), data, output.width).join('\n')}\n`);
    }
    return EXIT.succeeded;
  },
};

function requestOf(args: Arguments, { cwd, now }: Pick<CommandContext, 'cwd' | 'now'>): KeyRequest {
  const [name, project, expiresMs] = [args.text('name'), args.text('project'), args.durationMs('expires')];
  const scopes = args.list('scopes');
  if (name === undefined || scopes.length === 0) throw usageError('`create` needs --name and --scopes');
  return {
    name,
    scopes: scopes as KeyRequest['scopes'], // as: the server refuses unknown ones
    ...(project !== undefined && { project }),
    ...(expiresMs !== undefined && { expiresAt: new Date(now().getTime() + expiresMs).toISOString() }),
    ...narrowed(args, cwd),
  };
}

/** The rights and amounts that are given. The server checks the values. */
function narrowed(args: Arguments, cwd: string): Partial<KeyRequest> {
  const listed = (name: string) => (args.texts(name).length === 0 ? undefined : args.list(name));
  const fields = {
    providers: listed('providers'),
    roots: listed('roots')?.map((folder) => resolve(cwd, folder)),
    tools: listed('tools'),
    permissionModes: listed('permission-modes'),
    requestsPerMinute: args.integer('requests-per-minute'),
    jobsPerHour: args.integer('jobs-per-hour'),
    maxQueued: args.integer('max-queued'),
    maxRunning: args.integer('max-running'),
    usdPerDay: args.number('usd-per-day'),
  };
  // as: the server refuses unknown providers and modes
  return Object.fromEntries(
    Object.entries(fields).filter(([, value]) => value !== undefined),
  ) as Partial<KeyRequest>;
}

/** The token alone goes to stdout, for a script that stores it. */
function print(output: Output, args: Arguments, key: KeyCreated): void {
  if (args.flag('json')) {
    output.json(key, 2);
    return;
  }
  output.note(`key ${key.id} (${key.name}, project ${key.project}): ${key.scopes.join(', ')}`);
  const limits = limitsOf(key);
  if (limits !== '') output.note(`only ${oneLine(limits)}`);
  output.note(
    key.token === null
      ? 'its token was shown before; `rotate` makes another one'
      : 'its token is shown only now:',
  );
  if (key.token !== null) output.text(`${key.token}\n`);
}

function columns(now: Date): readonly Column<Key>[] {
  const age = (time: string | null): string =>
    time === null ? 'never' : formatAge(now.getTime() - Date.parse(time));
  return [
    { title: 'ID', cell: ({ id }) => id },
    { title: 'NAME', cell: ({ name }) => oneLine(name) },
    { title: 'PROJECT', cell: ({ project }) => project },
    { title: 'SCOPES', cell: ({ scopes }) => scopes.join(',') },
    { title: 'STATUS', cell: ({ status }) => status },
    { title: 'USED', cell: ({ lastUsedAt }) => age(lastUsedAt) },
    { title: 'EXPIRES', cell: ({ expiresAt }) => expiresAt ?? 'never' },
    { title: 'ONLY', cell: (key) => limitsOf(key) || '-' },
  ];
}

/** What a key is limited to: `roots=/srv/web max-running=2`. */
const limitsOf = (key: Key): string =>
  OF_LIMITS.flatMap((name) => {
    const value = key[name];
    if (value === null || value === undefined) return []; // undefined: an older server
    return `${dashed(name)}=${Array.isArray(value) ? value.join(',') || 'none' : value}`;
  }).join(' ');

const OF_LIMITS = [
  ...(['providers', 'roots', 'tools', 'permissionModes', 'requestsPerMinute', 'jobsPerHour'] as const),
  ...(['maxQueued', 'maxRunning', 'usdPerDay'] as const),
];
const dashed = (name: string): string => name.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
