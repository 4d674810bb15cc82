/**
 * The server's two connections to its launcher: the launcher process with its IPC channel, and the
 * socket on which the streams of the CLIs arrive.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { existsSync, rmSync } from 'node:fs';
import { mkdtemp } from 'node:fs/promises';
import { createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { messageOf } from '../errors.ts';
import { compileCacheVariable, siblingModule } from '../sibling-module.ts';
import type { FromLauncher } from './launch.ts';
import { umaskOfUser } from './own-process.ts';

const NODE_FLAGS = ['--no-warnings', '--max-semi-space-size=1', '--max-old-space-size=64'];
/** sun_path holds 108 bytes on Linux and 104 on macOS. */
const MAX_SOCKET_PATH = 100;

/** One launcher process. */
export interface LauncherProcess {
  readonly process: ChildProcess;
  /** Resolves when it reads messages. Rejects when it ended before that. */
  readonly ready: Promise<void>;
  /** Resolves after its exit and the end of its output, with the reason. Never rejects. */
  readonly gone: Promise<string>;
  /** Resolves `gone` for a process that was killed and does not exit. */
  giveUp(): void;
}

/** Never throws: a process that cannot be forked resolves `gone`. */
export function startLauncherProcess(
  socketPath: string,
  on: { message(message: FromLauncher): void; begun(id: number): void },
): LauncherProcess {
  const umask = umaskOfUser();
  const args = umask === null ? [socketPath] : [socketPath, String(umask)];
  const child = fork(siblingModule(import.meta.url, './launcher-process'), args, {
    execArgv: NODE_FLAGS,
    // A kill of the server's group must not reach it: it kills what the server was running.
    detached: true,
    env: compileCacheVariable(),
    stdio: ['ignore', 'pipe', 'inherit', 'ipc'],
  });
  const ready = Promise.withResolvers<void>();
  const gone = Promise.withResolvers<string>();
  ready.promise.catch(() => undefined); // not everyone waits for it
  const end = (reason: string): void => {
    ready.reject(new Error(reason));
    gone.resolve(reason);
  };

  child.on('message', (received) => {
    const message = received as FromLauncher; // only launcher-process.ts sends them
    if (message.type === 'ready') ready.resolve();
    on.message(message);
  });
  let partialLine = '';
  child.stdout?.setEncoding('latin1').on('data', (text: string) => {
    const lines = (partialLine + text).split('\n');
    partialLine = lines.pop() ?? '';
    for (const line of lines) on.begun(Number(line));
  });
  // A failed fork has no pid. Any other error (a message that was not sent) is followed by 'exit'.
  child.on('error', (error) => {
    if (child.pid === undefined) end(`it could not be started: ${messageOf(error)}`);
  });
  // 'close' does not come after our own disconnect.
  child.once('exit', (code, signal) => {
    const reason = `it ended with ${signal ?? `code ${code}`}`;
    if (child.stdout?.closed === false) child.stdout.once('close', () => end(reason));
    else end(reason);
  });
  return {
    process: child,
    ready: ready.promise,
    gone: gone.promise,
    giveUp: () => end('it was killed and did not end'),
  };
}

/** Accepts the streams of the CLIs on a Unix socket. */
export interface StreamServer {
  /** Of the socket. Set by `start`. */
  readonly path: string;
  start(): Promise<void>;
  /** Listens again when the socket's file was deleted. */
  restoreSocket(): Promise<void>;
  stop(): Promise<void>;
}

/**
 * @param dir a private folder for the socket
 * @param name of the socket's file
 * @param onStream called for each connection after its first line
 */
export function createStreamServer(
  dir: string,
  name: string,
  onStream: (id: number, fd: number, socket: Socket) => void,
): StreamServer {
  let server: Server | null = null;
  let path = '';

  function readHeader(socket: Socket): void {
    let header = '';
    socket.on('error', () => {}); // a broken stream ends like a closed one
    const read = (): void => {
      for (let byte = socket.read(1) as Buffer | null; byte !== null; byte = socket.read(1)) {
        const char = byte.toString('latin1'); // a Buffer, because no encoding is set
        if (char === '\n') {
          socket.off('readable', read);
          const [id, fd] = header.split(' ').map(Number);
          onStream(id ?? 0, fd ?? 0, socket);
          return;
        }
        header += char;
      }
    };
    socket.on('readable', read);
  }

  async function listen(): Promise<void> {
    rmSync(path, { force: true });
    const opened = createServer(readHeader);
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    opened.once('error', reject);
    opened.listen(path, resolve);
    await promise;
    opened.off('error', reject);
    opened.on('error', () => {}); // the launch that needs this connection fails by itself
    server = opened;
  }

  return {
    get path() {
      return path;
    },
    async start() {
      if (server !== null) return;
      const wanted = join(dir, name);
      const fits = wanted.length <= MAX_SOCKET_PATH;
      path = fits ? wanted : join(await mkdtemp(join(tmpdir(), 'bullpen-')), 's');
      await listen();
    },
    async restoreSocket() {
      if (server === null || existsSync(path)) return;
      server.close(); // its connections stay open
      await listen();
    },
    async stop() {
      const closed = server;
      server = null;
      if (closed !== null) await new Promise<void>((resolve) => closed.close(() => resolve()));
      rmSync(path, { force: true });
      if (path !== '' && dirname(path) !== dir) rmSync(dirname(path), { recursive: true, force: true });
    },
  };
}
