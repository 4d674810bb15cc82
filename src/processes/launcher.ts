/** The server's side of the launcher: the process, which is replaced when it dies or hangs, and what it launches. */
import type { Logger } from 'pino';
import { AppError } from '../errors.ts';
import { createOutage, supervise } from '../outage.ts';
import type { Launch, LaunchedChild, LaunchRequest } from './launch.ts';
import type { FromLauncher, ToLauncher } from './launch-messages.ts';
import { createLaunching, type Launching } from './launching.ts';
import { type RunningLauncher, startLauncher } from './running-launcher.ts';
import { NO_STREAMS } from './spawn-error.ts';
import { createStreamServer } from './stream-server.ts';

/** A launcher that runs or starts anything is asked so often whether it still answers. */
const ASK_EVERY_MS = 2000;
/** So many questions without an answer: it hangs. */
const HANGS_AFTER = 5;
/** So many: /ready says so. */
const SLOW_AFTER = 2;
/** For one that was asked to end, and for one that was killed. */
const GONE_WITHIN_MS = 5000;

export interface Launcher {
  start(): Promise<void>;
  /** Ends the launcher, and with it whatever it still runs. */
  stop(): Promise<void>;
  /** Waits for a launcher; what a dying one had not begun is started by the next. */
  readonly launch: Launch;
  /** Why nothing can be launched now, or null. */
  problem(): string | null;
}

interface Start {
  readonly launching: Launching;
  /** The launcher is about to fork, or has. */
  begun: boolean;
}

/** @param options.dir a private folder for its socket */
export function createLauncher(options: { readonly dir: string; readonly logger: Logger }): Launcher {
  const starts = new Map<number, Start>();
  const alive = new Map<number, Launching>();
  const outage = createOutage('launcher', options.logger);
  const stopping = new AbortController();
  const streams = createStreamServer(options.dir, (id, fd, socket) => {
    const start = starts.get(id);
    if (start === undefined) socket.destroy();
    else start.launching.stream(fd, socket);
  });
  let current: RunningLauncher | null = null;
  let supervision: Promise<void> = Promise.resolve();
  /** Resolves while there is a launcher, and when there will be none any more. */
  let up = Promise.withResolvers<void>();
  let nextId = 1;
  let unanswered = 0;
  let hung = false;

  const startProcess = (): RunningLauncher =>
    startLauncher(streams.path, {
      onMessage(message) {
        unanswered = 0;
        if (message.type !== 'ready' && message.type !== 'pong') hear(message);
      },
      onBegun(id) {
        const start = starts.get(id);
        if (start !== undefined) start.begun = true;
      },
    });

  /** The exits of its processes are unknown from now on; survivors are found by their markers. */
  function lose(): void {
    if (current === null) return;
    current = null;
    up = Promise.withResolvers();
    for (const { launching, begun } of [...starts.values()]) {
      launching.failed(begun ? new AppError('execution.lost', LOST) : AGAIN);
    }
    for (const one of [...alive.values()]) one.lost();
  }

  function take(running: RunningLauncher): void {
    current = running;
    unanswered = 0;
    hung = false;
    up.resolve();
  }

  async function untilGone(running: RunningLauncher): Promise<string> {
    const how = await running.gone;
    lose();
    return hung ? `it did not answer for ${(HANGS_AFTER * ASK_EVERY_MS) / 1000} s` : how;
  }

  function ask(): void {
    if (current === null || hung || starts.size + alive.size === 0) return;
    if (unanswered < HANGS_AFTER) {
      unanswered += 1;
      send({ type: 'ping' });
      return;
    }
    hung = true;
    const { process: killed, giveUp } = current;
    killed.kill('SIGKILL');
    setTimeout(giveUp, GONE_WITHIN_MS).unref(); // stuck in the kernel: it will never run again
  }

  function hear(message: Exclude<FromLauncher, { type: 'ready' | 'pong' }>): void {
    const one = starts.get(message.id)?.launching ?? alive.get(message.id);
    switch (message.type) {
      case 'started':
        one?.started(message.pid);
        return;
      case 'refused':
        one?.failed(Object.assign(new Error(message.message), { code: message.code }));
        if (message.code === NO_STREAMS) streams.mend().catch(() => undefined); // tried with the next one again
        return;
      case 'exited':
        one?.exited(message.exit);
    }
  }

  const send = (message: ToLauncher): boolean => current?.process.send(message) ?? false;

  /** One start by the launcher there is. Rejects with {@link AGAIN} when that died and had not begun it. */
  function startOnce(request: LaunchRequest, stop: AbortSignal | undefined): Promise<LaunchedChild> {
    const id = nextId;
    nextId += 1;
    const withdraw = (): void => {
      send({ type: 'withdraw', id });
      launching.failed(stop?.reason);
    };
    const launching = createLaunching({
      signal: (signal) => send({ type: 'signal', id, signal }),
      onStarted() {
        starts.delete(id);
        alive.set(id, launching);
        stop?.removeEventListener('abort', withdraw);
      },
      onOver() {
        starts.delete(id);
        alive.delete(id);
        stop?.removeEventListener('abort', withdraw);
      },
    });
    starts.set(id, { launching, begun: false });
    send({ type: 'launch', id, request });
    stop?.addEventListener('abort', withdraw, { once: true });
    return launching.child;
  }

  return {
    problem() {
      if (current === null) return outage.problem() ?? 'it is starting';
      return unanswered >= SLOW_AFTER ? 'it does not answer' : null;
    },

    async start() {
      if (current !== null) return;
      await streams.start();
      const first = startProcess();
      take(first); // what is sent before it is ready waits for it
      const asking = setInterval(ask, ASK_EVERY_MS).unref();
      supervision = supervise<RunningLauncher>({
        first,
        ended: untilGone,
        async start(signal) {
          const running = startProcess();
          const end = (): void => void running.process.kill('SIGKILL');
          const limit = setTimeout(end, HANGS_AFTER * ASK_EVERY_MS);
          signal.addEventListener('abort', end, { once: true });
          try {
            await running.ready;
            return running;
          } finally {
            clearTimeout(limit);
            signal.removeEventListener('abort', end);
          }
        },
        onStarted: take,
        outage,
        signal: stopping.signal,
      }).finally(() => clearInterval(asking));
    },

    async stop() {
      stopping.abort();
      await supervision;
      up.resolve();
      if (current !== null) {
        const { process: ended, gone } = current;
        if (ended.connected) ended.disconnect();
        const killed = setTimeout(() => ended.kill('SIGKILL'), GONE_WITHIN_MS);
        await gone;
        clearTimeout(killed);
        lose();
      }
      await streams.stop();
    },

    async launch(request, stop) {
      for (;;) {
        await settled(up.promise, stop);
        stop?.throwIfAborted();
        if (stopping.signal.aborted)
          throw new AppError('execution.lost', 'the server stopped before the CLI was started');
        try {
          return await startOnce(request, stop);
        } catch (error) {
          if (error !== AGAIN) throw error;
        }
      }
    },
  };
}

const LOST = 'the launcher died while it started the CLI';
/** It was never started, for certain. */
const AGAIN = new Error('the launcher died before it started the CLI');

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
