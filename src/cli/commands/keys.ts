/** The command for the tokens of callers: keys. */
import type { Key, KeyCreated, KeyRequest } from '../../protocol/key.ts';
import type { Arguments } from '../arguments.ts';
import type { Command } from '../command.ts';
import { EXIT, usageError } from '../failures.ts';
import { type Column, formatAge, oneLine, renderTable } from '../format.ts';
import type { Output } from '../output.ts';

const OF_CREATE = ['name', 'project', 'scopes', 'expires'] as const;

export const keysCommand: Command = {
  name: 'keys',
  usage: '[--json] | create OPTIONS | revoke ID | rotate ID',
  summary: 'list the keys of callers, make or end one',
  details: `A key is the token of one caller. What it makes belongs to its project, and it sees that
project only. \`create\` and \`rotate\` print the token, once. \`rotate\` gives a key
another token and ends the one before; \`revoke\` ends the key.`,
  options: {
    name: { type: 'string', value: 'NAME', help: 'of the new key, for people' },
    project: { type: 'string', value: 'NAME', help: 'its project; default: default' },
    scopes: {
      type: 'string',
      value: 'LIST',
      multiple: true,
      help: 'of jobs:read, jobs:write, usage:read, metrics:read, admin',
    },
    expires: { type: 'string', value: 'TIME', help: 'when it ends: 90d; default: never' },
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
    for (const option of action === 'create' ? [] : OF_CREATE)
      if (args.texts(option).length > 0) throw usageError(`--${option} belongs to \`create\``);
    const request = action === 'create' ? requestOf(args, context.now()) : null;
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

function requestOf(args: Arguments, now: Date): KeyRequest {
  const [name, project, expiresMs] = [args.text('name'), args.text('project'), args.durationMs('expires')];
  const scopes = args.list('scopes');
  if (name === undefined || scopes.length === 0) throw usageError('`create` needs --name and --scopes');
  return {
    name,
    scopes: scopes as KeyRequest['scopes'], // as: the server refuses unknown ones
    ...(project !== undefined && { project }),
    ...(expiresMs !== undefined && { expiresAt: new Date(now.getTime() + expiresMs).toISOString() }),
  };
}

/** The token alone goes to stdout, for a script that stores it. */
function print(output: Output, args: Arguments, key: KeyCreated): void {
  if (args.flag('json')) {
    output.json(key, 2);
    return;
  }
  output.note(`key ${key.id} (${key.name}, project ${key.project}): ${key.scopes.join(', ')}`);
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
  ];
}
