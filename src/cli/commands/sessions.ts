/** The command for sessions: lists them, and does what a chat does from outside. */
import { randomUUID } from 'node:crypto';
import type { Client } from '../../client/client.ts';
import type { SessionListQuery } from '../../client/sessions.ts';
import type { Session, Turn } from '../../protocol/session.ts';
import { SESSION_STATUSES } from '../../protocol/session-states.ts';
import type { TerminalCommand } from '../../protocol/terminal.ts';
import type { Arguments } from '../arguments.ts';
import { isOverAs } from '../attach.ts';
import type { Command, CommandContext } from '../command.ts';
import { EXIT, usageError } from '../failures.ts';
import { type Column, formatAge, oneLine, renderTable } from '../format.ts';
import { resolveSession } from '../ids.ts';
import { formatCost } from '../outcome.ts';

const DELIVERIES = ['next', 'steer', 'interrupt'] as const;

type Action = (context: CommandContext, client: Client, session: Session, args: Arguments) => Promise<void>;

/** By the word before the ID. */
const ACTIONS: Readonly<Record<string, Action>> = {
  ...{ show, send, interrupt, fork, close, history },
  delete: remove,
};

/** What `last` means for the actions that only one kind of session takes. */
const LAST_OF: Readonly<Record<string, Session['kind']>> = {
  send: 'chat',
  fork: 'chat',
  history: 'terminal',
};

export const sessionsCommand: Command = {
  name: 'sessions',
  usage: '[OPTIONS] | ACTION ID',
  summary: 'list conversations and terminals, or do something with one',
  details: `ACTION is show, send (with a text as further argument), interrupt, fork, close, history
or delete. \`show\` prints the turns. \`interrupt\` stops the running turn. \`fork\` prints the id of a
new session that goes on from here. A closed session takes no further message. \`history\` prints
the commands that were typed into a terminal, with their exit codes where the shell reports them.
\`delete\` removes a session and its jobs; their usage is kept.

ID is the id of a session or of one of its jobs, its first or last characters (four or more),
or \`last\`: the last session of this folder. A session of a single job is listed with --all.`,
  options: {
    status: { type: 'string', multiple: true, value: 'STATUS', help: SESSION_STATUSES.join(', ') },
    kind: { type: 'string', value: 'KIND', help: 'chat or terminal' },
    provider: { type: 'string', value: 'NAME', help: 'sessions of this provider' },
    tag: { type: 'string', multiple: true, value: 'TAG', help: 'sessions with all of these tags' },
    q: { type: 'string', value: 'TEXT', help: 'sessions with this text in the name or a prompt' },
    all: { type: 'boolean', help: 'with the sessions of single jobs' },
    limit: { type: 'string', short: 'n', value: 'N', help: 'maximum number (default: 20; at most 100)' },
    cursor: { type: 'string', value: 'CURSOR', help: 'the next page, as the previous one names it' },
    delivery: { type: 'string', value: 'HOW', help: 'of send: next (default), steer or interrupt' },
    json: { type: 'boolean', help: 'print the answer as JSON' },
  },
  examples: [
    'bullpen sessions --status awaiting_input',
    'bullpen sessions show last',
    'bullpen sessions send 3B7C "Use tabs" --delivery steer',
  ],
  async run(context, args) {
    const [word, given, ...more] = args.positionals;
    if (word === undefined) return list(context, args);
    const action = Object.hasOwn(ACTIONS, word) ? ACTIONS[word] : undefined;
    if (action === undefined)
      throw usageError(`sessions takes options, or ${Object.keys(ACTIONS).join(', ')} and an ID`);
    if (given === undefined) throw usageError(`which session? bullpen sessions ${word} ID`);
    if (more.length !== (word === 'send' ? 1 : 0))
      throw usageError(word === 'send' ? 'bullpen sessions send ID TEXT' : 'one session at a time');
    const client = await context.connect();
    const session = await resolveSession(client, given, context.cwd, LAST_OF[word] ?? null);
    await action(context, client, session, args);
    return EXIT.succeeded;
  },
};

