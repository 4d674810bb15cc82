/** Asks a server that was started with the probe how late its event loop was. */
import { existsSync, readFileSync, rmSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';

/** For `node --import`. */
export const PROBE = new URL('loop-delay.js', import.meta.url).href;
const ANSWER_WITHIN_MS = 10_000;

export interface LoopDelay {
  readonly p50: number;
  readonly p99: number;
  readonly max: number;
}

/** The loop's delay since the last call. @param file what BENCH_LOOP_FILE names */
export async function loopDelay(server: { readonly pid: number }, file: string): Promise<LoopDelay> {
  rmSync(file, { force: true });
  process.kill(server.pid, 'SIGUSR2');
  for (let waited = 0; !existsSync(file); waited += 10) {
    if (waited > ANSWER_WITHIN_MS) throw new Error('the server does not tell its loop delay');
    await delay(10);
  }
  return JSON.parse(readFileSync(file, 'utf8'));
}
