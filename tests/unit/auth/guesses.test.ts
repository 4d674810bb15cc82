import { expect, test } from 'vitest';
import { type Attempt, createGuesses } from '../../../src/auth/guesses.ts';
import { AppError } from '../../../src/errors.ts';

/** Guesses with a clock in seconds. */
function start() {
  const counted = { refused: 0, seconds: 0 };
  const guesses = createGuesses({
    elapsed: () => counted.seconds * 1000,
    onRefused: () => {
      counted.refused += 1;
    },
  });
  /** Seconds to wait; 0: the token is looked at. */
  function wait(attempt: Partial<Attempt>): number {
    try {
      guesses.check({ token: 'x', from: '10.0.0.1', keyId: null, ...attempt });
      return 0;
    } catch (error) {
      if (error instanceof AppError && error.status === 429) return error.retryAfterSeconds ?? -1;
      throw error;
    }
  }
  function guess(times: number, attempt: Partial<Attempt> = {}): number {
    let looked = 0;
    for (let count = 0; count < times; count += 1) {
      const one = { token: `guess ${count}`, from: '10.0.0.1', keyId: null, ...attempt };
      if (wait(one) > 0) continue;
      looked += 1;
      guesses.wrong(one);
    }
    return looked;
  }
  return { counted, guesses, wait, guess };
}

test('an address may send twenty wrong tokens, then one every three seconds', () => {
  const { counted, wait, guess } = start();
  expect(guess(100)).toBe(20);
  expect([counted.refused, wait({})]).toEqual([80, 3]);
  let looked = 0;
  for (counted.seconds = 1; counted.seconds <= 60; counted.seconds += 1) looked += guess(10);
  expect(looked).toBe(20);
  // What was refused does not count: after a minute of rest there are twenty again.
  counted.seconds += 60;
  expect(guess(100)).toBe(20);
});

test('nothing that others do delays an address from which nothing wrong came', () => {
  const { wait, guess } = start();
  for (let host = 1; host < 250; host += 1) guess(100, { from: `10.0.1.${host}`, keyId: 'A' });
  expect([wait({ keyId: 'A' }), wait({}), wait({ from: '10.0.1.1', keyId: 'A' })]).toEqual([0, 0, 3]);
});

test('guesses at a key are counted together, from every address', () => {
  const { guess } = start();
  let looked = 0;
  for (let round = 0; round < 3; round += 1)
    for (let host = 1; host <= 40; host += 1) looked += guess(1, { from: `10.0.1.${host}`, keyId: 'A' });
  // The first of each address, and no more.
  expect(looked).toBe(40);
});

test('a token that was right at an address passes there while others guess, for an hour', () => {
  const { counted, guesses, wait, guess } = start();
  guesses.right({ token: 'right', from: '10.0.0.1', keyId: null });
  guess(100);
  guess(100, { keyId: 'A' });
  expect([wait({ token: 'right' }), wait({ token: 'other' })]).toEqual([0, 3]);
  expect(wait({ token: 'right', keyId: 'A' })).toBe(0);
  counted.seconds = 1;
  guess(100, { from: '10.0.0.2' });
  expect(wait({ token: 'right', from: '10.0.0.2' })).toBeGreaterThan(0);
});

test('guesses at one key do not keep another key of the same address out', () => {
  const { wait, guess } = start();
  guess(100, { keyId: 'A' });
  expect([wait({ keyId: 'A' }), wait({ keyId: 'B' }), wait({})]).toEqual([3, 0, 3]);
});

test('an IPv6 network of one customer is one address, and so is a mapped IPv4 one', () => {
  const { wait, guess } = start();
  guess(100, { from: '2001:db8:1:2::1' });
  for (const from of ['2001:db8:1:2::2', '2001:db8:1:2:ffff::9', '2001:0db8:1:2:3:4:5:6', '2001:db8:1:2::'])
    expect(wait({ from }), from).toBe(3);
  for (const from of ['2001:db8:1:3::1', '2001:db8::1', '::1']) expect(wait({ from }), from).toBe(0);
  guess(100, { from: '::ffff:10.0.0.9' });
  expect([wait({ from: '10.0.0.9' }), wait({ from: '::ffff:10.0.0.8' })]).toEqual([3, 0]);
});

test('the oldest of more than twenty thousand addresses are forgotten', () => {
  const { guess } = start();
  guess(19, { from: 'first' });
  for (let count = 0; count < 20_000; count += 1) guess(1, { from: `a${count}` });
  expect(guess(100, { from: 'first' })).toBe(20);
});
