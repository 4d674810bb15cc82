import { isDeepStrictEqual } from 'node:util';
import { type ClosedGates, shownState } from '../protocol/gates.ts';
import { isFinished, type Job, jobLinks } from '../protocol/job.ts';
import type { PromptRequest, ResolvedPrompt } from '../protocol/prompt.ts';
import type { NewJob } from '../records/ports.ts';
import type { JobCopy } from '../store/jobs.ts';

/** The gates that are closed now; null: none, or Redis is away. */
export type ReadClosedGates = () => Promise<ClosedGates | null>;

/** The job document of the API. */
export function toJob(job: Omit<JobCopy, 'updatedAt' | 'rev'>, gates: ClosedGates | null): Job {
  const { request } = job;
  const { provider, model, priority } = request;
  const failsAtLimit = request.onQuota === 'fail';
  const state = shownState(gates, { ...job, provider, model, priority, failsAtLimit });
  return {
    id: job.id,
    project: job.project,
    principal: job.principal,
    ...state,
    finished: isFinished(state.status),
    request: requestOf(job),
    provider: request.provider,
    prompt: request.prompt,
    model: request.model,
    cwd: request.cwd,
    permissionMode: request.permissionMode,
    allowedTools: request.allowedTools,
    nativeSessionId: job.nativeSessionId,
    priority: request.priority,
    tags: request.tags,
    metadata: request.metadata,
    archived: job.archived,
    attempts: job.attempts,
    sessionId: job.sessionId,
    retryOf: job.retryOf,
    batchId: job.batchId,
    customId: request.customId ?? null,
    node: job.node,
    cancelRequested: job.cancelRequested,
    createdAt: job.createdAt,
    startedAt: job.startedAt,
    finishedAt: job.finishedAt,
    outcome: job.outcome,
    links: jobLinks(job.id),
  };
}

/** The body that makes the same job. A job that still waits for its time names that time. */
function requestOf({
  request,
  status,
  waitReason,
  scheduledFor,
}: Pick<JobCopy, 'request' | 'status' | 'waitReason' | 'scheduledFor'>): PromptRequest {
  const waits = status === 'scheduled' && waitReason === 'delayed' && scheduledFor !== null;
  return { ...toRequest(request), ...(waits ? { runAt: scheduledFor } : {}) };
}

/** What a request means that leaves a field out, under all settings. */
const NOTHING_ASKED = new Map<string, unknown>(
  Object.entries({
    ...{ allowedTools: [], disallowedTools: [], onPermissionDenied: 'report' },
    ...{ providerOptions: {}, limits: {}, priority: 0, tags: [], metadata: {} },
  } satisfies Partial<ResolvedPrompt>),
);

/**
 * Turns a resolved prompt back into a request, with the settings' defaults that it got. A delay is
 * not repeated. What asks for nothing is left out.
 */
export function toRequest({
  maxAttempts,
  retryMode: mode,
  delayMs: _delay,
  runAt: _runAt,
  continues: _continues,
  customId: _customId,
  ...rest
}: ResolvedPrompt): PromptRequest {
  const asked = Object.entries(rest).filter(
    ([name, value]) =>
      value !== null && !(NOTHING_ASKED.has(name) && isDeepStrictEqual(value, NOTHING_ASKED.get(name))),
  );
  const retry = {
    ...(maxAttempts === undefined || maxAttempts === 1 ? {} : { maxAttempts }),
    ...(mode === undefined ? {} : { mode }),
  };
  // as: the fields of a stored request, which the resolver checks again
  return {
    ...Object.fromEntries(asked),
    ...(Object.keys(retry).length === 0 ? {} : { retry }),
  } as PromptRequest;
}

/** The state of a job right after its creation. */
export function freshJob(job: NewJob): Omit<JobCopy, 'updatedAt' | 'rev'> {
  const { delayMs, runAt } = job.request;
  const due = runAt === undefined ? job.createdAt + delayMs : Date.parse(runAt);
  return {
    id: job.id,
    kind: job.kind,
    project: job.project,
    principal: job.principal,
    grant: job.grant,
    forged: false,
    sessionId: job.sessionId,
    nativeSessionId: null,
    status: delayMs > 0 ? 'scheduled' : 'queued',
    waitReason: delayMs > 0 ? 'delayed' : null,
    scheduledFor: delayMs > 0 ? new Date(due).toISOString() : null,
    batchId: job.batch ?? null,
    request: job.request,
    archived: false,
    attempts: 0,
    failures: 0,
    retryOf: job.retryOf,
    pin: job.pin,
    node: null,
    cancelRequested: false,
    createdAt: new Date(job.createdAt).toISOString(),
    startedAt: null,
    finishedAt: null,
    outcome: null,
  };
}
