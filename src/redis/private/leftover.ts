import { execFile } from 'node:child_process';
import { readlink, realpath, rm } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import { AppError } from '../../errors.ts';
import { isRunning } from './process-state.ts';
import { readOrNull, type ServerPaths } from './server-files.ts';

const execFileAsync = promisify(execFile);

const POLL_MS = 20;
const KILL_WAIT_MS = 5000;

/**
 * Ends the server that an earlier, killed process of this folder left running. The caller holds the
 * folder's lock, so no living process owns that server.
 *
 * @returns the pid that was ended, or null
 * @throws AppError `redis.unavailable` when it survives SIGKILL (a disk that does not answer)
 */
export async function stopLeftover(paths: ServerPaths, graceMs: number): Promise<number | null> {
  const pid = Number(await readOrNull(paths.pid));
  const found = Number.isInteger(pid) && pid > 1 && (await isOurServer(pid, paths));
  if (found) {
    signalProcess(pid, 'SIGTERM');
    // One that was stopped (SIGSTOP) must run to see it.
    signalProcess(pid, 'SIGCONT');
    if (!(await endsWithin(pid, graceMs))) {
      signalProcess(pid, 'SIGKILL');
      if (!(await endsWithin(pid, KILL_WAIT_MS))) {
        throw new AppError('redis.unavailable', `An earlier Redis server (pid ${pid}) cannot be ended`);
      }
    }
  }
  await rm(paths.pid, { force: true });
  return found ? pid : null;
}

/** Whether `pid`, which may long belong to another program, is the server of this folder. */
async function isOurServer(pid: number, paths: ServerPaths): Promise<boolean> {
  if (!(await isRunning(pid))) return false;
  if (process.platform === 'linux') {
    // The server renames itself, so its command line does not name the folder; its working directory does.
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

async function endsWithin(pid: number, limitMs: number): Promise<boolean> {
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
    // It ended in between.
  }
}
