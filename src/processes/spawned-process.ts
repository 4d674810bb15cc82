import { uptime } from 'node:os';
import type { Cut, Exit } from '../protocol/cli.ts';
import type { LaunchedChild } from './launch.ts';
import { createLineSplitter } from './lines.ts';

/** How much of the end of stderr is kept for the message of a failed run. */
const STDERR_TAIL_BYTES = 64 * 1024;

/** One running process, the leader of its own group. */
export interface SpawnedProcess {
  readonly pid: number;
  readonly marker: string;
  /** `performance.now()` at the spawn. */
  readonly startedAt: number;
  /** Resolves when the process is gone. Output may still come. Never rejects. */
  readonly exited: Promise<Exit>;
  /** Resolves at the first output on stdout, or at the exit. Never rejects. */
  readonly spoke: Promise<void>;
  /** Resolves after the exit, when `onLine` has had every line. Never rejects. */
  readonly ended: Promise<ProcessEnd>;
  /** It counts as exited because its launcher is gone. The process may still run. */
  readonly lost: boolean;
  /** Seconds since boot at the exit. null while it runs. */
  readonly exitedAtUptimeS: number | null;
  /** Writes to stdin, and closes it unless `hold`. No effect once stdin is closed. */
  feed(text: string, hold: boolean): void;
  /** Sets or replaces the reader of stdout. Must be called: until then stdout is not read. */
  onLine(listener: (line: string, cut: Cut | null) => void): void;
  /** Sets or replaces the counter of stdout and stderr. It gets the bytes read so far at once. */
  onOutput(listener: (bytes: number) => void): void;
  /** The end of stderr, at most 64 KiB. */
  stderrTail(): string;
  /** Drops the stderr read so far. */
  clearStderr(): void;
  /**
   * Stops reading stdout, so the process blocks when its pipe is full. No effect after the exit.
   */
  pauseOutput(): void;
  resumeOutput(): void;
  /** Signals the group. Returns false and does nothing after the exit: the id may be reused. */
  signalGroup(signal: NodeJS.Signals): boolean;
}

/** How a process ended. */
export interface ProcessEnd extends Exit {
  /** A descendant still held stdout or stderr open when the wait for their end was given up. */
  readonly leakedPipe: boolean;
}

export interface SuperviseOptions {
  readonly marker: string;
  readonly startedAt: number;
  readonly maxLineBytes: number;
  readonly maxTextBytes: number;
  /** How long stdout and stderr may stay open after the exit. */
  readonly drainMs: number;
}

/**
 * Calls `listener` when a promise of a process is fulfilled, until the returned function is called.
 * The process of a session outlives its turns: from then on it holds nothing of `listener`.
 */
export function listenTo<T>(promise: Promise<T>, listener: (value: T) => void): () => void {
  let current: ((value: T) => void) | null = listener;
  void promise.then((value) => current?.(value));
  return () => {
    current = null;
  };
}

