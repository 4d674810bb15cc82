/**
 * Makes outcomes: of a CLI that has ended, of an execution that never started, and of one that was
 * lost.
 */
import { type ErrorCode, toWire, type WireError, wireError } from '../errors.ts';
import type { Exit } from '../protocol/cli.ts';
import type { EventBody } from '../protocol/event.ts';
import { jobOutcome, type Outcome, sumOfUsage, type Usage } from '../protocol/outcome.ts';
import { QUOTA_TIMEOUT_MS } from '../protocol/prompt.ts';
import type { Translator, Verdict } from '../providers/provider.ts';
import type { Claim, Finish } from '../records/ports.ts';
import { backoffMs } from '../timing.ts';
import { boundedError, cutText } from './bounded.ts';
import { createUseFold, eventsOf, type ReadEvents } from './earlier.ts';
import type { ExecutionLimits } from './execute.ts';
import type { PreparedExecution } from './prepare.ts';
import type { Stop, StopReason } from './stop-race.ts';

/** All that is known when a process has ended, or waits for its next turn. */
export interface Ended {
  readonly prepared: PreparedExecution;
  readonly verdict: Verdict;
  readonly hopeless: Translator['hopeless'];
  readonly stopped: Stop | null;
  /** As the CLI named it. */
  readonly model: string | null;
  /** Of this run alone, with its cost. */
  readonly usage: Usage | null;
  readonly exit: Exit;
  readonly durationMs: number;
  readonly limits: ExecutionLimits;
}

/** The result that the CLI reported, unless the executor stopped it. */
export function outcomeOf(ended: Ended): Outcome {
  const { prepared, verdict, exit, limits } = ended;
  const stopped = stopError(ended);
  const error = stopped === null ? verdict.error : boundedError(stopped);
  const status = error === null ? 'succeeded' : statusOf(error);
  const text = cutText(verdict.text, limits.maxResultBytes);
  return {
    status,
    executionId: prepared.executionId,
    provider: prepared.provider.name,
    credential: null,
    model: ended.model ?? prepared.request.model,
    text,
    textTruncated: text.length < verdict.text.length || verdict.textIsCut === true,
    structured: verdict.structured ?? null,
    sessionId: verdict.nativeSessionId === null ? null : prepared.sessionId,
    nativeSessionId: verdict.nativeSessionId,
    turns: verdict.turns,
    durationMs: ended.durationMs,
    exit: { code: exit.code, signal: exit.signal },
    permissionDenials: [...verdict.permissionDenials],
    usage: ended.usage,
    error,
    executor: 'local',
  };
}

/** Of an execution on another host than its server. */
export const ABANDONED = 'no server has asked the executor for this execution for too long';

/** Why a server stops an execution: the error of its outcome. */
export const SERVER_STOPS = {
  cancelled: ['execution.cancelled', 'the job was cancelled while it ran'],
  interrupted: ['execution.interrupted', 'the turn was interrupted'],
  shutdown: ['execution.lost', 'the server was stopped while the job ran'],
  fenced: ['execution.lost', 'another server had already ended this execution'],
  day_spent: ['execution.budget', 'the caller, or its project, has spent the USD of the day'],
} as const satisfies Partial<Record<StopReason, readonly [ErrorCode, string]>>;

export const statusOf = ({ code }: Pick<WireError, 'code'>): 'cancelled' | 'failed' =>
  code === 'execution.cancelled' || code === 'execution.interrupted' ? 'cancelled' : 'failed';

