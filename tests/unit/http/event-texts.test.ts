import { expect, test } from 'vitest';
import { type SentEvent, sentJobEvent } from '../../../src/events/sent-events.ts';
import { textsOf } from '../../../src/http/event-stream.ts';
import type { StoredEvent } from '../../../src/protocol/event.ts';

test('a large batch comes in texts that a slow reader can take one by one', () => {
  const batch = Array.from(
    { length: 40 },
    (_, index): StoredEvent => ({
      seq: index + 1,
      jobId: 'J',
      attempt: 1,
      at: '2026-01-01T00:00:00.000Z',
      raw: 'line',
      kind: 'text',
      text: 'é'.repeat(5000),
    }),
  );
  const encode = ({ data }: SentEvent) => `${JSON.stringify(data)}\n`;
  const texts = [...textsOf(batch, { encode }, (event) => sentJobEvent(event, { kinds: null, raw: false }))];
  expect(texts.length).toBeGreaterThan(2);
  for (const text of texts) expect(Buffer.byteLength(text)).toBeLessThan(256 * 1024);
  const lines = texts.join('').trimEnd().split('\n');
  expect(lines.map((line) => JSON.parse(line).seq)).toEqual(batch.map(({ seq }) => seq));
});
