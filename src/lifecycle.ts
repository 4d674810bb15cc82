/**
 * Ordered start, reverse stop. A phase that fails or outstays its deadline while stopping is logged and the
 * next one goes on, so that one stuck part never leaves the others running.
 */
import type { Logger } from 'pino';
import { messageOf } from './errors.ts';
import { within } from './timing.ts';

interface Phase {
  readonly name: string;
  readonly deadlineMs: number;
  stop(): Promise<void> | void;
}

export interface Lifecycle {
  /** Starts a part now and remembers how to stop it. `start` failing stops what was started before. */
  phase<T>(
    name: string,
    part: { start: () => Promise<T> | T; stop: (started: T) => Promise<void> | void; deadlineMs?: number },
  ): Promise<T>;
  /** Stops everything, last started first. Idempotent: later calls wait for the first. */
  stop(): Promise<void>;
}

const STOP_DEADLINE_MS = 10_000;

export function createLifecycle(logger: Logger): Lifecycle {
  const phases: Phase[] = [];
  let stopping: Promise<void> | null = null;

  async function stopAll(): Promise<void> {
    for (let phase = phases.pop(); phase !== undefined; phase = phases.pop()) {
      const began = performance.now();
      try {
        await withDeadline(phase);
        logger.debug({ phase: phase.name, durationMs: Math.round(performance.now() - began) }, 'stopped');
      } catch (error) {
        logger.error({ phase: phase.name, reason: messageOf(error) }, 'a part did not stop cleanly');
      }
    }
  }

  const lifecycle: Lifecycle = {
    async phase(name, { start, stop, deadlineMs = STOP_DEADLINE_MS }) {
      const began = performance.now();
      try {
        const started = await start();
        phases.push({ name, deadlineMs, stop: () => stop(started) });
        logger.debug({ phase: name, durationMs: Math.round(performance.now() - began) }, 'started');
        return started;
      } catch (error) {
        await lifecycle.stop();
        throw error;
      }
    },
    stop() {
      stopping ??= stopAll();
      return stopping;
    },
  };
  return lifecycle;
}

async function withDeadline(phase: Phase): Promise<void> {
  const stopping = Promise.resolve(phase.stop());
  if (!(await within(phase.deadlineMs, stopping))) {
    throw new Error(`still running after ${phase.deadlineMs} ms`);
  }
}

/** The part, once it has started. */
export async function started<T extends { start(): Promise<unknown> }>(part: T): Promise<T> {
  await part.start();
  return part;
}