function stopError({ stopped, prepared, hopeless, limits }: Ended): WireError | null {
  if (stopped === null || stopped.reason === 'lingered') return null;
  const { reason, detail } = stopped;
  const { request, provider } = prepared;
  const codes: Record<Exclude<StopReason, 'lingered'>, readonly [ErrorCode, string]> = {
    ...SERVER_STOPS,
    approval_expired: ['approval.expired', 'no answer came within approvalTimeoutMs'],
    launcher_died: ['execution.lost', 'the launcher died while the execution ran; its processes were killed'],
    abandoned: ['execution.lost', ABANDONED],
    timed_out: ['execution.timed_out', `the execution ran longer than ${request.timeoutMs} ms`],
    idle: ['execution.idle', `the execution was silent for ${request.idleTimeoutMs} ms`],
    output_limit: [
      'execution.output_limit',
      `the execution wrote more than ${request.limits.outputBytes ?? limits.maxOutputBytes} bytes or ${limits.maxEvents} events`,
    ],
    resource_limit: ['execution.resource_limit', detail ?? 'the execution used too much'],
    max_turns: ['execution.max_turns', `the execution used its ${request.maxTurns} turns`],
    budget: ['execution.budget', `the execution cost more than its $${request.maxCostUsd}`],
    hopeless: [hopeless?.code ?? 'execution.crashed', hopeless?.message ?? 'the execution could not succeed'],
    asks_login: ['auth.required', `${provider.name} asks for a login and waits (${provider.login.hint})`],
  };
  const [code, message] = codes[reason];
  const error = wireError(code, message, (reason === 'hopeless' && hopeless?.resetsAt) || null);
  // The machine may have room later; the needs of the job do not change.
  return reason === 'resource_limit' ? { ...error, retryable: false } : error;
}

/** Of an execution that was refused before its spawn. */
export function refusedOutcome(executionId: string, error: unknown): Outcome {
  const wire = toWire(error);
  return { ...jobOutcome(statusOf(wire), wire), executionId };
}

export const AWAITING_APPROVAL = wireError(
  'execution.awaiting_approval',
  'the execution ended because a person has to answer',
);

/** Endings after which a job waits for its approvals all the same. */
const WAITS_AFTER: readonly string[] = [
  'execution.awaiting_approval',
  'execution.overloaded',
  'execution.crashed',
];

/**
 * The outcome of an execution whose job has approvals without an answer; null: the job does not
 * wait for them.
 */
export function parkedOutcome({ request }: Pick<Claim, 'request'>, outcome: Outcome): Outcome | null {
  const code = outcome.error?.code;
  const isLimit = code === 'execution.quota' && request.onQuota !== 'fail';
  if (code !== undefined && !isLimit && !WAITS_AFTER.includes(code)) return null;
  return { ...outcome, status: 'failed', error: AWAITING_APPROVAL };
}

/** Of an execution that was cancelled, or interrupted, between its claim and its spawn. */
export function cancelledOutcome(executionId: string, interrupted: boolean): Outcome {
  const error = interrupted
    ? wireError('execution.interrupted', 'the turn was interrupted before its CLI was started')
    : wireError('execution.cancelled', 'the job was cancelled before its CLI was started');
  return { ...jobOutcome('cancelled', error), executionId };
}

/**
 * Of an execution whose server died while it ran.
 * @param executionId null where a script fills it in
 */
export function lostOutcome(executionId: string | null): Outcome {
  const error = wireError(
    'execution.lost',
    'the server died while the execution ran; its processes were killed',
  );
  return { ...jobOutcome('failed', error), executionId };
}

/** Of a job that only a server that is gone could run. */
export const UNAVAILABLE = jobOutcome(
  'failed',
  wireError('execution.node_unavailable', 'the only server that could run this job is gone'),
);

const MAX_BACKOFF_MS = 3_600_000;

/**
 * A job whose vendor lifts its limit later than this is not retried: it fails and names the time.
 */
export const MAX_RESET_WAIT_MS = 6 * 3_600_000;

/**
 * Delay before the next attempt: it doubles with each attempt, minus up to half of it at random.
 */
export function backoffAfter(attempt: number, baseMs: number): number {
  const doubled = backoffMs(attempt, { firstMs: baseMs, maxMs: MAX_BACKOFF_MS });
  return Math.round(doubled * (0.5 + Math.random() / 2));
}

/**
 * Delay before the next attempt, by how this one failed. It is the backoff, and starts when the
 * vendor lifts its limit. Null when that is too far away.
 * @param nowMs milliseconds since the epoch
 */
