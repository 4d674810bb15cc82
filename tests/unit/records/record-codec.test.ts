import { expect, it } from 'vitest';
import { decodeEvent } from '../../../src/records/record-codec.ts';

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
