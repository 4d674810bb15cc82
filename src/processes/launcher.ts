/**
 * The launcher as the server uses it. It starts processes through a launcher process, and replaces
 * that process when it dies or hangs.
 */
import type { Logger } from 'pino';
import { AppError } from '../errors.ts';
import { createOutage, supervise } from '../outage.ts';
import {
  type FromLauncher,
  killChild,
  type Launch,
  type LaunchedChild,
  type LaunchRequest,
  NO_STREAMS,
  type ToLauncher,
} from './launch.ts';
import { createStreamServer, type LauncherProcess, startLauncherProcess } from './launcher-connection.ts';
import { createPendingLaunch, type PendingLaunch } from './pending-launch.ts';

/** How often a launcher that runs or starts something is pinged. */
const PING_EVERY_MS = 2000;
/** After so many unanswered pings the launcher is killed. */
const HANGS_AFTER = 5;
/** After so many unanswered pings `problem` reports it. */
const SLOW_AFTER = 2;
/** How long the next launcher may take to start. */
const START_WITHIN_MS = 10_000;
/** How long a launcher may take to exit after a disconnect, and after SIGKILL. */
const GONE_WITHIN_MS = 5000;

export interface Launcher {
  /** Left out: it starts with its first launch. */
  start(): Promise<void>;
  /** Stops the launcher, which kills everything it still runs. */
  stop(): Promise<void>;
  /** Waits for a launcher process. A launch that a dying one had not begun goes to the next one. */
  readonly launch: Launch;
  /** Why nothing can be launched now, or null. Also null before its start. */
  problem(): string | null;
}

interface Starting {
  readonly launch: PendingLaunch;
  /** The launcher is about to fork, or has forked. */
  begun: boolean;
}

const LOST = 'the launcher died while it started the CLI';
/** The process was certainly not started. */
const NOT_BEGUN = new Error('the launcher died before it started the CLI');

/**
 * @param options.dir a private folder for its socket
 * @param options.socket the name of its socket there, for a second launcher
 * @param options.pingEveryMs default: {@link PING_EVERY_MS}
 */
