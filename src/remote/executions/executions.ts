/** The executions of `bullpen executor`: taken from servers on other hosts, followed, ended. */

import type { Logger } from 'pino';
import { RAW_PRINCIPAL } from '../../auth/principal.ts';
import { AppError, messageOf } from '../../errors.ts';
import { ABANDONED, cancelledOutcome, refusedOutcome } from '../../executor/outcomes.ts';
import type { IntendedClaim, Ledger } from '../../executor/ports.ts';
import { fingerprintOf } from '../../fingerprint.ts';
import {
  type CancelRequest,
  type KnownExecution,
  MAX_WAITING,
  type Submission,
} from '../../protocol/executor-service.ts';
import type { Outcome } from '../../protocol/outcome.ts';
import type { PromptRequest, ResolvedPrompt } from '../../protocol/prompt.ts';
import type { Provider } from '../../providers/provider.ts';
import type { Claims, Finish } from '../../records/ports.ts';
import { type LoginState, shownByJobs } from '../../status/cli-reports.ts';
import type { SubmittedAs } from '../../store/executions.ts';
import { createLedger } from '../../store/ledger.ts';
import type { Store } from '../../store/store.ts';
import type { ExecutorCounts, RemoteExecutions } from '../ports.ts';
import { createExecutorClaims } from './claims.ts';
import { createInTurn } from './in-turn.ts';
import { linesOf, NOTHING_REPORTED, wakeAtAbort } from './lines.ts';
import {
  createLiveExecution,
  type LiveExecution,
  type LiveExecutions,
  shown,
  waiting,
  wake,
} from './live.ts';
import { createSubmitted, NO_BACKGROUND } from './without-records.ts';

/** Executions that are listed. */
const MAX_LISTED = 1000;

export interface ExecutionsOptions {
  /** Id of the ledger. */
  readonly node: string;
  readonly bootId: string;
  readonly store: Pick<Store, 'run'>;
  /** Checks a request of `POST /execute` and applies the defaults of the settings. */
  resolve(request: PromptRequest): Promise<ResolvedPrompt>;
  newId(): string;
  /** There is something to claim. */
  kick(): void;
  /** An execution that runs is to be cancelled. */
  lookAtCancel(id: string): void;
  /** Milliseconds of a clock that only goes forward. Default: the process's. */
  now?(): number;
  /** How long a refused login is taken to be refused, in milliseconds. */
  readonly refusedMs: number;
  readonly logger: Logger;
}

export interface Executions extends RemoteExecutions {
  /** For the executor. */
  readonly claims: Claims;
  readonly ledger: Ledger;
  readonly submitted: ReturnType<typeof createSubmitted>;
  counts(): ExecutorCounts;
  /** What executions have shown of a provider's login; null: nothing. */
  loginOf(provider: Pick<Provider, 'name' | 'login'>): LoginState | null;
  /**
   * Takes no more, and forgets those that wait: their servers send them again to the next start.
   */
  close(): void;
}

