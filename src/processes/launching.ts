import type { Socket } from 'node:net';
import type { Exit } from '../protocol/cli.ts';
import { type LaunchedChild, signalGroup } from './launch.ts';
import { supportsSweep } from './sweep.ts';

/** One process on its way from the launcher: its three streams and its number come apart. */
export interface Launching {
  readonly child: Promise<LaunchedChild>;
  started(pid: number): void;
  stream(fd: number, socket: Socket): void;
  /** It was not started, or its caller has given up. */
  failed(error: unknown): void;
  exited(exit: Exit): void;
  /** Its exit cannot be known any more. */
  lost(): void;
}

export function createLaunching(options: {
  signal(signal: NodeJS.Signals): boolean;
  /** Everything is here. */
  onStarted(): void;
  /** Refused, or exited. */
  onOver(): void;
}): Launching {
  const { promise, resolve, reject } = Promise.withResolvers<LaunchedChild>();
  const sockets: (Socket | undefined)[] = [undefined, undefined, undefined];
  let pid: number | null = null;
  let exit: Exit | null = null;
  let lost = false;
  let open = 2;
  const exitListeners: ((exit: Exit) => void)[] = [];
  const closeListeners: (() => void)[] = [];

  function closeIfOver(): void {
    if (exit !== null && open === 0) for (const listener of closeListeners.splice(0)) listener();
  }

  function giveIfComplete(): void {
    const [stdin, stdout, stderr] = sockets;
    if (pid === null || stdin === undefined || stdout === undefined || stderr === undefined) return;
    for (const output of [stdout, stderr]) {
      output.once('close', () => {
        open -= 1;
        closeIfOver();
      });
    }
    options.onStarted();
    if (exit !== null) options.onOver(); // a short one may be over before its streams have come
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
    });
  }

  const launching: Launching = {
    child: promise,
    started(number) {
      pid = number;
      giveIfComplete();
    },
    stream(fd, socket) {
      sockets[fd] = socket;
      giveIfComplete();
    },
    failed(error) {
      for (const socket of sockets) socket?.destroy();
      options.onOver();
      reject(error);
    },
    exited(how) {
      if (exit !== null) return;
      exit = how;
      if (sockets.every((socket) => socket !== undefined)) options.onOver();
      for (const listener of exitListeners.splice(0)) listener(how);
      closeIfOver();
    },
    lost() {
      if (exit === null) lost = true;
      if (lost && pid !== null && !supportsSweep()) signalGroup(pid, 'SIGKILL');
      launching.exited(UNKNOWN_EXIT);
    },
  };
  return launching;
}

const UNKNOWN_EXIT: Exit = { code: null, signal: null };
