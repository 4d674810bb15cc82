import { describe, expect, it } from 'vitest';
import { wireError } from '../../../src/errors.ts';
import { sumOfUsages } from '../../../src/page/transcript/phases.ts';
import { createTranscript } from '../../../src/page/transcript/transcript.ts';
import type { EventBody, SessionStoredEvent, StoredEvent } from '../../../src/protocol/event.ts';
import { jobOutcome, type Outcome, sumOfUsage, type Usage } from '../../../src/protocol/outcome.ts';

const AT = '2026-11-30T12:00:00.000Z';

/** The transcript of a job with these events. */
function transcriptOf(bodies: readonly EventBody[], jobId = 'JOB') {
  const transcript = createTranscript();
  bodies.forEach((body, index) => {
    const seq = index + 1;
    transcript.add({
      seq,
      jobId,
      attempt: 1,
      at: new Date(Date.parse(AT) + seq * 1000).toISOString(),
      raw: null,
      ...body,
    });
  });
  return transcript;
}
const kinds = (bodies: readonly EventBody[]) => transcriptOf(bodies).items.map(({ kind }) => kind);
const texts = (bodies: readonly EventBody[]) =>
  transcriptOf(bodies).items.flatMap((item) => (item.kind === 'text' ? [item.text] : []));

const started: EventBody = { kind: 'tool.started', toolId: 't1', name: 'Bash', input: { command: 'ls' } };
const ended: EventBody = { kind: 'tool.ended', toolId: 't1', name: null, isError: false, output: 'a\nb' };
const finished = (outcome: Outcome): EventBody => ({ kind: 'job.finished', job: { outcome } });

const usage = (changes: Partial<Usage> = {}): Usage => ({
  ...{ inputTokens: 1, outputTokens: 2, cacheReadTokens: 3, cacheWriteTokens: 4 },
  ...{ costUsd: 0.5, costBasis: 'reported' },
  ...changes,
});

describe('what a job has used so far', () => {
  const failed = {
    ...jobOutcome('failed', wireError('execution.crashed', 'x')),
    usage: usage({ costUsd: 1 }),
  };
  const spent = (bodies: readonly (EventBody & { readonly attempt?: number })[]) =>
    sumOfUsages(transcriptOf(bodies).usages.values());

  it('is the last figure of each execution', () => {
    expect(spent([started])).toBeNull();
    expect(
      spent([
        { kind: 'usage', usage: usage() },
        { kind: 'execution.finished', executionId: 'E1', outcome: failed },
        { kind: 'usage', usage: usage({ costUsd: 9 }), attempt: 2 },
        { kind: 'usage', usage: usage({ costUsd: 2, costBasis: 'estimated' }), attempt: 2 },
      ]),
    ).toEqual({
      ...{ inputTokens: 2, outputTokens: 4, cacheReadTokens: 6, cacheWriteTokens: 8 },
      ...{ costUsd: 3, costBasis: 'estimated' },
    });
  });

  it('has a cost that is not known as the outcome has it', () => {
    const unknown = usage({ costUsd: null, costBasis: 'unknown' });
    for (const [a, b] of [
      [usage(), unknown],
      [unknown, unknown],
      [unknown, usage()],
    ] as const) {
      const { costUsd, costBasis } = sumOfUsage(a, b) ?? unknown;
      expect(sumOfUsages([a, b])).toMatchObject({ costUsd, costBasis });
    }
  });
});