export function createExecutions(options: ExecutionsOptions): Executions {
  const { node, store, now = () => performance.now() } = options;
  const live: LiveExecutions = new Map();
  const inTurn = createInTurn();
  const counted = { total: 0, succeeded: 0, failed: 0, ranMs: 0, ran: 0 };
  /** By provider. */
  const refusedAt = new Map<string, number>();
  const succeededAt = new Map<string, number>();
  let closed = false;
  const onFailure = (error: unknown): void =>
    options.logger.warn({ reason: messageOf(error) }, 'an execution could not be ended');

  const kept = createLedger(store, options.bootId, (id) => live.get(id)?.submittedAs ?? null);
  const ledger: Ledger = {
    ...kept,
    async delivered(id, superseded) {
      live.delete(id); // the ledger has its outcome
      await kept.delivered(id, superseded);
    },
  };

  const claims = createExecutorClaims({
    ...{ live, store, now, onEnded: count },
    abandon(one) {
      const lost = new AppError('execution.lost', ABANDONED);
      settleWaiting(one, refusedOutcome(one.claim.executionId, lost)).catch(onFailure);
    },
  });

  function count({ outcome }: Pick<Finish, 'outcome'>): void {
    const { status, durationMs, provider, error } = outcome;
    if (provider !== null && error?.code === 'auth.required') refusedAt.set(provider, now());
    if (provider !== null && error === null) {
      refusedAt.delete(provider);
      succeededAt.set(provider, Date.now());
    }
    if (status === 'succeeded') counted.succeeded += 1;
    else counted.failed += 1;
    if (durationMs === null) return;
    counted.ran += 1;
    counted.ranMs += durationMs;
  }

  /** The end of an execution that no process ran. */
  async function remember(claim: IntendedClaim, outcome: Outcome): Promise<Finish> {
    const { jobId, executionId } = claim;
    const finish: Finish = {
      ...{ jobId, executionId, outcome, from: 0, tail: [], backoffMs: null, rawAnswer: null },
      reported: NOTHING_REPORTED,
    };
    await ledger.intend(claim);
    await ledger.ended(finish);
    return finish;
  }

  async function settleWaiting(one: LiveExecution, outcome: Outcome): Promise<void> {
    one.state = 'settling';
    let finish: Finish;
    try {
      finish = await remember(one.claim, outcome);
    } catch (error) {
      one.state = 'waiting'; // the ledger cannot be written
      throw error;
    }
    one.finish = finish;
    count(finish);
    wake(one);
    settled(one.claim.executionId);
  }

  function settled(id: string): void {
    ledger.delivered(id, false).catch(onFailure); // the store does it later: it is not urgent
  }

  /** What the ledger has of an execution that is not live; null: nothing. */
  async function ended(
    id: string,
  ): Promise<{ readonly submittedAs: SubmittedAs | null; readonly shown: KnownExecution } | null> {
    const row = await store.run('executions.lastOf', { jobId: id });
    if (row === null) return null;
    const events = await store.run('events.lastSeq', { jobId: id });
    const { submission = null } = row;
    const jobId = submission?.jobId ?? id;
    return { submittedAs: submission, shown: { id, jobId, state: 'ended', events } };
  }

  async function submitInTurn(submission: Submission): Promise<KnownExecution> {
    const { id } = submission;
    const fingerprint = fingerprintOf('submission', submission);
    const refuseOther = (as: SubmittedAs | null): void => {
      if (as === null || as.fingerprint === fingerprint) return;
      throw new AppError('execution.id_reused', `the execution ${id} has another request`);
    };
    const known = live.get(id);
    if (known !== undefined) {
      refuseOther(known.submittedAs);
      known.renewedAt = Math.max(known.renewedAt, now());
      return shown(known);
    }
    const before = await ended(id);
    if (before !== null) {
      refuseOther(before.submittedAs);
      return before.shown;
    }
    if (closed) throw new AppError('server.stopping', 'the executor is stopping');
    if (waiting(live).length >= MAX_WAITING)
      throw new AppError('queue.full', `${MAX_WAITING} executions wait for a slot of the executor`);
    const one = createLiveExecution(submission, fingerprint, now());
    live.set(id, one);
    counted.total += 1;
    options.kick();
    return shown(one);
  }

  async function cancelInTurn(id: string, request: CancelRequest): Promise<KnownExecution> {
    const isInterrupt = request.reason === 'interrupted';
    const one = live.get(id);
    if (one === undefined) {
      const before = await ended(id);
      if (before !== null) return before.shown;
      const claim = { jobId: id, executionId: id, attempt: 1, request: { provider: '' } };
      await remember(claim, cancelledOutcome(id, isInterrupt));
      settled(id);
      return { id, jobId: id, state: 'ended', events: 0 };
    }
    if (one.finish !== null) return shown(one);
    const { cancel } = one;
    one.cancel = cancel === null ? request : { ...cancel, force: cancel.force || request.force };
    if (one.state === 'waiting') await settleWaiting(one, cancelledOutcome(id, isInterrupt));
    else options.lookAtCancel(id);
    return shown(one);
  }

  async function* follow(one: LiveExecution | null, id: string, after: number, signal: AbortSignal) {
    if (one === null) return yield* linesOf(id, null, after, { store, signal });
    const stop = wakeAtAbort(one, signal);
    one.followers += 1;
    try {
      yield* linesOf(id, one, after, { store, signal });
    } finally {
      stop();
      one.followers -= 1;
      one.renewedAt = Math.max(one.renewedAt, now());
    }
  }

  const submit: Executions['submit'] = (submission) => inTurn(submission.id, () => submitInTurn(submission));
  const cancel: Executions['cancel'] = (id, request) => inTurn(id, () => cancelInTurn(id, request));

  return {
    ...{ node, claims, ledger, submitted: createSubmitted(live), submit, cancel },
    async known() {
      const listed = [...live.values()].map(shown);
      const recent = await store.run('executions.recent', { limit: MAX_LISTED });
      const others = recent.filter(({ executionId }) => !live.has(executionId));
      const ofLedger = others.map(({ executionId: id, submission, events }): KnownExecution => {
        return { id, jobId: submission?.jobId ?? id, state: 'ended', events };
      });
      return [...listed, ...ofLedger].slice(0, MAX_LISTED);
    },
    async follow(id, after, signal) {
      const isKnown = live.has(id) || (await ended(id)) !== null;
      const one = live.get(id) ?? null;
      if (one !== null) one.renewedAt = Math.max(one.renewedAt, now());
      else if (!isKnown) throw new AppError('execution.not_found', `there is no execution ${id}`);
      return follow(one, id, after, signal);
    },
    async execute(request, signal) {
      const id = options.newId();
      await submit({
        ...{ id, jobId: id, attempt: 1, kind: 'raw', sessionId: id, principal: RAW_PRINCIPAL.id },
        grants: [], // only the settings limit it
        ...{ request: await options.resolve(request), background: NO_BACKGROUND },
      });
      const one = live.get(id);
      if (one === undefined) throw new AppError('internal.error', 'an execution ended unseen');
      one.renewedAt = Number.POSITIVE_INFINITY; // its caller waits here
      const stop = wakeAtAbort(one, signal);
      try {
        while (one.finish === null) {
          if (one.refusal !== null) throw one.refusal;
          const { promise } = one.changed;
          if (signal.aborted && one.cancel === null) await cancel(id, { reason: 'cancelled', force: false });
          else await promise;
        }
        const { outcome, reported } = one.finish;
        return { outcome, finalLine: reported?.finalLine ?? null };
      } finally {
        stop();
      }
    },
    loginOf({ name, login }) {
      const isRefused = now() - (refusedAt.get(name) ?? Number.NEGATIVE_INFINITY) < options.refusedMs;
      return shownByJobs(login, { isRefused, succeededAt: succeededAt.get(name) ?? null });
    },
    counts: () => ({
      totalRequests: counted.total,
      successfulRequests: counted.succeeded,
      failedRequests: counted.failed,
      averageExecutionTime: counted.ran === 0 ? 0 : counted.ranMs / counted.ran,
      activeRequests: [...live.values()].filter(({ finish }) => finish === null).length,
    }),
    close() {
      closed = true;
      const stopping = new AppError('server.stopping', 'the executor is stopping');
      for (const one of waiting(live)) {
        live.delete(one.claim.executionId);
        one.refusal = stopping;
        wake(one);
      }
    },
  };
}
