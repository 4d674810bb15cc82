import { execFile } from 'node:child_process';
import { readFile, readlink, realpath, rm } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import { AppError } from '../../errors.ts';
import { readOrNull, type ServerPaths } from './server-files.ts';

const execFileAsync = promisify(execFile);

const POLL_MS = 20;
const KILL_WAIT_MS = 5000;

/**
 * Stops the server that an earlier, killed process of this folder left running. The caller holds
 * the folder's lock, so no living process owns that server.
 *
 * @returns the pid of the stopped server, or null
 * @throws AppError `redis.unavailable` when it survives SIGKILL (a disk that does not answer)
 */
export async function stopLeftover(paths: ServerPaths, graceMs: number): Promise<number | null> {
  const pid = Number(await readOrNull(paths.pid));
  const found = Number.isInteger(pid) && pid > 1 && (await isOurServer(pid, paths));
  if (found) {
    signalProcess(pid, 'SIGTERM');
    // A process that was suspended (SIGSTOP) must run to receive it.
    signalProcess(pid, 'SIGCONT');
    if (!(await exitsWithin(pid, graceMs))) {
      signalProcess(pid, 'SIGKILL');
      if (!(await exitsWithin(pid, KILL_WAIT_MS))) {
        throw new AppError('redis.unavailable', `An earlier Redis server (pid ${pid}) cannot be stopped`);
      }
    }
  }
  await rm(paths.pid, { force: true });
  return found ? pid : null;
}

/** Whether `pid` is the server of this folder. The pid may belong to another program by now. */
async function isOurServer(pid: number, paths: ServerPaths): Promise<boolean> {
  if (!(await isRunning(pid))) return false;
  if (process.platform === 'linux') {
    // The server changes its process title, so its command line does not name the folder.
    const [cwd, executable, data] = await Promise.all([
      readlink(`/proc/${pid}/cwd`).catch(() => null),
      readlink(`/proc/${pid}/exe`).catch(() => ''),
      realpath(paths.data),
    ]);
    return cwd === data && /(redis|valkey)-/.test(executable);
  }
  const port = (await readOrNull(paths.port))?.trim();
  const title = await execFileAsync('ps', ['-o', 'command=', '-p', String(pid)], { cwd: '/' }).then(
    ({ stdout }) => stdout,
    () => '',
  );
  return port !== undefined && /(redis|valkey)-server/.test(title) && title.includes(`127.0.0.1:${port}`);
}

async function exitsWithin(pid: number, limitMs: number): Promise<boolean> {
  const deadline = performance.now() + limitMs;
  while (await isRunning(pid)) {
    if (performance.now() > deadline) return false;
    await delay(POLL_MS);
  }
  return true;
}

function signalProcess(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch {
    // It has ended.
  }
}

/** Whether a process runs or sleeps. False for a zombie, which only waits for its parent. */
async function isRunning(pid: number): Promise<boolean> {
  try {
    process.kill(pid, 0);
  } catch (error) {
    return error instanceof Error && 'code' in error && error.code === 'EPERM';
  }
  if (process.platform !== 'linux') return true;
  const status = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => '');
  return /^State:\s+[^ZX]/m.test(status);
}
