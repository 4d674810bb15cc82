import { type ErrorCode, type WireError, wireError } from '../errors.ts';
import type { Exit } from '../protocol/cli.ts';
import type { Outcome, Usage } from '../protocol/outcome.ts';
import type { Translator, Verdict } from '../providers/provider.ts';
import { boundedError, cutText } from './bounded.ts';
import type { ExecutionLimits, PreparedExecution } from './execution.ts';

/** Why an execution was ended from outside. Recorded once, where it happens. */
export type StopReason =
  | 'cancelled'
  | 'shutdown'
  | 'launcher_died'
  | 'fenced'
  | 'timed_out'
  | 'idle'
  | 'output_limit'
  | 'resource_limit'
  | 'max_turns'
  | 'budget'
  | 'hopeless'
  | 'asks_login'
  | 'lingered';

/** All that is known when a process has ended. */
export interface Ended {
  readonly prepared: PreparedExecution;
  readonly verdict: Verdict;
  readonly translator: Translator;
  readonly reason: StopReason | null;
  /** Which limit, for `resource_limit`. */
  readonly exceeded: string | null;
  /** As the CLI named it. */
  readonly model: string | null;
  /** Of this run alone, with its cost. */
  readonly usage: Usage | null;
  readonly exit: Exit;
  readonly durationMs: number;
  readonly limits: ExecutionLimits;
}

/** The outcome: what the CLI said, unless it was stopped for a reason of ours. */
export function toOutcome({
  prepared,
  verdict,
  translator,
  reason,
  exceeded,
  model,
  usage,
  exit,
  durationMs,
  limits,
}: Ended): Outcome {
  const stopped =
    reason === null || reason === 'lingered'
      ? null
      : stopError(reason, prepared, limits, translator, exceeded);
  const error = stopped === null ? verdict.error : boundedError(stopped);
  const status = error === null ? 'succeeded' : error.code === 'execution.cancelled' ? 'cancelled' : 'failed';
  const text = cutText(verdict.text, limits.maxResultBytes);
  return {
    status,
    executionId: prepared.executionId,
    provider: prepared.provider.name,
    model: model ?? prepared.request.model,
    text,
    textTruncated: text.length < verdict.text.length || verdict.textIsCut === true,
    structured: verdict.structured ?? null,
    sessionId: verdict.nativeSessionId === null ? null : prepared.sessionId,
    nativeSessionId: verdict.nativeSessionId,
    turns: verdict.turns,
    durationMs,
    exit: { code: exit.code, signal: exit.signal },
    permissionDenials: [...verdict.permissionDenials],
    usage,
    error,
  };
}

function stopError(
  reason: Exclude<StopReason, 'lingered'>,
  { request, provider }: PreparedExecution,
  limits: ExecutionLimits,
  translator: Translator,
  exceeded: string | null,
): WireError {
  const codes: Record<typeof reason, [ErrorCode, string]> = {
    cancelled: ['execution.cancelled', 'the job was cancelled while it ran'],
    shutdown: ['execution.lost', 'the server was stopped while the job ran'],
    launcher_died: ['execution.lost', 'the launcher died while the execution ran; its processes were ended'],
    fenced: ['execution.lost', 'another server had already ended this execution'],
    timed_out: ['execution.timed_out', `the execution ran longer than ${request.timeoutMs} ms`],
    idle: ['execution.idle', `the execution was silent for ${request.idleTimeoutMs} ms`],
    output_limit: [
      'execution.output_limit',
      `the execution wrote more than ${request.limits.outputBytes ?? limits.maxOutputBytes} bytes or ${limits.maxEvents} events`,
    ],
    resource_limit: ['execution.resource_limit', exceeded ?? 'the execution used too much'],
    max_turns: ['execution.max_turns', `the execution used its ${request.maxTurns} turns`],
    budget: ['execution.budget', `the execution cost more than its $${request.maxCostUsd}`],
    hopeless: [
      translator.hopeless?.code ?? 'execution.crashed',
      translator.hopeless?.message ?? 'the execution could not succeed',
    ],
    asks_login: ['auth.required', `${provider.name} asks for a login and waits (${provider.login.hint})`],
  };
  const [code, message] = codes[reason];
  const error = wireError(code, message, (reason === 'hopeless' && translator.hopeless?.resetsAt) || null);
  // The machine may have room later; what this job itself needs will not change.
  return reason === 'resource_limit' ? { ...error, retryable: false } : error;
}
