/** The terminal of the person who typed the command, byte for byte. */
import type { ReadStream, WriteStream } from 'node:tty';
import type { TerminalSize } from '../protocol/terminal.ts';

export interface PersonTerminal {
  readonly size: TerminalSize;
  /** Resolves when the terminal has room for more. */
  write(data: string | Uint8Array): Promise<void>;
  /**
   * From now on each key comes as it is typed, also Ctrl-C. Disposing of it ends that, and drops
   * the rest of a paste: the person's shell would run it.
   */
  listen(onKeys: (bytes: Uint8Array) => void, onResize: (size: TerminalSize) => void): AsyncDisposable;
}

/** A paste is over when nothing came for this long. */
const PASTE_OVER_MS = 50;
/** How long the rest of a paste is dropped at most. */
const DROP_WITHIN_MS = 1000;

/** What the server takes. */
const MAX_SIDE = 1000;

export function createPersonTerminal(stdin: ReadStream, stdout: WriteStream): PersonTerminal {
  const sizeNow = (): TerminalSize => ({
    cols: Math.min(stdout.columns || 80, MAX_SIDE), // 0: the terminal does not know it
    rows: Math.min(stdout.rows || 24, MAX_SIDE),
  });
  return {
    get size() {
      return sizeNow();
    },
    async write(data) {
      if (stdout.write(data)) return;
      const { promise, resolve } = Promise.withResolvers<void>();
      stdout.once('drain', resolve).once('close', resolve);
      await promise.finally(() => stdout.off('drain', resolve).off('close', resolve));
    },
    listen(onKeys, onResize) {
      const resized = (): void => onResize(sizeNow());
      stdin.setRawMode(true);
      stdin.on('data', onKeys).resume();
      stdout.on('resize', resized);
      return {
        async [Symbol.asyncDispose]() {
          stdout.off('resize', resized);
          stdin.off('data', onKeys);
          await dropRest(stdin);
          stdin.pause();
          stdin.setRawMode(false);
        },
      };
    },
  };
}

async function dropRest(stdin: ReadStream): Promise<void> {
  const until = performance.now() + DROP_WITHIN_MS;
  for (let more = true; more && performance.now() < until; ) {
    const { promise, resolve } = Promise.withResolvers<boolean>();
    const onData = (): void => resolve(true);
    stdin.once('data', onData);
    const timer = setTimeout(() => resolve(false), PASTE_OVER_MS);
    more = await promise;
    clearTimeout(timer);
    stdin.off('data', onData);
  }
}
