/** Runs one claim to its settled end: admit → prepare → start → translate → finish. */
import type { Logger } from 'pino';
import { AppError, isLedgerTrouble, isRedisTrouble, messageOf } from '../errors.ts';
import type { Failpoint } from '../failpoint.ts';
import type { Credentials } from '../limits/credentials.ts';
import type { Outage } from '../outage.ts';
import type { ProcScanner } from '../processes/proc-scanner.ts';
import { isShortage } from '../processes/spawn.ts';
import type { ExecutionEvent } from '../protocol/event.ts';
import type { Outcome, Usage } from '../protocol/outcome.ts';
import type { Claim, Claims, Finish, LeaseState } from '../records/ports.ts';
import type { Redactor } from '../redactor.ts';
import { rawAnswer } from '../rpc/raw-requests.ts';
import { pause } from '../timing.ts';
import type { TalkOptions } from './conversation.ts';
import type { Delivery } from './delivery.ts';
import { earlierExecutions } from './earlier.ts';
import { createEventSink, type EventSink } from './event-sink.ts';
import { type ExecutionLimits, type ExecutionResult, execute } from './execute.ts';
import type { KnownSessions } from './known-sessions.ts';
import {
  backoffAfter,
  cancelledOutcome,
  lostFinish,
  nextExecution,
  parkedOutcome,
  refusedOutcome,
} from './outcomes.ts';
import type { Ledger } from './ports.ts';
import type { PrepareOptions } from './prepare.ts';
import { createRedactedEvents, type RedactedEvents } from './redacted-events.ts';
import type { ResourceWatch } from './resources.ts';
import { type Prepared, prepareClaim, runCli } from './run-cli.ts';
import { type Active, beginTalk, type Slots, stopActive } from './slots.ts';
import { inTime, refusal, refuseIfStopped, type StartCli } from './start-cli.ts';

/** Least time between two appends of events. An event after a silence is appended at once. */
const APPEND_GAP_MS = 8;

/** Without a reader, events are appended in batches: 20 ms apart at first, then 100 ms. */
const UNREAD_MS = { first: 20, later: 100 };

const ASK_AGAIN_MS = 200;

/** The CLI is slowed down when more than this waits to be appended. */
const SINK_HIGH_WATER_BYTES = 4 * 1024 * 1024;

type Flow = { pause(): void; resume(): void };

export interface ClaimRunnerOptions {
  readonly claims: Pick<Claims, 'append' | 'renew'>;
  readonly ledger: Ledger;
  readonly ledgerOutage: Outage;
  readonly delivery: Delivery;
  readonly prepare: PrepareOptions;
  readonly limits: ExecutionLimits;
  readonly credentials: Pick<Credentials, 'enter'>;
  readonly scanner: ProcScanner;
  readonly resources: ResourceWatch;
  readonly start: StartCli;
  readonly sessions: Pick<KnownSessions, 'ran'>;
  readonly talk: TalkOptions;
  readonly retryBackoffMs: number;
  readonly slots: Pick<Slots, 'moveTo'>;
  /** The CLI of an execution has ended. */
  onSlotFree(): void;
  readonly redactor: Redactor;
  readonly failpoint: Failpoint;
  readonly logger: Logger;
}

/**
 * The returned function gives each execution an outcome, and rejects only when that cannot be
 * settled.
 */
