import { describe, expect, it } from 'vitest';
import { createEventPrinter } from '../../../src/cli/event-printer.ts';
import { formatUsd } from '../../../src/cli/format.ts';
import { formatCost, outcomeLine } from '../../../src/cli/outcome.ts';
import { createOutput } from '../../../src/cli/output.ts';
import type { Approval } from '../../../src/protocol/approval.ts';
import type { EventBody, StoredEvent } from '../../../src/protocol/event.ts';
import type { Job } from '../../../src/protocol/job.ts';
import { aJob, anOutcome } from '../client/job.ts';
import { screen } from './harness.ts';

const DONE = aJob({ status: 'succeeded', finished: true, outcome: anOutcome() });

function print(events: readonly (EventBody & { attempt?: number })[], job: Job = DONE) {
  const stdout = screen();
  const stderr = screen();
  const printer = createEventPrinter(createOutput({ stdout, stderr, env: {} }));
  for (const [index, event] of events.entries()) {
    const stored: StoredEvent = { seq: index + 1, jobId: 'j', attempt: 1, at: '', raw: null, ...event };
    printer.event(stored);
  }
  printer.end(job);
  return { out: stdout.written, err: stderr.written.split('\n').slice(0, -1) };
}

const delta = (text: string) => ({ kind: 'text.delta', text }) as const;
const block = (text: string) => ({ kind: 'text', text }) as const;
const tool = { kind: 'tool.started', toolId: 't', name: 'Bash', input: { command: 'ls' } } as const;
const answered = { kind: 'tool.ended', toolId: 't', name: 'Bash', isError: false, output: 'a\nb\n' } as const;

describe('a job that is shown', () => {
  it('has its text on stdout as it comes, a block once whether it came in pieces or whole', () => {
    expect(print([delta('Hel'), delta('lo'), block('Hello')]).out).toBe('Hello\n');
    expect(print([block('Hello\n')]).out).toBe('Hello\n');
    expect(print([delta('a'), block('a'), block('b')]).out).toBe('a\nb\n');
  });

  it('has its tools on stderr, one line each, and they part the text', () => {
    const { out, err } = print([delta('first'), tool, answered, delta('second')]);
    expect(out).toBe('first\nsecond\n');
    expect(err.slice(0, 2)).toEqual(['tool Bash {"command":"ls"}', 'tool Bash answered: a b']);
  });

  it('has retries, warnings, limits and waits on stderr', () => {
    const { out, err } = print([
      { kind: 'api_retry', retry: 2, maxRetries: 10, delayMs: 1500, status: 529, reason: 'overloaded' },
      { kind: 'warning', code: 'w', message: 'careful' },
      { kind: 'rate_limit', status: 'allowed', resetsAt: null, limit: null, use: 0.5 },
      { kind: 'rate_limit', status: 'rejected', resetsAt: '2026-11-21T13:00:00Z', limit: null, use: null },
      { kind: 'job.scheduled', waitReason: 'backoff', scheduledFor: '2026-11-21T12:00:05Z' },
      { kind: 'job.queued' },
    ]);
    expect(out).toBe('done\n');
    expect(err.slice(0, -1)).toEqual([
      'retry 2 in 1.5 s: overloaded',
      'warning: careful',
      'rate limit: rejected (until 2026-11-21T13:00:00Z)',
      'waits (backoff) until 2026-11-21T12:00:05Z',
    ]);
  });

  it('names the commands for what it asks, and says how it was decided', () => {
    const approval: Approval = {
      id: 'A',
      jobId: 'j',
      sessionId: 's',
      project: 'default',
      kind: 'tool',
      tool: 'Bash',
      input: { command: 'git push' },
      questions: null,
      status: 'pending',
      createdAt: '',
      expiresAt: '',
      decidedBy: null,
      decidedAt: null,
    };
    const questions = [{ question: 'Why?', header: null, options: [], multiSelect: false }];
    const question: Approval = { ...approval, kind: 'question', questions };
    const { err } = print([
      { kind: 'approval.requested', approval },
      { kind: 'approval.requested', approval: question },
      { kind: 'job.waiting', waitReason: 'approval' },
      { kind: 'approval.decided', approvalId: 'A', status: 'allowed', decidedBy: 'key:k' },
      { kind: 'approval.decided', approvalId: 'A', status: 'expired', decidedBy: null },
      { kind: 'job.running', executionId: 'e', node: 'n', attempt: 2 },
      { kind: 'message.delivered', messageId: 'm', delivered: 'steered' },
    ]);
    expect(err.slice(0, -1)).toEqual([
      'waits for an answer: Bash git push (bullpen approve A, or bullpen deny A)',
      'waits for an answer: question: Why? (bullpen answer A TEXT)',
      'the job waits for an answer, without a process',
      'allowed by key:k',
      'expired',
      'the job goes on',
      'the running turn has your message',
    ]);
  });

  it('ignores kinds it does not know', () => {
    const future = { kind: 'hologram', text: 'x' } as unknown as EventBody; // of a newer server
    expect(print([future]).out).toBe('done\n');
  });

  it('starts again with each attempt', () => {
    const again = { kind: 'job.running', executionId: 'e', node: 'n', attempt: 2 } as const;
    const { out, err } = print([delta('half'), again, delta('whole'), block('whole')]);
    expect(out).toBe('half\nwhole\n');
    expect(err[0]).toBe('attempt 2');
  });

  it('without text events has its answer printed at the end, or its structured value', () => {
    expect(print([]).out).toBe('done\n');
    const structured = anOutcome({ text: '', structured: { answer: 42 } });
    expect(print([], { ...DONE, outcome: structured }).out).toBe('{"answer":42}\n');
    expect(print([], { ...DONE, outcome: anOutcome({ text: '' }) }).out).toBe('');
  });

  it('that failed says why, what was denied, and prints no answer', () => {
    const error = { code: 'execution.crashed', message: 'it fell', retryable: false, resetsAt: null };
    const outcome = anOutcome({
      status: 'failed',
      text: 'partial',
      error,
      permissionDenials: [{ tool: 'Bash', input: { command: 'touch x' } }],
    });
    const { out, err } = print([], { ...DONE, status: 'failed', outcome });
    expect(out).toBe('');
    expect(err.slice(0, 3)).toEqual([
      'execution.crashed: it fell',
      'denied without asking: Bash touch x',
      `to allow it: bullpen retry ${DONE.id} --allowed-tools 'Bash(touch *)'`,
    ]);
    expect(err.at(-1)).toMatch(/^failed, 1 tool denied · /);
  });
});

