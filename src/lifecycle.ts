/**
 * Ordered start, reverse stop. When a part fails to stop, or does not stop within its deadline,
 * that is logged and the next part is stopped.
 */
import type { Logger } from 'pino';
import { messageOf } from './errors.ts';
import { within } from './timing.ts';

/** `stop` must be safe after a start that failed, and more than once. */
export interface Service<T> {
  start(): Promise<T> | T;
  stop(): Promise<void> | void;
}

export interface Lifecycle {
  /** Remembers how to stop a part that runs already. */
  onStop(name: string, stop: () => Promise<void> | void, deadlineMs?: number): void;
  /**
   * Starts a service. If its start fails, the service is stopped too. Returns the result of
   * `start`.
   */
  start<T>(name: string, service: Service<T>, deadlineMs?: number): Promise<T>;
  /** Stops everything, last started first. Idempotent: later calls wait for the first. */
  stop(): Promise<void>;
}

const STOP_DEADLINE_MS = 10_000;

/**
 * Runs `build`, which starts the parts of a server. If it fails, everything it started is stopped.
 */
export async function withLifecycle<T>(logger: Logger, build: (life: Lifecycle) => Promise<T>): Promise<T> {
  const life = createLifecycle(logger);
  try {
    return await build(life);
  } catch (error) {
    await life.stop();
    throw error;
  }
}

interface Part {
  readonly name: string;
  readonly deadlineMs: number;
  stop(): Promise<void> | void;
}

function createLifecycle(logger: Logger): Lifecycle {
  const parts: Part[] = [];
  let stopping: Promise<void> | null = null;

  async function stopPart(part: Part): Promise<void> {
    const began = performance.now();
    try {
      await withDeadline(part);
      logger.debug({ part: part.name, durationMs: Math.round(performance.now() - began) }, 'stopped');
    } catch (error) {
      logger.error({ part: part.name, reason: messageOf(error) }, 'a part did not stop cleanly');
    }
  }

  async function stopAll(): Promise<void> {
    for (let part = parts.pop(); part !== undefined; part = parts.pop()) {
      await stopPart(part);
    }
  }

  const onStop: Lifecycle['onStop'] = (name, stop, deadlineMs = STOP_DEADLINE_MS) => {
    parts.push({ name, stop, deadlineMs });
  };

  return {
    onStop,
    async start(name, service, deadlineMs) {
      onStop(name, () => service.stop(), deadlineMs);
      const began = performance.now();
      const result = await service.start();
      logger.debug({ part: name, durationMs: Math.round(performance.now() - began) }, 'started');
      return result;
    },
    stop() {
      stopping ??= stopAll();
      return stopping;
    },
  };
}

async function withDeadline({ stop, deadlineMs }: Part): Promise<void> {
  if (!(await within(deadlineMs, Promise.resolve(stop())))) {
    throw new Error(`still running after ${deadlineMs} ms`);
  }
}
