/**
 * Converts records between their Redis hash and their type. A hash may be damaged, or written by
 * another program.
 */

import { type TSchema, Type } from '#typebox';
import { readJobGrant } from '../auth/job-grant.ts';
import type { Signer } from '../auth/signer.ts';
import { AppError } from '../errors.ts';
import { type Checker, createChecker } from '../protocol/checker.ts';
import { type EventBody, type StoredEvent, withPresentKind } from '../protocol/event.ts';
import { JOB_STATUSES, type JobStatus } from '../protocol/job.ts';
import type { Outcome } from '../protocol/outcome.ts';
import { DEFAULT_PROJECT } from '../protocol/project.ts';
import type { ResolvedPrompt } from '../protocol/prompt.ts';
import { nullable } from '../protocol/schema.ts';
import type { JobRecord, NewJob, TimedEvent } from './ports.ts';
import type { ScriptArguments } from './script-runner.ts';
import { isForged, signatureOf } from './signatures.ts';

const text = Type.String();
const orNothing = nullable(text);
/** The fields that showing and copying a job needs. The executor checks all fields. */
const storedRequest = createChecker(
  Type.Object({
    prompt: text,
    provider: text,
    model: orNothing,
    cwd: text,
    sessionId: orNothing,
    permissionMode: text,
    priority: Type.Number(),
    tags: Type.Array(text),
    metadata: Type.Record(text, text),
  }),
);
export const storedTags = createChecker(Type.Array(text));
export const storedMetadata = createChecker(Type.Record(text, text));
const storedOutcome = createChecker(
  Type.Object({
    status: Type.Enum(['succeeded', 'failed', 'cancelled']),
    text,
    sessionId: orNothing,
    nativeSessionId: orNothing,
    error: nullable(Type.Object({ code: text, message: text })),
  }),
);
const storedEvent = createChecker(Type.Object({ kind: text }));

/** The last millisecond a Date can hold. */
const MAX_TIME = 8.64e15;
const NUMBER = /^\d{1,16}$/;

/** @throws AppError record.damaged */
export function damaged(why: string): AppError {
  return new AppError('record.damaged', `what is stored cannot be read: ${why}`);
}

/**
 * A stored JSON text.
 * @throws AppError record.damaged
 */
export function parsed(name: string, json: string, checker: Checker<TSchema>): unknown {
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch {
    throw damaged(`its ${name} is not JSON`);
  }
  if (!checker.check(value)) throw damaged(`its ${name} is none`);
  return value;
}

/** A stored request. Only the fields above are checked. */
export const requestOf = (json: string): ResolvedPrompt =>
  // as: the executor checks the other fields before it uses them
  parsed('request', json, storedRequest) as ResolvedPrompt;

export const orNull = (value: string | undefined): string | null =>
  value === undefined || value === '' ? null : value;

/** @throws AppError record.damaged */
export function numberOf(name: string, value: string | undefined): number {
  if (value === undefined || !NUMBER.test(value) || Number(value) > MAX_TIME)
    throw damaged(`its ${name} is no number`);
  return Number(value);
}

/** @throws AppError record.damaged */
export const numberOrNull = (name: string, value: string | undefined): number | null =>
  value === undefined || value === '' ? null : numberOf(name, value);

export const isStatus = (value: string): value is JobStatus =>
  JOB_STATUSES.some((status) => status === value);

/**
 * A hash of HGETALL as a record; null when there is none.
 * @throws AppError record.damaged
 */