describe('the last line', () => {
  it('has status, cost with its basis, tokens, duration and session', () => {
    expect(outcomeLine(DONE)).toBe(
      'succeeded · $0.0042 (reported) · 12 tokens in, 7 out · 3.2 s · session 01K9ZV4Q4S9V0M0X2T6D8Y3B7E',
    );
  });

  it('never makes a cost of nothing known', () => {
    expect(formatCost(null)).toBe('cost unknown');
    const usage = anOutcome().usage ?? expect.unreachable();
    expect(formatCost({ ...usage, costUsd: null, costBasis: 'unknown' })).toBe('cost unknown');
    expect(formatCost({ ...usage, costUsd: 0, costBasis: 'estimated' })).toBe('$0.0000 (estimated)');
  });

  it('counts cached tokens apart', () => {
    const usage = {
      ...(anOutcome().usage ?? expect.unreachable()),
      cacheReadTokens: 30,
      cacheWriteTokens: 4,
    };
    expect(outcomeLine({ ...DONE, outcome: anOutcome({ usage }) })).toContain(
      '12 tokens in (+34 cached), 7 out',
    );
  });

  it('says of a job that never ran that it did not', () => {
    const outcome = anOutcome({ status: 'cancelled', executionId: null });
    expect(outcomeLine({ ...DONE, status: 'cancelled', outcome })).toMatch(/^cancelled without having run/);
  });

  it.each([
    [0, '$0.0000'],
    [0.000044, '$0.000044'],
    [0.0042, '$0.0042'],
    [12.345, '$12.35'],
  ])('shows %d dollars as %s', (usd, text) => {
    expect(formatUsd(usd)).toBe(text);
  });
});
