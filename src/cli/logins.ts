/**
 * The tokens that `bullpen login` stores: one for each server, in `logins.json` of the user's
 * configuration, which only the user may read.
 */
import { chmodSync, mkdirSync, readFileSync, renameSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { userFolder } from '../config/places.ts';
import { messageOf } from '../errors.ts';
import { CommandError, EXIT } from './failures.ts';

export interface Logins {
  readonly file: string;
  /** @throws CommandError for a file that is unreadable, malformed, or readable for others */
  tokenFor(url: string): string | null;
  put(url: string, token: string): void;
  /** Whether there was one. */
  remove(url: string): boolean;
}

export function createLogins(env: Readonly<Record<string, string | undefined>>): Logins {
  const file = join(userFolder(env, 'XDG_CONFIG_HOME', '.config'), 'bullpen', 'logins.json');

  function read(): Map<string, string> {
    let text: string;
    try {
      const { mode } = statSync(file);
      if ((mode & 0o077) !== 0) throw unusable('can be read by other users; chmod 600 it');
      text = readFileSync(file, 'utf8');
    } catch (error) {
      if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return new Map();
      throw error instanceof CommandError ? error : unusable(`cannot be read: ${messageOf(error)}`);
    }
    const logins = loginsIn(text);
    if (logins === null) throw unusable('is damaged; delete it and log in again');
    return logins;
  }

  function write(logins: ReadonlyMap<string, string>): void {
    const partial = `${file}.${process.pid}`;
    mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
    writeFileSync(partial, `${JSON.stringify(Object.fromEntries(logins), null, 2)}\n`, { mode: 0o600 });
    chmodSync(partial, 0o600); // it may be left of a command that was killed
    renameSync(partial, file);
  }

  const unusable = (why: string): CommandError => new CommandError(EXIT.config, `the file ${file} ${why}`);

  return {
    file,
    tokenFor: (url) => read().get(nameOf(url)) ?? null,
    put(url, token) {
      write(read().set(nameOf(url), token));
    },
    remove(url) {
      const logins = read();
      const removed = logins.delete(nameOf(url));
      if (removed) write(logins);
      return removed;
    },
  };
}

/** The same server written in different ways has one name. */
const nameOf = (url: string): string => (URL.parse(url)?.href ?? url).replace(/\/+$/, '');

/** null: the text is something else. */
function loginsIn(text: string): Map<string, string> | null {
  try {
    const entries = Object.entries<unknown>(JSON.parse(text));
    const logins = entries.flatMap(([url, token]): [string, string][] =>
      typeof token === 'string' ? [[url, token]] : [],
    );
    return logins.length === entries.length ? new Map(logins) : null;
  } catch {
    return null;
  }
}
