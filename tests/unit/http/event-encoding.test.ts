import { expect, test } from 'vitest';
import { createEventEncoder } from '../../../src/http/event-encoding.ts';
import { EVENT_KINDS, type EventFilter, formatFor, NDJSON, SSE } from '../../../src/http/event-format.ts';
import type { Piece } from '../../../src/http/stream-writer.ts';
import type { StoredEvent } from '../../../src/protocol/event.ts';

const event = (seq: number, text = `t${seq}`): StoredEvent => ({
  ...{ seq, jobId: 'J', attempt: 1, at: '2026-01-01T00:00:00.000Z', raw: 'line', kind: 'text', text },
});
const ALL: EventFilter = { kinds: null, raw: false };
const textOf = (pieces: readonly Piece[]): string => Buffer.concat(pieces.map(({ body }) => body)).toString();

test('readers who ask for the same of a batch share its bytes, others do not', () => {
  const encoder = createEventEncoder();
  const batch = [event(1), event(2)];
  const first = encoder(formatFor(SSE), ALL)(batch);
  expect(encoder(formatFor(SSE), { ...ALL })(batch)).toBe(first);
  const others = [
    encoder(formatFor(NDJSON), ALL),
    encoder(formatFor(SSE), { ...ALL, raw: true }),
    encoder(formatFor(SSE), { ...ALL, kinds: new Set(['text']) }),
    encoder(formatFor(SSE), { ...ALL, kinds: new Set(['usage']) }),
  ].map((encode) => textOf(encode(batch)));
  expect(textOf(first)).toContain('id: 1\n');
  expect(others[0]?.split('\n')).toHaveLength(3);
  expect(others[1]).toContain('"raw":"line"');
  expect(others[2]).toBe(textOf(first));
  expect(others[3]).toBe('');
  expect(encoder(formatFor(SSE), ALL)([...batch])).not.toBe(first);
});

test('the order of the kinds asked for makes no difference', () => {
  const encoder = createEventEncoder();
  const batch = [event(1)];
  const one = encoder(formatFor(SSE), { ...ALL, kinds: new Set(['text', 'usage']) })(batch);
  expect(encoder(formatFor(SSE), { ...ALL, kinds: new Set(['usage', 'text']) })(batch)).toBe(one);
});

test('readers share the bytes also when many others asked for something else between them', () => {
  const encoder = createEventEncoder();
  const batch = [event(1)];
  const first = encoder(formatFor(SSE), ALL);
  for (let other = 0; other < 250; other += 1) {
    const kinds = new Set(['text', ...EVENT_KINDS.filter((_, bit) => (other >> bit) % 2 === 1)]);
    expect(textOf(encoder(formatFor(SSE), { ...ALL, kinds })(batch))).toBe(textOf(first(batch)));
  }
  expect(encoder(formatFor(SSE), ALL)(batch)).toBe(first(batch));
});

test('a large batch comes in pieces that a slow reader can take one by one', () => {
  const batch = Array.from({ length: 40 }, (_, index) => event(index + 1, 'é'.repeat(5000)));
  const pieces = createEventEncoder()(formatFor(NDJSON), ALL)(batch);
  expect(pieces.length).toBeGreaterThan(2);
  for (const { body } of pieces) expect(body.length).toBeLessThan(256 * 1024);
  const lines = textOf(pieces).trimEnd().split('\n');
  expect(lines.map((line) => JSON.parse(line).seq)).toEqual(batch.map(({ seq }) => seq));
});
