import { expect, it } from 'vitest';
import { resolvedPrompt } from '../../../scripts/offline-model/resolved-prompt.ts';
import { decodeEvent, lanesOf } from '../../../src/records/record-codec.ts';

it('an event that was stored as retry is read as api_retry', () => {
  const body = '{"kind":"retry","retry":1,"reason":"busy"}';
  expect(decodeEvent('J', ['7-0', ['a', '2', 't', '0', 'e', body]])).toEqual({
    seq: 7,
    jobId: 'J',
    attempt: 2,
    at: '1970-01-01T00:00:00.000Z',
    raw: null,
    kind: 'api_retry',
    retry: 1,
    reason: 'busy',
  });
});

it('a concurrency key is one of its caller, whatever the subject of a JWT contains', () => {
  const laneOf = (project: string, principal: string, concurrencyKey: string) =>
    lanesOf({ project, principal, request: resolvedPrompt({ concurrencyKey }) })[0];
  expect(laneOf('web', 'key:A', 'k')).toBe('k:key:A:k');
  const lanes = [
    laneOf('web', 'key:A', 'k'),
    laneOf('web', 'jwt:a', 'b:k'),
    laneOf('web', 'jwt:a:b', 'k'),
    laneOf('ops', 'jwt:a:b', 'k'),
    laneOf('web', 'jwt:a/b', 'k'),
  ];
  expect(new Set(lanes).size).toBe(lanes.length);
});
