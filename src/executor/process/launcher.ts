/** The server's side of the launcher. */
import { type ChildProcess, fork } from 'node:child_process';
import { rmSync } from 'node:fs';
import { mkdtemp } from 'node:fs/promises';
import { getCompileCacheDir } from 'node:module';
import { createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { siblingModule } from '../../sibling-module.ts';
import type { Launch, LaunchedChild } from './launch.ts';
import type { FromLauncher, ToLauncher } from './launch-messages.ts';
import { createLaunching, type Launching } from './launching.ts';

/** sun_path holds 108 bytes on Linux and 104 on macOS. */
const MAX_SOCKET_PATH = 100;
const HEAP_FLAGS = ['--no-warnings', '--max-semi-space-size=1', '--max-old-space-size=64'];

export interface Launcher {
  start(): Promise<void>;
  /** Ends the launcher, and with it whatever it still runs. */
  stop(): Promise<void>;
  readonly launch: Launch;
}

/** @param dir a private folder for its socket */
export function createLauncher(dir: string): Launcher {
  const launching = new Map<number, Launching>();
  const alive = new Map<number, Launching>();
  let server: Server | null = null;
  let socketPath = '';
  let child: ChildProcess | null = null;
  let nextId = 1;

  function startProcess(): ChildProcess {
    const compileCache = getCompileCacheDir();
    const started = fork(siblingModule(import.meta.url, './launcher-process'), [socketPath], {
      execArgv: HEAP_FLAGS,
      detached: true, // what kills the server's group leaves it alive, to end what the server was running
      env: compileCache === undefined ? {} : { NODE_COMPILE_CACHE: compileCache },
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    });
    started.on('message', (message) => hear(message as FromLauncher)); // sent by launcher-process.ts alone
    started.on('error', () => {}); // followed by 'exit'
    started.once('exit', () => {
      if (child === started) child = null;
      // Nobody can tell any more how they end; whatever lives on is found by its marker.
      for (const one of [...launching.values()]) one.refused('ECONNRESET', 'the launcher died');
      for (const one of [...alive.values()]) one.exited({ code: null, signal: 'SIGKILL' });
    });
    return started;
  }

  function hear(message: FromLauncher): void {
    const one = launching.get(message.id) ?? alive.get(message.id);
    switch (message.type) {
      case 'started':
        one?.started(message.pid);
        return;
      case 'refused':
        one?.refused(message.code, message.message);
        return;
      case 'exited':
        one?.exited(message.exit);
    }
  }

  /** A connection says first whose stream it is. */
  function receive(socket: Socket): void {
    let head = '';
    socket.on('error', () => {}); // a broken stream ends like a closed one
    const read = (): void => {
      for (let byte = socket.read(1) as Buffer | null; byte !== null; byte = socket.read(1)) {
        // bytes: no encoding is set
        const char = byte.toString('latin1');
        if (char === '\n') {
          socket.off('readable', read);
          const [id, fd] = head.split(' ').map(Number);
          const one = launching.get(id ?? 0);
          if (one === undefined) socket.destroy();
          else one.stream(fd ?? 0, socket);
          return;
        }
        head += char;
      }
    };
    socket.on('readable', read);
  }

  const send = (message: ToLauncher): boolean => {
    child ??= startProcess();
    return child.send(message);
  };

  return {
    async start() {
      if (server !== null) return;
      const wanted = join(dir, 'launcher.sock');
      socketPath =
        wanted.length <= MAX_SOCKET_PATH ? wanted : join(await mkdtemp(join(tmpdir(), 'bullpen-')), 's');
      rmSync(socketPath, { force: true });
      const opened = createServer(receive);
      const { promise, resolve, reject } = Promise.withResolvers<void>();
      opened.once('error', reject);
      opened.listen(socketPath, resolve);
      await promise;
      server = opened;
      child = startProcess();
    },

    async stop() {
      const ended = child;
      child = null;
      if (ended !== null && ended.exitCode === null && ended.signalCode === null) {
        const { promise, resolve } = Promise.withResolvers<void>();
        ended.once('exit', () => resolve());
        if (ended.connected) ended.disconnect();
        await promise;
      }
      const closed = server;
      server = null;
      if (closed !== null) {
        await new Promise<void>((resolve) => closed.close(() => resolve()));
        rmSync(socketPath, { force: true });
        if (dirname(socketPath) !== dir) rmSync(dirname(socketPath), { recursive: true, force: true });
      }
    },

    launch(request): Promise<LaunchedChild> {
      const id = nextId;
      nextId += 1;
      const one = createLaunching({
        signal: (signal) => send({ type: 'signal', id, signal }),
        onStarted() {
          launching.delete(id);
          alive.set(id, one);
        },
        onOver() {
          launching.delete(id);
          alive.delete(id);
        },
      });
      launching.set(id, one);
      send({ type: 'launch', id, request });
      return one.child;
    },
  };
}