export function retryDelay(
  error: { readonly resetsAt: string | null } | null,
  attempt: number,
  baseMs: number,
  nowMs: number,
): number | null {
  const retryMs = backoffAfter(attempt, baseMs);
  const resetMs = Date.parse(error?.resetsAt ?? '') - nowMs;
  if (Number.isNaN(resetMs) || resetMs <= 0) return retryMs;
  return resetMs > MAX_RESET_WAIT_MS ? null : Math.ceil(resetMs) + retryMs;
}

/** Jobs that waited for the same limit do not go on in the same moment. */
const LIMIT_JITTER_MS = 3000;
/** The wait when the end of the limit is not known, because Redis could not be asked. */
const UNKNOWN_LIMIT_MS = 300_000;

/**
 * Delay before the next execution of a job that waits for a usage limit.
 * @param resetsAt RFC 3339
 */
export function limitDelay(resetsAt: string | null, nowMs: number): number {
  const resetMs = resetsAt === null ? UNKNOWN_LIMIT_MS : Date.parse(resetsAt) - nowMs;
  return Math.ceil(Math.max(0, resetMs) + Math.random() * LIMIT_JITTER_MS);
}

/** Whether and when the job goes on after this outcome. */
export function nextExecution(
  { attempt, kind, request }: Claim,
  { error }: Outcome,
  retryBackoffMs: number,
): Pick<Finish, 'backoffMs' | 'quotaMs'> {
  const waits = error?.code === 'execution.quota' && request.onQuota !== 'fail' && kind !== 'raw';
  if (waits) {
    return {
      backoffMs: limitDelay(error.resetsAt, Date.now()),
      quotaMs: request.quotaTimeoutMs ?? QUOTA_TIMEOUT_MS,
    };
  }
  return { backoffMs: retryDelay(error, attempt, retryBackoffMs, Date.now()), quotaMs: null };
}

export interface LostOptions {
  readonly readEvents: ReadEvents;
  readonly maxResultBytes: number;
}

/** The end of a lost execution. Session, text, turns and usage are from its readable events. */
export async function lostFinish(
  { jobId, executionId, backoffMs }: Pick<Finish, 'jobId' | 'executionId' | 'backoffMs'>,
  { readEvents, maxResultBytes }: LostOptions,
): Promise<Finish> {
  const progress = createEventFold(maxResultBytes);
  let earlierUsage: Usage | null = null;
  const readable: ReadEvents = (...args) => readEvents(...args).catch(() => []);
  for await (const event of eventsOf(jobId, readable)) {
    progress.saw(event, executionId);
    if (event.kind === 'execution.finished' && event.executionId !== executionId)
      earlierUsage = sumOfUsage(earlierUsage, event.outcome.usage);
  }
  const outcome = { ...lostOutcome(executionId), ...progress.soFar() };
  return { jobId, executionId, outcome, earlierUsage, from: 0, tail: [], backoffMs, rawAnswer: null };
}

/** Collects the progress of one execution from the events of its job. */
export function createEventFold(maxResultBytes: number) {
  let current: string | null = null;
  let run: Partial<Pick<Outcome, 'provider' | 'model' | 'sessionId' | 'nativeSessionId'>> = {};
  const use = createUseFold();
  /** No more than an outcome may have, and one text. */
  const texts: string[] = [];
  let length = 0;
  /** Deltas without their complete text. */
  let pending = '';

  return {
    saw(event: EventBody, executionId: string): void {
      if (event.kind === 'execution.started') {
        current = event.executionId;
        run = { provider: event.provider };
      }
      if (current !== executionId) return;
      use.saw(event);
      switch (event.kind) {
        case 'session': {
          const { sessionId, nativeSessionId, model } = event;
          run = { ...run, sessionId, nativeSessionId, model };
          break;
        }
        case 'text.delta':
          if (pending.length <= maxResultBytes) pending += event.text;
          break;
        case 'text':
          if (length <= maxResultBytes) texts.push(event.text);
          length += event.text.length;
          pending = '';
          break;
        default:
      }
    },
    soFar() {
      const whole = [...texts, pending].filter((part) => part !== '').join('\n\n');
      const text = cutText(whole, maxResultBytes);
      return { ...run, ...use.soFar(), text, textTruncated: text.length < whole.length };
    },
  };
}
