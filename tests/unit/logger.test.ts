import { expect, it } from 'vitest';
import { createLogLimit } from '../../src/logger.ts';

it('one line per kind and minute, with the number of events since the last line', () => {
  let now = 0;
  const logLimit = createLogLimit(() => now);
  expect([logLimit('a'), logLimit('a'), logLimit('b'), logLimit('a')]).toEqual([1, null, 1, null]);
  now = 60_000;
  expect([logLimit('a'), logLimit('a'), logLimit('b')]).toEqual([3, null, 1]);
});
