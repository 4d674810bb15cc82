import { expect, it } from 'vitest';
import { createSeldom } from '../../src/seldom.ts';

it('the first of a kind is let through, then one a minute, with how many there were since', () => {
  let now = 0;
  const seldom = createSeldom(() => now);
  expect([seldom('a'), seldom('a'), seldom('b'), seldom('a')]).toEqual([1, null, 1, null]);
  now = 60_000;
  expect([seldom('a'), seldom('a'), seldom('b')]).toEqual([3, null, 1]);
});
