/** A process that was started before there was a prompt for it, and serves one job. */
import type { WaitingProcessReport } from '../../http/ports.ts';
import { readStat } from '../process/proc-entry.ts';
import { resourceUse } from '../process/resource-use.ts';
import type { SpawnedProcess } from '../process/spawned-process.ts';
import { supportsSweep } from '../process/sweep.ts';
import type { HeardLine } from '../start-cli.ts';

/** So many lines may wait to be read; then the process is slowed down. */
const MAX_HEARD = 1000;
/** Stopped, or dead: it would not read its prompt. */
const NOT_READING = ['T', 't', 'Z', 'X'];

export interface WaitingProcess {
  readonly child: SpawnedProcess;
  /** Whether it has said that it is ready; one that never says so is taken for ready. */
  readonly ready: boolean;
  /** Lines since the prompt. */
  readonly heard: readonly HeardLine[];
  /** Whether it would read a prompt now. */
  alive(): boolean;
  /**
   * Gives it a prompt, and hears whether it speaks, unless `silenceMs` is null. False when it says nothing within
   * that time or ends without a word; true also when `stop` comes first.
   */
  hand(stdin: string, hold: boolean, silenceMs: number | null, stop: AbortSignal): Promise<boolean>;
  /** Calls back when it says that it is ready; at once when it has. */
  onReady(listener: () => void): void;
  /** Calls back when it says anything before it has a prompt. */
  onUnasked(listener: () => void): void;
}

/** What is told of it. `since`: `performance.now()` */
export const waitingReport = (
  { child: { pid } }: WaitingProcess,
  { provider, cwd }: { readonly provider: { readonly name: string }; readonly cwd: string },
  sessionId: string | null,
  since: number,
): WaitingProcessReport => ({
  provider: provider.name,
  pid,
  cwd,
  sessionId,
  waitingMs: Math.round(performance.now() - since),
  memoryBytes: supportsSweep() ? resourceUse([pid]).memoryBytes : null,
});

/** @param isReady of its provider; null when it was told nothing it could answer */
export function createWaitingProcess(
  child: SpawnedProcess,
  isReady: ((line: string) => boolean) | null,
): WaitingProcess {
  const heard: HeardLine[] = [];
  let ready = isReady === null;
  let handed = false;
  let firstWord: (() => void) | null = null;
  let unasked: (() => void) | null = null;
  let readyListener: (() => void) | null = null;

  child.onOutput(() => {}); // nobody's to count before it has a prompt
  child.onLine((line, truncated) => {
    if (!ready && isReady?.(line) === true) {
      ready = true;
      readyListener?.();
      return;
    }
    if (handed) firstWord?.();
    else unasked?.();
    heard.push({ line, truncated });
    if (heard.length >= MAX_HEARD) child.pauseOutput();
  });

  return {
    child,
    get ready() {
      return ready;
    },
    heard,
    alive() {
      if (child.exitedAtUptimeS !== null) return false;
      if (process.platform !== 'linux') return true;
      const stat = readStat(child.pid);
      return stat !== null && !NOT_READING.includes(stat.state);
    },
    hand(stdin, hold, silenceMs, stop) {
      if (silenceMs === null) {
        handed = true;
        child.feed(stdin, hold);
        return Promise.resolve(true);
      }
      const { promise, resolve } = Promise.withResolvers<boolean>();
      const say = (): void => resolve(true);
      const timer = setTimeout(() => resolve(false), silenceMs);
      handed = true;
      firstWord = say;
      if (stop.aborted) say();
      else stop.addEventListener('abort', say, { once: true });
      void child.ended.then(() => resolve(false));
      child.feed(stdin, hold);
      return promise.finally(() => {
        clearTimeout(timer);
        stop.removeEventListener('abort', say);
        firstWord = null;
      });
    },
    onReady(listener) {
      readyListener = listener;
      if (ready) queueMicrotask(listener);
    },
    onUnasked(listener) {
      unasked = listener;
    },
  };
}
