/** The runner's pure parts; tests/contracts/anthropic-sdk.test.ts runs it as a whole. */
import { APIConnectionError, APIError } from '@anthropic-ai/sdk/core/error';
import type { RawMessageStreamEvent } from '@anthropic-ai/sdk/resources/messages/messages';
import { describe, expect, it } from 'vitest';
import { createMessageFold, failureLine } from '../../../../src/anthropic-runner/answer.ts';

const NOW = Date.parse('2026-01-01T00:00:00Z');

describe('what the SDK throws', () => {
  const refused = (headers: Record<string, string>) =>
    APIError.generate(
      429,
      { type: 'error', error: { type: 'rate_limit_error', message: 'Slow down.' } },
      undefined,
      new Headers(headers),
    );

  it('has its status, type and words', () => {
    expect(failureLine(refused({}), NOW)).toEqual({
      type: 'error',
      status: 429,
      errorType: 'rate_limit_error',
      message: 'Slow down.',
      resetsAt: null,
    });
  });

  it.each([
    ['90', '2026-01-01T00:01:30.000Z'],
    ['Thu, 01 Jan 2026 01:00:00 GMT', '2026-01-01T01:00:00.000Z'],
    ['soon', null],
  ])('with retry-after %j may be tried again at %s', (retryAfter, at) => {
    expect(failureLine(refused({ 'retry-after': retryAfter }), NOW).resetsAt).toBe(at);
  });

  it('without retry-after may be tried again when the last limit with nothing left is reset', () => {
    const limits = {
      'anthropic-ratelimit-requests-remaining': '0',
      'anthropic-ratelimit-requests-reset': '2026-01-01T00:00:10Z',
      'anthropic-ratelimit-input-tokens-remaining': '0',
      'anthropic-ratelimit-input-tokens-reset': '2026-01-01T00:00:40Z',
      'anthropic-ratelimit-output-tokens-remaining': '900',
      'anthropic-ratelimit-output-tokens-reset': '2026-01-01T00:01:00Z',
    };
    expect(failureLine(refused(limits), NOW).resetsAt).toBe('2026-01-01T00:00:40.000Z');
    expect(failureLine(refused({ ...limits, 'retry-after': '5' }), NOW).resetsAt).toBe(
      '2026-01-01T00:00:05.000Z',
    );
  });

  it('is the connection when there was no answer or only half of one', () => {
    const cause = new TypeError('fetch failed', { cause: new Error('connect ECONNREFUSED') });
    expect(failureLine(new APIConnectionError({ message: 'Connection error.', cause }), NOW)).toMatchObject({
      status: null,
      errorType: 'connection_error',
      message: 'Connection error. (connect ECONNREFUSED)',
    });
    const half = new TypeError('terminated', { cause: new Error('other side closed') });
    expect(failureLine(half, NOW)).toMatchObject({
      errorType: 'connection_error',
      message: 'the answer broke off (other side closed)',
    });
  });

  it('is thrown on when it is neither: a mistake of ours', () => {
    const mistake = new TypeError('x is not a function');
    expect(() => failureLine(mistake, NOW)).toThrow(mistake);
  });
});

describe('the fold of a message', () => {
  /** Only what the fold reads; the real events have more. */
  const event = (fields: object): RawMessageStreamEvent => fields as RawMessageStreamEvent;
  const EVENTS = [
    { type: 'message_start', message: { model: 'm', usage: { input_tokens: 3, output_tokens: 1 } } },
    { type: 'content_block_delta', index: 0, delta: { type: 'text_delta', text: 'He' } },
    { type: 'content_block_delta', index: 0, delta: { type: 'thinking_delta', thinking: 'hm' } },
    { type: 'content_block_delta', index: 0, delta: { type: 'text_delta', text: 'llo' } },
    {
      type: 'message_delta',
      delta: { stop_reason: 'end_turn' },
      usage: { input_tokens: null, output_tokens: 2 },
    },
    { type: 'message_stop' },
  ];

  it('is the text, the model, why it ended and all counts', () => {
    const fold = createMessageFold();
    for (const one of EVENTS) fold.add(event(one));
    expect(fold.result()).toEqual({
      type: 'result',
      text: 'Hello',
      model: 'm',
      stop_reason: 'end_turn',
      usage: { input_tokens: 3, output_tokens: 2 },
    });
  });

  it('is nothing before the message has ended', () => {
    const fold = createMessageFold();
    for (const one of EVENTS.slice(0, -1)) fold.add(event(one));
    expect(fold.result()).toBeNull();
  });
});