async function list(context: CommandContext, args: Arguments): Promise<number> {
  const page = await (await context.connect()).sessions.list(queryOf(args));
  const { output } = context;
  if (args.flag('json')) {
    output.json(page, 2);
    return EXIT.succeeded;
  }
  if (page.data.length === 0) output.note('no sessions; --all lists those of single jobs, too', 'dim');
  else output.text(`${renderTable(columns(context.now()), page.data, output.width).join('\n')}\n`);
  if (page.nextCursor !== null) output.note(`more: --cursor ${page.nextCursor}`, 'dim');
  return EXIT.succeeded;
}

function queryOf(args: Arguments): SessionListQuery {
  const status = args.list('status').map((word) => {
    const known = SESSION_STATUSES.find((one) => one === word);
    if (known !== undefined) return known;
    throw usageError(`--status takes ${SESSION_STATUSES.join(', ')}, not ${JSON.stringify(word)}`);
  });
  const kind = args.text('kind');
  if (kind !== undefined && kind !== 'chat' && kind !== 'terminal')
    throw usageError(`--kind takes chat or terminal, not ${JSON.stringify(kind)}`);
  const tags = args.texts('tag');
  const fields = {
    status: status.length === 0 ? undefined : status,
    kind,
    provider: args.text('provider'),
    tag: tags.length === 0 ? undefined : tags,
    q: args.text('q'),
    all: args.flag('all') ? true : undefined,
    limit: args.integer('limit'),
    cursor: args.text('cursor'),
  };
  // as: only fields without a value are left out
  return Object.fromEntries(
    Object.entries(fields).filter(([, value]) => value !== undefined),
  ) as SessionListQuery;
}

const columns = (now: Date): readonly Column<Session>[] => [
  { title: 'ID', cell: ({ id }) => id },
  { title: 'KIND', cell: ({ kind }) => kind },
  { title: 'STATUS', cell: statusText },
  { title: 'PROVIDER', cell: ({ provider }) => provider },
  { title: 'TURNS', cell: ({ turns }) => String(turns), right: true },
  {
    title: 'ACTIVE',
    cell: ({ lastActivityAt }) => formatAge(now.getTime() - Date.parse(lastActivityAt)),
    right: true,
  },
  { title: 'COST', cell: ({ usage }) => (usage === null ? '' : formatCost(usage)) },
  { title: 'NAME', cell: ({ name }) => name ?? '', maxWidth: 40 },
  { title: 'FOLDER', cell: ({ cwd }) => cwd, maxWidth: 60 },
];

const statusText = ({ status, statusReason }: Session): string =>
  statusReason === null ? status : `${status} (${statusReason})`;

async function show(
  context: CommandContext,
  client: Client,
  session: Session,
  args: Arguments,
): Promise<void> {
  const { output } = context;
  const turns = await allTurns(client, session.id);
  if (args.flag('json')) return output.json({ ...session, turns }, 2);
  const { id, name, kind, provider, model, cwd, process, forkedFrom, createdAt, closedAt, tags } = session;
  const { matchedLine, terminal } = session;
  const facts: [string, string | null][] = [
    ['session', id],
    ['name', name],
    ['status', statusText(session)],
    ['waits at', matchedLine],
    ['kind', kind],
    ['size', terminal === null ? null : `${terminal.cols} × ${terminal.rows}`],
    ['exit code', terminal?.exitCode == null ? null : String(terminal.exitCode)],
    ['provider', model === null ? provider : `${provider}, ${model}`],
    ['folder', cwd],
    ['process', process === null ? null : `${process.pid} since ${process.since}`],
    ['forked', forkedFrom === null ? null : `from ${forkedFrom}`],
    ['cost', session.usage === null ? null : formatCost(session.usage)],
    ['created', createdAt],
    ['closed', closedAt],
    ['tags', tags.length === 0 ? null : tags.join(', ')],
  ];
  for (const [label, value] of facts)
    if (value !== null) output.text(`${label.padEnd(10)}${oneLine(value)}\n`);
  if (turns.length > 0) output.text(`\n${renderTable(TURNS, turns, output.width).join('\n')}\n`);
  output.note(`to go on: ${commandFor(session)}`, 'dim');
}

