import { usageError } from './command-error.ts';

const UNIT_MS: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
};

/** Milliseconds of `90s`, `15m`, `1.5h`, `7d`, `500ms`; null for anything else. */
export function durationMs(text: string): number | null {
  const [, amount, unit = ''] = /^(\d+(?:\.\d+)?)(ms|s|m|h|d)$/.exec(text.trim()) ?? [];
  const factor = UNIT_MS[unit];
  return amount === undefined || factor === undefined ? null : Math.round(Number(amount) * factor);
}

/** @throws CommandError naming the option */
export function parseDuration(option: string, text: string): number {
  const ms = durationMs(text);
  if (ms !== null) return ms;
  throw usageError(`${option} takes a time like 90s, 15m or 1h, not ${JSON.stringify(text)}`);
}

/**
 * A moment as RFC 3339: a date (midnight UTC), a full time, or how long before `now` (`7d`).
 * @throws CommandError naming the option
 */
export function parseMoment(option: string, text: string, now: Date): string {
  const ago = durationMs(text);
  if (ago !== null) return new Date(now.getTime() - ago).toISOString();
  const isTime = /^\d{4}-\d\d-\d\d(T\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d))?$/.test(text);
  const time = isTime ? new Date(text) : null;
  // JavaScript takes the 31st of a short month for a day of the next one.
  const exists = time !== null && !Number.isNaN(time.getTime()) && isRealDay(text.slice(0, 10));
  if (exists) return time.toISOString();
  throw usageError(
    `${option} takes a date (2026-11-01), a time (2026-11-01T12:00:00Z) or how long ago (7d), not ${JSON.stringify(text)}`,
  );
}

const isRealDay = (day: string): boolean => new Date(`${day}T00:00:00Z`).toISOString().startsWith(day);

/** For people: `0.8 s`, `12.3 s`, `4 min 5 s`, `2 h 3 min`. */
export function formatDuration(ms: number): string {
  if (ms < 60_000) return `${(ms / 1000).toFixed(1)} s`;
  const minutes = Math.floor(ms / 60_000);
  if (minutes < 60) return `${minutes} min ${Math.floor((ms % 60_000) / 1000)} s`;
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

/** How long ago, in one figure: `5s`, `12m`, `3h`, `9d`. */
export function formatAge(ms: number): string {
  const seconds = Math.max(0, Math.floor(ms / 1000));
  if (seconds < 60) return `${seconds}s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)}m`;
  return seconds < 86_400 ? `${Math.floor(seconds / 3600)}h` : `${Math.floor(seconds / 86_400)}d`;
}
