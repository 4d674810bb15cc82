/**
 * The processes of BullMQ's sandbox. They start before they are needed, because a start takes a
 * third of a second. A start that fails is tried again without limit. A delivery waits until it has
 * a process, so that a failed start never fails a job. A process that hangs is killed.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { Child, ChildPool } from 'bullmq';
import { messageOf } from '../errors.ts';
import type { Outage } from '../outage.ts';

/** Longest wait for busy deliveries before the next process is started. */
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
  /**
   * Starts all processes: one at once, each further one when no delivery runs or after a second.
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
  readonly count: number;
  /** Deliveries that have a process, or wait for one. */
  readonly deliveries: ReadonlySet<Promise<unknown>>;
  readonly outage: Outage;
  readonly startWithinMs?: number;
  readonly pingEveryMs?: number;
}): WorkerProcesses {
  const { pool, file, outage, startWithinMs = START_WITHIN_MS, pingEveryMs = PING_EVERY_MS } = options;
  const stopping = new AbortController();
  const starting = new Set<Child>();
  let recovery: Promise<void> | null = null;
  let started = false;
  const missedPings = new WeakMap<Child, number>();
  const pings = setInterval(ping, pingEveryMs).unref();

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
      child.childProcess?.kill('SIGKILL');
      void recover();
    }
  }

  function noneAnswers(): boolean {
    const busy = Object.values(pool.retained);
    return busy.length > 0 && busy.every((child) => (missedPings.get(child) ?? 0) > SLOW_AFTER);
  }

  /** Processes that exist or are being started: one for each delivery, and the free ones. */
  const running = (): number => options.deliveries.size + pool.getFree(file).length;

  /** A start costs CPU time, so deliveries go first, unless they take long. */
  async function pause(): Promise<void> {
    const over = delay(PAUSE_MS, null, { ref: false });
    await Promise.race([over, Promise.allSettled(options.deliveries)]);
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
      child.childProcess?.kill('SIGKILL');
      throw error;
    } finally {
      clearTimeout(limit);
      starting.delete(child);
      failed.catch(() => undefined); // it may exit at any time
    }
  }

  /** Starts a process. A failure counts as an outage of all workers; the result is null. */
  async function tryStart(): Promise<Child | null> {
    try {
      const child = await start();
      outage.worked();
      started = true;
      return child;
    } catch (error) {
      if (!stopping.signal.aborted) outage.failed(`a worker process did not start: ${messageOf(error)}`);
      return null;
    }
  }

  /** Tries to start one process at a time until one starts, for all deliveries that wait. */
  function recover(): Promise<void> {
    recovery ??= (async () => {
      for (let child: Child | null = null; child === null && !stopping.signal.aborted; ) {
        await outage.pause(stopping.signal);
        child = await tryStart();
        if (child !== null) pool.release(child);
      }
    })().finally(() => {
      recovery = null;
    });
    return recovery;
  }

  return {
    async retain() {
      for (;;) {
        stopping.signal.throwIfAborted();
        const child = pool.getFree(file).pop() ?? (recovery === null ? await tryStart() : null);
        if (child !== null) {
          pool.retained[child.pid] = child;
          return child;
        }
        await recover();
      }
    },
    async startAhead() {
      for (let first = true; !stopping.signal.aborted; first = false) {
        if (!first) await pause();
        if (!first && running() >= options.count) return;
        const child = await tryStart();
        if (child === null) await recover();
        // A delivery that came during the start has started its own process.
        else if (stopping.signal.aborted || running() >= options.count) await pool.kill(child, 'SIGTERM');
        else pool.release(child);
      }
    },
    problem() {
      if (!started) return outage.problem() ?? 'the first worker process is starting';
      return outage.problem() ?? (noneAnswers() ? 'no worker process answers' : null);
    },
    stop() {
      stopping.abort(new Error('the workers are being stopped'));
      clearInterval(pings);
      for (const child of starting) child.childProcess?.kill('SIGKILL');
    },
  };
}
