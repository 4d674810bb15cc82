import { uptime } from 'node:os';
import type { Cut, Exit } from '../protocol/cli.ts';
import type { LaunchedChild } from './launch.ts';
import { createLineSplitter } from './lines.ts';
import { createTail, STDERR_TAIL_BYTES } from './tail.ts';
import { type ProcessEnd, waitForEnd } from './wait.ts';

/** One running process, the leader of its own group. */
export interface SpawnedProcess {
  readonly pid: number;
  readonly marker: string;
  /** `performance.now()` at the spawn. */
  readonly startedAt: number;
  /** The process is gone; output may still come. Never rejects. */
  readonly exited: Promise<Exit>;
  /** It has said something on stdout, or exited. Never rejects. */
  readonly spoke: Promise<void>;
  /** Exited, and every line was given out. Never rejects. */
  readonly ended: Promise<ProcessEnd>;
  /** It counts as exited, but its launcher is gone: its exit is unknown, and it may live on. */
  readonly lost: boolean;
  /** Seconds since boot at the exit; null while it runs. */
  readonly exitedAtUptimeS: number | null;
  /** Writes to stdin, and closes it unless it is held open. No effect once it is closed. */
  feed(text: string, hold: boolean): void;
  /** Sets the reader of stdout's lines, also anew. stdout is not read before, so this must be called. */
  onLine(listener: (line: string, cut: Cut | null) => void): void;
  /** Sets the reader of byte counts, stdout and stderr together; told at once what was read before. */
  onOutput(listener: (bytes: number) => void): void;
  /** The end of stderr, at most 64 KiB. */
  stderrTail(): string;
  /** What stderr has said so far is nobody's any more. */
  forgetStderr(): void;
  /** Stops reading stdout, so that the process blocks when its pipe is full. No effect after the exit. */
  pauseOutput(): void;
  resumeOutput(): void;
  /** Signals the group; false, and nothing done, once the process has exited: its id may be reused. */
  signalGroup(signal: NodeJS.Signals): boolean;
}

export interface SuperviseOptions {
  readonly marker: string;
  readonly startedAt: number;
  readonly maxLineBytes: number;
  readonly maxTextBytes: number;
  readonly drainMs: number;
}

/** Wires a child that has just been started; to be called before the event loop turns. */
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
  /** What came before there was a reader: at most what the pipe held at the exit. Null once there is one. */
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
      // Backpressure ends here: what is left is one pipe buffer, and an unread pipe would look leaked. (Node
      // resumes the streams of an exited child anyway, and would throw away what nobody listens to.)
      child.stdout.resume();
      resolve(exit);
    });
  });
  const ended = waitForEnd(child, { drainMs }).then((end) => {
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
  // A broken stream ends like a closed one: the exit decides what the run amounts to. On stdin that is EPIPE
  // from a CLI that does not read its prompt; unhandled, any of them would end the server.
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
    forgetStderr: () => tail.clear(),
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