export function decodeRecord(
  id: string,
  hash: Readonly<Record<string, string>>,
  signer: Signer | null,
): JobRecord | null {
  const { status, request, principal = hash['owner'] } = hash; // `owner`: before there were projects
  if (Object.keys(hash).length === 0) return null;
  if (status === undefined || !isStatus(status)) throw damaged('its status is none');
  if (request === undefined || principal === undefined) throw damaged('its request or principal is missing');
  const asked = requestOf(request);
  const outcomeText = orNull(hash['outcome']);
  // as: the executor wrote it
  const outcome = outcomeText === null ? null : (parsed('outcome', outcomeText, storedOutcome) as Outcome);
  const attempt = numberOf('attempt', hash['attempt']);
  const cancel = hash['cancel'];
  return {
    id,
    rev: numberOf('rev', hash['rev']),
    kind: hash['kind'] === 'raw' ? 'raw' : 'api',
    project: orNull(hash['project']) ?? DEFAULT_PROJECT,
    principal,
    grant: readJobGrant(hash['grant'] ?? ''),
    forged: isForged(signer, {
      ...{ id, project: hash['project'] ?? '', principal, request, grant: hash['grant'] ?? '' },
      signature: hash['signature'] ?? '',
    }),
    sessionId: orNull(hash['sessionId']) ?? outcome?.sessionId ?? sessionOf(id, asked),
    nativeSessionId: orNull(hash['nativeSessionId']),
    batch: orNull(hash['batch']),
    request: { ...asked, ...changedFields(hash) },
    archived: hash['archived'] === '1',
    retryOf: orNull(hash['retryOf']),
    pin: orNull(hash['pin']),
    status,
    waitReason: orNull(hash['waitReason']),
    scheduledFor: numberOrNull('scheduledFor', hash['scheduledFor']),
    attempt,
    failures: numberOrNull('failures', hash['failures']) ?? failuresBefore(status, attempt),
    executionId: orNull(hash['executionId']),
    node: orNull(hash['node']),
    cancel: cancel === 'forced' || cancel === 'requested' || cancel === 'interrupt' ? cancel : 'none',
    lastSeq: numberOf('seq', hash['seq']),
    createdAt: numberOf('createdAt', hash['createdAt']),
    startedAt: numberOrNull('startedAt', hash['startedAt']),
    finishedAt: numberOrNull('finishedAt', hash['finishedAt']),
    outcome,
  };
}

/** What was changed of the request after the job was made. */
function changedFields(hash: Readonly<Record<string, string>>): Partial<ResolvedPrompt> {
  const [tags, metadata] = [orNull(hash['tags']), orNull(hash['metadata'])];
  const priority = orNull(hash['priority']);
  return {
    ...(priority !== null && { priority: priorityOf(priority) }),
    // as: checked by the schemas
    ...(tags !== null && { tags: parsed('tags', tags, storedTags) as string[] }),
    ...(metadata !== null && {
      metadata: parsed('metadata', metadata, storedMetadata) as Record<string, string>,
    }),
  };
}

function priorityOf(text: string): number {
  if (!/^-?\d{1,2}$/.test(text)) throw damaged('its priority is no number');
  return Number(text);
}

/** The session of a job: the one its request resumes, else one of its own with the job's id. */
export const sessionOf = (id: string, request: Pick<ResolvedPrompt, 'sessionId'>): string =>
  request.sessionId ?? id;

/** Failures of an old record without a count: all executions but a last one that did not fail. */
function failuresBefore(status: JobStatus, attempt: number): number {
  const last = status === 'running' || status === 'succeeded' || status === 'cancelled';
  return last ? Math.max(0, attempt - 1) : attempt;
}

/** Order of pending jobs: higher priority first, then older. Both fit a double exactly. */
export const scoreOf = (job: Pick<NewJob, 'request' | 'createdAt'>): number =>
  (10 - job.request.priority) * 1e13 + job.createdAt;

/** The lanes of a job: one job at a time runs per session and per concurrency key. */
export function lanesOf(job: Pick<NewJob, 'project' | 'principal' | 'request'>): readonly string[] {
  const lanes: string[] = [];
  if (job.request.sessionId !== null) lanes.push(`s:${job.request.sessionId}`);
  if (job.request.concurrencyKey !== null) lanes.push(`k:${laneOwner(job)}:${job.request.concurrencyKey}`);
  return lanes;
}

