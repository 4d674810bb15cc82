import { ulid } from 'ulid';
import type { EventBody } from '../../src/protocol/event.ts';
import { type Job, type JobListItem, jobLinks } from '../../src/protocol/job.ts';
import type { Outcome } from '../../src/protocol/outcome.ts';
import type { PromptRequest } from '../../src/protocol/prompt.ts';

/** A success with this text. */
export const succeededWith = (text: string): Outcome => ({
  status: 'succeeded',
  executionId: ulid(),
  provider: 'claude',
  credential: null,
  model: null,
  text,
  textTruncated: false,
  structured: null,
  sessionId: null,
  nativeSessionId: 'native-1',
  turns: 1,
  durationMs: 812,
  exit: { code: 0, signal: null },
  permissionDenials: [],
  usage: null,
  error: null,
});

/** The start of the execution `E`. */
export const executionStarted = {
  kind: 'execution.started',
  executionId: 'E',
  pid: 1,
  provider: 'claude',
  version: null,
  start: 'cold',
} as const satisfies EventBody;

/** A new job of a request. */
export function jobFrom(request: PromptRequest, retryOf: string | null): Job {
  const id = ulid();
  return {
    id,
    project: 'default',
    principal: 'admin',
    status: 'queued',
    finished: false,
    waitReason: null,
    scheduledFor: null,
    request,
    provider: request.provider ?? 'claude',
    prompt: request.prompt,
    model: request.model ?? null,
    cwd: request.cwd ?? '/workspace',
    permissionMode: request.permissionMode ?? 'default',
    allowedTools: request.allowedTools ?? [],
    priority: request.priority ?? 0,
    cancelRequested: false,
    tags: request.tags ?? [],
    metadata: request.metadata ?? {},
    archived: false,
    attempts: 0,
    sessionId: request.sessionId ?? id,
    nativeSessionId: null,
    retryOf,
    customId: null,
    batchId: null,
    node: null,
    createdAt: new Date().toISOString(),
    startedAt: null,
    finishedAt: null,
    outcome: null,
    links: jobLinks(id),
  };
}

/** What a list shows of a job. */
export function listItem(job: Job): JobListItem {
  const { request, prompt, cwd, permissionMode, allowedTools, cancelRequested, outcome, ...common } = job;
  const promptPreview = prompt.slice(0, 200);
  return {
    ...common,
    promptPreview,
    error: outcome?.error ?? null,
    costUsd: outcome?.usage?.costUsd ?? null,
    deniedTools: outcome?.permissionDenials.length ?? 0,
  };
}
