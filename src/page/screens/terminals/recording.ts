/** A recording as a list of moments. Long pauses are shortened, so it has two clocks. */
import type { TerminalSize } from '../../../protocol/terminal.ts';

export interface Moment {
  /** Milliseconds of play. */
  readonly at: number;
  /** Milliseconds since the terminal was opened. */
  readonly realMs: number;
  /** What the program has written; null: none. */
  readonly output: string | null;
  /** The new size; null: none. */
  readonly size: TerminalSize | null;
}

export interface Recording {
  readonly size: TerminalSize;
  /** When the terminal was opened, in ms since the epoch; the recording has whole seconds. */
  readonly startedAt: number;
  readonly moments: readonly Moment[];
  /** Milliseconds of play. */
  readonly duration: number;
  readonly realMs: number;
}

/** Longer pauses take this long. */
export const IDLE_MS = 2000;
const DEFAULT_SIZE: TerminalSize = { cols: 80, rows: 24 };

/** Reads lines of asciicast v2. A line that is not whole, as the last one may be, is left out. */
export function recordingOf(lines: readonly string[]): Recording {
  const moments: Moment[] = [];
  let header: Pick<Recording, 'size' | 'startedAt'> = { size: DEFAULT_SIZE, startedAt: 0 };
  let at = 0;
  let realMs = 0;
  for (const line of lines) {
    const value = parsed(line);
    if (!Array.isArray(value)) {
      header = headerOf(value) ?? header;
      continue;
    }
    const [seconds, kind, data]: unknown[] = value;
    if (typeof seconds !== 'number' || typeof data !== 'string') continue;
    const passed = Math.max(0, seconds * 1000 - realMs);
    realMs += passed;
    at += Math.min(passed, IDLE_MS);
    if (kind === 'o') moments.push({ at, realMs, output: data, size: null });
    else if (kind === 'r') moments.push({ at, realMs, output: null, size: sizeOf(data) });
  }
  return { ...header, moments, duration: at, realMs };
}

/** The time of play at which so much real time has passed. */
export function playTimeOf({ moments, duration }: Recording, realMs: number): number {
  const next = moments.findIndex((moment) => moment.realMs > realMs);
  if (next === -1) return duration;
  const before = moments[next - 1] ?? { at: 0, realMs: 0 };
  return before.at + Math.min(Math.max(0, realMs - before.realMs), (moments[next]?.at ?? 0) - before.at);
}

function parsed(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return null;
  }
}

function headerOf(value: unknown): Pick<Recording, 'size' | 'startedAt'> | null {
  if (typeof value !== 'object' || value === null) return null;
  const numberIn = (name: string): number => {
    const found: unknown = Object.entries(value).find(([key]) => key === name)?.[1];
    return typeof found === 'number' ? found : 0;
  };
  const [cols, rows] = [numberIn('width'), numberIn('height')];
  return {
    size: cols > 0 && rows > 0 ? { cols, rows } : DEFAULT_SIZE,
    startedAt: numberIn('timestamp') * 1000,
  };
}

function sizeOf(text: string): TerminalSize | null {
  const [, cols, rows] = /^(\d{1,4})x(\d{1,4})$/.exec(text) ?? [];
  const size = { cols: Number(cols), rows: Number(rows) };
  return size.cols >= 1 && size.cols <= 1000 && size.rows >= 1 && size.rows <= 1000 ? size : null;
}
