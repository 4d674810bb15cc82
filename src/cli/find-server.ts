/**
 * Finds the server: the one that the environment names, or else the server of the user's data
 * folder.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Client } from '../client/client.ts';
import { UnreachableError } from '../client/errors.ts';
import type { CommandContext } from './command.ts';
import { CommandError, EXIT } from './failures.ts';

export interface ServerPlace {
  readonly url: string;
  readonly token: string;
  /** The variable, file or command that the token comes from. */
  readonly tokenFrom: string;
  /**
   * What named or started the server. The server of a `run` stops with that command; `up` started
   * one in the background.
   */
  readonly of: 'environment' | StartedBy;
}

export type Found = { readonly kind: 'found'; readonly place: ServerPlace } | NotFound;

export interface NotFound {
  readonly kind: 'none';
  /** A sentence that names the place of the search. */
  readonly why: string;
  /** A process has the data folder and is starting or stopping a server. */
  readonly busy: boolean;
}

export interface ServerFinder {
  /** @throws CommandError for contradictory variables and an unreadable token */
  find(): Promise<Found>;
  /** The data folder; null when the environment names a server. */
  home(): Promise<string | null>;
}

export interface FinderOptions {
  readonly env: Readonly<Record<string, string | undefined>>;
  /** The data folder by the settings; called only when the environment names no server. */
  readHome(): Promise<string>;
  /** The note that the last server of a data folder wrote; null for none. */
  readNote(home: string): Note | null;
  isAlive(note: Note): boolean;
  /** The token that `bullpen login` has stored for a server; null for none. */
  readLogin(url: string): string | null;
}

export type StartedBy = 'serve' | 'run' | 'up';

export interface Note {
  readonly pid: number;
  readonly address: string | null;
  readonly startedBy: StartedBy;
}

export function createServerFinder(options: FinderOptions): ServerFinder {
  const { env, readHome, readNote, isAlive, readLogin } = options;
  const variable = (name: string): string | null => env[name]?.trim() || null;
  /**
   * A token of the environment: of the user, or of the job that this command runs in. Checked here,
   * because the error of a later check would quote the token.
   */
  function givenToken(): { readonly token: string; readonly tokenFrom: string } | null {
    for (const tokenFrom of ['BULLPEN_TOKEN', 'BULLPEN_JOB_TOKEN']) {
      const token = variable(tokenFrom);
      if (token !== null && TOKEN.test(token)) return { token, tokenFrom };
      if (token !== null) throw configError(`${tokenFrom} has characters that no token has`);
    }
    return null;
  }

  /** A job has the rights of its maker. The token of this machine's user is another one. */
  function refuseOthersToken(): void {
    const isInside = variable('BULLPEN_EXECUTION_ID') !== null && variable('BULLPEN_HOME') === null;
    if (!isInside || givenToken() !== null) return;
    const advice = 'start the server with BULLPEN_JOB_TOKENS=on, or set BULLPEN_TOKEN';
    throw configError(`this is inside a job, which has no token of its own; ${advice}`);
  }

  function fromEnvironment(url: string): Found {
    const given = givenToken();
    if (!isAddress(url))
      throw configError('BULLPEN_URL is no http address, for example http://127.0.0.1:3000');
    if (given !== null) return { kind: 'found', place: { url, ...given, of: 'environment' } };
    // The token of this machine's own server is never sent to an address from a variable.
    const token = readLogin(url);
    if (token === null) {
      const advice = `log in with \`bullpen login ${url}\`, or set BULLPEN_TOKEN`;
      throw configError(`there is no token for the server that BULLPEN_URL names; ${advice}`);
    }
    return { kind: 'found', place: { url, token, tokenFrom: '`bullpen login`', of: 'environment' } };
  }

  function fromFolder(home: string): Found {
    const note = readNote(home);
    const none = (why: string, busy = false): Found => ({ kind: 'none', why, busy });
    if (note === null) return none(`no server is running with the data folder ${home}`);
    // Another process may have the port by now; it must not get the token.
    if (!isAlive(note)) {
      return none(`no server is running: the last one with the data folder ${home} has died`);
    }
    if (note.address === null) {
      return none(`the server with the data folder ${home} (pid ${note.pid}) is starting or stopping`, true);
    }
    const file = join(home, 'token');
    const given = givenToken() ?? { token: readToken(file), tokenFrom: file };
    return { kind: 'found', place: { url: reachable(note.address), ...given, of: note.startedBy } };
  }

  return {
    home: async () => (variable('BULLPEN_URL') === null ? readHome() : null),
    async find() {
      refuseOthersToken();
      const url = variable('BULLPEN_URL');
      return url === null ? fromFolder(await readHome()) : fromEnvironment(url);
    },
  };
}

