/** A conversation in lines: each message is a turn of one session, and a turn is a job. */
import { randomUUID } from 'node:crypto';
import type { Client } from '../client/client.ts';
import { ApiError } from '../client/errors.ts';
import type { Job } from '../protocol/job.ts';
import type { MessageRequest, Session, SessionRequest } from '../protocol/session.ts';
import { nearest } from './arguments.ts';
import type { Asker } from './ask-person.ts';
import { followJob } from './drive-job.ts';
import { EXIT, failureMessage } from './failures.ts';
import { type JobServer, toServer } from './job-server.ts';
import type { Output } from './output.ts';

/** An interrupt waits this long for the server's answer. */
const INTERRUPT_WITHIN_MS = 5000;

export interface ChatOptions {
  readonly server: Pick<JobServer, 'client' | 'replace'>;
  readonly output: Output;
  /** The session to go on with; null: the first message makes one of `request`. */
  readonly session: Session | null;
  readonly request: SessionRequest & { readonly cwd: string };
  readonly asker: Asker | null;
  /** Called when a turn begins and when the last one has ended. */
  onBusy(busy: boolean): void;
}

/** What a line has led to. */
type Handled = 'goes on' | 'leaves';

interface ChatCommand {
  readonly usage: string;
  readonly help: string;
  run(rest: string): Promise<Handled>;
}

export interface Chat {
  /** The id of the session; null: there was no message yet. */
  readonly sessionId: string | null;
  /** Sends a line, or does what it says (`/steer …`). Prints what the server refuses. */
  line(text: string): Promise<Handled>;
  /** Shows a turn of the session that has not ended. */
  follow(job: Job): void;
  /** Stops the running turn. False: none runs, or it is being stopped. */
  interrupt(): boolean;
  /** Resolves with the exit code of the last turn when no turn is open. */
  idle(): Promise<number>;
  /**
   * Breaks off what is being sent, and shows no more of the turns, which go on. Resolves when
   * nothing of it runs here.
   */
  leave(): Promise<void>;
}