/** The subject of a JWT may contain colons, and act in several projects. */
const laneOwner = ({ project, principal }: Pick<NewJob, 'project' | 'principal'>): string =>
  principal.startsWith('jwt:') ? encodeURIComponent(`${project}/${principal}`) : principal;

/**
 * JSON in which U+FFFD replaces each half of a surrogate pair, also in names: JSON in Lua refuses a
 * half. JSON.stringify escapes only halves as \ud…; the pattern finds the other escapes too, so an
 * escaped backslash before such a text is not taken for a part of it.
 */
const wellFormedJson = (value: unknown): string =>
  JSON.stringify(value).replace(/\\(?:ud...|.)/g, (found) => (found.startsWith('\\ud') ? '\ufffd' : found));

/** A new job as `createJob` of jobs.lua takes it. */
export function jobArguments(job: NewJob, signer: Signer | null): ScriptArguments {
  const { id, project, principal } = job;
  const request = wellFormedJson(job.request);
  const grant = job.grant === null ? '' : JSON.stringify(job.grant);
  const signature = signatureOf(signer, { id, project, principal, request, grant });
  return { ...unsignedArguments(job), request, grant: grant || null, signature };
}

function unsignedArguments(job: NewJob): ScriptArguments {
  const { request } = job;
  const lanes = lanesOf(job);
  return {
    id: job.id,
    kind: job.kind,
    project: job.project,
    principal: job.principal,
    sessionId: job.sessionId,
    score: scoreOf(job),
    delayMs: request.delayMs,
    runAt:
      job.dueAt ?? (request.delayMs > 0 && request.runAt !== undefined ? Date.parse(request.runAt) : null),
    ttlMs: request.ttlMs,
    retryOf: job.retryOf,
    pin: job.pin,
    lanes: lanes.length === 0 ? null : wellFormedJson(lanes),
    createdAt: job.createdAt,
    maxAttempts: request.maxAttempts,
    retryMode: request.retryMode ?? null,
    autoContinue: request.autoContinue === false ? 'off' : null,
    cwd: request.cwd,
    provider: request.provider,
    model: request.model,
    onQuota: request.onQuota ?? null,
    batch: job.batch ?? null,
  };
}

/**
 * An entry of a job's stream. Its id is the seq.
 * @throws AppError record.damaged
 */
export function decodeEvent(jobId: string, entry: readonly [string, readonly string[]]): StoredEvent {
  const [id, fields] = entry;
  const field = new Map<string, string>();
  for (let i = 0; i + 1 < fields.length; i += 2) field.set(fields[i] ?? '', fields[i + 1] ?? '');
  const seq = /^(\d{1,15})-0$/.exec(id)?.[1];
  if (seq === undefined) throw damaged('its id is none of ours');
  // as: the scripts and the executor write it
  const body = withPresentKind(parsed('body', field.get('e') ?? '', storedEvent) as EventBody);
  const time = (name: string, value: unknown): string =>
    new Date(numberOf(name, String(value))).toISOString();
  const dated =
    body.kind === 'job.scheduled' ? { ...body, scheduledFor: time('scheduledFor', body.scheduledFor) } : body;
  return {
    seq: Number(seq),
    jobId,
    attempt: numberOf('attempt', field.get('a')),
    at: time('time', field.get('t')),
    raw: field.get('r') ?? null,
    ...dated,
  };
}

/** The CLI's id of the session that these events begin or resume; null: none of them does. */
export function sessionBegunBy(events: readonly TimedEvent[]): string | null {
  const found = events.findLast(({ event }) => event.kind === 'session' && event.sessionId !== null);
  return found?.event.kind === 'session' ? found.event.nativeSessionId : null;
}

/** Events as the scripts take them: at, body, raw of each. */
export function encodeEvents(events: readonly TimedEvent[]): (string | number)[] {
  const out: (string | number)[] = [];
  for (const { event, raw, at } of events) out.push(at, JSON.stringify(event), raw ?? '');
  return out;
}
