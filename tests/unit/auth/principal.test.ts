import { expect, test } from 'vitest';
import { scopedKey } from '../../../src/auth/principal.ts';
import { callerOf } from '../../fakes/principals.ts';

test('an Idempotency-Key is one of its caller, and of the project that the subject of a JWT acts in', () => {
  const given = { key: 'k', fingerprint: 'f' };
  const keyOf = (id: string, project: string) => scopedKey(callerOf(id, project), given)?.key;
  const keys = [
    keyOf('key:A', 'web'),
    keyOf('key:B', 'web'),
    keyOf('jwt:ada', 'web'),
    keyOf('jwt:ada', 'ops'),
    keyOf('jwt:bob', 'ops'),
  ];
  expect(new Set(keys).size).toBe(keys.length);
  expect(keyOf('jwt:ada', 'web')).toBe(keys[2]);
});
