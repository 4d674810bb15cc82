/**
 * The processes of BullMQ's sandbox. Two wait for the first deliveries; further ones start when
 * deliveries come, and stop after a minute without one, which BullMQ's pool never does itself. A
 * start that fails is tried again without limit. A delivery waits until it has a process, so that a
 * failed start never fails a job. A process that hangs is killed.
 */
import { availableParallelism } from 'node:os';
import { setTimeout as delay } from 'node:timers/promises';
import type { Child, ChildPool } from 'bullmq';
import { messageOf } from '../errors.ts';
import type { Outage } from '../outage.ts';
import { killChild } from '../processes/launch.ts';
import { onceMore } from '../timing.ts';

/** Processes that wait when no job runs. */
const AT_REST = 2;
/** A free process beyond those is stopped after so long without a delivery. */
const SPARE_FOR_MS = 60_000;
/**
 * With a busy delivery on each processor, no process starts before so long none of them has ended:
 * a start takes 0.1 s of a processor, and their CLIs need them too.
 */
const BUSY_PAUSE_MS = 500;
/** Longest wait for busy deliveries before a process is started ahead. */
const PAUSE_MS = 1000;
/** Limit from the fork until the process has connected and listens. */
const START_WITHIN_MS = 30_000;
/** Time between two pings of each process, while there are deliveries. */
const PING_EVERY_MS = 2000;
/** A process that misses so many pings hangs, and is killed. */
const HANGS_AFTER = 5;
/** /ready reports a problem when every busy process has missed more pings than this. */
const SLOW_AFTER = 2;

export interface WorkerProcesses {
  /**
   * Returns a process for a delivery. Waits while none can be started; rejects only after `stop`.
   */
  retain(): Promise<Child>;
  /** Gives a process whose delivery has ended to the next delivery, if one waits. */
  release(child: Child): void;
  /**
   * Starts the processes that wait for deliveries: the first at once, each further one when no
   * delivery runs or after a second. Resolves when there are enough.
   */
  startAhead(): Promise<void>;
  /** Why no delivery can have a process; null when it can. */
  problem(): string | null;
  /** Kills the processes that are starting, and stops the pings. */
  stop(): void;
}

