import { isAlive, readStat, resourceUse } from '../../processes/proc-entry.ts';
import { listenTo, type SpawnedProcess } from '../../processes/spawned-process.ts';
import { supportsSweep } from '../../processes/sweep.ts';
import type { CliProcess } from '../../protocol/server-info.ts';
import { type EarlyLine, refuseIfStopped } from '../start-cli.ts';

/** After so many unread lines, reading from the process pauses. */
const MAX_LINES = 1000;
/** A CLI answers its prompt within milliseconds. The user's own hooks may delay it. */
const SILENCE_MS = 10_000;
/** CPU time that a process may use without reading anything, in hundredths of a second. */
const IDLE_TICKS = 1;
/** States of a process that does not read: stopped or dead. */
const NOT_READING = ['T', 't', 'Z', 'X'];
/** Expected memory of one idle process. Idle CLIs were measured at 155 to 170 MB. */
const EXPECTED_BYTES = 200 * 1024 * 1024;
/** Idle processes may take this share of the free memory. */
const MEMORY_SHARE = 0.25;

export interface PromptToSend {
  readonly stdin: string;
  /** Keeps stdin open after the prompt. */
  readonly hold: boolean;
  /** The provider's `warmStart.speaksFirst`. */
  readonly speaksFirst: boolean;
  /** When to stop waiting for a first line. */
  readonly limitMs: number;
  readonly stop: AbortSignal;
}

/** A CLI process that was started and waits for a prompt. It runs one job. */
export interface IdleProcess {
  readonly child: SpawnedProcess;
  /** Its scratch folder. */
  readonly scratch: string;
  /** Whether it has booted. A process that does not report this counts as booted. */
  readonly ready: boolean;
  /** Lines since the prompt. */
  readonly earlyLines: readonly EarlyLine[];
  /** Whether it could read a prompt now. */
  isAlive(): boolean;
  /**
   * Sends the prompt. Resolves to false if the process has certainly not read it: a CLI that speaks
   * first has ended without a line, or was silent for 10 s and used no CPU time. Else to true.
   * @throws AppError when the start was stopped before
   */
  sendPrompt(prompt: PromptToSend): Promise<boolean>;
  /** Calls `listener` when the process has booted, or soon if it has already. */
  onReady(listener: () => void): void;
  /** Calls `listener` at each line before the prompt. */
  onUnexpectedLine(listener: () => void): void;
}

/** @param isReady recognises the line that reports the end of the boot. null: there is none. */
export function createIdleProcess({
  child,
  scratch,
  isReady,
  silenceMs = SILENCE_MS,
}: {
  readonly child: SpawnedProcess;
  readonly scratch: string;
  readonly isReady: ((line: string) => boolean) | null;
  readonly silenceMs?: number;
}): IdleProcess {
  const earlyLines: EarlyLine[] = [];
  child.clearStderr();
  let ready = isReady === null;
  let hasPrompt = false;
  let onFirstLine: (() => void) | null = null;
  let onUnexpected: (() => void) | null = null;
  let readyListener: (() => void) | null = null;

  child.onOutput(() => {}); // output before the prompt counts for no job
  child.onLine((line, cut) => {
    if (!ready && isReady?.(line) === true) {
      ready = true;
      readyListener?.();
      return;
    }
    if (hasPrompt) onFirstLine?.();
    else onUnexpected?.();
    earlyLines.push({ line, cut });
    if (earlyLines.length >= MAX_LINES) child.pauseOutput();
  });

  return {
    child,
    scratch,
    get ready() {
      return ready;
    },
    earlyLines,
    isAlive() {
      if (child.exitedAtUptimeS !== null) return false;
      if (process.platform !== 'linux') return true;
      const stat = readStat(child.pid);
      return stat !== null && !NOT_READING.includes(stat.state);
    },
    async sendPrompt({ stdin, hold, speaksFirst, limitMs, stop }) {
      refuseIfStopped(stop);
      child.resumeOutput();
      child.clearStderr();
      hasPrompt = true;
      if (!speaksFirst) {
        child.feed(stdin, hold);
        return true;
      }
      const { promise, resolve } = Promise.withResolvers<boolean>();
      const read = (): void => resolve(true);
      const ticksBefore = cpuTicks(child.pid);
      const isIdle = (): boolean => cpuTicks(child.pid) - ticksBefore <= IDLE_TICKS;
      const silence = setTimeout(() => resolve(!isIdle()), silenceMs);
      const limit = setTimeout(read, limitMs);
      onFirstLine = read;
      stop.addEventListener('abort', read, { once: true });
      const release = listenTo(child.ended, () => resolve(child.lost)); // a lost process may have read it
      child.feed(stdin, hold);
      return promise.finally(() => {
        for (const timer of [silence, limit]) clearTimeout(timer);
        stop.removeEventListener('abort', read);
        release();
        onFirstLine = null;
      });
    },
    onReady(listener) {
      readyListener = listener;
      if (ready) queueMicrotask(listener);
    },
    onUnexpectedLine(listener) {
      onUnexpected = listener;
    },
  };
}

/** Infinity when it is unknown: the process then counts as busy. */
const cpuTicks = (pid: number): number => readStat(pid)?.cpuTicks ?? Number.POSITIVE_INFINITY;

/** Which idle processes are meant. */
export type WhichIdle = (one: Pick<CliProcess, 'id' | 'provider' | 'sessionId'>) => boolean;

/** The id of an idle process: the last part of its marker, since no execution has it yet. */
export const idleIdOf = (marker: string): string => marker.slice(marker.lastIndexOf('/') + 1);

/** @param since `performance.now()` when it became idle */
export function reportIdleProcess(
  { child: { pid, marker } }: IdleProcess,
  { provider, cwd }: { readonly provider: { readonly name: string }; readonly cwd: string },
  sessionId: string | null,
  since: number,
): CliProcess {
  const ageMs = Math.round(performance.now() - since);
  const use = supportsSweep() ? resourceUse(pid) : null;
  return {
    id: idleIdOf(marker),
    state: 'idle',
    provider: provider.name,
    pid,
    alive: isAlive(pid),
    jobId: null,
    attempt: null,
    sessionId,
    cwd,
    since: new Date(Date.now() - ageMs).toISOString(),
    ageMs,
    idleMs: ageMs,
    memoryBytes: use?.memoryBytes ?? null,
    cpuSeconds: use?.cpuSeconds ?? null,
    openFiles: use?.openFiles ?? null,
    processes: use?.processes ?? null,
  };
}

/**
 * Whether the memory allows one more idle process.
 * @param pids of the idle processes. null: it still boots, and its memory is not known.
 */
export function memoryAllowsOneMore(pids: readonly (number | null)[], availableBytes: number): boolean {
  const usedBytes = pids.reduce<number>((sum, pid) => sum + (knownBytes(pid) || EXPECTED_BYTES), 0);
  return usedBytes + EXPECTED_BYTES <= (availableBytes + usedBytes) * MEMORY_SHARE;
}

const knownBytes = (pid: number | null): number =>
  pid === null || !supportsSweep() ? 0 : resourceUse(pid).memoryBytes;
