/** What becomes of one claim: admit → prepare → spawn → translate → finish. */

import type { Logger } from 'pino';
import { AppError, isLedgerTrouble, isRedisTrouble, messageOf } from '../errors.ts';
import type { Failpoint } from '../failpoint.ts';
import type { Circuits } from '../limits/circuits.ts';
import type { Outage } from '../outage.ts';
import type { ProcScanner } from '../processes/proc-scanner.ts';
import type { Outcome, TokenCounts } from '../protocol/outcome.ts';
import type { Claim, Claims, Finish, LeaseState } from '../records/ports.ts';
import { rawAnswer } from '../rpc/raw-requests.ts';
import { pause } from '../timing.ts';
import type { Active } from './active.ts';
import type { Delivery } from './delivery.ts';
import { createEventSink, type EventSink } from './event-sink.ts';
import type { ExecuteOptions, ExecutionResult } from './execute.ts';
import type { ExecutionLimits } from './execution.ts';
import type { KnownSessions } from './known-sessions.ts';
import { backoffAfter, lostFinish, retryDelay } from './lost.ts';
import { cancelledOutcome, refusedOutcome } from './outcomes.ts';
import type { Ledger } from './ports.ts';
import { type Prepared, type PrepareOptions, prepareFallback } from './prepare.ts';
import type { ResourceWatch } from './resource-watch.ts';
import { type RunCliOptions, runCli } from './run-cli.ts';
import type { Slots } from './slots.ts';
import { refuseIfStopped, type StartCli } from './start-cli.ts';
import { untilPrepared } from './until-prepared.ts';

export interface ClaimRunnerOptions {
  readonly claims: Pick<Claims, 'append' | 'renew'>;
  readonly ledger: Ledger;
  /** While the ledger cannot be written. */
  readonly ledgerOutage: Outage;
  readonly delivery: Delivery;
  readonly prepare: PrepareOptions;
  readonly limits: ExecutionLimits;
  readonly circuits: Circuits;
  readonly scanner: ProcScanner;
  readonly resources: ResourceWatch;
  readonly start: StartCli;
  readonly sessions: Pick<KnownSessions, 'ran'>;
  readonly retryBackoffMs: number;
  readonly slots: Pick<Slots, 'handOn'>;
  /** The CLI of an execution has ended. */
  onSlotFree(): void;
  readonly failpoint: Failpoint;
  readonly logger: Logger;
}

/** A reader is at the most this far behind a burst; one line after a silence is not delayed. */
const APPEND_GAP_MS = 8;

/** What a CLI says in its first moments is most often all it says; a reader who comes later sees these so late. */
const UNREAD_MS = { first: 20, later: 100 };

const ASK_AGAIN_MS = 200;

/** A sink may hold this much before the CLI is slowed down. */
const SINK_HIGH_WATER_BYTES = 4 * 1024 * 1024;