describe('a transcript', () => {
  it('joins the parts of a text, and takes the whole text in their place', () => {
    const deltas: EventBody[] = ['He', 'll', 'o'].map((text) => ({ kind: 'text.delta', text }));
    expect(transcriptOf(deltas).items.at(-1)).toMatchObject({ kind: 'text', text: 'Hello', streams: true });
    const whole = transcriptOf([...deltas, { kind: 'text', text: 'Hello!' }]);
    expect(whole.items.map(({ kind }) => kind)).toEqual(['prompt', 'text']);
    expect(whole.items.at(-1)).toMatchObject({ text: 'Hello!', streams: false });
  });

  it('keeps texts apart that follow each other', () => {
    expect(
      texts([
        { kind: 'text.delta', text: 'one' },
        { kind: 'text', text: 'one' },
        { kind: 'text', text: 'two' },
        { kind: 'text.delta', text: 'thr' },
        started,
        { kind: 'text.delta', text: 'four' },
      ]),
    ).toEqual(['one', 'two', 'thr', 'four']);
  });

  it('finds the text again whose whole comes after a tool call has begun', () => {
    expect(texts([{ kind: 'text.delta', text: 'I lo' }, started, { kind: 'text', text: 'I look' }])).toEqual([
      'I look',
    ]);
  });

  it('puts the end of a tool call to its start', () => {
    const { items } = transcriptOf([started, ended]);
    expect(items.slice(1)).toEqual([
      {
        ...{
          key: '1',
          jobId: 'JOB',
          at: '2026-11-30T12:00:01.000Z',
          kind: 'tool',
          toolId: 't1',
          name: 'Bash',
        },
        ...{ input: { command: 'ls' }, output: 'a\nb', isError: false, cut: false },
        ...{ startedAt: '2026-11-30T12:00:01.000Z', endedAt: '2026-11-30T12:00:02.000Z' },
      },
    ]);
  });

  it('shows the end of a call whose start is not known', () => {
    expect(transcriptOf([ended]).items.at(-1)).toMatchObject({ kind: 'tool', name: 'tool', output: 'a\nb' });
  });

  it('marks calls as cut off whose execution ended before them', () => {
    const outcome = jobOutcome('failed', {
      code: 'execution.crashed',
      message: 'gone',
      retryable: true,
      resetsAt: null,
    });
    const { items } = transcriptOf([started, { kind: 'execution.finished', executionId: 'E', outcome }]);
    expect(items[1]).toMatchObject({ cut: true, output: null, endedAt: '2026-11-30T12:00:02.000Z' });
    expect(items[2]).toMatchObject({ kind: 'notice', tone: 'bad', detail: 'gone' });
  });

  it('ends with the outcome of the job', () => {
    const outcome = jobOutcome('cancelled', {
      code: 'job.cancelled',
      message: 'stopped',
      retryable: false,
      resetsAt: null,
    });
    expect(transcriptOf([finished(outcome)]).items.at(-1)).toMatchObject({ kind: 'end', outcome });
  });

  it('says what the CLI has waited for, and not what needs no one', () => {
    expect(
      kinds([
        { kind: 'api_retry', retry: 1, maxRetries: 10, delayMs: 500, status: 529, reason: 'overloaded' },
        { kind: 'rate_limit', status: 'allowed', resetsAt: null, limit: null, use: 0.1 },
        { kind: 'rate_limit', status: 'rejected', resetsAt: AT, limit: 'five_hour', use: 1 },
        { kind: 'warning', code: 'x', message: 'careful' },
        { kind: 'raw', line: 'noise' },
      ]),
    ).toEqual(['prompt', 'notice', 'notice', 'notice']);
  });

  it('changes nothing for a kind that it does not know', () => {
    const transcript = transcriptOf([started]);
    const before = transcript.version;
    // as: a kind of a later server
    transcript.add({
      seq: 2,
      jobId: 'JOB',
      attempt: 1,
      at: AT,
      raw: null,
      kind: 'later',
    } as unknown as StoredEvent);
    expect(transcript.version).toBe(before);
  });

  it('shows the prompts of a session where their turns begin, with the texts that it is given', () => {
    const transcript = createTranscript();
    const events = (
      [
        ['A', { kind: 'job.queued' }],
        [
          'A',
          {
            kind: 'execution.started',
            executionId: 'E',
            pid: 1,
            provider: 'claude',
            version: null,
            start: 'cold',
          },
        ],
        ['B', { kind: 'job.queued' }],
        ['A', { kind: 'text', text: 'first' }],
        ['B', { kind: 'text', text: 'second' }],
      ] as const
    ).map(
      ([jobId, body], index): SessionStoredEvent => ({
        ...{ seq: index + 1, jobSeq: 1, sessionId: 'S', attempt: 1, raw: null, jobId, at: AT },
        ...body,
      }),
    );
    transcript.name('B', 'Do the second thing');
    for (const event of events) transcript.add(event);
    transcript.name('A', 'Do the first thing');
    expect(transcript.items.map((item) => ('text' in item ? item.text : item.kind))).toEqual([
      'Do the first thing',
      'claude started',
      'first',
      'Do the second thing',
      'second',
    ]);
  });

  it('takes each event in the same time, however long it is', () => {
    const transcript = createTranscript();
    const many = 200_000;
    const start = performance.now();
    for (let seq = 1; seq <= many; seq += 1)
      transcript.add({ seq, jobId: 'JOB', attempt: 1, at: AT, raw: null, kind: 'text.delta', text: 'word ' });
    expect(performance.now() - start).toBeLessThan(5000);
    expect(transcript.items).toHaveLength(2);
    expect(transcript.items[1]).toMatchObject({ text: 'word '.repeat(many) });
  });
});
