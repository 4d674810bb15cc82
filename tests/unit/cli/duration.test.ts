import { describe, expect, it } from 'vitest';
import { parseDuration, parseMoment } from '../../../src/cli/arguments.ts';
import { formatAge, formatDuration } from '../../../src/cli/format.ts';

const NOW = new Date('2026-11-21T12:00:00Z');

describe('a time', () => {
  it.each([
    ['500ms', 500],
    ['90s', 90_000],
    ['15m', 900_000],
    ['1.5h', 5_400_000],
    ['7d', 604_800_000],
    [' 1s ', 1000],
    ['0s', 0],
  ])('%j is %i ms', (text, ms) => {
    expect(parseDuration(text)).toBe(ms);
  });

  it.each(['', '15', 's', '1 h', '-5s', '1h30m', '1e3s', 'NaNs', '5 minutes', '1.s', '99999999999d'])(
    '%j is none',
    (text) => {
      expect(parseDuration(text)).toBeNull();
    },
  );

  it.each([
    [0, '0.0 s'],
    [812, '0.8 s'],
    [59_949, '59.9 s'],
    [245_000, '4 min 5 s'],
    [7_385_000, '2 h 3 min'],
  ])('of %i ms reads %j', (ms, text) => {
    expect(formatDuration(ms)).toBe(text);
  });

  it.each([
    [-5, '0s'],
    [59_999, '59s'],
    [60_000, '1m'],
    [3_599_999, '59m'],
    [86_400_000, '1d'],
  ])('%i ms ago reads %j', (ms, text) => {
    expect(formatAge(ms)).toBe(text);
  });
});

describe('a moment', () => {
  it.each([
    ['2026-11-01', '2026-11-01T00:00:00.000Z'],
    ['2026-11-01T10:00:00+02:00', '2026-11-01T08:00:00.000Z'],
    ['7d', '2026-11-14T12:00:00.000Z'],
    ['2h', '2026-11-21T10:00:00.000Z'],
  ])('%j is %s', (text, moment) => {
    expect(parseMoment('--from', text, NOW)).toBe(moment);
  });

  it.each(['yesterday', '2026-13-01', '2026-02-30', '2026-2-3', '2026-11-01 10:00', '1', ''])(
    '%j is refused, naming the option',
    (text) => {
      expect(() => parseMoment('--from', text, NOW)).toThrow('--from takes a date');
    },
  );
});
