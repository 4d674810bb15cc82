/** Turns what an executor on another host reports into events and a result of this server. */
import { AppError, toWire, wireError } from '../errors.ts';
import type { ExecutionResult } from '../executor/execute.ts';
import { createEventFold, lostOutcome, SERVER_STOPS, statusOf } from '../executor/outcomes.ts';
import type { RunControls } from '../executor/runner.ts';
import type { ExecutionEvent } from '../protocol/event.ts';
import type { Outcome } from '../protocol/outcome.ts';
import { isCode } from './client.ts';
import type { EndedLine, EventLine } from './follow.ts';

export interface RemoteResult {
  /** Passes an event on, as this server's own. */
  saw(line: EventLine): void;
  /** @throws AppError the refusal of an executor that started no CLI */
  of(ended: EndedLine): ExecutionResult;
  /**
   * The result of an execution that cannot be followed to its end: what its events show.
   * @throws `error` when there was no event
   */
  lost(error: unknown): ExecutionResult;
}

export function createRemoteResult({
  executionId,
  isFallback,
  controls,
  maxResultBytes,
}: {
  /** Of this server. */
  readonly executionId: string;
  readonly isFallback: boolean;
  readonly controls: Pick<RunControls, 'emit' | 'signals'>;
  readonly maxResultBytes: number;
}): RemoteResult {
  const progress = createEventFold(maxResultBytes);
  /** Whether its CLI has begun: warnings may come before that. */
  let hasBegun = false;

  /** A session belongs to the provider that the job names, so a fallback has none. */
  function own(event: ExecutionEvent): ExecutionEvent {
    if (event.kind === 'execution.started') return { ...event, executionId };
    return event.kind === 'session' && isFallback ? { ...event, sessionId: null } : event;
  }

  /** The reason of this server, where the executor only knows that it had to end the execution. */
  function stopped(error: Outcome['error']): Outcome['error'] {
    const { aborted, reason } = controls.signals.stop;
    if (!aborted || error === null || statusOf(codeOf(error)) !== 'cancelled') return error;
    const known = Object.entries(SERVER_STOPS).find(([name]) => name === reason)?.[1];
    return known === undefined ? error : wireError(known[0], known[1]);
  }

  return {
    saw({ event, raw }) {
      hasBegun ||= event.kind !== 'warning';
      const mine = own(event);
      progress.saw(mine, executionId);
      controls.emit(mine, raw);
    },
    of({ outcome: reported, reported: beside }) {
      const error = stopped(reported.error);
      if (error !== null && reported.executor === undefined && !hasBegun) throw refusal(error);
      const outcome: Outcome = {
        ...reported,
        status: error === null ? reported.status : statusOf(codeOf(error)),
        executionId,
        sessionId: isFallback ? null : reported.sessionId,
        error,
        executor: 'http',
      };
      return { outcome, ...beside, waits: false };
    },
    lost(error) {
      if (!hasBegun) throw error;
      const outcome: Outcome = {
        ...lostOutcome(executionId),
        ...progress.soFar(),
        error: toWire(error),
        executor: 'http',
      };
      return {
        outcome,
        ...{ finalLine: null, sessionTokens: null, limitedModel: null, account: null },
        waits: false,
      };
    },
  };
}

/** A code of a newer executor counts as none of this table. */
const codeOf = ({ code }: { readonly code: string }) => ({
  code: isCode(code) ? code : ('internal.error' as const),
});

const refusal = (error: NonNullable<Outcome['error']>): AppError =>
  new AppError(codeOf(error).code, error.message, { resetsAt: error.resetsAt });
