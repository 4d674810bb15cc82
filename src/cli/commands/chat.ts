import type { Client } from '../../client/client.ts';
import type { Job } from '../../protocol/job.ts';
import type { Session, SessionRequest } from '../../protocol/session.ts';
import type { Arguments } from '../arguments.ts';
import { askerFor } from '../ask-person.ts';
import { type Chat, createChat } from '../chat.ts';
import type { Command, CommandContext } from '../command.ts';
import { EXIT, usageError } from '../failures.ts';
import { resolveSession } from '../ids.ts';
import { serverOrOwn } from '../job-server.ts';
import type { LineEditor } from '../line-editor.ts';
import { answerOf } from '../outcome.ts';
import type { Output } from '../output.ts';
import { REQUEST_OPTIONS, requestFields } from '../request-options.ts';

const { provider, model, effort, cwd, tag, metadata } = REQUEST_OPTIONS;
/** What a new session has; an old one keeps what it has. */
const OF_NEW = {
  ...{ provider, model, effort, cwd },
  'permission-mode': REQUEST_OPTIONS['permission-mode'],
  'allowed-tools': REQUEST_OPTIONS['allowed-tools'],
  'disallowed-tools': REQUEST_OPTIONS['disallowed-tools'],
  'on-permission-denied': {
    ...REQUEST_OPTIONS['on-permission-denied'],
    help: 'ask (default, where the CLI can), report or fail',
  },
  'append-system-prompt': REQUEST_OPTIONS['append-system-prompt'],
  name: { type: 'string', value: 'NAME', help: 'name of the session, for people' },
  ...{ tag, metadata },
} as const;

export const chatCommand: Command = {
  name: 'chat',
  usage: '[PROMPT] [OPTIONS]',
  summary: 'talk with an agent',
  details: `Each line is a turn of one session, and the answer is shown as it comes. What the agent
asks is asked here. Begin to type while it works: the line is the next turn, or reaches the
running one with /steer. /help lists the other commands.

Ctrl-C stops the running turn; a second one, or one while no turn runs, leaves, and so does
Ctrl-D. The session stays, and \`bullpen chat --session last\` goes on with it.

Without a terminal each line of stdin is a message, sent when the one before has its answer.`,
  options: {
    session: {
      type: 'string',
      value: 'ID',
      help: 'go on in a session, by its id or that of a job, or last: the last one of this folder',
    },
    ...OF_NEW,
  },
  examples: [
    'bullpen chat',
    'bullpen chat --session last',
    'bullpen chat "Explain src/app.ts" --provider claude',
  ],
  async run(context, args) {
    const [first, ...more] = args.positionals;
    if (more.length > 0) throw usageError('one prompt at a time; put it in quotes');
    const given = args.text('session');
    const fixed = Object.keys(OF_NEW).find((name) => args.texts(name).length > 0);
    if (given !== undefined && fixed !== undefined)
      throw usageError(`--${fixed} is for a new session; that of --session keeps what it has`);
    const request = requestOf(args, context);
    await using server = await serverOrOwn(context, request.cwd);
    const session = given === undefined ? null : await resolveSession(server.client, given, context.cwd);
    if (session?.status === 'closed') throw usageError(`the session ${session.id} is closed`);

    const { output } = context;
    let stopTurn = (): boolean => false; // there is no chat yet
    const left = new AbortController();
    const leave = (): void => left.abort();
    const onCtrlC = (): void => {
      if (!stopTurn()) leave();
    };
    using editor = context.interactive ? context.openEditor('> ', onCtrlC) : null;
    // Ctrl-C comes as a signal only without the editor.
    using _listening = context.interrupts.listen(editor === null ? onCtrlC : leave);
    await using asker = editor === null ? null : await askerFor(context, server, editor);
    const chat = createChat({
      server,
      output,
      session,
      request,
      asker,
      onBusy: (busy) => editor?.show(!busy),
    });
    stopTurn = () => chat.interrupt();
    if (editor !== null) output.note(session === null ? greeting(request) : describe(session), 'dim');
    const { signal } = left;
    const cancelled = Promise.withResolvers<number>();
    signal.addEventListener('abort', () => cancelled.resolve(EXIT.cancelled), { once: true });
    const begin = async (): Promise<number> => {
      const shows = editor === null ? null : output;
      const open = session === null ? null : await lastTurn(server.client, session, shows, signal);
      if (open === null) editor?.show(true);
      else chat.follow(open);
      return talk(chat, { editor, lines: context.stdinLines(signal), first: first ?? null, left: signal });
    };
    // The person can leave at any time, also while the server does not answer.
    const code = await Promise.race([begin(), cancelled.promise]).finally(() => chat.leave());
    if (chat.sessionId !== null) output.note(`to go on: bullpen chat --session ${chat.sessionId}`, 'dim');
    return code;
  },
};

interface Talking {
  /** null: the messages are lines of stdin. */
  readonly editor: LineEditor | null;
  readonly lines: AsyncIterable<string>;
  /** A message to begin with. */
  readonly first: string | null;
  /** Aborts when the person leaves. */
  readonly left: AbortSignal;
}

/** Sends messages until stdin or the editor ends. Resolves with the exit code. */
async function talk(chat: Chat, { editor, lines, first, left }: Talking): Promise<number> {
  if (first !== null) await chat.line(first);
  const messages = editor === null ? lines[Symbol.asyncIterator]() : null;
  for (let begun = ''; ; ) {
    if (messages !== null) await chat.idle();
    if (left.aborted) return EXIT.cancelled;
    const next =
      editor?.next() ?? messages?.next().then(({ done, value }) => (done === true ? undefined : value));
    const line = await next;
    if (line === undefined) {
      if (messages === null) return EXIT.succeeded;
      await chat.line(begun.trimEnd());
      return chat.idle();
    }
    if (line.endsWith('\\')) {
      begun += `${line.slice(0, -1)}\n`;
      continue;
    }
    const message = begun + line;
    begun = '';
    if ((await chat.line(message)) === 'leaves') return EXIT.succeeded;
  }
}

function requestOf(args: Arguments, context: CommandContext): SessionRequest & { readonly cwd: string } {
  const name = args.text('name');
  const { cwd: folder = context.cwd, ...fields } = requestFields(args, context.cwd, context.now());
  // as: the options of this command are fields of a session, too; the server checks the values
  return { ...(fields as SessionRequest), cwd: folder, ...(name === undefined ? {} : { name }) };
}

const greeting = (request: SessionRequest): string =>
  `${request.provider ?? 'a new session'} in ${request.cwd}; /help lists the commands, Ctrl-D leaves`;

function describe({ id, name, provider, cwd, turns }: Session): string {
  const title = name === null ? id : `${id} (${name})`;
  return `session ${title}, ${provider} in ${cwd}, ${turns} ${turns === 1 ? 'turn' : 'turns'}; Ctrl-D leaves`;
}

/**
 * The last turn of a session if it has not ended; otherwise null.
 * @param output prints a turn that has ended; null: does not
 */
async function lastTurn(
  client: Client,
  { id }: Session,
  output: Output | null,
  signal: AbortSignal,
): Promise<Job | null> {
  const { data } = await client.list({ session: id, limit: 1 }, { signal });
  const [newest] = data;
  if (newest === undefined) return null;
  const job = await client.get(newest.id, { signal });
  output?.note(`> ${job.prompt}`, 'cyan');
  if (!job.finished) return job;
  if (job.outcome !== null) output?.noteLines(answerOf(job.outcome), 'dim');
  return null;
}
