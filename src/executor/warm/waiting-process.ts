/** A process that was started before there was a prompt for it, and serves one job. */

import { readStat, resourceUse } from '../../processes/proc-entry.ts';
import type { SpawnedProcess } from '../../processes/spawned-process.ts';
import { supportsSweep } from '../../processes/sweep.ts';
import type { WaitingProcessReport } from '../../protocol/server-info.ts';
import type { HeardLine } from '../start-cli.ts';

/** So many lines may wait to be read; then the process is slowed down. */
const MAX_HEARD = 1000;
/** A CLI that has booted says its first line within milliseconds; the user's own hooks may keep it longer. */
const SILENCE_MS = 10_000;
/** A process that reads anything uses more; in hundredths of a second. */
const IDLE_TICKS = 1;
/** Stopped, or dead: it would not read its prompt. */
const NOT_READING = ['T', 't', 'Z', 'X'];

export interface HandedPrompt {
  readonly stdin: string;
  /** Whether stdin stays open behind it. */
  readonly hold: boolean;
  /** As the provider promises. */
  readonly speaksFirst: boolean;
  /** Whoever runs it looks after it from then on. */
  readonly limitMs: number;
  readonly stop: AbortSignal;
}

export interface WaitingProcess {
  readonly child: SpawnedProcess;
  /** Whether it has said that it is ready; one that never says so is taken for ready. */
  readonly ready: boolean;
  /** Lines since the prompt. */
  readonly heard: readonly HeardLine[];
  /** Whether it would read a prompt now. */
  alive(): boolean;
  /**
   * Gives it a prompt. False when a CLI that speaks first has ended without a word, or has been silent for ten seconds
   * in which it has not run at all: then it has not read its prompt. True when it speaks, works, or is not waited for.
   */
  hand(prompt: HandedPrompt): Promise<boolean>;
  /** Calls back when it says that it is ready; at once when it has. */
  onReady(listener: () => void): void;
  /** Calls back when it says anything before it has a prompt. */
  onUnasked(listener: () => void): void;
}

/** Infinite where it cannot be known, so that nobody is taken for idle. */
const cpuTicks = (pid: number): number => readStat(pid)?.cpuTicks ?? Number.POSITIVE_INFINITY;

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
  silenceMs = SILENCE_MS,
): WaitingProcess {
  const heard: HeardLine[] = [];
  child.clearStderr();
  let ready = isReady === null;
  let handed = false;
  let firstWord: (() => void) | null = null;
  let unasked: (() => void) | null = null;
  let readyListener: (() => void) | null = null;

  child.onOutput(() => {}); // nobody's to count before it has a prompt
  child.onLine((line, cut) => {
    if (!ready && isReady?.(line) === true) {
      ready = true;
      readyListener?.();
      return;
    }
    if (handed) firstWord?.();
    else unasked?.();
    heard.push({ line, cut });
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
    hand({ stdin, hold, speaksFirst, limitMs, stop }) {
      child.resumeOutput();
      child.clearStderr();
      handed = true;
      if (!speaksFirst) {
        child.feed(stdin, hold);
        return Promise.resolve(true);
      }
      const { promise, resolve } = Promise.withResolvers<boolean>();
      const taken = (): void => resolve(true);
      const cpuBefore = cpuTicks(child.pid);
      const quiet = setTimeout(() => resolve(!(cpuTicks(child.pid) - cpuBefore <= IDLE_TICKS)), silenceMs);
      const limit = setTimeout(taken, limitMs);
      firstWord = taken;
      if (stop.aborted) taken();
      else stop.addEventListener('abort', taken, { once: true });
      void child.ended.then(() => resolve(child.lost)); // one that was lost may have read it
      child.feed(stdin, hold);
      return promise.finally(() => {
        for (const timer of [quiet, limit]) clearTimeout(timer);
        stop.removeEventListener('abort', taken);
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