export function createWorkerProcesses(options: {
  readonly pool: Pick<ChildPool, 'retained' | 'release' | 'remove' | 'kill' | 'getFree'>;
  /** The processor's file: BullMQ's name for the pool of its processes. */
  readonly file: string;
  /** Makes a process object that has not been started. */
  newChild(): Child;
  /** The most processes. */
  readonly count: number;
  /** Deliveries that have a process, or wait for one. */
  readonly deliveries: ReadonlySet<Promise<unknown>>;
  readonly outage: Outage;
  readonly processors?: number;
  readonly startWithinMs?: number;
  readonly pingEveryMs?: number;
  readonly spareForMs?: number;
}): WorkerProcesses {
  const { pool, file, count, deliveries, outage } = options;
  const { startWithinMs = START_WITHIN_MS, pingEveryMs = PING_EVERY_MS, spareForMs = SPARE_FOR_MS } = options;
  const { processors = availableParallelism() } = options;
  /** Processes that start at the same time. */
  const startsAtOnce = Math.ceil(processors / 2);
  const putBack = pool.release.bind(pool);
  const stopping = new AbortController();
  const starting = new Set<Child>();
  /** Starts under way, including the pause after one that failed. */
  let starts = 0;
  let started = false;
  const waiting: PromiseWithResolvers<Child>[] = [];
  const freeSince = new WeakMap<Child, number>();
  let spareTimer: NodeJS.Timeout | null = null;
  /** `performance.now()` when a delivery last got its process from another, or began to wait. */
  let waitingSince = 0;
  let busyTimer: NodeJS.Timeout | null = null;
  const missedPings = new WeakMap<Child, number>();
  const pings = setInterval(ping, pingEveryMs).unref();
  const ahead = onceMore(keepAhead, () => undefined);

  /** Pings all processes, and kills those that hang. BullMQ then delivers their jobs again. */
  function ping(): void {
    const busy = Object.values(pool.retained);
    if (busy.length === 0) return;
    for (const child of [...busy, ...pool.getFree(file)]) {
      const missed = missedPings.get(child) ?? 0;
      missedPings.set(child, missed + 1);
      if (missed < HANGS_AFTER) child.childProcess?.send({ cmd: 'ping' }, () => undefined);
      if (missed !== HANGS_AFTER) continue;
      outage.failed(`a worker process did not answer for ${(HANGS_AFTER * pingEveryMs) / 1000} s`);
      void pool.kill(child); // no delivery gets it any longer
      startWhatIsNeeded();
    }
  }

  function noneAnswers(): boolean {
    const busy = Object.values(pool.retained);
    return busy.length > 0 && busy.every((child) => (missedPings.get(child) ?? 0) > SLOW_AFTER);
  }

  /** BullMQ's own start has no deadline, and a failed fork would crash the server. */
  async function start(): Promise<Child> {
    stopping.signal.throwIfAborted();
    const child = options.newChild();
    const { promise: failed, reject } = Promise.withResolvers<never>();
    child.on('exit', (code: number | null, signal: NodeJS.Signals | null) => {
      pool.remove(child);
      reject(new Error(`it exited with ${signal ?? `code ${code}`} while it started`));
    });
    child.on('error', reject);
    child.on('message', () => missedPings.delete(child));
    const late = (): void => reject(new Error(`it was not ready within ${startWithinMs} ms`));
    const limit = setTimeout(late, startWithinMs);
    starting.add(child);
    try {
      await Promise.race([child.init(), failed]);
      return child;
    } catch (error) {
      // On `exit` BullMQ would reject a promise that nothing awaits any longer.
      child.removeAllListeners();
      child.on('error', () => undefined);
      killChild(child.childProcess);
      throw error;
    } finally {
      clearTimeout(limit);
      starting.delete(child);
      failed.catch(() => undefined); // it may exit at any time
    }
  }

  /** Starts a process, and gives it to a delivery or lets it wait. A failure is an outage. */
  async function startOne(): Promise<void> {
    starts += 1;
    try {
      give(await start());
      outage.worked();
      started = true;
      ahead.ask();
    } catch (error) {
      if (!stopping.signal.aborted) outage.failed(`a worker process did not start: ${messageOf(error)}`);
      await outage.pause(stopping.signal);
    }
    starts -= 1;
    startWhatIsNeeded();
  }

  /**
   * Starts a process for each delivery that waits: at once while a processor is free. In an outage
   * one is always being started.
   */
  function startWhatIsNeeded(): void {
    const needed = outage.problem() === null ? Math.min(waiting.length, startsAtOnce) : 1;
    while (!stopping.signal.aborted && starts < needed) {
      const isBusy = Object.keys(pool.retained).length >= processors;
      const pauseMs = waitingSince + BUSY_PAUSE_MS - performance.now();
      if (isBusy && pauseMs > 0) {
        busyTimer ??= setTimeout(startAfterPause, pauseMs).unref();
        return;
      }
      void startOne();
    }
  }

  function startAfterPause(): void {
    busyTimer = null;
    startWhatIsNeeded();
  }

  /** Whether no process waits for the next delivery, or fewer than at rest. */
  const needsMore = (): boolean =>
    !stopping.signal.aborted &&
    outage.problem() === null &&
    waiting.length === 0 && // else processes start for those
    deliveries.size + pool.getFree(file).length < Math.min(count, Math.max(AT_REST, deliveries.size + 1));

  async function keepAhead(): Promise<void> {
    while (needsMore()) {
      // A start costs CPU time, so deliveries go first, unless they take long.
      const over = delay(PAUSE_MS, null, { ref: false });
      if (started) await Promise.race([over, Promise.allSettled(deliveries)]);
      if (needsMore()) await startOne();
    }
  }

  function release(child: Child): void {
    waitingSince = performance.now();
    if (child.killed)
      pool.remove(child); // it hung, and was killed while its delivery ended
    else give(child);
  }

  /** Gives a process to a delivery that waits, or to the pool. */
  function give(child: Child): void {
    const next = waiting.shift();
    if (next !== undefined) {
      next.resolve(child);
      return;
    }
    freeSince.set(child, performance.now());
    putBack(child);
    if (spareTimer === null) stopSpare();
  }

  /** Stops free processes that are not needed. The one that was free the longest is the first. */
  function stopSpare(): void {
    spareTimer = null;
    const free = pool.getFree(file);
    for (let [oldest] = free; oldest !== undefined && free.length > AT_REST; [oldest] = free) {
      const restMs = (freeSince.get(oldest) ?? 0) + spareForMs - performance.now();
      if (restMs > 0) {
        spareTimer = setTimeout(stopSpare, restMs).unref();
        return;
      }
      void pool.kill(oldest); // it is in the pool no longer when this returns
    }
  }

  return {
    release,

    async retain() {
      stopping.signal.throwIfAborted();
      let child = pool.getFree(file).pop();
      if (child === undefined) {
        const turn = Promise.withResolvers<Child>();
        if (waiting.length === 0) waitingSince = performance.now();
        waiting.push(turn);
        startWhatIsNeeded();
        child = await turn.promise;
      }
      pool.retained[child.pid] = child;
      ahead.ask();
      return child;
    },

    async startAhead() {
      ahead.ask();
      await ahead.running;
    },

    problem() {
      if (!started) return outage.problem() ?? 'the first worker process is starting';
      return outage.problem() ?? (noneAnswers() ? 'no worker process answers' : null);
    },

    stop() {
      const why = new Error('the workers are being stopped');
      stopping.abort(why);
      clearInterval(pings);
      for (const timer of [spareTimer, busyTimer]) clearTimeout(timer ?? undefined);
      for (const child of starting) killChild(child.childProcess);
      for (const turn of waiting.splice(0)) turn.reject(why);
    },
  };
}