export function createLauncher(options: {
  readonly dir: string;
  readonly socket?: string;
  readonly logger: Logger;
  readonly pingEveryMs?: number;
}): Launcher {
  const { pingEveryMs = PING_EVERY_MS } = options;
  const starting = new Map<number, Starting>();
  const alive = new Map<number, PendingLaunch>();
  const outage = createOutage('launcher', options.logger);
  const stopping = new AbortController();
  const streams = createStreamServer(options.dir, options.socket ?? 'launcher.sock', (id, fd, socket) => {
    const one = starting.get(id);
    if (one === undefined) socket.destroy();
    else one.launch.stream(fd, socket);
  });
  let current: LauncherProcess | null = null;
  let started: Promise<void> | null = null;
  let supervision: Promise<void> = Promise.resolve();
  /** Resolved while a launcher process runs, and after `stop`. */
  let available = Promise.withResolvers<void>();
  let nextId = 1;
  let unansweredPings = 0;
  let hung = false;

  const startProcess = (): LauncherProcess =>
    startLauncherProcess(streams.path, {
      message(message) {
        unansweredPings = 0;
        if (message.type !== 'ready' && message.type !== 'pong') handle(message);
      },
      begun(id) {
        const one = starting.get(id);
        if (one !== undefined) one.begun = true;
      },
    });

  const send = (message: ToLauncher): boolean => current?.process.send(message) ?? false;

  function handle(message: Exclude<FromLauncher, { type: 'ready' | 'pong' }>): void {
    const one = starting.get(message.id)?.launch ?? alive.get(message.id);
    switch (message.type) {
      case 'started':
        one?.started(message.pid);
        return;
      case 'refused':
        one?.failed(Object.assign(new Error(message.message), { code: message.code }));
        // On failure, the next refusal tries again.
        if (message.code === NO_STREAMS) streams.restoreSocket().catch(() => undefined);
        return;
      case 'exited':
        one?.exited(message.exit);
    }
  }

  function use(launcher: LauncherProcess): void {
    current = launcher;
    unansweredPings = 0;
    hung = false;
    available.resolve();
  }

  /** The exits of its processes stay unknown. Their markers still find the survivors. */
  function lose(): void {
    if (current === null) return;
    current = null;
    available = Promise.withResolvers();
    for (const { launch, begun } of [...starting.values()]) {
      launch.failed(begun ? new AppError('execution.lost', LOST) : NOT_BEGUN);
    }
    for (const one of [...alive.values()]) one.lost();
  }

  async function untilGone(launcher: LauncherProcess): Promise<string> {
    const reason = await launcher.gone;
    lose();
    return hung ? `it did not answer for ${(HANGS_AFTER * pingEveryMs) / 1000} s` : reason;
  }

  function ping(): void {
    if (current === null || hung || starting.size + alive.size === 0) return;
    if (unansweredPings < HANGS_AFTER) {
      unansweredPings += 1;
      send({ type: 'ping' });
      return;
    }
    hung = true;
    const { process: killed, giveUp } = current;
    killChild(killed);
    setTimeout(giveUp, GONE_WITHIN_MS).unref(); // stuck in the kernel: it will never run again
  }

  /** Starts the next launcher process. Rejects when it is not ready in time. */
  async function startNext(signal: AbortSignal): Promise<LauncherProcess> {
    const launcher = startProcess();
    const kill = (): void => killChild(launcher.process);
    const limit = setTimeout(kill, START_WITHIN_MS);
    signal.addEventListener('abort', kill, { once: true });
    try {
      await launcher.ready;
      return launcher;
    } finally {
      clearTimeout(limit);
      signal.removeEventListener('abort', kill);
    }
  }

  async function start(): Promise<void> {
    await streams.start();
    const first = startProcess();
    use(first); // the IPC channel keeps messages until it is ready
    const pinging = setInterval(ping, pingEveryMs).unref();
    supervision = supervise<LauncherProcess>({
      first,
      ended: untilGone,
      start: startNext,
      onStarted: use,
      outage,
      signal: stopping.signal,
    }).finally(() => clearInterval(pinging));
  }

  function startOnce(): Promise<void> {
    started ??= start().catch((error: unknown) => {
      started = null; // the next launch tries again
      throw error;
    });
    return started;
  }

  /** Launches by the current process. Rejects with {@link NOT_BEGUN} when that died too early. */
  function launchOnce(request: LaunchRequest, stop: AbortSignal | undefined): Promise<LaunchedChild> {
    const id = nextId;
    nextId += 1;
    const withdraw = (): void => {
      send({ type: 'withdraw', id });
      launch.failed(stop?.reason);
    };
    const launch = createPendingLaunch({
      signal: (signal) => send({ type: 'signal', id, signal }),
      signalForeground: (signal) => send({ type: 'foreground', id, signal }),
      resize: (size) => send({ type: 'resize', id, size }),
      onConnected: () => send({ type: 'connected', id }),
      onComplete() {
        starting.delete(id);
        alive.set(id, launch);
        stop?.removeEventListener('abort', withdraw);
      },
      onOver() {
        starting.delete(id);
        alive.delete(id);
        stop?.removeEventListener('abort', withdraw);
      },
    });
    starting.set(id, { launch, begun: false });
    send({ type: 'launch', id, request });
    stop?.addEventListener('abort', withdraw, { once: true });
    return launch.child;
  }

  return {
    problem() {
      if (started === null) return null;
      if (current === null) return outage.problem() ?? 'it is starting';
      return unansweredPings >= SLOW_AFTER ? 'it does not answer' : null;
    },

    start: startOnce,

    async stop() {
      stopping.abort();
      await started?.catch(() => undefined);
      await supervision;
      available.resolve();
      if (current !== null) {
        const { process: stopped, gone } = current;
        if (stopped.connected) stopped.disconnect();
        const limit = setTimeout(() => killChild(stopped), GONE_WITHIN_MS);
        await gone;
        clearTimeout(limit);
        lose();
      }
      await streams.stop();
    },

    async launch(request, stop) {
      if (!stopping.signal.aborted) await startOnce().catch(noStreams);
      for (;;) {
        await settled(available.promise, stop);
        stop?.throwIfAborted();
        if (stopping.signal.aborted)
          throw new AppError('execution.lost', 'the server stopped before the CLI was started');
        try {
          return await launchOnce(request, stop);
        } catch (error) {
          if (error !== NOT_BEGUN) throw error;
        }
      }
    },
  };
}

/** The code of a socket's file must not look like the CLI's. */
function noStreams(cause: unknown): never {
  throw Object.assign(new Error('the launcher has no socket', { cause }), { code: NO_STREAMS });
}

/** Resolves with `promise`, or when `signal` aborts. */
function settled(promise: Promise<void>, signal: AbortSignal | undefined): Promise<void> {
  if (signal === undefined) return promise;
  const { promise: either, resolve } = Promise.withResolvers<void>();
  const done = (): void => {
    signal.removeEventListener('abort', done);
    resolve();
  };
  if (signal.aborted) done();
  else signal.addEventListener('abort', done, { once: true });
  void promise.then(done);
  return either;
}