/** Runs claimed executions to their settled end; the returned function never leaves one without an outcome. */
export function createClaimRunner(options: ClaimRunnerOptions): (one: Active) => Promise<void> {
  const { claims, ledger, ledgerOutage, delivery, scanner, failpoint, logger } = options;

  /** admit → prepare → spawn → translate → finish, for one claim. */
  async function run(one: Active): Promise<void> {
    const { claim } = one;
    const sink = createEventSink({
      append: (from, events) => claims.append(claim.jobId, claim.executionId, from, events),
      highWaterBytes: SINK_HIGH_WATER_BYTES,
      gapMs: APPEND_GAP_MS,
      unreadMs: UNREAD_MS,
      onPause: () => flow?.pause(),
      onResume: () => flow?.resume(),
      now: Date.now,
    });
    let flow: { pause(): void; resume(): void } | null = null;
    let outcome: Outcome;
    let lastWord: string | null = null;
    let sessionTokens: TokenCounts | null = null;
    try {
      await failpoint('executor.claimed');
      // Preparing only reads: it need not wait for the ledger.
      const preparing = prepareInTime(one);
      const [admitted] = await Promise.all([admit(one), preparing.catch(() => null)]);
      if (admitted === 'known') return;
      if (admitted === 'cancelled') {
        outcome = cancelledOutcome(claim.executionId);
      } else {
        const prepared = await preparing;
        await failpoint('executor.intended');
        refuseIfStopped(one.stop.signal);
        const result = await runCli(
          prepared,
          { stop: one.stop.signal, force: one.force.signal },
          runOptions(one, sink, (given) => {
            flow = given;
          }),
        );
        outcome = result.outcome;
        ({ lastWord, sessionTokens } = result);
      }
    } catch (error) {
      if (!(error instanceof AppError)) {
        logger.error({ jobId: claim.jobId, err: error }, 'an execution failed unexpectedly');
      }
      outcome = refusedOutcome(claim.executionId, error);
    }
    one.running = false;
    options.onSlotFree(); // settling goes on beside the next execution
    await settle(one, { outcome, lastWord, sessionTokens }, sink);
  }

  const prepareInTime = ({ claim, stop }: Active): Promise<Prepared> =>
    untilPrepared(claim, stop.signal, options.prepare, logger);

  /** The last steps before a spawn: the intent is on disk, the claim still ours, nobody has cancelled. */
  async function admit(one: Active): Promise<'spawn' | 'cancelled' | 'known'> {
    const { claim } = one;
    const [fresh, lease] = await Promise.all([intend(one), leaseOf(one)]);
    if (!fresh) {
      await settleKnown(claim);
      return 'known';
    }
    if (lease === 'cancel' || lease === 'cancel-force') return 'cancelled';
    if (lease === 'lost')
      throw new AppError('execution.lost', 'another server had already ended this execution');
    return 'spawn';
  }

  /** Whether the execution is new to the ledger. A ledger that cannot be written (a full disk) is no fault of the job. */
  async function intend({ claim, stop }: Active): Promise<boolean> {
    for (;;) {
      try {
        const fresh = await ledger.intend(claim);
        ledgerOutage.worked();
        return fresh;
      } catch (error) {
        if (!isLedgerTrouble(error)) throw error;
        if (stop.signal.aborted) ledgerOutage.forget();
        refuseIfStopped(stop.signal);
        ledgerOutage.failed(error.message);
      }
      await ledgerOutage.pause(stop.signal);
    }
  }

  /** What the records say of the claim. While Redis is away nothing is known, and nothing is spawned. */
  async function leaseOf({ claim, stop }: Active): Promise<LeaseState> {
    for (;;) {
      try {
        const [lease = 'lost'] = await claims.renew([claim]);
        return lease;
      } catch (error) {
        if (!isRedisTrouble(error)) throw error;
        logger.debug({ jobId: claim.jobId, reason: messageOf(error) }, 'a claimed execution waits for Redis');
      }
      if (stop.signal.aborted) return 'held'; // the look before the spawn refuses it
      await pause(ASK_AGAIN_MS, stop.signal);
    }
  }

  function runOptions(one: Active, sink: EventSink, onFlow: ExecuteOptions['onFlow']): RunCliOptions {
    const { claim } = one;
    return {
      limits: options.limits,
      circuits: options.circuits,
      async handOn(provider) {
        await options.slots.handOn(one, provider);
        refuseIfStopped(one.stop.signal);
      },
      prepareAgain: () => prepareInTime(one),
      prepareFallback: (missing) => prepareFallback(claim, missing, options.prepare),
      start: options.start,
      scanner,
      resources: options.resources,
      pricing: options.prepare.pricing,
      logger,
      emit(event, raw) {
        const now = Date.now();
        if (event.kind === 'execution.started') {
          one.started = { pid: event.pid, at: now, lastEventAt: now };
          ledger.started(claim.executionId, event.pid).catch(logLedger);
        }
        if (one.started !== null) one.started.lastEventAt = now;
        sink.push(event, raw);
      },
      onFlow,
    };
  }

  async function settle(
    one: Active,
    { outcome, lastWord, sessionTokens }: ExecutionResult,
    sink: EventSink,
  ): Promise<void> {
    const { claim } = one;
    await failpoint('executor.ended');
    const { from, tail } = await sink.close();
    const finish: Finish = {
      jobId: claim.jobId,
      executionId: claim.executionId,
      outcome,
      from,
      tail,
      backoffMs: retryDelay(outcome.error, claim.attempt, options.retryBackoffMs, Date.now()),
      rawAnswer: claim.kind === 'raw' ? rawAnswer(claim, outcome, lastWord) : null,
    };
    options.sessions.ran(outcome, sessionTokens);
    await delivery.settle(finish, sessionTokens);
  }

  /** An execution the ledger knows already is never spawned again: its stored outcome is told, or it is lost. */
  async function settleKnown(claim: Claim): Promise<void> {
    const { jobId, executionId, attempt } = claim;
    const entry = await ledger.find(executionId);
    const backoffMs = backoffAfter(attempt, options.retryBackoffMs);
    const { readEvents } = options.prepare;
    const { maxResultBytes } = options.limits;
    const finish =
      entry?.finish ?? (await lostFinish({ jobId, executionId, backoffMs }, { readEvents, maxResultBytes }));
    if (entry?.finish === null) await ledger.ended(finish);
    await delivery.deliver(finish);
  }

  function logLedger(error: unknown): void {
    logger.error({ reason: messageOf(error) }, 'the ledger could not be written');
  }

  return run;
}
