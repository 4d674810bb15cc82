import { pino } from 'pino';
import { describe, expect, it } from 'vitest';
import { createReaper } from '../../../src/executor/reaper.ts';
import type { ProcessInfo } from '../../../src/processes/proc-entry.ts';

const logger = pino({ level: 'silent' });
const shortage = (): never => {
  throw Object.assign(new Error('too many open files'), { code: 'EMFILE' });
};
/** No process has this pid. */
const GONE: ProcessInfo = { pid: 2 ** 30, marker: 'one', startTicks: 1 };

/** A reaper whose scans give these answers in turn, and nothing after the last one. */
function reaperWith(answers: (() => readonly ProcessInfo[])[]) {
  const cleaned: string[] = [];
  let scans = 0;
  const scan = async () => answers[scans++]?.() ?? [];
  const reaper = createReaper({ scan }, logger, () => {});
  for (const marker of ['one', 'two']) {
    reaper.add(marker, async () => {
      cleaned.push(marker);
    });
  }
  return { reaper, cleaned, scans: () => scans };
}

describe('what an ended execution left running', () => {
  it('is looked for again when the look fails: the scan, or the kill', async () => {
    const { cleaned } = reaperWith([shortage, () => [GONE], shortage]);
    await expect.poll(() => cleaned).toEqual(['one', 'two']);
  });

  it('stays when it cannot be cleaned up, and the rest of the look is made again', async () => {
    const { reaper, cleaned } = reaperWith([]);
    let tries = 0;
    reaper.add('three', async () => {
      tries += 1;
      if (tries === 1) shortage();
      cleaned.push('three');
    });
    await expect.poll(() => cleaned).toEqual(['one', 'two', 'three']);
  });

  it('does not keep the server from stopping when it cannot be looked for', async () => {
    const { reaper, cleaned, scans } = reaperWith(Array(100).fill(shortage));
    await reaper.settle();
    expect(cleaned).toEqual([]);
    expect(scans()).toBe(1);
  });
});
