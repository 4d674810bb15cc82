import { expect, test } from 'vitest';
import { createSigner } from '../../../src/auth/signer.ts';

test('a signature holds for its texts and its secret alone', () => {
  const [one, other] = [createSigner('secret'), createSigner('Secret')];
  const signature = one?.sign(['job', 'a', 'b']) ?? '';
  expect(one?.isSigned(['job', 'a', 'b'], signature)).toBe(true);
  expect(other?.isSigned(['job', 'a', 'b'], signature)).toBe(false);
  const changed = [
    ['key', 'a', 'b'],
    ['job', 'ab'],
    ['job', 'ab', ''],
    ['job', '', 'ab'],
    ['job', 'a', 'b', ''],
  ];
  for (const texts of [...changed, ['job', 'a'], ['job', 'b', 'a'], []])
    expect(one?.isSigned(texts, signature), texts.join()).toBe(false);
  for (const wrong of ['', 'x', signature.slice(0, -1), `${signature}AA`, '€', signature.toUpperCase()])
    expect(one?.isSigned(['job', 'a', 'b'], wrong), wrong).toBe(false);
  expect(createSigner(null)).toBeNull();
});
