import { existsSync } from 'node:fs';

const SETPRIV_PATHS = ['/usr/bin/setpriv', '/bin/setpriv'];
let found: string | null | undefined;

/**
 * Path of util-linux's `setpriv`, or null; looked up once. `setpriv --pdeathsig KILL` makes the kernel kill the
 * direct child when the thread that spawned it ends, so spawn from the main thread only. Its own children and
 * set-user-id programs are not covered: the sweep at start-up stays the promise, this is only sooner.
 */
export function findSetpriv(): string | null {
  if (found === undefined) {
    const candidates = process.platform === 'linux' ? SETPRIV_PATHS : [];
    found = candidates.find((path) => existsSync(path)) ?? null;
  }
  return found;
}
