import { setTimeout as delay } from 'node:timers/promises';
import type { Logger } from 'pino';
import type { ServerExit, ServerProcess } from './server-process.ts';

/** A server that ended by itself. */
export interface UnexpectedExit extends ServerExit {
  /** False when it will not be started again: too many crashes came too close together. */
  readonly willRestart: boolean;
}

export interface SuperviseOptions {
  readonly first: ServerProcess;
  readonly launch: (signal: AbortSignal) => Promise<ServerProcess>;
  /** Called with each server that replaces a crashed one. */
  readonly onReplaced: (server: ServerProcess) => void;
  readonly onExit: (exit: UnexpectedExit) => void;
  readonly restartLimit: number;
  readonly logger: Logger | undefined;
  /** Ends the supervision; the server that runs then is the caller's to stop. */
  readonly signal: AbortSignal;
}

const STEADY_MS = 60_000;
const FIRST_BACKOFF_MS = 100;
const MAX_BACKOFF_MS = 5000;

/**
 * Answers each crash of the server with a start, after a pause that doubles from crash to crash, until
 * `restartLimit` crashes or failed starts came in a row; a minute of running begins a new row.
 *
 * Resolves when it gave up or `signal` ended it. Never rejects.
 */
export async function supervise(options: SuperviseOptions): Promise<void> {
  const { logger, restartLimit, signal } = options;
  const aborted = new Promise<null>((resolve) => {
    signal.addEventListener('abort', () => resolve(null), { once: true });
  });
  let running: ServerProcess | null = options.first;
  let failures = 0;
  for (;;) {
    const startedAt = performance.now();
    const exit: ServerExit | null = running
      ? await Promise.race([running.exited, aborted])
      : { code: null, signal: null };
    if (exit === null || signal.aborted) return;
    if (performance.now() - startedAt > STEADY_MS) failures = 0;
    failures += 1;
    const willRestart = failures <= restartLimit;
    if (running) logger?.error({ ...exit, pid: running.pid, willRestart }, 'private Redis ended by itself');
    if (running || !willRestart) options.onExit({ ...exit, willRestart });
    if (!willRestart) return;

    const backoffMs = Math.min(FIRST_BACKOFF_MS * 2 ** (failures - 1), MAX_BACKOFF_MS);
    // A rejection is the abort, which the next line sees.
    await delay(backoffMs, undefined, { signal }).catch(() => {});
    if (signal.aborted) return;
    running = await tryLaunch(options);
    if (running) options.onReplaced(running);
  }
}

async function tryLaunch({ launch, logger, signal }: SuperviseOptions): Promise<ServerProcess | null> {
  try {
    const server = await launch(signal);
    logger?.info({ pid: server.pid }, 'private Redis restarted');
    return server;
  } catch (error) {
    if (!signal.aborted) logger?.error({ err: error }, 'private Redis could not be restarted');
    return null;
  }
}
