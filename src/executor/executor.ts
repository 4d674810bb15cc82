import { messageOf } from '../errors.ts';
import { noFailpoint } from '../failpoint.ts';
import { createOutage } from '../outage.ts';
import type { RunningExecution, WaitingProcessReport } from '../protocol/server-info.ts';
import type { Claim } from '../records/ports.ts';
import { type Active, createActive, stopActive } from './active.ts';
import { createClaimRunner } from './claim-runner.ts';
import { createDelivery } from './delivery.ts';
import { type ExecutorOptions, prepareOptions } from './executor-options.ts';
import { createKnownSessions } from './known-sessions.ts';
import { createPeriodic, onceMore } from './periodic.ts';
import { createReaper } from './reaper.ts';
import { type RecoveryReport, recover } from './recovery.ts';
import { createResourceWatch } from './resource-watch.ts';
import { runningExecutions } from './running-executions.ts';
import { createSlots } from './slots.ts';
import { createCliStarter, type StartCounts } from './warm/cli-starter.ts';
import { createLookAhead } from './warm/look-ahead.ts';
import { within } from './within.ts';

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
  /** How its executions got their processes, and what waits for one. */
  starts(): StartCounts;
  /** Why no CLI can be started now, or null. */
  problem(): string | null;
  /** Executions this provider runs now, as a fallback too. */
  runningOf(provider: string): number;
  /** What runs here now. */
  running(): readonly RunningExecution[];
  /** What waits here for a prompt. */
  waiting(): readonly WaitingProcessReport[];
}

export function createExecutor(options: ExecutorOptions): Executor {
  const { claims, logger, scanner, failpoint = noFailpoint } = options;
  const active = new Map<string, Active>();
  const slots = createSlots(active, options.concurrency, options.prepare.providers);
  const work = new Set<Promise<void>>();
  const reaper = createReaper(scanner, logger);
  const resources = createResourceWatch(scanner, logger);
  const ledgerOutage = createOutage('ledger', logger);
  const delivery = createDelivery({ ...options, outage: ledgerOutage, failpoint });
  const starter = createCliStarter({ ...options, reaper, running: slots.running });
  const sessions = createKnownSessions(options.prepare.findSession);
  const prepare = prepareOptions(options, sessions.find);
  const ahead = createLookAhead({ claims, prepare, warm: options.warm, starter, logger });
  const run = createClaimRunner({
    ...{ ...options, prepare, slots, resources, failpoint, delivery, ledgerOutage },
    onSlotFree,
    start: starter.start,
    sessions,
  });
  /** Claims whose answer never reached us, as the records have them. */
  let owed: Claim[] = [];
  let accepting = false;
  let claiming: Promise<void> | null = null;
  let claimAgain = false;
  /** The last claim found less than it asked for, and nothing has rung since. */
  let drained = false;
  let lastContact = performance.now();
  const lookAtFlags = onceMore(renew, (error) =>
    logger.debug({ reason: messageOf(error) }, 'looking at a cancel flag failed'),
  );
  const periodic = createPeriodic(logger);

  function kick(): void {
    if (!accepting) return;
    drained = false;
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
      if (!accepting || ledgerOutage.problem() !== null) return; // those that wait try the ledger
      for (const claim of owed.splice(0, slots.free())) begin(claim);
      const free = slots.free();
      if (free === 0) return ahead.look();
      const claimed = await claims.claim(free, slots.freeOf());
      for (const claim of claimed) begin(claim);
      if (claimed.length < free) {
        // What a full provider left behind is waiting for one of its slots.
        drained = !slots.someFull();
        ahead.nothingWaits();
        return;
      }
    }
  }

  /** A slot is only worth a look when something may wait for it; whatever comes later rings. */
  function onSlotFree(): void {
    slots.freed();
    starter.ended();
    if (!drained || owed.length > 0) kick();
  }

  function begin(claim: Claim): void {
    if (active.has(claim.executionId) || delivery.holds(claim.executionId)) return;
    const one = createActive(claim);
    active.set(claim.executionId, one);
    const done: Promise<void> = run(one)
      .catch((error: unknown) => {
        logger.error(
          { jobId: claim.jobId, executionId: claim.executionId, err: error },
          'an execution could not be settled',
        );
      })
      .finally(() => {
        active.delete(claim.executionId);
        work.delete(done);
        onSlotFree();
      });
    work.add(done);
  }

  /** Leases, heartbeat, and what the records say about what we run. */
  async function renew(): Promise<void> {
    const held = [...active.values()];
    const states = await claims.renew(held.map(({ claim }) => claim));
    lastContact = performance.now();
    for (const [index, one] of held.entries()) {
      const state = states[index];
      if (state === 'cancel' || state === 'cancel-force')
        stopActive(one, 'cancelled', state === 'cancel-force');
      if (state === 'lost' && one.running) stopActive(one, 'fenced', false);
    }
  }

  function checkCutOff(): void {
    if (performance.now() - lastContact < options.cutOffMs || !options.othersRegistered()) return;
    for (const one of active.values()) stopActive(one, 'fenced', false);
  }

  /** Claims whose answer never reached us: never spawned unless the ledger says so. */
  async function adoptOwned(): Promise<void> {
    if (!accepting || claiming !== null) return;
    const owned = await claims.owned();
    if (claiming !== null) return; // its answer is on the way: look again next time
    owed = owned.filter(({ executionId }) => !active.has(executionId) && !delivery.holds(executionId));
    if (owed.length > 0) kick();
  }

  return {
    async start() {
      const { nodeId, scratchDir, readEvents } = prepare;
      const { maxResultBytes } = options.limits;
      const report = await recover({ ...options, nodeId, scratchDir, delivery, readEvents, maxResultBytes });
      await renew();
      accepting = true;
      periodic.every(options.sweepMs, 'sweep', async () => {
        kick();
        await delivery.drain();
      });
      periodic.every(options.leaseMs / 3, 'renew', async () => {
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
      const drained = await within(drainMs, saysWhatItWaitsFor(drainMs));
      if (!drained) for (const one of active.values()) stopActive(one, 'shutdown', false);
      await allWork();
      periodic.stop();
      ahead.stop();
      await starter.stop();
      await reaper.settle();
      await delivery.drain().catch(() => undefined); // what Redis does not take now stays in the ledger's outbox
    },

    abort() {
      for (const one of active.values()) stopActive(one, 'shutdown', true);
    },

    kick,

    lookAtCancel(jobId) {
      for (const one of active.values()) if (one.claim.jobId === jobId) return lookAtFlags();
    },

    holds: (jobId) => [...active.values()].some((one) => one.running && one.claim.jobId === jobId),

    runningOf: slots.running,

    running: () => runningExecutions(active.values(), resources),

    status: () => ({ running: slots.running(), limit: options.concurrency, accepting }),

    starts: starter.counts,
    problem: () => ledgerOutage.problem() ?? starter.problem(),
    waiting: starter.waiting,
  };

  /** For a person who has stopped the server and wonders why it is still there. */
  async function saysWhatItWaitsFor(drainMs: number): Promise<void> {
    const until = new Date(Date.now() + drainMs).toISOString();
    const say = (): void => {
      const jobs = [...active.values()].slice(0, 5).map(({ claim }) => claim.jobId);
      if (jobs.length > 0) logger.info({ running: active.size, jobs, until }, 'waiting for what runs');
    };
    say();
    const again = setInterval(say, 10_000);
    await allWork().finally(() => clearInterval(again));
  }

  async function allWork(): Promise<void> {
    while (work.size > 0) await Promise.all(work);
  }
}
