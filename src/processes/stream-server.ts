/** Where the launcher's connections arrive: the three streams of each CLI, on a socket in a private folder. */
import { existsSync, rmSync } from 'node:fs';
import { mkdtemp } from 'node:fs/promises';
import { createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';

/** sun_path holds 108 bytes on Linux and 104 on macOS. */
const MAX_SOCKET_PATH = 100;

export interface StreamServer {
  /** Known once it has started. */
  readonly path: string;
  start(): Promise<void>;
  /** Listens anew when its socket's file is gone. */
  mend(): Promise<void>;
  stop(): Promise<void>;
}

/**
 * @param dir a private folder for the socket
 * @param onStream called with each connection when it has said whose stream it is
 */
export function createStreamServer(
  dir: string,
  onStream: (id: number, fd: number, socket: Socket) => void,
): StreamServer {
  let server: Server | null = null;
  let path = '';

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
          onStream(id ?? 0, fd ?? 0, socket);
          return;
        }
        head += char;
      }
    };
    socket.on('readable', read);
  }

  async function listen(): Promise<void> {
    rmSync(path, { force: true });
    const opened = createServer(receive);
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    opened.once('error', reject);
    opened.listen(path, resolve);
    await promise;
    opened.off('error', reject);
    opened.on('error', () => {}); // the start that waits for this connection fails by itself
    server = opened;
  }

  async function close(): Promise<void> {
    const closed = server;
    server = null;
    if (closed !== null) await new Promise<void>((resolve) => closed.close(() => resolve()));
  }

  return {
    get path() {
      return path;
    },
    async start() {
      if (server !== null) return;
      const wanted = join(dir, 'launcher.sock');
      path = wanted.length <= MAX_SOCKET_PATH ? wanted : join(await mkdtemp(join(tmpdir(), 'bullpen-')), 's');
      await listen();
    },
    async mend() {
      if (server === null || existsSync(path)) return;
      server.close(); // its connections go on
      await listen();
    },
    async stop() {
      await close();
      rmSync(path, { force: true });
      if (path !== '' && dirname(path) !== dir) rmSync(dirname(path), { recursive: true, force: true });
    },
  };
}
