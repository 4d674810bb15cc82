/** The commands for terminals of the server: open one, attach to one, play what one has shown. */
import type { Client } from '../../client/client.ts';
import { ApiError } from '../../client/errors.ts';
import type { Session, SessionRequest } from '../../protocol/session.ts';
import type { Arguments } from '../arguments.ts';
import { attach, isOverAs } from '../attach.ts';
import type { Command, CommandContext } from '../command.ts';
import { CommandError, EXIT, exitCodeOf, usageError } from '../failures.ts';
import { resolveSession } from '../ids.ts';
import { serverToWaitFor } from '../job-server.ts';
import type { PersonTerminal } from '../person-terminal.ts';
import { type PlayOptions, play } from '../play.ts';
import { REQUEST_OPTIONS, requestFields } from '../request-options.ts';
import { createTypedKeys, eitherKey, parseDetachKey } from '../typed-keys.ts';

const DETACH_KEY = { type: 'string', value: 'KEY', help: 'key that detaches (default: ctrl-])' } as const;
const ID = `ID is the id of a session, its first or last characters (four or more), or \`last\`: the
last terminal of this folder.`;

const { model, effort, cwd, tag, metadata } = REQUEST_OPTIONS;
const OF_NEW = {
  ...{ model, effort, cwd },
  'permission-mode': REQUEST_OPTIONS['permission-mode'],
  'append-system-prompt': REQUEST_OPTIONS['append-system-prompt'],
  name: { type: 'string', value: 'NAME', help: 'name of the terminal, for people' },
  ...{ tag, metadata },
} as const;

export const terminalCommand: Command = {
  name: 'terminal',
  usage: '[PROVIDER|COMMAND] [OPTIONS]',
  summary: 'open an agent CLI, or another program, on a terminal of the server',
  details: `It goes on when you detach (Ctrl-]) or lose the connection: \`bullpen attach\` shows it again,
here and elsewhere, also to several people at once. It ends with its program, with
\`bullpen sessions close\`, or when it is unused for some minutes.

Without an argument it is the default provider. Terminals are off until the settings file of the
server has \`terminals: {enabled: true}\`. Commands are named there, too, below \`terminals.commands\`.`,
  options: {
    ...OF_NEW,
    'detach-key': DETACH_KEY,
    detach: { type: 'boolean', help: 'open it, print its id, and do not attach' },
  },
  examples: ['bullpen terminal', 'bullpen terminal codex --permission-mode plan', 'bullpen terminal shell'],
  async run(context, args) {
    const [what, ...more] = args.positionals;
    if (more.length > 0) throw usageError('one provider, or one command of the settings');
    const key = parseDetachKey(args.text('detach-key') ?? 'ctrl-]');
    const detach = args.flag('detach');
    const person = detach ? null : personOf(context, '--detach opens a terminal without one');
    const request = requestOf(args, context);
    await using server = await serverToWaitFor(context, request.cwd);
    const session = await open(server.client, what, { ...request, ...person?.size });
    if (person !== null) return attachTo(context, server.client, session, { person, key, types: true });
    context.output.text(`${session.id}\n`);
    return EXIT.succeeded;
  },
};

export const attachCommand: Command = {
  name: 'attach',
  usage: 'ID [--read-only]',
  summary: 'show a terminal of the server here, and type into it',
  details: `${ID} The terminal takes the size of yours.

Every key goes to its program, also Ctrl-C. Ctrl-] detaches, and the program goes on. The exit
code is that of the program when it ends meanwhile.`,
  options: {
    'read-only': { type: 'boolean', help: 'only look: nothing is typed, and its size stays' },
    'detach-key': DETACH_KEY,
  },
  examples: [
    'bullpen attach last',
    'bullpen attach 3B7C --read-only',
    "bullpen attach last --detach-key 'ctrl-\\'",
  ],
  async run(context, args) {
    const key = parseDetachKey(args.text('detach-key') ?? 'ctrl-]');
    const person = personOf(context, '`bullpen replay ID --raw` prints what it has shown');
    const client = await context.connect();
    const session = await terminalOf(client, context, args);
    if (isOverAs(session.status))
      throw usageError(`${endOf(session)}; bullpen replay ${session.id} shows it`);
    return attachTo(context, client, session, { person, key, types: !args.flag('read-only') });
  },
};

export const replayCommand: Command = {
  name: 'replay',
  usage: 'ID [--speed N]',
  summary: 'play what a terminal has shown',
  details: `${ID} Ctrl-C or q stops it. Only the output is recorded, never what was typed.`,
  options: {
    speed: { type: 'string', value: 'N', help: 'how many times faster (default: 1)' },
    'idle-limit': { type: 'string', value: 'TIME', help: 'longest pause (default: 2s)' },
    raw: { type: 'boolean', help: 'print the recording (asciicast v2) instead' },
  },
  examples: ['bullpen replay last --speed 4', 'bullpen replay 3B7C --raw > terminal.cast'],
  async run(context, args) {
    const speed = args.number('speed') ?? 1;
    if (speed <= 0) throw usageError('--speed takes a number above 0');
    const idleLimitMs = args.durationMs('idle-limit') ?? 2000;
    const isRaw = args.flag('raw');
    const person = isRaw ? null : personOf(context, '--raw prints the recording');
    const client = await context.connect();
    const { id } = await terminalOf(client, context, args);
    const stop = new AbortController();
    const lines = client.sessions.recording(id, { signal: stop.signal });
    using _signals = context.interrupts.listen(() => stop.abort());
    try {
      if (person === null) for await (const line of lines) context.output.text(`${line}\n`);
      else await playOn(person, lines, { speed, idleLimitMs, stop, sleep: context.sleep });
    } catch (error) {
      if (!stop.signal.aborted) throw error;
      return EXIT.cancelled;
    }
    return EXIT.succeeded;
  },
};

