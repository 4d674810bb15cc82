import { readFile, rm, writeFile } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';

const POLL_MS = 200;

/**
 * Runs `work` while no other living process of this machine does, so that ten processes on a cold cache
 * fetch once. Only a saving: correctness is in the rename that ends the work, so a lock whose holder is
 * dead is simply taken.
 */
export async function withProvisionLock<T>(
  file: string,
  work: () => Promise<T>,
  signal: AbortSignal,
): Promise<T> {
  while (!(await tryLock(file))) {
    signal.throwIfAborted();
    if (await isHeld(file)) await delay(POLL_MS, undefined, { signal });
    else await rm(file, { force: true });
  }
  try {
    return await work();
  } finally {
    await rm(file, { force: true });
  }
}

async function tryLock(file: string): Promise<boolean> {
  try {
    await writeFile(file, String(process.pid), { flag: 'wx', mode: 0o600 });
    return true;
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'EEXIST') return false;
    throw error;
  }
}

async function isHeld(file: string): Promise<boolean> {
  const text = await readFile(file, 'utf8').catch(() => null);
  if (text === null) return false;
  // Empty: created this instant, its pid not yet written.
  if (text === '') return true;
  try {
    process.kill(Number(text), 0);
    return true;
  } catch (error) {
    return error instanceof Error && 'code' in error && error.code === 'EPERM';
  }
}
