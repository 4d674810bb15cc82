import type { Socket } from 'node:net';
import type { Exit } from '../protocol/cli.ts';
import type { TerminalSize } from '../protocol/terminal.ts';
import { type LaunchedChild, signalGroup } from './launch.ts';
import { supportsSweep } from './sweep.ts';

/** One launch. Collects the pid and the three streams, which arrive separately. */
export interface PendingLaunch {
  /** Resolves when the pid and all streams have arrived. */
  readonly child: Promise<LaunchedChild>;
  started(pid: number): void;
  stream(fd: number, socket: Socket): void;
  /** The process was not started, or the caller has given up. */
  failed(error: unknown): void;
  exited(exit: Exit): void;
  /** The launcher is gone: the exit stays unknown. */
  lost(): void;
}

const UNKNOWN_EXIT: Exit = { code: null, signal: null };

export function createPendingLaunch(options: {
  signal(signal: NodeJS.Signals): boolean;
  signalForeground(signal: NodeJS.Signals): boolean;
  resize(size: TerminalSize): void;
  /** All streams have arrived. */
  onConnected(): void;
  /** The pid and all streams have arrived. */
  onComplete(): void;
  /** The launch has failed, or the process has exited. */
  onOver(): void;
}): PendingLaunch {
  const { promise, resolve, reject } = Promise.withResolvers<LaunchedChild>();
  const sockets: (Socket | undefined)[] = [undefined, undefined, undefined];
  let pid: number | null = null;
  let exit: Exit | null = null;
  let lost = false;
  let openOutputs = 2;
  const exitListeners: ((exit: Exit) => void)[] = [];
  const closeListeners: (() => void)[] = [];

  const hasStreams = (): boolean => sockets.every((socket) => socket !== undefined);

  function closeIfOver(): void {
    if (exit !== null && openOutputs === 0) for (const listener of closeListeners.splice(0)) listener();
  }

  function resolveIfComplete(): void {
    const [stdin, stdout, stderr] = sockets;
    if (pid === null || stdin === undefined || stdout === undefined || stderr === undefined) return;
    for (const output of [stdout, stderr]) {
      output.once('close', () => {
        openOutputs -= 1;
        closeIfOver();
      });
    }
    options.onComplete();
    if (exit !== null) options.onOver(); // a short process may exit before its streams arrive
    resolve({
      pid,
      stdin,
      stdout,
      stderr,
      get exit() {
        return exit;
      },
      get lost() {
        return lost;
      },
      onExit: (listener) =>
        exit === null ? exitListeners.push(listener) : queueMicrotask(() => exit && listener(exit)),
      onClose: (listener) => {
        closeListeners.push(listener);
        queueMicrotask(closeIfOver);
      },
      signalGroup: (signal) => exit === null && options.signal(signal),
      signalForeground: (signal) => exit === null && options.signalForeground(signal),
      resize(size) {
        if (exit === null) options.resize(size);
      },
    });
  }

  const launch: PendingLaunch = {
    child: promise,
    started(number) {
      pid = number;
      resolveIfComplete();
    },
    stream(fd, socket) {
      sockets[fd] = socket;
      if (hasStreams()) options.onConnected();
      resolveIfComplete();
    },
    failed(error) {
      for (const socket of sockets) socket?.destroy();
      options.onOver();
      reject(error);
    },
    exited(result) {
      if (exit !== null) return;
      exit = result;
      if (hasStreams()) options.onOver();
      for (const listener of exitListeners.splice(0)) listener(result);
      closeIfOver();
    },
    lost() {
      if (exit === null) lost = true;
      if (lost && pid !== null && !supportsSweep()) signalGroup(pid, 'SIGKILL');
      launch.exited(UNKNOWN_EXIT);
    },
  };
  return launch;
}
