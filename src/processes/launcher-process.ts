/**
 * The launcher: a small process that starts the CLIs for the server.
 *
 * Problem: a fork copies the page tables of the whole process. From a server of 180 MB it takes 6 ms, in which
 * the event loop stands still; from this process it takes one.
 * Solution: the three streams of a CLI are connections from here to the server, handed to the CLI when it is
 * started, so that no byte passes through this process.
 *
 * It also outlives a killed server by a moment, and ends what the server was running.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { writeSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { createStartingCgroups } from './cgroups.ts';
import { inFolder, signalGroup } from './launch.ts';
import { beginLine, type FromLauncher, streamHeader, type ToLauncher } from './launch-messages.ts';
import { MARKER_VARIABLE } from './marker.ts';
import { createProcScanner } from './proc-scanner.ts';
import { NO_STREAMS, systemCode } from './spawn-error.ts';
import { sweep } from './sweep.ts';

interface Running {
  readonly child: ChildProcess;
  readonly marker: string | undefined;
}

const [, , socketPath = '', umask] = process.argv;
// A CLI makes files as its user wants them, not as the server does.
if (umask !== undefined) process.umask(Number(umask));
const cgroups = createStartingCgroups();
const starting = new Set<number>();
const running = new Map<number, Running>();
/** Our stdout. */
const BEGUN = 1;
let ending = false;

const tell = (message: FromLauncher): void => {
  // A server that is gone hears nothing; 'disconnect' says so.
  if (process.connected) process.send?.(message, undefined, undefined, () => {});
};

function openStream(id: number, fd: number): Promise<Socket> {
  const { promise, resolve, reject } = Promise.withResolvers<Socket>();
  const socket = connect(socketPath);
  socket.pause(); // what the CLI says is not ours to read
  // Not to be taken for an error of the spawn: a socket that is gone is no missing CLI.
  socket.once('error', (error) => reject(Object.assign(error, { code: NO_STREAMS })));
  socket.once('connect', () => socket.write(streamHeader(id, fd), () => resolve(socket)));
  return promise;
}

async function launch({ id, request }: Extract<ToLauncher, { type: 'launch' }>): Promise<void> {
  const streams: Socket[] = [];
  const marker = request.env[MARKER_VARIABLE];
  starting.add(id);
  try {
    streams.push(...(await Promise.all([0, 1, 2].map((fd) => openStream(id, fd)))));
    if (ending || !starting.has(id)) return; // it would run without an owner
    // Out of descriptors, the server closes what it has accepted: no fault of the request.
    if (streams.some(({ destroyed }) => destroyed))
      throw Object.assign(new Error('the server closed a stream'), { code: NO_STREAMS });
    writeSync(BEGUN, beginLine(id));
    const [stdin, stdout, stderr] = streams;
    const child = inFolder(request.cwd, (cwd) => {
      const start = (): ChildProcess =>
        spawn(request.binary, [...request.args], {
          cwd,
          env: { ...request.env },
          detached: true,
          shell: false,
          stdio: [stdin, stdout, stderr],
        });
      return marker === undefined ? start() : cgroups.inside(marker, start);
    });
    child.once('error', (error) => refuse(id, error));
    const { pid } = child;
    if (pid === undefined) return;
    running.set(id, { child, marker });
    tell({ type: 'started', id, pid });
    child.once('exit', (code, signal) => {
      running.delete(id);
      if (marker !== undefined) cgroups.remove(marker); // unless it left something behind
      tell({ type: 'exited', id, exit: { code, signal } });
    });
  } catch (error) {
    refuse(id, error);
  } finally {
    starting.delete(id);
    for (const stream of streams) stream.destroy(); // the CLI has its own
    if (marker !== undefined && !running.has(id)) cgroups.remove(marker);
  }
}

function refuse(id: number, error: unknown): void {
  const message = error instanceof Error ? error.message : String(error);
  tell({ type: 'refused', id, code: systemCode(error), message });
}

function signal({ id, signal: name }: Extract<ToLauncher, { type: 'signal' }>): void {
  const child = running.get(id)?.child;
  // Until this process has reaped it, the number is the child's for sure.
  if (child?.pid !== undefined && child.exitCode === null && child.signalCode === null)
    signalGroup(child.pid, name);
}

/** The server is gone: nothing it was running may go on. */
async function endAll(): Promise<void> {
  ending = true;
  const scanner = createProcScanner();
  const all = [...running.values()];
  for (const { child } of all) if (child.pid !== undefined) signalGroup(child.pid, 'SIGKILL');
  await Promise.all(all.map(({ marker }) => (marker === undefined ? null : sweep(marker, { scanner }))));
  process.exit(0);
}

process.on('message', (message: ToLauncher) => {
  switch (message.type) {
    case 'launch':
      void launch(message);
      return;
    case 'signal':
      signal(message);
      return;
    case 'withdraw':
      starting.delete(message.id);
      signal({ ...message, type: 'signal', signal: 'SIGKILL' });
      return;
    case 'ping':
      tell({ type: 'pong' });
  }
});
tell({ type: 'ready' });
process.on('disconnect', () => {
  endAll().catch(() => process.exit(1));
});
// The server decides when its CLIs end.
for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(name, () => {});