export function createClaimRunner(options: ClaimRunnerOptions): (one: Active) => Promise<void> {
  const { claims, ledger, ledgerOutage, delivery, prepare, limits, redactor, failpoint, logger } = options;

  async function run(one: Active): Promise<void> {
    const { claim } = one;
    let flow: Flow | null = null;
    const usedBefore = usageBefore(one).catch(() => null); // now: no outcome waits for Redis
    const sink = createEventSink({
      append: (from, events) => claims.append(claim.jobId, claim.executionId, from, events),
      highWaterBytes: SINK_HIGH_WATER_BYTES,
      gapMs: APPEND_GAP_MS,
      unreadMs: UNREAD_MS,
      onPause: () => flow?.pause(),
      onResume: () => flow?.resume(),
      onSpent: () => stopActive(one, 'day_spent', false),
      now: Date.now,
    });
    const events = createRedactedEvents(redactor, sink.push);
    let result: ExecutionResult | null;
    try {
      result = await admitAndRun(one, events, (controls) => {
        flow = controls;
      });
    } catch (error) {
      if (!(error instanceof AppError)) {
        logger.error({ jobId: claim.jobId, err: error }, 'an execution failed unexpectedly');
      }
      result = withoutCli(refusedOutcome(claim.executionId, error));
    }
    if (result === null) return;
    one.running = false;
    one.talker = null;
    options.onSlotFree(); // the next execution need not wait for the settling of this one
    events.flush();
    await settle(one, result, sink, await usedBefore);
  }

  /** What the earlier executions used. */
  async function usageBefore(one: Active): Promise<Usage | null> {
    if (one.claim.attempt < 2) return null;
    return (await withRedis(one, () => earlierExecutions(one.claim, prepare.readEvents))).usage;
  }

  /** Null when the ledger knew the execution: it is settled then. */
  async function admitAndRun(
    one: Active,
    events: RedactedEvents,
    onFlow: (flow: Flow) => void,
  ): Promise<ExecutionResult | null> {
    const { claim, stop } = one;
    await failpoint('executor.claimed');
    const preparing = prepareInTime(one); // it only reads, so it does not wait for the ledger
    const [admitted] = await Promise.all([admit(one), preparing.catch(() => null)]);
    if (admitted === 'known') return null;
    if (admitted !== 'spawn') return withoutCli(admitted);
    const prepared = await preparing;
    await failpoint('executor.intended');
    refuseIfStopped(stop.signal);
    return runCli(prepared, {
      claim,
      prepare,
      credentials: options.credentials,
      withRedis: (task) => withRedis(one, task),
      prepareAgain: () => prepareInTime(one),
      waitForSlot: (provider) => options.slots.moveTo(one, provider).then(() => refuseIfStopped(stop.signal)),
      execute: (chosen, emit) =>
        execute({
          jobId: claim.jobId,
          prepared: chosen,
          signals: { stop: stop.signal, force: one.force.signal },
          start: options.start,
          limits,
          scanner: options.scanner,
          resources: options.resources,
          pricing: prepare.pricing,
          talk: options.talk,
          emit,
          onFlow,
          onTalker: (talker) => beginTalk(one, talker),
          redactor,
          logger,
        }),
      emit: (event, raw) => record(one, events, event, raw),
    });
  }

  /**
   * The last steps before a spawn: the intent is on disk, the claim is still ours, the job is not
   * cancelled.
   */
  async function admit(one: Active): Promise<'spawn' | Outcome | 'known'> {
    const { claim } = one;
    // Nothing may be spawned while Redis is away.
    const lease = withRedis(one, async (): Promise<LeaseState> => (await claims.renew([claim]))[0] ?? 'lost');
    const [isNew, state] = await Promise.all([intend(one), lease]);
    if (!isNew) {
      await settleKnown(claim);
      return 'known';
    }
    if (state === 'held') return 'spawn';
    if (state === 'lost')
      throw new AppError('execution.lost', 'another server had already ended this execution');
    return cancelledOutcome(claim.executionId, state === 'interrupt');
  }

  /**
   * Whether the execution is new to the ledger. Waits while the ledger cannot be written (a full
   * disk).
   */
  async function intend({ claim, stop }: Active): Promise<boolean> {
    for (;;) {
      try {
        const isNew = await ledger.intend(claim);
        ledgerOutage.worked();
        return isNew;
      } catch (error) {
        if (!isLedgerTrouble(error)) throw error;
        if (stop.signal.aborted) ledgerOutage.forget();
        refuseIfStopped(stop.signal);
        ledgerOutage.failed(error.message);
      }
      await ledgerOutage.pause(stop.signal);
    }
  }

  /** Repeats a task while Redis is away. Throws when the execution is stopped meanwhile. */
  async function withRedis<T>({ claim, stop }: Active, task: () => Promise<T>): Promise<T> {
    for (;;) {
      try {
        return await task();
      } catch (error) {
        if (!isRedisTrouble(error)) throw error;
        logger.debug({ jobId: claim.jobId, reason: messageOf(error) }, 'an execution waits for Redis');
      }
      refuseIfStopped(stop.signal);
      await pause(ASK_AGAIN_MS, stop.signal);
    }
  }

  /**
   * Prepares a claim while the job may run. An outage of Redis, the ledger or the launcher is no
   * fault of the job: it is tried again.
   * @throws AppError for each reason to refuse the execution, and when it was stopped
   */
  function prepareInTime({ claim, stop }: Active): Promise<Prepared> {
    async function tryOn(stopped: AbortSignal): Promise<Prepared> {
      for (;;) {
        try {
          return await prepareClaim(claim, prepare);
        } catch (error) {
          if (!isOutage(error)) throw error;
          logger.debug({ jobId: claim.jobId, reason: messageOf(error) }, 'a claimed execution waits');
        }
        refuseIfStopped(stopped);
        await pause(ASK_AGAIN_MS, stopped);
      }
    }
    const { maxTimeoutMs } = prepare.settings;
    const limitMs = Math.min(claim.request.timeoutMs, maxTimeoutMs); // the request is not checked yet
    return inTime(limitMs >= 1 ? limitMs : maxTimeoutMs, stop.signal, (stopped) =>
      Promise.race([tryOn(stopped), refusal(stopped)]),
    );
  }

  function record(one: Active, events: RedactedEvents, event: ExecutionEvent, raw: string | null): void {
    const now = Date.now();
    if (event.kind === 'execution.started') {
      one.started = { pid: event.pid, at: now, lastEventAt: now };
      ledger.started(one.claim.executionId, event.pid).catch((error: unknown) => {
        logger.error({ reason: messageOf(error) }, 'the ledger could not be written');
      });
    }
    if (one.started !== null) one.started.lastEventAt = now;
    events.push(event, raw);
  }

  async function settle(
    { claim }: Active,
    { sessionTokens, waits, ...result }: ExecutionResult,
    sink: EventSink,
    earlierUsage: Usage | null,
  ): Promise<void> {
    const { jobId, executionId } = claim;
    await failpoint('executor.ended');
    const parked = waits ? parkedOutcome(claim, result.outcome) : null;
    const outcome = redactor.value(parked ?? result.outcome);
    const finalLine = result.finalLine && redactor.text(result.finalLine);
    const finish: Finish = {
      ...{ jobId, executionId, outcome, earlierUsage, ...(await sink.close()) },
      ...nextExecution(claim, outcome, options.retryBackoffMs),
      parked: parked !== null,
      rawAnswer: claim.kind === 'raw' ? rawAnswer(claim, outcome, finalLine) : null,
    };
    options.sessions.ran(outcome, sessionTokens);
    await delivery.settle(finish, sessionTokens);
  }

  /**
   * Never spawns again what the ledger knows: delivers its stored outcome, or that it was lost. The
   * record takes it under the id of the claim.
   */
  async function settleKnown(claim: Claim): Promise<void> {
    const { jobId, executionId, attempt } = claim;
    const entry = await ledger.find(claim);
    const backoffMs = backoffAfter(attempt, options.retryBackoffMs);
    const from = { readEvents: prepare.readEvents, maxResultBytes: limits.maxResultBytes };
    const finish = entry?.finish ?? (await lostFinish({ jobId, executionId, backoffMs }, from));
    if (entry?.finish === null && entry.executionId === executionId) await ledger.ended(finish);
    await delivery.deliver({ ...finish, executionId });
  }

  return run;
}

const withoutCli = (outcome: Outcome): ExecutionResult => ({
  outcome,
  ...{ finalLine: null, sessionTokens: null, limitedModel: null, account: null, waits: false },
});

const isOutage = (error: unknown): boolean =>
  isRedisTrouble(error) ||
  isLedgerTrouble(error) ||
  isShortage(error) ||
  (error instanceof AppError && error.code === 'execution.lost'); // by the launcher, which started no CLI yet
