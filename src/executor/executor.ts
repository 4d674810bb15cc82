/** Claims work while there are free slots, and runs it. */
import { messageOf } from '../errors.ts';
import { type Failpoint, noFailpoint } from '../failpoint.ts';
import type { Credentials } from '../limits/credentials.ts';
import { createOutage } from '../outage.ts';
import type { Launch } from '../processes/launch.ts';
import type { Claim, Claims } from '../records/ports.ts';
import { createPeriodic, onceMore, within } from '../timing.ts';
import { createDelivery } from './delivery.ts';
import { createLocalRunner, type LocalRunnerOptions } from './local-runner.ts';
import type { Executor, ExecutorMeasures } from './ports.ts';
import { createReaper } from './reaper.ts';
import { recover } from './recovery.ts';
import { createResourceWatch } from './resources.ts';
import { type ClaimRunnerOptions, createClaimRunner } from './run-claim.ts';
import type { Runner } from './runner.ts';
import {
  type Active,
  createActive,
  createSlots,
  lookForNews,
  obeyLease,
  runningProcesses,
  stopActive,
} from './slots.ts';
import { createCliStarter } from './warm/cli-starter.ts';
import { createLookAhead } from './warm/look-ahead.ts';

export interface ExecutorOptions
  extends Pick<ClaimRunnerOptions, 'ledger' | 'prepare' | 'redactor' | 'logger'>,
    Pick<LocalRunnerOptions, 'scanner' | 'talk'> {
  /** Makes the runner of CLIs on another host. Default: they run here. */
  readonly elsewhere?: ((here: Runner) => Runner) | undefined;
  readonly claims: Claims;
  readonly launch: Launch;
  readonly concurrency: number;
  readonly credentials: Pick<Credentials, 'enter' | 'names'>;
  readonly leaseMs: number;
  readonly sweepMs: number;
  readonly retryBackoffMs: number;
  /** Without Redis for this long, the node stops its executions before another node ends them. */
  readonly cutOffMs: number;
  /** Whether other nodes are registered. */
  othersRegistered(): boolean;
  onSuperseded(): void;
  onSent(jobId: string): void; // its outcome is in its record
  onGiven(jobIds: readonly string[]): void; // to this node: BullMQ has to deliver them now
  readonly measures: ExecutorMeasures;
  readonly failpoint?: Failpoint;
}

/**
 * After a stop has interrupted the running jobs: for the grace of their processes, and for what is
 * recorded about them. What is not recorded by then is found lost at the next start.
 */
const SETTLE_WITHIN_MS = 60_000;

