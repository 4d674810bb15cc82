/**
 * ⑤ The one executor of a node: claims what fits its slots, runs it, settles it. It is the only place that
 * knows every live CLI. All its facts are in the records and in the ledger; what it hears are only doorbells.
 */
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Logger } from 'pino';
import { AppError, messageOf } from '../errors.ts';
import { type Failpoint, noFailpoint } from '../failpoint.ts';
import type { Outcome } from '../protocol/outcome.ts';
import type { Claim, Claims, Finish } from '../rpc/ports.ts';
import { rawAnswer } from '../rpc/raw-answer.ts';
import { createDelivery } from './delivery.ts';
import { createEventSink, type EventSink } from './event-sink.ts';
import { type ExecuteOptions, type ExecutionLimits, execute, type StopReason } from './execute.ts';
import type { Ledger } from './ledger.ts';
import { cancelledOutcome, lostOutcome, refusedOutcome } from './outcomes.ts';
import { type PrepareOptions, prepare } from './prepare.ts';
import type { Launch } from './process/launch.ts';
import type { ProcScanner } from './process/proc-scanner.ts';
import { sweep } from './process/sweep.ts';
import { createReaper } from './reaper.ts';

export interface ExecutorOptions {
  readonly claims: Claims;
  readonly ledger: Ledger;
  readonly prepare: PrepareOptions;
  readonly limits: ExecutionLimits;
  readonly scanner: ProcScanner;
  /** How a CLI is started. */
  readonly launch: Launch;
  readonly concurrency: number;
  readonly leaseMs: number;
  readonly sweepMs: number;
  readonly retryBackoffMs: number;
  /** Without contact to Redis for so long another node may end our executions: end them ourselves first. */
  readonly cutOffMs: number;
  /** Whether other nodes are registered. */
  othersRegistered(): boolean;
  onSuperseded(): void;
  readonly logger: Logger;
  readonly failpoint?: Failpoint;
}

export interface Executor {
  /** Settles what earlier runs left behind, then takes work. */
  start(): Promise<RecoveryReport>;
  /** Takes nothing new; running executions get `drainMs` to end and are interrupted then. */
  stop(drainMs: number): Promise<void>;
  /** Interrupts everything without a grace; for a second signal. */
  abort(): void;
  /** Something may be claimable. */
  kick(): void;
  /** The cancel flag of a job may be set. */
  lookAtCancel(jobId: string): void;
  /** Whether the CLI of this job may run here. */
  holds(jobId: string): boolean;
  status(): { readonly running: number; readonly limit: number; readonly accepting: boolean };
}

export interface RecoveryReport {
  readonly killedProcesses: number;
  readonly lost: number;
  readonly redelivered: number;
}

interface Active {
  readonly claim: Claim;
  readonly stop: AbortController;
  readonly force: AbortController;
  /** Its CLI may run; false once only the outcome has to be settled. */
  running: boolean;
}

/** A sink may hold this much before the CLI is slowed down. */
const SINK_HIGH_WATER_BYTES = 4 * 1024 * 1024;

