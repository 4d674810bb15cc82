import { describe, expect, it } from 'vitest';
import { csvOf } from '../../../src/page/screens/usage/export.ts';
import { rangeOf, stepsOf } from '../../../src/page/screens/usage/range.ts';
import type { UsageRow } from '../../../src/protocol/usage.ts';

const NOW = Date.parse('2026-11-30T12:34:56.000Z');
const range = (query: string) => rangeOf(new URLSearchParams(query), NOW);

const row = (key: string | null): UsageRow => ({
  ...{
    key,
    executions: 3,
    succeeded: 2,
    cancelled: 1,
    successRate: 1,
    durationP50Ms: null,
    durationP95Ms: 12.5,
  },
  ...{ inputTokens: 1, outputTokens: 2, cacheReadTokens: 3, cacheWriteTokens: 4 },
  ...{ costUsd: 0.5, reportedUsd: 0.25, estimatedUsd: 0.25, unknownCosts: 0 },
});

describe('the range of the usage', () => {
  it('is whole hours for a day, whole days for more', () => {
    expect(range('range=24h')).toEqual({
      ...{ name: '24h', from: '2026-11-29T13:00:00.000Z', to: '2026-11-30T13:00:00.000Z', step: 'hour' },
    });
    expect(range('range=30d')).toEqual({
      ...{ name: '30d', from: '2026-11-01T00:00:00.000Z', to: '2026-12-01T00:00:00.000Z', step: 'day' },
    });
    expect(range('')).toEqual(range('range=7d'));
    expect(range('range=junk')).toEqual(range('range=7d'));
  });

  it('is what the reader has set, with both days', () => {
    const own = range('range=own&from=2026-01-01&to=2026-01-31');
    expect(own).toMatchObject({
      from: '2026-01-01T00:00:00.000Z',
      to: '2026-02-01T00:00:00.000Z',
      step: 'day',
    });
    expect(range('range=own&from=2026-01-01&to=2026-01-01').step).toBe('hour');
  });

  it.each(['from=2026-02-01&to=2026-01-01', 'from=x&to=2026-01-01', '', 'from=0001-01-01&to=9999-01-01'])(
    'is the usual one when that makes no sense: %s',
    (query) => {
      expect(range(`range=own&${query}`)).toEqual(range('range=7d'));
    },
  );

  it('has a step for each key of a report', () => {
    expect(stepsOf(range('range=7d')).map(({ key }) => key)).toEqual([
      ...['2026-11-24', '2026-11-25', '2026-11-26', '2026-11-27', '2026-11-28', '2026-11-29', '2026-11-30'],
    ]);
    expect(stepsOf(range('range=24h')).at(-1)?.key).toBe('2026-11-30T12');
  });
});

describe('the export as CSV', () => {
  const keysOf = (...keys: (string | null)[]): string[] =>
    csvOf({ by: 'tag', from: null, to: null, data: keys.map(row) })
      .split('\r\n')
      .slice(1, -1)
      .map((line) => line.slice(0, line.indexOf(',3,2,1,')));

  it('has a column for each number', () => {
    expect(csvOf({ by: 'tag', from: null, to: null, data: [row('nightly')] })).toBe(
      `tag,executions,succeeded,cancelled,successRate,durationP50Ms,durationP95Ms,inputTokens,outputTokens,\
cacheReadTokens,cacheWriteTokens,costUsd,reportedUsd,estimatedUsd,unknownCosts\r
nightly,3,2,1,1,,12.5,1,2,3,4,0.5,0.25,0.25,0\r
`,
    );
  });

  it('quotes what a cell would end, and runs nothing in a spreadsheet', () => {
    expect(keysOf('a,b', 'a"b', '=1+1', '+1', '-1', '@x', '=HYPERLINK("x","y")', null)).toEqual([
      ...['"a,b"', '"a""b"', "'=1+1", "'+1", "'-1", "'@x", `"'=HYPERLINK(""x"",""y"")"`, ''],
    ]);
  });
});
