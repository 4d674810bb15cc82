/**
 * The launcher: a small process that starts the CLIs for the server.
 *
 * Problem: a fork copies the page tables of the whole process. A server of 180 MB needs 6 ms for
 * it, and its event loop waits. This process needs 1 ms.
 * Solution: this process opens three connections to the server and gives them to the CLI as its
 * streams. No byte of a CLI passes through this process.
 *
 * It also outlives a killed server by a moment, and kills everything the server was running.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, constants, existsSync, openSync, readlinkSync, writeSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { createStartingCgroups } from './cgroups.ts';
import {
  beginLine,
  CWD_GONE,
  type FromLauncher,
  isUnusablePath,
  type LaunchRequest,
  NO_STREAMS,
  signalGroup,
  streamHeader,
  systemCode,
  type ToLauncher,
} from './launch.ts';
import { MARKER_VARIABLE, readStat } from './proc-entry.ts';
import { createProcScanner } from './proc-scanner.ts';
import { hiddenPtys, openPty, type Pty } from './pty.ts';
import { sweep } from './sweep.ts';

interface Running {
  readonly child: ChildProcess;
  readonly marker: string | undefined;
  /** null: it has three streams. */
  readonly pty: Pty | null;
}

const [, , socketPath = '', umask] = process.argv;
// CLIs create files with the user's mask, not with the server's.
if (umask !== undefined) process.umask(Number(umask));
const cgroups = createStartingCgroups();
/** Launches that were not started yet, with the call that reports their streams as connected. */
const starting = new Map<number, () => void>();
const running = new Map<number, Running>();
const STDOUT = 1;
/** The server answers within a millisecond, unless it is out of descriptors. */
const CONNECTED_WITHIN_MS = 5000;
/** open(2): names a folder without the right to read it. Node has no constant for it. */
const O_PATH = 0o10000000;
const OPENS_FOLDERS = process.platform === 'linux' && existsSync('/proc/self/fd');
let ending = false;

const send = (message: FromLauncher): void => {
  // When the server is gone, 'disconnect' follows.
  if (process.connected) process.send?.(message, undefined, undefined, () => {});
};

async function launch({ id, request }: Extract<ToLauncher, { type: 'launch' }>): Promise<void> {
  const streams: Socket[] = [];
  const marker = request.env[MARKER_VARIABLE];
  const connected = Promise.withResolvers<void>();
  starting.set(id, connected.resolve);
  let pty: Pty | null = null;
  let limit: NodeJS.Timeout | undefined;
  try {
    const [stdin, stdout, stderr] = [openStream(id, 0), openStream(id, 1), openStream(id, 2)];
    streams.push(stdin.socket, stdout.socket, stderr.socket); // closed also where one of them fails
    await Promise.all([stdin.opened, stdout.opened, stderr.opened]);
    // A server without free descriptors closes new connections. This process cannot see that.
    const noStreams = Object.assign(new Error('the server closed a stream'), { code: NO_STREAMS });
    limit = setTimeout(() => connected.reject(noStreams), CONNECTED_WITHIN_MS);
    await connected.promise;
    if (request.pty !== undefined) {
      pty = openPty({ request, size: request.pty, input: stdin.socket, output: stdout.socket });
      streams.splice(0, 2); // the PTY ends them
    }
    if (ending || !starting.has(id)) return; // it would run without an owner
    writeSync(STDOUT, beginLine(id));
    const start = (): ChildProcess =>
      pty === null
        ? startIn(request, request, [...streams, ...hiddenPtys()])
        : startIn(request, pty.starter, pty.stdio());
    const child = marker === undefined ? start() : cgroups.inside(marker, start);
    child.once('error', (error) => refuse(id, error));
    const { pid } = child;
    if (pid === undefined) return;
    running.set(id, { child, marker, pty });
    pty?.started();
    send({ type: 'started', id, pid });
    child.once('exit', async (code, signal) => {
      await pty?.drained();
      running.delete(id);
      if (marker !== undefined) cgroups.remove(marker); // stays when it still has processes
      send({ type: 'exited', id, exit: { code, signal } });
    });
  } catch (error) {
    refuse(id, error);
  } finally {
    clearTimeout(limit);
    starting.delete(id);
    for (const stream of streams) stream.destroy(); // the CLI has its own copies
    if (!running.has(id)) {
      pty?.close();
      if (marker !== undefined) cgroups.remove(marker);
    }
  }
}