export function createExecutor(options: ExecutorOptions): Executor {
  const { claims, ledger, logger, scanner, failpoint = noFailpoint } = options;
  const active = new Map<string, Active>();
  const work = new Set<Promise<void>>();
  const reaper = createReaper(scanner, logger);
  const delivery = createDelivery({ claims, ledger, logger, failpoint, onSuperseded: options.onSuperseded });
  /** Claims whose answer never reached us, as the records have them. */
  let owed: Claim[] = [];
  let accepting = false;
  let claiming: Promise<void> | null = null;
  let claimAgain = false;
  let lastContact = performance.now();
  const timers: NodeJS.Timeout[] = [];

  const runningCount = (): number => {
    let count = 0;
    for (const one of active.values()) if (one.running) count += 1;
    return count;
  };

  const freeSlots = (): number => Math.max(0, options.concurrency - runningCount());

  function kick(): void {
    if (!accepting) return;
    if (claiming !== null) {
      claimAgain = true;
      return;
    }
    claiming = claimWhatFits()
      .catch((error: unknown) => logger.debug({ reason: messageOf(error) }, 'claiming failed'))
      .finally(() => {
        claiming = null;
        if (claimAgain) {
          claimAgain = false;
          kick();
        }
      });
  }

  async function claimWhatFits(): Promise<void> {
    for (;;) {
      if (!accepting) return;
      for (const claim of owed.splice(0, freeSlots())) begin(claim);
      const free = freeSlots();
      if (free === 0) return;
      const claimed = await claims.claim(free);
      for (const claim of claimed) begin(claim);
      if (claimed.length < free) return;
    }
  }

  function begin(claim: Claim): void {
    if (active.has(claim.executionId)) return;
    const one: Active = { claim, stop: new AbortController(), force: new AbortController(), running: true };
    active.set(claim.executionId, one);
    if (!accepting) stopOne(one, 'shutdown', false); // claimed in the very moment the server stops
    const done: Promise<void> = runToEnd(one)
      .catch((error: unknown) => {
        logger.error(
          { jobId: claim.jobId, executionId: claim.executionId, err: error },
          'an execution could not be settled',
        );
      })
      .finally(() => {
        active.delete(claim.executionId);
        work.delete(done);
        kick();
      });
    work.add(done);
  }

  /** admit → prepare → spawn → translate → finish, for one claim. */
  async function runToEnd(one: Active): Promise<void> {
    const { claim } = one;
    const sink = createEventSink({
      append: (from, events) => claims.append(claim.jobId, claim.executionId, from, events),
      highWaterBytes: SINK_HIGH_WATER_BYTES,
      onPause: () => flow?.pause(),
      onResume: () => flow?.resume(),
      now: Date.now,
    });
    let flow: { pause(): void; resume(): void } | null = null;
    let outcome: Outcome;
    let lastWord: string | null = null;
    try {
      await failpoint('executor.claimed');
      const admitted = await admit(one);
      if (admitted === 'known') return;
      if (admitted === 'cancelled') {
        outcome = cancelledOutcome(claim.executionId);
      } else {
        const prepared = await prepare(claim, options.prepare);
        await failpoint('executor.intended');
        const result = await execute(
          prepared,
          { stop: one.stop.signal, force: one.force.signal },
          executeOptions(claim, sink, (given) => {
            flow = given;
          }),
        );
        outcome = result.outcome;
        lastWord = result.lastWord;
      }
    } catch (error) {
      if (!(error instanceof AppError))
        logger.error({ jobId: claim.jobId, err: error }, 'an execution failed unexpectedly');
      outcome = refusedOutcome(claim.executionId, error);
    }
    one.running = false;
    kick(); // the slot is free; settling goes on beside the next execution
    await settle(one, outcome, lastWord, sink);
    // Whatever left the group and kept quiet is ended too; nobody waits for it.
    const scratch = join(options.prepare.scratchDir, claim.executionId);
    reaper.add(`${options.prepare.nodeId}/${claim.executionId}`, () =>
      rm(scratch, { recursive: true, force: true }),
    );
  }

  /** The last steps before a spawn: the intent is on disk, the claim still ours, nobody has cancelled. */
  async function admit(one: Active): Promise<'spawn' | 'cancelled' | 'known'> {
    const { claim } = one;
    const [fresh, [lease]] = await Promise.all([ledger.intend(claim), claims.renew([claim])]);
    if (!fresh) {
      await settleKnown(claim);
      return 'known';
    }
    if (lease === 'cancel' || lease === 'cancel-force') return 'cancelled';
    if (lease === 'lost' || one.stop.signal.aborted) {
      if (one.stop.signal.reason === 'cancelled') return 'cancelled';
      throw new AppError('execution.lost', 'the server stopped before the CLI was started');
    }
    return 'spawn';
  }

  function executeOptions(claim: Claim, sink: EventSink, onFlow: ExecuteOptions['onFlow']): ExecuteOptions {
    return {
      limits: options.limits,
      launch: options.launch,
      scanner,
      logger,
      emit(event, raw) {
        if (event.kind === 'execution.started') ledger.started(claim.executionId, event.pid).catch(logLedger);
        sink.push(event, raw);
      },
      onFlow,
    };
  }

  async function settle(
    one: Active,
    outcome: Outcome,
    lastWord: string | null,
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
      backoffMs: backoff(claim.attempt),
      rawAnswer: claim.kind === 'raw' ? rawAnswer(claim, outcome, lastWord) : null,
    };
    // A ledger that cannot be written must not lose the result: Redis still gets it.
    await ledger.ended(finish).catch(logLedger);
    await delivery.deliver(finish);
  }

  /** An execution the ledger knows already is never spawned again: its stored outcome is told, or it is lost. */
  async function settleKnown(claim: Claim): Promise<void> {
    const entry = await ledger.find(claim.executionId);
    const finish = entry?.finish ?? lostFinish(claim.jobId, claim.executionId, claim.attempt);
    if (entry?.finish === null) await ledger.ended(finish);
    await delivery.deliver(finish);
  }

  const backoff = (attempt: number): number => {
    const doubled = Math.min(options.retryBackoffMs * 2 ** (attempt - 1), 3_600_000);
    return Math.round(doubled * (0.5 + Math.random() / 2));
  };

  const lostFinish = (jobId: string, executionId: string, attempt: number): Finish => ({
    jobId,
    executionId,
    outcome: lostOutcome(executionId),
    from: 0,
    tail: [],
    backoffMs: backoff(attempt),
    rawAnswer: null,
  });

  function logLedger(error: unknown): void {
    logger.error({ reason: messageOf(error) }, 'the ledger could not be written');
  }

  function stopOne(one: Active, reason: StopReason, force: boolean): void {
    if (force) one.force.abort();
    one.stop.abort(reason);
  }

  /** Leases, heartbeat, and what the records say about what we run. */
  async function renew(): Promise<void> {
    const held = [...active.values()];
    const states = await claims.renew(held.map(({ claim }) => claim));
    lastContact = performance.now();
    for (const [index, one] of held.entries()) {
      const state = states[index];
      if (state === 'cancel' || state === 'cancel-force') stopOne(one, 'cancelled', state === 'cancel-force');
      if (state === 'lost' && one.running) stopOne(one, 'fenced', false);
    }
  }

  function checkCutOff(): void {
    if (performance.now() - lastContact < options.cutOffMs || !options.othersRegistered()) return;
    for (const one of active.values()) stopOne(one, 'fenced', false);
  }

  /** Claims whose answer never reached us: never spawned unless the ledger says so. */
  async function adoptOwned(): Promise<void> {
    if (!accepting || claiming !== null) return;
    const owned = await claims.owned();
    if (claiming !== null) return; // its answer is on the way: look again next time
    owed = owned.filter(({ executionId }) => !active.has(executionId));
    if (owed.length > 0) kick();
  }

  function every(ms: number, what: string, task: () => Promise<void>): void {
    let busy = false;
    timers.push(
      setInterval(() => {
        if (busy) return;
        busy = true;
        task()
          .catch((error: unknown) =>
            logger.debug({ reason: messageOf(error), task: what }, 'a periodic task failed'),
          )
          .finally(() => {
            busy = false;
          });
      }, ms),
    );
  }

  async function recover(): Promise<RecoveryReport> {
    const swept = await sweep(`${options.prepare.nodeId}/`, { scanner });
    await rm(options.prepare.scratchDir, { recursive: true, force: true });
    const { outbox, unsettled } = await ledger.open();
    for (const entry of unsettled) {
      const finish = lostFinish(entry.jobId, entry.executionId, 1);
      await ledger.ended(finish);
      await delivery.deliver(finish);
    }
    for (const finish of outbox) await delivery.deliver(finish);
    return { killedProcesses: swept.killed.length, lost: unsettled.length, redelivered: outbox.length };
  }

  return {
    async start() {
      const report = await recover();
      await renew();
      accepting = true;
      every(options.sweepMs, 'sweep', async () => {
        kick();
        await delivery.drain();
      });
      every(options.leaseMs / 3, 'renew', async () => {
        checkCutOff();
        await renew();
        await adoptOwned();
      });
      kick();
      return report;
    },

    async stop(drainMs) {
      accepting = false;
      await claiming;
      const drained = await within(drainMs, allWork());
      if (!drained) for (const one of active.values()) stopOne(one, 'shutdown', false);
      await allWork();
      for (const timer of timers.splice(0)) clearInterval(timer);
      await reaper.settle();
      await delivery.drain().catch(() => undefined); // what Redis does not take now stays in the outbox
    },

    abort() {
      for (const one of active.values()) stopOne(one, 'shutdown', true);
    },

    kick,

    lookAtCancel(jobId) {
      for (const one of active.values()) {
        if (one.claim.jobId !== jobId) continue;
        renew().catch((error: unknown) =>
          logger.debug({ reason: messageOf(error) }, 'looking at a cancel flag failed'),
        );
        return;
      }
    },

    holds: (jobId) => [...active.values()].some((one) => one.running && one.claim.jobId === jobId),

    status: () => ({ running: runningCount(), limit: options.concurrency, accepting }),
  };

  async function allWork(): Promise<void> {
    while (work.size > 0) await Promise.all(work);
  }
}

/** Whether `promise` settled within `ms`. */
async function within(ms: number, promise: Promise<unknown>): Promise<boolean> {
  const { promise: late, resolve } = Promise.withResolvers<false>();
  const timer = setTimeout(() => resolve(false), ms);
  try {
    return await Promise.race([promise.then(() => true), late]);
  } finally {
    clearTimeout(timer);
  }
}