/** Visible ASCII, as a header allows. */
export const TOKEN = /^[\x21-\x7e]+$/;

/** An address with a user name or password is refused: messages quote the address. */
export function isAddress(url: string): boolean {
  if (!URL.canParse(url)) return false;
  const { protocol, username, password } = new URL(url);
  return /^https?:$/.test(protocol) && username === '' && password === '';
}

const configError = (message: string): CommandError => new CommandError(EXIT.config, message);

/** @throws CommandError */
function readToken(file: string): string {
  try {
    const token = readFileSync(file, 'utf8').trim();
    if (TOKEN.test(token)) return token;
  } catch (error) {
    const message = `the token file ${file} cannot be read: are you the user who runs the server?`;
    throw new CommandError(EXIT.noPermission, message, { cause: error });
  }
  throw new CommandError(EXIT.noPermission, `the token file ${file} holds no token`);
}

/** The address to connect to, for a server that listens on all addresses. */
function reachable(address: string): string {
  const url = new URL(address);
  if (url.hostname === '0.0.0.0') url.hostname = '127.0.0.1';
  if (url.hostname === '[::]') url.hostname = '[::1]';
  return url.origin;
}

/** A server started as `bullpen serve &` writes its note after a moment. */
export const APPEARS_WITHIN_MS = 1000;
const LOOK_EVERY_MS = 250;
/** A server starts and stops in a few seconds, except for the first start, which fetches Redis. */
const BUSY_FOR_MS = 30_000;

/**
 * Finds the server; waits while it starts or stops.
 * @param appearsWithinMs how long to wait while no process has the data folder
 */
export async function findServer(
  { finder, output, sleep }: CommandContext,
  appearsWithinMs: number,
): Promise<Found> {
  let noted = false;
  for (let waitedMs = 0; ; waitedMs += LOOK_EVERY_MS) {
    const found = await finder.find();
    if (found.kind === 'found' || waitedMs >= (found.busy ? BUSY_FOR_MS : appearsWithinMs)) return found;
    if (found.busy && !noted) output.note(`${found.why}; waiting for it`, 'dim');
    noted ||= found.busy;
    await sleep(LOOK_EVERY_MS);
  }
}

export interface RunningServer {
  readonly kind: 'running';
  readonly client: Client;
  readonly of: ServerPlace['of'];
}

/** Finds the server and checks that it accepts connections. */
export async function runningServer(
  context: CommandContext,
  appearsWithinMs = 0,
): Promise<RunningServer | NotFound> {
  const found = await findServer(context, appearsWithinMs);
  if (found.kind === 'none') return found;
  const client = context.client(found.place);
  try {
    await client.ready();
  } catch (error) {
    // Any answer, including an error, shows that a server runs; the next request reports what is
    // wrong.
    if (error instanceof UnreachableError && error.refused) {
      return { kind: 'none', why: `no server is running at ${found.place.url}`, busy: false };
    }
  }
  return { kind: 'running', client, of: found.place.of };
}

/** The error of a command that needs a running server. */
export function noServer({ why, busy }: NotFound): CommandError {
  // A second server could not use the data folder of a busy one.
  const advice = '; start one with `bullpen up`, or set BULLPEN_URL and BULLPEN_TOKEN';
  return new CommandError(EXIT.unavailable, busy ? `${why}, for too long` : why + advice);
}