function openStream(id: number, fd: number): { socket: Socket; opened: Promise<void> } {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const socket = connect(socketPath);
  socket.pause(); // only the CLI may read from it
  // Our own code, because ENOENT of a socket must not look like a missing CLI.
  socket.once('error', (error) => reject(Object.assign(error, { code: NO_STREAMS })));
  socket.once('connect', () => socket.write(streamHeader(id, fd), () => resolve()));
  return { socket, opened: promise };
}

/**
 * Starts the CLI in exactly the requested folder, even if another one takes its path.
 * The path was checked before the launch. A folder with another real path was not checked, so it is
 * refused. Without /proc, the folder is entered by its path.
 * @throws Error with `code` {@link CWD_GONE}
 */
function startIn(
  request: LaunchRequest,
  { binary, args }: Pick<LaunchRequest, 'binary' | 'args'>,
  stdio: (Socket | number | 'ignore')[],
): ChildProcess {
  const start = (cwd: string): ChildProcess =>
    spawn(binary, [...args], {
      cwd,
      env: { ...request.env },
      detached: true,
      shell: false,
      stdio,
    });
  if (!OPENS_FOLDERS) return start(request.cwd);
  const folder = openFolder(request.cwd);
  try {
    const opened = `/proc/self/fd/${folder}`;
    if (readlinkSync(opened) !== request.cwd) throw cwdGone(null);
    return start(opened); // the child changes into it before exec, which closes the descriptor
  } finally {
    closeSync(folder);
  }
}

function openFolder(path: string): number {
  try {
    return openSync(path, O_PATH | constants.O_DIRECTORY | constants.O_NOFOLLOW);
  } catch (error) {
    throw isUnusablePath(systemCode(error)) ? cwdGone(error) : error;
  }
}

const cwdGone = (cause: unknown): Error =>
  Object.assign(new Error('the working directory was replaced', { cause }), { code: CWD_GONE });

function refuse(id: number, error: unknown): void {
  const message = error instanceof Error ? error.message : String(error);
  send({ type: 'refused', id, code: systemCode(error), message });
}

/** Its pid. null after its exit: the id is the child's until this process has reaped it. */
const livingPid = ({ pid, exitCode, signalCode }: ChildProcess): number | null =>
  exitCode === null && signalCode === null ? (pid ?? null) : null;

function signal(id: number, name: NodeJS.Signals, groupOf: (pid: number) => number): void {
  const one = running.get(id);
  const pid = one === undefined ? null : livingPid(one.child);
  if (pid !== null) signalGroup(groupOf(pid), name);
}

const ownGroup = (pid: number): number => pid;

/** The group in the foreground of its terminal. Its own group without a terminal or /proc. */
function foregroundGroup(pid: number): number {
  const group = readStat(pid)?.foregroundGroupId ?? 0;
  return group > 0 ? group : pid;
}

/** The server is gone: kills everything it was running. */
async function killAll(): Promise<void> {
  ending = true;
  const scanner = createProcScanner();
  const all = [...running.values()];
  for (const id of running.keys()) signal(id, 'SIGKILL', ownGroup);
  await Promise.all(all.map(({ marker }) => (marker === undefined ? null : sweep(marker, { scanner }))));
  process.exit(0);
}

process.on('message', (message: ToLauncher) => {
  switch (message.type) {
    case 'launch':
      void launch(message);
      return;
    case 'signal':
      signal(message.id, message.signal, ownGroup);
      return;
    case 'foreground':
      signal(message.id, message.signal, foregroundGroup);
      return;
    case 'resize':
      running.get(message.id)?.pty?.resize(message.size);
      return;
    case 'connected':
      starting.get(message.id)?.();
      return;
    case 'withdraw':
      starting.get(message.id)?.();
      starting.delete(message.id);
      signal(message.id, 'SIGKILL', ownGroup);
      return;
    case 'ping':
      send({ type: 'pong' });
  }
});
send({ type: 'ready' });
process.on('disconnect', () => {
  killAll().catch(() => process.exit(1));
});
// Only the server decides when its CLIs stop.
for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(name, () => {});
