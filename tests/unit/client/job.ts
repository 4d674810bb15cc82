import type { Job } from '../../../src/protocol/job.ts';
import type { Outcome } from '../../../src/protocol/outcome.ts';

export const JOB_ID = '01K9ZV4Q4S9V0M0X2T6D8Y3B7C';

/** A job as the API shows it. */
export const aJob = (changes: Partial<Job> = {}): Job => ({
  id: JOB_ID,
  project: 'default',
  principal: 'admin',
  status: 'queued',
  finished: false,
  waitReason: null,
  scheduledFor: null,
  provider: 'claude',
  tags: [],
  metadata: {},
  archived: false,
  attempts: 0,
  sessionId: JOB_ID,
  nativeSessionId: null,
  retryOf: null,
  batchId: null,
  customId: null,
  node: null,
  createdAt: '2026-11-21T07:00:00.000Z',
  startedAt: null,
  finishedAt: null,
  request: { prompt: 'hi', provider: 'claude', cwd: '/work', permissionMode: 'default' },
  prompt: 'hi',
  model: null,
  cwd: '/work',
  permissionMode: 'default',
  allowedTools: [],
  priority: 0,
  cancelRequested: false,
  outcome: null,
  links: {
    self: `/v1/jobs/${JOB_ID}`,
    events: `/v1/jobs/${JOB_ID}/events`,
    cancel: `/v1/jobs/${JOB_ID}/cancel`,
  },
  ...changes,
});

/** The outcome of a run that went well. */
export const anOutcome = (changes: Partial<Outcome> = {}): Outcome => ({
  status: 'succeeded',
  executionId: '01K9ZV4Q4S9V0M0X2T6D8Y3B7D',
  provider: 'claude',
  credential: null,
  model: null,
  text: 'done',
  textTruncated: false,
  structured: null,
  sessionId: '01K9ZV4Q4S9V0M0X2T6D8Y3B7E',
  nativeSessionId: 'n',
  turns: 1,
  durationMs: 3210,
  exit: { code: 0, signal: null },
  permissionDenials: [],
  usage: {
    inputTokens: 12,
    outputTokens: 7,
    cacheReadTokens: 0,
    cacheWriteTokens: 0,
    costUsd: 0.0042,
    costBasis: 'reported',
  },
  error: null,
  ...changes,
});