export function createChat(options: ChatOptions): Chat {
  const { server, output, request, asker, onBusy } = options;
  const stop = new AbortController();
  const { signal } = stop;
  const turns: Job[] = [];
  let session: Pick<Session, 'id' | 'cwd'> | null = options.session;
  let current: Job | null = null;
  let following: Promise<void> | null = null;
  let interrupted = false;
  /** Calls of the server that have no answer yet. */
  let sending = 0;
  let interrupting: Promise<void> = Promise.resolve();
  let exitCode: number = EXIT.succeeded;

  function follow(job: Job): void {
    turns.push(job);
    onBusy(true);
    following ??= followTurns();
  }

  async function followTurns(): Promise<void> {
    for (let job = turns.shift(); job !== undefined && !signal.aborted; job = turns.shift()) {
      if (current !== null) output.note(`> ${job.prompt}`, 'cyan');
      const isWanted = current !== null || !interrupted; // else Ctrl-C came before its job
      [current, interrupted] = [job, !isWanted];
      if (!isWanted) interruptTurn(job.sessionId);
      try {
        exitCode = await followJob(job, {
          server,
          output,
          json: false,
          after: 0,
          asker,
          isTurn: true,
          signal,
        });
      } catch (error) {
        if (signal.aborted) break;
        const { text, exitCode: code } = failureMessage(error, null);
        output.noteLines(text, 'red');
        exitCode = code;
      }
    }
    // At once, with no turn between: a turn that comes now begins a new round.
    [current, interrupted, following] = [null, false, null];
    onBusy(false);
  }

  async function ask<T>(send: (client: Client) => Promise<T>): Promise<T> {
    sending += 1;
    try {
      return await toServer(server, session?.cwd ?? request.cwd, signal, send);
    } finally {
      sending -= 1;
    }
  }

  /** The session; made for the first message. */
  async function open(): Promise<Pick<Session, 'id' | 'cwd'>> {
    if (session !== null) return session;
    const options = { idempotencyKey: randomUUID(), signal };
    session = await ask((client) => createSession(client, request, options));
    output.note(`session ${session.id}`, 'dim');
    return session;
  }

  async function send(prompt: string, delivery: 'next' | 'interrupt'): Promise<Handled> {
    const { id } = await open();
    if (delivery === 'next' && current !== null)
      output.note('this is the next turn; /steer TEXT reaches the running one', 'dim');
    const message: MessageRequest & { delivery: typeof delivery } = { prompt, delivery };
    const options = { idempotencyKey: randomUUID(), signal };
    follow(await ask(({ sessions }) => sessions.message(id, message, options)));
    return 'goes on';
  }

  async function steer(prompt: string): Promise<Handled> {
    const { id } = await open();
    const options = { idempotencyKey: randomUUID(), signal };
    const { delivered, jobId } = await ask(({ sessions }) => sessions.steer(id, prompt, options));
    if (delivered === 'steered') return 'goes on';
    output.note('no turn takes it now; it is the next turn', 'dim');
    follow(await ask((client) => client.get(jobId, { signal })));
    return 'goes on';
  }

  function interrupt(): boolean {
    if (interrupted || (current === null && sending === 0)) return false;
    interrupted = true;
    output.note('stopping the turn; Ctrl-C again leaves the chat', 'yellow');
    if (current !== null) interruptTurn(current.sessionId); // not always the session: see /fork
    return true;
  }

  function interruptTurn(id: string): void {
    const within = AbortSignal.timeout(INTERRUPT_WITHIN_MS);
    interrupting = server.client.sessions.interrupt(id, { signal: within }).then(
      () => {},
      (error: unknown) => output.noteLines(failureMessage(error, null).text, 'red'),
    );
  }

  const COMMANDS: Readonly<Record<string, ChatCommand>> = {
    steer: {
      usage: '/steer TEXT',
      help: 'say it to the running turn',
      run: (rest) => (rest === '' ? unknown('/steer needs a text') : steer(rest)),
    },
    interrupt: {
      usage: '/interrupt [TEXT]',
      help: 'stop the running turn, as Ctrl-C does; then send TEXT',
      async run(rest) {
        if (rest !== '') return send(rest, 'interrupt');
        return interrupt() ? 'goes on' : unknown('no turn runs');
      },
    },
    fork: {
      usage: '/fork',
      help: 'go on in a copy of the session; this one stays as it is',
      async run() {
        if (session === null) return unknown('there is no session yet');
        const { id } = session;
        session = await server.client.sessions.fork(id, { signal });
        output.note(`session ${session.id} goes on from here; ${id} stays as it is`, 'dim');
        return 'goes on';
      },
    },
    close: {
      usage: '/close',
      help: 'close the session for good, and leave',
      async run() {
        if (session !== null) {
          await server.client.sessions.close(session.id, { signal });
          output.note(`session ${session.id} is closed`, 'dim');
          session = null;
        }
        return 'leaves';
      },
    },
    quit: { usage: '/quit', help: 'leave; the session stays', run: async () => 'leaves' },
    help: {
      usage: '/help',
      help: 'print this list',
      async run() {
        for (const { usage, help } of Object.values(COMMANDS))
          output.noteLines(`  ${usage.padEnd(19)}${help}`, 'dim');
        output.noteLines(
          '  any other line     a message; a line that ends with \\ goes on in the next',
          'dim',
        );
        return 'goes on';
      },
    },
  };

  async function unknown(why: string): Promise<Handled> {
    output.note(why, 'yellow');
    return 'goes on';
  }

  async function handle(text: string): Promise<Handled> {
    const [, name, rest = ''] = /^\/([a-z-]+)(?:\s+([\s\S]*))?$/.exec(text.trim()) ?? [];
    if (text.trim() === '') return 'goes on';
    if (name === undefined || text.startsWith(' ')) return send(text, 'next');
    const command = Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined;
    if (command !== undefined) return command.run(rest.trim());
    const meant = nearest(name, Object.keys(COMMANDS));
    if (meant === null) return send(text, 'next'); // a command of the CLI
    return unknown(`did you mean /${meant}? With a space before it, the CLI gets it as it is`);
  }

  return {
    get sessionId() {
      return session?.id ?? null;
    },
    async line(text) {
      try {
        return await handle(text);
      } catch (error) {
        if (!(error instanceof ApiError) || session === null) throw error;
        if (current === null) interrupted = false;
        output.noteLines(failureMessage(error, null).text, 'red');
        return 'goes on';
      }
    },
    follow,
    interrupt,
    async idle() {
      while (following !== null) await following;
      return exitCode;
    },
    async leave() {
      if (sending > 0) output.note('exiting; the server may have the last message', 'yellow');
      stop.abort();
      await Promise.all([following, interrupting]);
    },
  };
}

/**
 * A session for `request`. A person is there, so a CLI that can ask does, unless the request says
 * what to do.
 */
async function createSession(
  client: Pick<Client, 'sessions'>,
  request: SessionRequest,
  options: { readonly idempotencyKey: string; readonly signal: AbortSignal },
): Promise<Session> {
  if (request.onPermissionDenied !== undefined) return client.sessions.create(request, options);
  try {
    return await client.sessions.create({ ...request, onPermissionDenied: 'ask' }, options);
  } catch (error) {
    const cannotAsk = error instanceof ApiError && error.code === 'provider.unsupported_option';
    if (!cannotAsk) throw error;
    const idempotencyKey = `${options.idempotencyKey}-report`;
    return client.sessions.create(request, { idempotencyKey, signal: options.signal });
  }
}
