import { ulid } from 'ulid';
import { expect } from 'vitest';
import { resolvedPrompt } from '../../../scripts/offline-model/resolved-prompt.ts';
import { type ErrorCode, wireError } from '../../../src/errors.ts';
import { jobOutcome, type Outcome } from '../../../src/protocol/outcome.ts';
import type { ResolvedPrompt } from '../../../src/protocol/prompt.ts';
import type { Claim, Finish, NewJob, TimedEvent } from '../../../src/records/ports.ts';
import type { Bench } from './bench.ts';

/** Any moment; the records only compare it. */
export const CREATED_AT = 1_780_000_000_000;
let created = 0;

/** A new job, younger than every one before it. */
export function newJob(request: Partial<ResolvedPrompt> = {}, rest: Partial<NewJob> = {}): NewJob {
  created += 1;
  const id = rest.id ?? ulid();
  return {
    id,
    kind: 'api',
    project: 'default',
    principal: 'alice',
    grant: null,
    sessionId: request.sessionId ?? id,
    request: resolvedPrompt(request),
    retryOf: null,
    pin: null,
    createdAt: CREATED_AT + created,
    idempotency: null,
    ...rest,
  };
}

export const succeeded = (executionId: string, text = 'done'): Outcome => ({
  ...jobOutcome('failed', wireError('internal.error', 'replaced')),
  status: 'succeeded',
  executionId,
  text,
  error: null,
});

export const failed = (executionId: string | null, code: ErrorCode): Outcome => ({
  ...jobOutcome('failed', wireError(code, 'it failed')),
  executionId,
});

export const CANCELLED = jobOutcome('cancelled', wireError('execution.cancelled', 'cancelled before it ran'));
export const REVOKED = failed(null, 'auth.revoked');
export const LOST = failed(null, 'execution.lost');
export const UNAVAILABLE = failed(null, 'execution.node_unavailable');

export const text = (value: string, at = CREATED_AT): TimedEvent => ({
  event: { kind: 'text', text: value },
  raw: null,
  at,
});

/** What SUBMIT answers when BullMQ is to deliver the job when it is promoted. */
export const WAITS = { kind: 'later', afterMs: null } as const;
/** What it answers before the job's time has come. */
export const EARLY = { kind: 'later', afterMs: expect.any(Number) } as const;

/** A node that has told how many slots it has free. */
export async function openNode(bench: Bench, node = 'n1', free = 5): Promise<void> {
  await bench.claimsOf(node).renew([]);
  await bench.claimOnce(node, free);
}

/** The CLI has begun its session; null: one that cannot be continued. */
export const begun = (sessionId: string | null, at = CREATED_AT): TimedEvent => ({
  event: { kind: 'session', sessionId, nativeSessionId: 'native-1', model: null },
  raw: null,
  at,
});

export const finishOf = (claim: Claim, rest: Partial<Finish> = {}): Finish => ({
  jobId: claim.jobId,
  executionId: claim.executionId,
  outcome: succeeded(claim.executionId),
  from: 0,
  tail: [],
  backoffMs: 0,
  quotaMs: null,
  earlierUsage: null,
  parked: false,
  rawAnswer: null,
  ...rest,
});

/** Creates a job and gives its id. */
export async function create(
  bench: Bench,
  request: Partial<ResolvedPrompt> = {},
  rest: Partial<NewJob> = {},
) {
  const job = newJob(request, rest);
  await bench.records.create(job);
  return job.id;
}

/** Creates and submits a job. */
export async function submitted(
  bench: Bench,
  request: Partial<ResolvedPrompt> = {},
  rest: Partial<NewJob> = {},
) {
  const id = await create(bench, request, rest);
  await bench.submissions.submit(id, ulid());
  return id;
}

/** Creates a job that node `n1` runs, alone. */
export async function running(
  bench: Bench,
  request: Partial<ResolvedPrompt> = {},
  node = 'n1',
): Promise<Claim> {
  const id = await create(bench, request);
  return claimed(bench, id, node);
}

/** Claims, and gives the claim of this job. */
export async function claimed(bench: Bench, id: string, node = 'n1'): Promise<Claim> {
  const claim = (await bench.claimsOf(node).claim(1000)).find(({ jobId }) => jobId === id);
  if (claim === undefined) throw new Error(`${id} could not be claimed`);
  return claim;
}