/** Reads the streams of a child that was just started. Call it before the event loop turns. */
export function supervise(child: LaunchedChild, options: SuperviseOptions): SpawnedProcess {
  const { pid } = child;
  const { marker, startedAt, maxLineBytes, maxTextBytes, drainMs } = options;
  const tail = createTail(STDERR_TAIL_BYTES);
  let exitedAtUptimeS: number | null = null;
  let lineListener: ((line: string, cut: Cut | null) => void) | null = null;
  let outputListener: ((bytes: number) => void) | null = null;
  let uncounted = 0;
  let paused = false;
  let finished = false;
  /** Output from before the first reader: at most one pipe buffer. null once there is a reader. */
  let unread: Buffer[] | null = [];

  const splitter = createLineSplitter({
    maxLineBytes,
    maxTextBytes,
    onLine: (line, cut) => lineListener?.(line, cut),
  });
  const count = (bytes: number): void => {
    if (outputListener === null) uncounted += bytes;
    else outputListener(bytes);
  };

  const exited = new Promise<Exit>((resolve) => {
    child.onExit((exit) => {
      exitedAtUptimeS = uptime();
      // Backpressure ends here: only one pipe buffer is left, and an unread pipe looks leaked.
      child.stdout.resume();
      resolve(exit);
    });
  });
  const ended = waitForEnd(child, drainMs).then((end) => {
    finished = true;
    if (unread === null) splitter.end();
    return end;
  });

  const spoke = Promise.withResolvers<void>();
  void exited.then(() => spoke.resolve());

  child.stdout.pause();
  child.stdout.on('data', (chunk: Buffer) => {
    spoke.resolve();
    count(chunk.length);
    if (unread === null) splitter.write(chunk);
    else unread.push(chunk);
  });
  child.stderr.on('data', (chunk: Buffer) => {
    tail.write(chunk);
    count(chunk.length);
  });
  // A broken stream ends like a closed one, and the exit decides the result of the run. stdin fails
  // with EPIPE when a CLI does not read its prompt. An unhandled error would crash the server.
  for (const emitter of [child.stdin, child.stdout, child.stderr]) emitter.on('error', () => {});

  return {
    pid,
    marker,
    startedAt,
    exited,
    spoke: spoke.promise,
    ended,
    get lost() {
      return child.lost;
    },
    get exitedAtUptimeS() {
      return exitedAtUptimeS;
    },
    feed(text, hold) {
      if (!child.stdin.writable) return;
      if (text !== '') child.stdin.write(text);
      if (!hold) child.stdin.end();
    },
    onLine(listener) {
      lineListener = listener;
      if (unread === null) return;
      for (const chunk of unread) splitter.write(chunk);
      unread = null;
      if (finished) splitter.end();
      else if (!paused) child.stdout.resume();
    },
    onOutput(listener) {
      outputListener = listener;
      if (uncounted > 0) listener(uncounted);
      uncounted = 0;
    },
    stderrTail: () => tail.text(),
    clearStderr: () => tail.clear(),
    pauseOutput() {
      paused = true;
      if (exitedAtUptimeS === null) child.stdout.pause();
    },
    resumeOutput() {
      paused = false;
      if (unread === null) child.stdout.resume();
    },
    signalGroup: (signal) => child.signalGroup(signal),
  };
}

/**
 * Waits for the exit, then at most `drainMs` for the end of stdout and stderr, and destroys both.
 * Does not wait for `close` alone: a descendant that inherited a pipe may hold it open forever.
 */
function waitForEnd(child: LaunchedChild, drainMs: number): Promise<ProcessEnd> {
  return new Promise((resolve) => {
    child.onExit(({ code, signal }) => {
      let settled = false;
      const settle = (leakedPipe: boolean): void => {
        if (settled) return;
        settled = true;
        clearTimeout(timer);
        child.stdout.destroy();
        child.stderr.destroy();
        resolve({ code, signal, leakedPipe });
      };
      const timer = setTimeout(() => settle(true), drainMs);
      child.onClose(() => settle(false));
    });
  });
}

export interface Tail {
  write(chunk: Buffer): void;
  /** The last bytes as UTF-8. Begins with a whole character. */
  text(): string;
  clear(): void;
}

/** Keeps the last `maxBytes` of a stream in a ring. Allocates nothing before the first byte. */
export function createTail(maxBytes: number): Tail {
  let ring: Buffer | null = null;
  let next = 0;
  let wrapped = false;

  return {
    write(chunk) {
      ring ??= Buffer.allocUnsafeSlow(maxBytes);
      const last = chunk.length > maxBytes ? chunk.subarray(chunk.length - maxBytes) : chunk;
      if (last.length < chunk.length) wrapped = true;
      const untilEdge = Math.min(last.length, maxBytes - next);
      last.copy(ring, next, 0, untilEdge);
      last.copy(ring, 0, untilEdge);
      if (next + last.length >= maxBytes) wrapped = true;
      next = (next + last.length) % maxBytes;
    },
    clear() {
      next = 0;
      wrapped = false;
    },
    text() {
      if (ring === null) return '';
      if (!wrapped) return ring.toString('utf8', 0, next);
      const bytes = Buffer.concat([ring.subarray(next), ring.subarray(0, next)]);
      let start = 0;
      while (start < 3 && ((bytes[start] ?? 0) & 0xc0) === 0x80) start += 1;
      return bytes.toString('utf8', start);
    },
  };
}
