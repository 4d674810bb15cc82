/**
 * The sandboxed processes: they are started before there is work for them (a fork takes a third of a second of the
 * job it is for), and again for ever when they cannot be started. A delivery waits for its process as long as that
 * takes: that no process starts is no fault of the job.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { Child, ChildPool } from 'bullmq';
import { messageOf } from '../errors.ts';
import type { Outage } from '../outage.ts';

const PAUSE_MS = 1000;
/** From the fork until the process has connected and listens. */
const START_WITHIN_MS = 30_000;
/** While there are deliveries, each process is asked so often whether it still answers. */
const ASK_EVERY_MS = 2000;
/** So many questions without an answer: it hangs, and is killed. */
const HANGS_AFTER = 5;
/** So many of each process that has a delivery: /ready says so. */
const SLOW_AFTER = 2;

export interface WorkerProcesses {
  /** A process for a delivery. Waits while none can be started; rejects only after `stop`. */
  retain(): Promise<Child>;
  /** Starts one at once, then the others, each when no delivery is in hand or after a second. Never rejects. */
  startAhead(): Promise<void>;
  /** Why no delivery can have a process, or null; there is a reason until the first one has started. */
  problem(): string | null;
  /** Ends those that are starting, and the questions to the others. */
  stop(): void;
}

export function createWorkerProcesses(options: {
  readonly pool: Pick<ChildPool, 'retained' | 'release' | 'remove' | 'kill' | 'getFree'>;
  /** The processor's file, as BullMQ knows it. */
  readonly file: string;
  /** One that has not been started. */
  newChild(): Child;
  readonly count: number;
  /** Deliveries that have a process, or wait for theirs to start. */
  readonly deliveries: ReadonlySet<Promise<unknown>>;
  readonly outage: Outage;
  readonly startWithinMs?: number;
  readonly askEveryMs?: number;
}): WorkerProcesses {
  const { pool, file, outage, startWithinMs = START_WITHIN_MS, askEveryMs = ASK_EVERY_MS } = options;
  const stopping = new AbortController();
  const starting = new Set<Child>();
  let recovery: Promise<void> | null = null;
  let started = false;
  const unanswered = new WeakMap<Child, number>();
  const asking = setInterval(ask, askEveryMs).unref();

  /** Kills processes that hang: BullMQ then delivers their jobs again. */
  function ask(): void {
    const busy = Object.values(pool.retained);
    if (busy.length === 0) return;
    for (const child of [...busy, ...pool.getFree(file)]) {
      const questions = unanswered.get(child) ?? 0;
      unanswered.set(child, questions + 1);
      if (questions < HANGS_AFTER) child.childProcess?.send({ cmd: 'ping' }, () => undefined);
      if (questions !== HANGS_AFTER) continue;
      outage.failed(`a worker process did not answer for ${(HANGS_AFTER * askEveryMs) / 1000} s`);
      child.childProcess?.kill('SIGKILL');
      void recover();
    }
  }

  function noneAnswers(): boolean {
    const busy = Object.values(pool.retained);
    return busy.length > 0 && busy.every((child) => (unanswered.get(child) ?? 0) > SLOW_AFTER);
  }

  /** Every delivery has a process, or one is being started for it. */
  const running = (): number => options.deliveries.size + pool.getFree(file).length;

  /** A start takes a processor for a third of a second: deliveries go first, unless they take long. */
  async function pause(): Promise<void> {
    const over = delay(PAUSE_MS, null, { ref: false });
    await Promise.race([over, Promise.allSettled(options.deliveries)]);
  }

  /** BullMQ's own way to start one has no deadline, and a fork that fails would end the server. */
  async function start(): Promise<Child> {
    stopping.signal.throwIfAborted();
    const child = options.newChild();
    const { promise: failed, reject } = Promise.withResolvers<never>();
    child.on('exit', (code: number | null, signal: NodeJS.Signals | null) => {
      pool.remove(child);
      reject(new Error(`it ended with ${signal ?? `code ${code}`} while it started`));
    });
    child.on('error', reject);
    child.on('message', () => unanswered.delete(child));
    const late = (): void => reject(new Error(`it was not ready within ${startWithinMs} ms`));
    const limit = setTimeout(late, startWithinMs);
    starting.add(child);
    try {
      await Promise.race([child.init(), failed]);
      return child;
    } catch (error) {
      // BullMQ rejects a promise of its own, which nothing awaits then, when it hears of the end.
      child.removeAllListeners();
      child.on('error', () => undefined);
      child.childProcess?.kill('SIGKILL');
      throw error;
    } finally {
      clearTimeout(limit);
      starting.delete(child);
      failed.catch(() => undefined); // it may end at any time
    }
  }

  /** The same; a failure is an outage of all workers. */
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

  /** During an outage one process at a time is tried, however many deliveries wait. */
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
        // A delivery that came meanwhile had one started for itself.
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
      clearInterval(asking);
      for (const child of starting) child.childProcess?.kill('SIGKILL');
    },
  };
}
