/** Runs one claim to its settled end: admit → prepare → start → translate → finish. */
import type { Logger } from 'pino';
import { AppError, isLedgerTrouble, isRedisTrouble, messageOf } from '../errors.ts';
import type { Failpoint } from '../failpoint.ts';
import type { Credentials } from '../limits/credentials.ts';
import type { Outage } from '../outage.ts';
import { isShortage } from '../processes/spawn.ts';
import type { ExecutionEvent } from '../protocol/event.ts';
import type { Outcome, Usage } from '../protocol/outcome.ts';
import type { Claims, Finish } from '../records/ports.ts';
import type { Redactor } from '../redactor.ts';
import { rawAnswer } from '../rpc/raw-requests.ts';
import { pause } from '../timing.ts';
import { createAdmission } from './admit.ts';
import type { Delivery } from './delivery.ts';
import { earlierExecutions } from './earlier.ts';
import { createEventSink, type EventSink } from './event-sink.ts';
import type { ExecutionLimits, ExecutionResult } from './execute.ts';
import type { KnownSessions } from './known-sessions.ts';
import { nextExecution, parkedOutcome, refusedOutcome } from './outcomes.ts';
import type { Ledger } from './ports.ts';
import type { PrepareOptions } from './prepare.ts';
import { createRedactedEvents, type RedactedEvents } from './redacted-events.ts';
import { type CliRun, runCli } from './run-cli.ts';
import type { Flow, Runnable, Runner } from './runner.ts';
import { type Active, beginTalk, type Slots, stopActive } from './slots.ts';
import { inTime, refusal, refuseIfStopped } from './start-cli.ts';

/** Least time between two appends of events. An event after a silence is appended at once. */
const APPEND_GAP_MS = 8;

/** Without a reader, events are appended in batches: 20 ms apart at first, then 100 ms. */
const UNREAD_MS = { first: 20, later: 100 };

const ASK_AGAIN_MS = 200;

/** The CLI is slowed down when more than this waits to be appended. */
const SINK_HIGH_WATER_BYTES = 4 * 1024 * 1024;

export interface ClaimRunnerOptions {
  readonly claims: Pick<Claims, 'append' | 'renew'>;
  readonly ledger: Ledger;
  readonly ledgerOutage: Outage;
  /** What the machine lacks for the preparation of a claim. */
  readonly shortage: Outage;
  readonly delivery: Delivery;
  readonly runner: Runner;
  readonly prepare: PrepareOptions;
  readonly limits: ExecutionLimits;
  readonly credentials: Pick<Credentials, 'enter'>;
  readonly sessions: Pick<KnownSessions, 'ran'>;
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
  const { claims, ledger, shortage, delivery, runner, prepare, redactor, failpoint, logger } = options;
  const { admit, settleKnown } = createAdmission({ ...options, withRedis });

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
    const { stop } = one;
    await failpoint('executor.claimed');
    const preparing = prepareInTime(one); // it only reads, so it does not wait for the ledger
    const [admitted] = await Promise.all([admit(one), preparing.catch(() => null)]);
    if (admitted === 'known') return null;
    if (admitted === 'goes on') return goOn(one, events, onFlow);
    if (admitted !== 'spawn') return withoutCli(admitted);
    const prepared = await preparing;
    await failpoint('executor.intended');
    refuseIfStopped(stop.signal);
    return runCli(prepared, cliRun(one, events, onFlow));
  }

  /**
   * Goes on with an execution that an earlier run of this node began on another host. Null when it
   * was lost: it is settled then.
   */
  async function goOn(
    one: Active,
    events: RedactedEvents,
    onFlow: (flow: Flow) => void,
  ): Promise<ExecutionResult | null> {
    const { lasting } = runner;
    const { executionId } = one.claim;
    if (lasting === null) throw new AppError('execution.lost', 'the execution cannot go on');
    logger.info({ jobId: one.claim.jobId, executionId }, 'an execution goes on after a restart');
    try {
      const prepared = lasting.goOn(one.claim);
      const run = cliRun(one, events, onFlow);
      return await runCli(prepared, { ...run, isUnderWay: true, prepareAgain: async () => prepared });
    } catch (error) {
      await lasting.abandon(executionId);
      if (!(error instanceof AppError) || error.code !== 'execution.lost') throw error;
      await settleKnown(one.claim, error);
      return null;
    }
  }

  function cliRun(one: Active, events: RedactedEvents, onFlow: (flow: Flow) => void): CliRun {
    const { claim, stop } = one;
    return {
      claim,
      runner,
      controls: {
        signals: { stop: stop.signal, force: one.force.signal },
        onFlow,
        onTalker: (talker) => beginTalk(one, talker),
        onElsewhere: () => {
          one.elsewhere = true;
        },
      },
      credentials: options.credentials,
      isUnderWay: false,
      withRedis: (task) => withRedis(one, task),
      prepareAgain: () => prepareInTime(one),
      waitForSlot: (provider) => options.slots.moveTo(one, provider).then(() => refuseIfStopped(stop.signal)),
      emit: (event, raw) => record(one, events, event, raw),
    };
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
  function prepareInTime({ claim, stop }: Active): Promise<Runnable> {
    async function tryOn(stopped: AbortSignal): Promise<Runnable> {
      for (;;) {
        try {
          const prepared = await runner.prepare(claim);
          shortage.worked();
          return prepared;
        } catch (error) {
          if (!isOutage(error)) throw error;
          if (isShortage(error)) shortage.failed(messageOf(error));
          logger.debug({ jobId: claim.jobId, reason: messageOf(error) }, 'a claimed execution waits');
        }
        refuseIfStopped(stopped);
        await pause(ASK_AGAIN_MS, stopped);
      }
    }
    const { maxTimeoutMs } = prepare.settings;
    const limitMs = Math.min(claim.request.timeoutMs, maxTimeoutMs); // the request is not checked yet
    return inTime(limitMs >= 1 ? limitMs : maxTimeoutMs, stop.signal, (stopped) =>
      Promise.race([tryOn(stopped), refusal(stopped)]).finally(shortage.forget),
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
    { sessionTokens, waits, limitedModel, account, ...result }: ExecutionResult,
    sink: EventSink,
    earlierUsage: Usage | null,
  ): Promise<void> {
    const { jobId, executionId } = claim;
    await failpoint('executor.ended');
    const parked = waits ? parkedOutcome(claim, result.outcome) : null;
    const outcome = redactor.value(parked ?? result.outcome);
    const finalLine = result.finalLine && redactor.text(result.finalLine);
    const isRaw = claim.kind === 'raw';
    const finish: Finish = {
      ...{ jobId, executionId, outcome, earlierUsage, ...(await sink.close()) },
      ...nextExecution(claim, outcome, options.retryBackoffMs),
      parked: parked !== null,
      rawAnswer: isRaw ? rawAnswer(claim, outcome, finalLine) : null,
      reported: { sessionTokens, limitedModel, account, finalLine: isRaw ? finalLine : null },
    };
    options.sessions.ran(outcome, sessionTokens);
    await delivery.settle(finish, sessionTokens);
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