export function createExecutor(options: ExecutorOptions): Executor {
  const { claims, ledger, prepare, launch, scanner, credentials, retryBackoffMs, logger } = options;
  const { measures, failpoint = noFailpoint } = options;
  const { nodeId, providers, scratchDir, readEvents, limits, warm, sessions } = prepare;
  const active = new Map<string, Active>();
  const slots = createSlots(active, options.concurrency, providers);
  const work = new Set<Promise<void>>();
  const reaper = createReaper(scanner, logger, measures.swept);
  const resources = createResourceWatch(scanner, logger);
  const ledgerOutage = createOutage('ledger', logger);
  const shortage = createOutage('preparation of executions', logger);
  const delivery = createDelivery({
    claims,
    ledger,
    ledgerOutage,
    onSuperseded: options.onSuperseded,
    onSent: options.onSent,
    logger,
    failpoint,
  });
  const starter = createCliStarter({
    settings: warm,
    launch,
    scanner,
    reaper,
    nodeId,
    scratchDir,
    running: slots.running,
    logger,
  });
  const ahead = createLookAhead({ claims, prepare, maxProcesses: warm.maxProcesses, starter, logger });
  const here = createLocalRunner({
    prepare,
    limits,
    scanner,
    resources,
    start: starter.start,
    talk: options.talk,
    redactor: options.redactor,
    problem: starter.problem,
    logger,
  });
  const runner = options.elsewhere?.(here) ?? here;
  const run = createClaimRunner({
    runner,
    claims,
    ledger,
    ledgerOutage,
    shortage,
    delivery,
    prepare,
    limits,
    credentials,
    sessions,
    retryBackoffMs,
    slots,
    onSlotFree,
    redactor: options.redactor,
    failpoint,
    logger,
  });
  /** Claims whose answer never reached this node, as the records have them. */
  let owed: Claim[] = [];
  let accepting = false;
  const claiming = onceMore(claimWhatFits, (error) =>
    logger.debug({ reason: messageOf(error) }, 'claiming failed'),
  );
  /** The last claim found less than it asked for, and no doorbell came since. */
  let drained = false;
  /** A doorbell rang, or a slot became free, since the last look. */
  let rang = false;
  /** Executions that the last sweep has found. A doorbell that rings now was only late. */
  let found = 0;
  let lastContact = performance.now();
  const lookAtFlags = onceMore(renew, (error) =>
    logger.debug({ reason: messageOf(error) }, 'reading a cancel flag failed'),
  );
  const periodic = createPeriodic(logger);

  function kick(): void {
    if (!accepting) return;
    rang = true;
    drained = false;
    claiming.ask();
  }

  async function claimWhatFits(): Promise<void> {
    const hasCause = rang;
    rang = false;
    for (;;) {
      if (!accepting || ledgerOutage.problem() !== null) return; // those that wait try again
      for (const claim of owed.splice(0, slots.free())) begin(claim);
      if (!runner.accepts()) return;
      const free = slots.free();
      if (free === 0) return ahead.look();
      await failpoint('executor.claiming');
      const { claims: claimed, given } = await claims.claim(free, slots.freeOf());
      options.onGiven(given);
      if (!hasCause && !rang) found += claimed.length;
      for (const claim of claimed) begin(claim);
      if (claimed.length < free) {
        // The jobs of a full provider wait for one of its slots.
        drained = given.length === 0 && !slots.someFull();
        ahead.nothingWaits();
        return;
      }
    }
  }

  /** Claims again only when something may wait for a slot. Later jobs ring the doorbell. */
  function onSlotFree(): void {
    slots.freed();
    starter.jobEnded();
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

  /** Renews leases and the heartbeat, and stops executions whose record says so. */
  async function renew(): Promise<void> {
    const held = [...active.values()];
    const states = await claims.renew(
      held.map(({ claim }) => claim),
      credentials.names(),
    );
    lastContact = performance.now();
    for (const [index, one] of held.entries()) obeyLease(one, states[index] ?? 'held');
  }

  function checkCutOff(): void {
    if (performance.now() - lastContact < options.cutOffMs || !options.othersRegistered()) return;
    for (const one of active.values()) stopActive(one, 'fenced', false);
  }

  /** Finds the owed claims. The ledger decides whether they are spawned. */
  async function adoptOwned(): Promise<void> {
    if (!accepting || claiming.running !== null) return;
    const owned = await claims.owned();
    if (claiming.running !== null) return; // its answer is on the way: try again next time
    owed = owned.filter(({ executionId }) => !active.has(executionId) && !delivery.holds(executionId));
    if (owed.length > 0) kick();
  }

  return {
    async start() {
      const { report, goOn } = await recover({
        nodeId,
        scratchDir,
        scanner,
        claims,
        ledger,
        delivery,
        lasting: runner.lasting,
        retryBackoffMs,
        readEvents,
        maxResultBytes: limits.maxResultBytes,
        logger,
      });
      measures.swept(report.killedProcesses);
      await renew();
      accepting = true;
      for (const claim of goOn) begin(claim);
      periodic.every(options.sweepMs, 'sweep', async () => {
        measures.recovered(found);
        found = 0;
        drained = false;
        claiming.ask();
        await delivery.drain();
      });
      periodic.every(options.leaseMs / 3, 'renew', async () => {
        checkCutOff();
        await renew();
        for (const one of active.values()) one.talker?.look(); // a doorbell may be lost
        await adoptOwned();
      });
      kick();
      return report;
    },
    async stop(drainMs) {
      accepting = false;
      for (const { talker } of active.values()) talker?.parkAll();
      await claiming.running;
      await claims.giveBack().catch(() => undefined); // `leave` does it too
      const over = allWork().finally(slots.logWhatRuns(drainMs, logger));
      const drained = await within(drainMs, over);
      if (!drained) for (const one of active.values()) stopActive(one, 'shutdown', false);
      // Not without end: a Redis that is frozen may hold a job whose process has ended.
      await within(SETTLE_WITHIN_MS, allWork());
      periodic.stop();
      ahead.stop();
      await starter.stop();
      await reaper.settle();
      await delivery.drain().catch(() => undefined); // what Redis does not take stays in the ledger
    },
    abort() {
      for (const one of active.values()) stopActive(one, 'shutdown', true);
    },
    kick() {
      found = 0;
      kick();
    },
    lookAtCancel(jobId) {
      for (const one of active.values()) if (one.claim.jobId === jobId) return lookAtFlags.ask();
    },
    talk(jobId) {
      for (const one of active.values()) if (one.claim.jobId === jobId) lookForNews(one);
    },
    hasRoom: (provider) => accepting && slots.free() > 0 && (slots.freeOf()[provider] ?? 1) > 0,
    running: () => [...active.values()].flatMap(({ running, claim }) => (running ? [claim] : [])),
    runningOf: slots.running,
    processes: () => [...runningProcesses(active.values(), resources), ...starter.idle()],
    endIdle: starter.endIdle,
    status: () => ({ running: slots.running(), limit: options.concurrency, accepting }),
    starts: starter.counts,
    problem: () => ledgerOutage.problem() ?? shortage.problem() ?? runner.problem(),
  };

  async function allWork(): Promise<void> {
    while (work.size > 0) await Promise.all(work);
  }
}
