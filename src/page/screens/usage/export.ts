/** A report as a file for a spreadsheet or a program. */
import type { UsageReport } from '../../../client/answers.ts';
import type { UsageRow } from '../../../protocol/usage.ts';

const COLUMNS = [
  ...([
    'key',
    'executions',
    'succeeded',
    'cancelled',
    'successRate',
    'durationP50Ms',
    'durationP95Ms',
  ] as const),
  ...(['inputTokens', 'outputTokens', 'cacheReadTokens', 'cacheWriteTokens'] as const),
  ...(['costUsd', 'reportedUsd', 'estimatedUsd', 'unknownCosts'] as const),
] satisfies readonly (keyof UsageRow)[];

/** Spreadsheets run a text that begins like a formula; an apostrophe makes it a text. */
const harmless = (text: string): string => (/^[=+\-@\t\r]/.test(text) ? `'${text}` : text);

const cell = (value: string | number | null): string => {
  if (typeof value === 'number') return String(value);
  const text = harmless(value ?? '');
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
};

/** RFC 4180. The first column is named by what the rows are of. */
export function csvOf({ by, data }: UsageReport): string {
  const head = COLUMNS.map((column) => (column === 'key' ? by : column));
  const lines = [head, ...data.map((row) => COLUMNS.map((column) => row[column]))];
  return lines.map((line) => `${line.map(cell).join(',')}\r\n`).join('');
}

export const jsonFileOf = (report: UsageReport): string => `${JSON.stringify(report, null, 2)}\n`;
