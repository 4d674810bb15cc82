/** Where the server is and what opens it: the environment, else the data folder of this user. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { CommandError } from './command-error.ts';
import { EXIT } from './exit-codes.ts';

export interface ServerPlace {
  readonly url: string;
  readonly token: string;
  /** In words: where the token is from. */
  readonly tokenFrom: string;
  /** What it was named by, else what it runs for: a `bullpen run` takes its server along when it ends. */
  readonly of: 'environment' | 'serve' | 'command';
}

export type Found =
  | { readonly kind: 'found'; readonly place: ServerPlace }
  /** `why`: a sentence that says where was looked. `busy`: a process has the data folder and starts, or stops. */
  | { readonly kind: 'none'; readonly why: string; readonly busy: boolean };

export interface ServerFinder {
  /** @throws CommandError for settings that contradict each other and a token that cannot be read */
  find(): Promise<Found>;
  /** The data folder; null when the environment names a server, which has its own. */
  home(): Promise<string | null>;
}

interface Note {
  readonly pid: number;
  readonly address: string | null;
  readonly temporary?: boolean;
}

export interface FinderOptions {
  readonly env: Readonly<Record<string, string | undefined>>;
  /** The data folder as the settings say; asked only when the environment names no server. */
  readHome(): Promise<string>;
  /** The last server's note of itself in a data folder; null: there is none. */
  readNote(home: string): Note | null;
  isAlive(pid: number): boolean;
}

export function createServerFinder({ env, readHome, readNote, isAlive }: FinderOptions): ServerFinder {
  const variable = (name: string): string | null => env[name]?.trim() || null;
  /** Checked here: what refuses it later would quote it. */
  function givenToken(): string | null {
    const token = variable('BULLPEN_TOKEN');
    if (token === null || TOKEN.test(token)) return token;
    throw configError('BULLPEN_TOKEN holds characters that no token has');
  }

  function fromEnvironment(url: string): Found {
    const token = givenToken();
    // The key of this machine's own server is never sent to an address that was merely named.
    if (token === null) throw configError('BULLPEN_URL is set, BULLPEN_TOKEN is not: a server needs both');
    if (!isAddress(url))
      throw configError('BULLPEN_URL is no http address, for example http://127.0.0.1:3000');
    return { kind: 'found', place: { url, token, tokenFrom: 'BULLPEN_TOKEN', of: 'environment' } };
  }

  function fromFolder(home: string): Found {
    const note = readNote(home);
    const none = (why: string, busy = false): Found => ({ kind: 'none', why, busy });
    if (note === null) return none(`no server is running with the data folder ${home}`);
    // A port somebody else has by now must not be sent the token.
    if (!isAlive(note.pid)) {
      return none(`no server is running: the last one with the data folder ${home} has died`);
    }
    if (note.address === null) {
      return none(`the server with the data folder ${home} (pid ${note.pid}) is starting or stopping`, true);
    }
    const given = givenToken();
    const file = join(home, 'token');
    const token = given ?? readToken(file);
    const tokenFrom = given === null ? file : 'BULLPEN_TOKEN';
    const of = note.temporary === true ? 'command' : 'serve';
    return { kind: 'found', place: { url: reachable(note.address), token, tokenFrom, of } };
  }

  return {
    home: async () => (variable('BULLPEN_URL') === null ? readHome() : null),
    async find() {
      const url = variable('BULLPEN_URL');
      return url === null ? fromFolder(await readHome()) : fromEnvironment(url);
    },
  };
}

/** Visible ASCII: what a header can carry. */
const TOKEN = /^[\x21-\x7e]+$/;

/** A name and password in it would be shown with it; the token is the way in. */
function isAddress(url: string): boolean {
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

/** "All addresses" is where a server listens, not where it is reached. */
function reachable(address: string): string {
  const url = new URL(address);
  if (url.hostname === '0.0.0.0') url.hostname = '127.0.0.1';
  if (url.hostname === '[::]') url.hostname = '[::1]';
  return url.origin;
}