function commandFor({ id, kind, status }: Session): string {
  if (kind === 'chat') return `bullpen chat --session ${id}`;
  return `bullpen ${isOverAs(status) ? 'replay' : 'attach'} ${id}`;
}

const TURNS: readonly Column<Turn>[] = [
  { title: 'TURN', cell: ({ turn }) => String(turn), right: true },
  { title: 'JOB', cell: ({ jobId }) => jobId },
  { title: 'STATUS', cell: ({ status, outcome }) => outcome?.error?.code ?? status },
  { title: 'PROMPT', cell: ({ prompt }) => prompt, maxWidth: 60 },
  { title: 'ANSWER', cell: ({ outcome }) => outcome?.text ?? '', maxWidth: 60 },
];

async function allTurns(client: Client, id: string): Promise<readonly Turn[]> {
  const turns: Turn[] = [];
  for (let cursor: string | null | undefined; cursor !== null; ) {
    const page = await client.sessions.turns(id, { limit: 100, ...(cursor === undefined ? {} : { cursor }) });
    turns.push(...page.data);
    cursor = page.nextCursor;
  }
  return turns;
}

async function history(
  { output }: CommandContext,
  client: Client,
  { id }: Session,
  args: Arguments,
): Promise<void> {
  const commands: TerminalCommand[] = [];
  for (let cursor: string | null | undefined; cursor !== null; ) {
    const page = await client.sessions.history(id, {
      limit: 100,
      ...(cursor === undefined ? {} : { cursor }),
    });
    commands.push(...page.data);
    cursor = page.nextCursor;
  }
  if (args.flag('json')) return output.json(commands, 2);
  if (commands.length === 0) return output.note('nothing was typed', 'dim');
  output.text(`${renderTable(TYPED, commands, output.width).join('\n')}\n`);
}

const TYPED: readonly Column<TerminalCommand>[] = [
  { title: 'TYPED', cell: ({ at }) => at },
  { title: 'EXIT', cell: ({ exitCode }) => (exitCode === null ? '' : String(exitCode)), right: true },
  { title: 'COMMAND', cell: ({ text }) => text ?? '(not shown on the screen)' },
];

async function send(
  { output }: CommandContext,
  client: Client,
  { id }: Session,
  args: Arguments,
): Promise<void> {
  const prompt = args.positionals[2] ?? '';
  const given = args.text('delivery') ?? 'next';
  const delivery = DELIVERIES.find((one) => one === given);
  if (delivery === undefined) throw usageError(`--delivery takes ${DELIVERIES.join(', ')}`);
  const options = { idempotencyKey: randomUUID() };
  if (delivery === 'steer') {
    const steered = await client.sessions.steer(id, prompt, options);
    if (args.flag('json')) return output.json(steered);
    output.text(`${steered.jobId}\n`);
    return output.note(
      steered.delivered === 'steered' ? 'the running turn has it' : 'it is the next turn',
      'dim',
    );
  }
  const job = await client.sessions.message(id, { prompt, delivery }, options);
  if (args.flag('json')) output.json(job);
  else output.text(`${job.id}\n`);
}

async function interrupt(
  { output }: CommandContext,
  client: Client,
  { id }: Session,
  args: Arguments,
): Promise<void> {
  const session = await client.sessions.interrupt(id);
  if (args.flag('json')) output.json(session, 2);
  else output.note(`stopping the running turn of ${id}`, 'dim');
}

async function fork(
  { output }: CommandContext,
  client: Client,
  { id }: Session,
  args: Arguments,
): Promise<void> {
  const session = await client.sessions.fork(id);
  if (args.flag('json')) output.json(session, 2);
  else output.text(`${session.id}\n`);
}

async function close(
  { output }: CommandContext,
  client: Client,
  { id }: Session,
  args: Arguments,
): Promise<void> {
  const session = await client.sessions.close(id);
  if (args.flag('json')) output.json(session, 2);
  else output.note(`session ${id} is closed`, 'dim');
}

async function remove({ output }: CommandContext, client: Client, { id }: Session): Promise<void> {
  await client.sessions.remove(id);
  output.note(`session ${id} is deleted`, 'dim');
}
