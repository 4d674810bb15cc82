/** Examples of answers in the OpenAPI document: the same job, as several routes show it. */
import type { Approval } from '../protocol/approval.ts';
import {
  type Batch,
  type BatchCreated,
  type BatchResult,
  batchLinks,
  type Job,
  type JobListItem,
  jobLinks,
} from '../protocol/job.ts';
import type { Outcome } from '../protocol/outcome.ts';
import type { ProviderReport } from '../protocol/server-info.ts';
import { type Session, type Steered, sessionLinks, type Turn } from '../protocol/session.ts';
import type { TerminalCommand } from '../protocol/terminal.ts';
import type { UsageRow } from '../protocol/usage.ts';

export const JOB_ID = '01K9ZV4Q4PPJ6S5V6H9Y1C3D2E';
export const BATCH_ID = '01K9ZV4Q4M2B4D6F8H0K2M4P6R';

const outcome: Outcome = {
  status: 'succeeded',
  executionId: '01K9ZV4Q4S9V0M0X2T6D8Y3B7C',
  provider: 'claude',
  credential: 'claude',
  model: 'claude-sonnet-5',
  text: 'Hello!',
  textTruncated: false,
  structured: null,
  sessionId: JOB_ID,
  nativeSessionId: '6d3f9a52-7c1e-4b8e-9f43-0d2c5b7a1e60',
  turns: 1,
  durationMs: 2140,
  exit: { code: 0, signal: null },
  permissionDenials: [],
  usage: {
    ...{ inputTokens: 12, outputTokens: 7, cacheReadTokens: 0, cacheWriteTokens: 0 },
    ...{ costUsd: 0.0002, costBasis: 'reported' },
  },
  error: null,
};

const common = {
  id: JOB_ID,
  project: 'default',
  principal: 'key:01K9ZV4Q4S9V0M0X2T6D8Y3B7C',
  status: 'succeeded',
  finished: true,
  waitReason: null,
  scheduledFor: null,
  provider: 'claude',
  priority: 0,
  tags: ['nightly'],
  metadata: {},
  archived: false,
  attempts: 1,
  sessionId: JOB_ID,
  retryOf: null,
  batchId: BATCH_ID,
  customId: 'hi',
  node: '01K9ZV4PZZ3W5R7T9V1X3Z5B7D',
  createdAt: '2026-11-21T12:00:00.000Z',
  startedAt: '2026-11-21T12:00:00.040Z',
  finishedAt: '2026-11-21T12:00:02.200Z',
  links: jobLinks(JOB_ID),
} as const;

export const exampleJob: Job = {
  ...common,
  tags: [...common.tags],
  request: {
    ...{ prompt: 'Say hello', provider: 'claude', cwd: '/home/me/my-project', permissionMode: 'default' },
    ...{ timeoutMs: 3_600_000, idleTimeoutMs: 900_000, tags: [...common.tags] },
  },
  prompt: 'Say hello',
  model: null,
  cwd: '/home/me/my-project',
  permissionMode: 'default',
  allowedTools: [],
  nativeSessionId: outcome.nativeSessionId,
  cancelRequested: false,
  outcome,
};

export const exampleListItem: JobListItem = {
  ...common,
  tags: [...common.tags],
  promptPreview: 'Say hello',
  model: null,
  nativeSessionId: outcome.nativeSessionId,
  error: null,
  costUsd: 0.0002,
  deniedTools: 0,
};

export const exampleBatch: Batch = {
  id: BATCH_ID,
  createdAt: common.createdAt,
  startedAt: common.startedAt,
  finishedAt: null,
  finished: false,
  refused: 1,
  total: 2,
  counts: { queued: 1, scheduled: 0, waiting: 0, running: 0, succeeded: 1, failed: 0, cancelled: 0 },
  costUsd: 0.0002,
  links: batchLinks(BATCH_ID),
};

const refusal = { code: 'request.invalid', message: 'prompt must not be empty', retryable: false } as const;

export const exampleBatchCreated: BatchCreated = {
  id: BATCH_ID,
  items: [
    { index: 0, customId: 'hi', id: JOB_ID },
    {
      index: 1,
      customId: null,
      error: { ...refusal, errors: [{ path: '/prompt', message: 'must not be empty' }] },
    },
  ],
  links: batchLinks(BATCH_ID),
};

export const exampleBatchResult: BatchResult = {
  index: 0,
  customId: 'hi',
  jobId: JOB_ID,
  status: 'succeeded',
  outcome,
  error: null,
};

export const SESSION_ID = '01K9ZV4Q5A3C5E7G9J1M3P5R7T';

export const exampleSession: Session = {
  ...{ id: SESSION_ID, kind: 'chat', name: 'Release notes' },
  ...{ status: 'ready', statusReason: null, matchedLine: null },
  ...{ project: common.project, principal: common.principal, provider: 'claude', model: null },
  ...{ cwd: exampleJob.cwd, nativeSessionId: outcome.nativeSessionId, node: common.node },
  process: { pid: 4711, since: '2026-11-21T12:00:02.200Z' },
  ...{ terminal: null, turns: 1, usage: outcome.usage, forkedFrom: null },
  ...{ createdAt: common.createdAt, lastActivityAt: '2026-11-21T12:00:02.200Z', closedAt: null },
  ...{ tags: [...common.tags], metadata: {} },
  links: sessionLinks(SESSION_ID),
};

export const exampleTurn: Turn = {
  ...{ turn: 1, jobId: JOB_ID, prompt: exampleJob.prompt, status: 'succeeded', outcome },
  ...{ createdAt: common.createdAt, startedAt: common.startedAt, finishedAt: common.finishedAt },
};

export const exampleCommand: TerminalCommand = {
  ...{ at: '2026-11-21T12:00:02.200Z', text: 'npm test', exitCode: 1 },
  finishedAt: '2026-11-21T12:00:09.000Z',
};

export const exampleSteered: Steered = {
  messageId: '2f1c7a52-0d3b-4c8e-8f43-5a7b1e600d2c',
  delivered: 'steered',
  jobId: JOB_ID,
};

export const exampleApproval: Approval = {
  ...{ id: '01K9ZV4Q6B8D0F2H4K6M8P0R2T', jobId: JOB_ID, sessionId: SESSION_ID, project: common.project },
  ...{ kind: 'tool', tool: 'Bash', input: { command: 'git push' }, questions: null, status: 'pending' },
  ...{ createdAt: '2026-11-21T12:00:01.000Z', expiresAt: '2026-11-28T12:00:01.000Z' },
  ...{ decidedBy: null, decidedAt: null },
};

export const exampleUsage: UsageRow = {
  key: '2026-11-21',
  executions: 12,
  succeeded: 10,
  cancelled: 1,
  successRate: 0.9091,
  durationP50Ms: 8123,
  durationP95Ms: 61_240,
  inputTokens: 5210,
  outputTokens: 1893,
  cacheReadTokens: 88_412,
  cacheWriteTokens: 9120,
  costUsd: 0.42,
  reportedUsd: 0.4,
  estimatedUsd: 0.02,
  unknownCosts: 0,
};

export const exampleProvider: ProviderReport = {
  name: 'claude',
  available: true,
  version: '2.1.329',
  binary: '/usr/local/bin/claude',
  authenticated: 'yes',
  why: null,
  todo: null,
  credentials: [{ name: 'claude', status: 'limited', limitedUntil: '2026-11-22T03:00:00.000Z' }],
  running: 2,
  concurrency: null,
  fallback: null,
  capabilities: { resume: true, permissionModes: ['default', 'plan', 'acceptEdits'] },
};