/** Also as a keyboard with extended keys sends it, which what is played may ask for. */
const Q = { name: 'q', pattern: /q|\u001b\[113u/ };

interface Playing extends Pick<PlayOptions, 'speed' | 'idleLimitMs' | 'sleep'> {
  readonly stop: AbortController;
}

/** Plays until the end, Ctrl-C or q. Answers of the terminal to what is played go to no program. */
async function playOn(
  person: PersonTerminal,
  lines: AsyncIterable<string>,
  { speed, idleLimitMs, stop, sleep }: Playing,
): Promise<void> {
  const { signal } = stop;
  const typed = createTypedKeys(eitherKey(parseDetachKey('ctrl-c'), Q));
  await using _keys = person.listen(
    (bytes) => {
      if (typed.take(bytes).detach) stop.abort();
    },
    () => {},
  );
  await play(lines, { person, speed, idleLimitMs, signal, sleep, now: () => performance.now() });
}

function personOf(context: CommandContext, otherwise: string): PersonTerminal {
  const person = context.openScreen();
  if (person === null) throw usageError(`this needs a terminal; ${otherwise}`);
  return person;
}

function requestOf(args: Arguments, context: CommandContext): SessionRequest & { readonly cwd: string } {
  const name = args.text('name');
  const { cwd: folder = context.cwd, ...fields } = requestFields(args, context.cwd, context.now());
  // as: the options of this command are fields of a session, too; the server checks the values
  return { ...(fields as SessionRequest), cwd: folder, ...(name === undefined ? {} : { name }) };
}

/** @param what a provider, or else a command of the settings; undefined: the default provider */
async function open(client: Client, what: string | undefined, request: SessionRequest): Promise<Session> {
  const providers = what === undefined ? [] : (await client.providers()).map(({ name }) => name);
  const program = what === undefined ? {} : providers.includes(what) ? { provider: what } : { command: what };
  try {
    return await client.sessions.create({ kind: 'terminal', ...request, ...program });
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    if (error.code === 'terminal.disabled')
      throw new CommandError(
        EXIT.noPermission,
        'terminals are off on this server; `terminals: {enabled: true}` in its settings file switches them on',
      );
    if (error.code !== 'terminal.command_unknown') throw error;
    const known = `the providers are ${providers.join(', ')}`;
    throw usageError(`there is no provider and no command ${JSON.stringify(what)}; ${known}`);
  }
}

/** The terminal that the argument names. @throws CommandError */
async function terminalOf(client: Client, context: CommandContext, args: Arguments): Promise<Session> {
  const [given, ...more] = args.positionals;
  if (given === undefined || more.length > 0) throw usageError('give the id of one terminal, or last');
  const session = await resolveSession(client, given, context.cwd, 'terminal');
  if (session.kind === 'terminal') return session;
  throw usageError(`${session.id} is a chat; bullpen chat --session ${session.id} goes on with it`);
}

interface Attaching {
  readonly person: PersonTerminal;
  readonly key: ReturnType<typeof parseDetachKey>;
  readonly types: boolean;
}

async function attachTo(
  { output, interrupts }: CommandContext,
  client: Client,
  session: Session,
  { person, key, types }: Attaching,
): Promise<number> {
  const { id, provider, cwd: folder, terminal } = session;
  output.note(`${provider} in ${folder}; ${key.name} ${types ? 'detaches' : 'or Ctrl-C leaves'}`, 'dim');
  const { cols, rows } = person.size;
  if (!types && terminal !== null && (terminal.cols > cols || terminal.rows > rows))
    output.note(`it has ${terminal.cols} × ${terminal.rows}, more than this terminal shows`, 'yellow');
  const how = await attach({ client, sessionId: id, person, types, detachKey: key, interrupts });
  if (how !== 'ended') {
    output.note(`detached; bullpen attach ${id}`, 'dim');
    return how === 'detached' ? EXIT.succeeded : EXIT.cancelled;
  }
  const ended = await client.sessions.get(id);
  output.note(endOf(ended), 'dim');
  if (ended.terminal?.exitCode != null) return ended.terminal.exitCode;
  return ended.statusReason === null ? EXIT.succeeded : exitCodeOf(ended.statusReason);
}

/** How a terminal has ended, in words. */
function endOf({ status, statusReason, terminal }: Session): string {
  const exitCode = terminal?.exitCode ?? null;
  if (exitCode !== null) return `ended (exit code ${exitCode})`;
  return status === 'closed' ? 'closed' : `ended (${statusReason ?? status})`;
}
