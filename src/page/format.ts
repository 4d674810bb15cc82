/** Numbers and times in the reader's own locale. */

const number = new Intl.NumberFormat();
const compact = new Intl.NumberFormat(undefined, { notation: 'compact', maximumFractionDigits: 1 });
const dateTime = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeStyle: 'medium' });
const day = new Intl.DateTimeFormat(undefined, { month: 'short', day: 'numeric' });
const clock = new Intl.DateTimeFormat(undefined, { hour: 'numeric', minute: '2-digit' });
const relative = new Intl.RelativeTimeFormat(undefined, { numeric: 'auto', style: 'short' });

export const formatNumber = (value: number): string => number.format(value);
/** `1 job`, `1,000 jobs`. */
export const formatMany = (count: number, noun: string): string =>
  `${number.format(count)} ${noun}${count === 1 ? '' : 's'}`;
/** 1.2K, 3.4M. */
export const formatCount = (value: number): string => compact.format(value);

/** Made once: each takes longer to make than to use, and a list has many sums. */
const dollars = (digits: number): Intl.NumberFormat =>
  new Intl.NumberFormat(undefined, {
    style: 'currency',
    currency: 'USD',
    currencyDisplay: 'narrowSymbol',
    minimumFractionDigits: digits,
    maximumFractionDigits: digits,
  });
const [cents, parts] = [dollars(2), dollars(4)];
const compactDollars = new Intl.NumberFormat(undefined, {
  ...{ style: 'currency', currency: 'USD', currencyDisplay: 'narrowSymbol' },
  ...{ notation: 'compact', maximumFractionDigits: 1 },
});

/** Dollars: cents, and two digits more where a sum is less than a cent. Null is a dash. */
export function formatCost(usd: number | null): string {
  if (usd === null) return '–';
  return (usd === 0 || Math.abs(usd) >= 0.01 ? cents : parts).format(usd);
}

/** For narrow places: $12.40, $1.2K. */
export const formatShortCost = (usd: number): string =>
  usd < 1000 ? formatCost(usd) : compactDollars.format(usd);

/** 840 ms, 12.3 s, 4 min 10 s, 2 h 5 min. */
export function formatDuration(ms: number): string {
  if (ms < 1000) return `${number.format(Math.round(ms))} ms`;
  if (ms < 60_000) return `${number.format(Math.round(ms / 100) / 10)} s`;
  const [minutes, seconds] = [Math.floor(ms / 60_000), Math.floor((ms % 60_000) / 1000)];
  if (minutes < 60) return `${number.format(minutes)} min ${number.format(seconds)} s`;
  const [hours, rest] = [Math.floor(minutes / 60), minutes % 60];
  if (hours < 48) return `${number.format(hours)} h ${number.format(rest)} min`;
  return `${number.format(Math.floor(hours / 24))} d ${number.format(hours % 24)} h`;
}

/** Of a time that does not run: 2 min, not 2 min 0 s. */
export function formatWholeDuration(ms: number): string {
  const text = formatDuration(ms);
  const parts = text.split(' ');
  return parts[2] === number.format(0) ? parts.slice(0, 2).join(' ') : text;
}

/** 4.2 MB. */
export function formatBytes(bytes: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB'];
  let value = bytes;
  let unit = 0;
  while (value >= 1000 && unit < units.length - 1) [value, unit] = [value / 1000, unit + 1];
  return `${number.format(Math.round(value * 10) / 10)} ${units[unit]}`;
}

/** The whole time, for titles. */
export const formatTime = (at: string | number): string => dateTime.format(new Date(at));
/** The time of today, else the day with the time. */
export function formatShortTime(at: string | number, now = Date.now()): string {
  const then = new Date(at);
  const isToday = then.toDateString() === new Date(now).toDateString();
  return isToday ? clock.format(then) : `${day.format(then)}, ${clock.format(then)}`;
}
export const formatDay = (at: string | number): string => day.format(new Date(at));

/** "5 min ago", "in 2 hr". */
export function formatAgo(at: string | number, now = Date.now()): string {
  const seconds = Math.round((new Date(at).getTime() - now) / 1000);
  const size = Math.abs(seconds);
  if (size < 5) return relative.format(0, 'second');
  if (size < 60) return relative.format(seconds, 'second');
  if (size < 3600) return relative.format(Math.round(seconds / 60), 'minute');
  if (size < 86_400 * 2) return relative.format(Math.round(seconds / 3600), 'hour');
  return relative.format(Math.round(seconds / 86_400), 'day');
}

/** The end of a ULID, as the command line shows it. */
export const shortId = (id: string): string => id.slice(-6);
