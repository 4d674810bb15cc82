/** Records between their Redis hash and their type. Only our own scripts write the hash. */
import type { EventBody, StoredEvent } from '../../protocol/event.ts';
import type { JobStatus } from '../../protocol/job.ts';
import type { Outcome } from '../../protocol/outcome.ts';
import type { ResolvedPrompt } from '../../protocol/prompt.ts';
import type { Claim, JobRecord, NewJob, TimedEvent } from '../ports.ts';

const orNull = (value: string | undefined): string | null =>
  value === undefined || value === '' ? null : value;
const numberOrNull = (value: string | undefined): number | null =>
  value === undefined || value === '' ? null : Number(value);

/** A hash of HGETALL as a record; null when there is none. */
export function decodeRecord(id: string, hash: Readonly<Record<string, string>>): JobRecord | null {
  const { status, request, owner } = hash;
  if (status === undefined || request === undefined || owner === undefined) return null;
  const outcome = orNull(hash['outcome']);
  const cancel = hash['cancel'];
  return {
    id,
    rev: Number(hash['rev']),
    kind: hash['kind'] === 'raw' ? 'raw' : 'api',
    owner,
    batch: orNull(hash['batch']),
    request: JSON.parse(request) as ResolvedPrompt, // written by create() from a checked request
    retryOf: orNull(hash['retryOf']),
    pin: orNull(hash['pin']),
    status: status as JobStatus, // written by the scripts alone
    waitReason: orNull(hash['waitReason']),
    scheduledFor: numberOrNull(hash['scheduledFor']),
    attempt: Number(hash['attempt']),
    executionId: orNull(hash['executionId']),
    node: orNull(hash['node']),
    cancel: cancel === 'forced' || cancel === 'requested' ? cancel : 'none',
    lastSeq: Number(hash['seq']),
    createdAt: Number(hash['createdAt']),
    startedAt: numberOrNull(hash['startedAt']),
    finishedAt: numberOrNull(hash['finishedAt']),
    outcome: outcome === null ? null : (JSON.parse(outcome) as Outcome), // written by the executor
  };
}

/** Order among waiting jobs: higher priority first, then older. Both fit a double exactly. */
export const scoreOf = (job: NewJob): number => (10 - job.request.priority) * 1e13 + job.createdAt;

/** The lanes in which a job takes its turn: one job at a time per session and per concurrency key. */
export function lanesOf(job: NewJob): readonly string[] {
  const lanes: string[] = [];
  if (job.request.sessionId !== null) lanes.push(`s:${job.request.sessionId}`);
  // Lua's JSON refuses half a surrogate pair, which JavaScript's writes as an escape.
  if (job.request.concurrencyKey !== null)
    lanes.push(`k:${job.owner}:${job.request.concurrencyKey.toWellFormed()}`);
  return lanes;
}

/** How many arguments a new job takes: as many as {@link jobArguments} gives. */
export const JOB_FIELDS = 15;

/** A new job as `createJob` of batch-scripts.ts reads it. */
export function jobArguments(job: NewJob): (string | number)[] {
  const lanes = lanesOf(job);
  return [
    job.id,
    job.kind,
    job.owner,
    JSON.stringify(job.request),
    scoreOf(job),
    job.request.delayMs,
    job.request.ttlMs ?? '',
    job.retryOf ?? '',
    job.pin ?? '',
    lanes.length === 0 ? '' : JSON.stringify(lanes),
    job.createdAt,
    job.request.maxAttempts,
    job.request.cwd,
    job.request.provider,
    job.batch ?? '',
  ];
}

/** One entry of a job's stream. The entry's id is its seq. */
export function decodeEvent(jobId: string, entry: readonly [string, readonly string[]]): StoredEvent {
  const [id, fields] = entry;
  const field = new Map<string, string>();
  for (let i = 0; i + 1 < fields.length; i += 2) field.set(fields[i] ?? '', fields[i + 1] ?? '');
  const body = JSON.parse(field.get('e') ?? '{}') as EventBody; // written by our scripts and executor
  const dated =
    body.kind === 'job.scheduled'
      ? { ...body, scheduledFor: new Date(body.scheduledFor).toISOString() }
      : body;
  return {
    seq: Number.parseInt(id, 10),
    jobId,
    attempt: Number(field.get('a')),
    at: new Date(Number(field.get('t'))).toISOString(),
    raw: field.get('r') ?? null,
    ...dated,
  };
}

/** Events as the scripts take them: at, body, raw of each. */
export function encodeEvents(events: readonly TimedEvent[]): (string | number)[] {
  const out: (string | number)[] = [];
  for (const { event, raw, at } of events) out.push(at, JSON.stringify(event), raw ?? '');
  return out;
}

/** A reply row of CLAIM or OWNED. */
export function decodeClaim(row: readonly unknown[]): Claim {
  const [jobId, executionId, attempt, kind, owner, request] = row;
  return {
    jobId: String(jobId),
    executionId: String(executionId),
    attempt: Number(attempt),
    kind: kind === 'raw' ? 'raw' : 'api',
    owner: String(owner),
    request: JSON.parse(String(request)), // checked again by the executor before it is used
  };
}
