/** The machine a figure belongs to. */
import { execFile } from 'node:child_process';
import { closeSync, fdatasyncSync, openSync, writeSync } from 'node:fs';
import { arch, cpus, loadavg, release, totalmem, type } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { median } from './statistics.ts';

const APPENDS = 100;

export async function machineFacts(options: {
  readonly redisVersion: string;
  readonly dataDir: string;
  readonly env: Readonly<Record<string, string>>;
}) {
  const { stdout } = await promisify(execFile)('claude', ['--version'], { env: options.env });
  const processors = cpus();
  return {
    cores: processors.length,
    processor: processors[0]?.model.trim() ?? 'unknown',
    memoryGb: Math.round(totalmem() / 1e9),
    system: `${type()} ${release()} ${arch()}`,
    node: process.versions.node,
    redis: options.redisVersion,
    claude: stdout.trim(),
    /** Above the number of cores: somebody else is at work, and the figures are worth little. */
    loadBefore: loadavg()[0] ?? 0,
    /** Every acknowledged job waits for some of these. */
    fdatasyncMs: fdatasyncMs(options.dataDir),
  };
}
export type MachineFacts = Awaited<ReturnType<typeof machineFacts>>;

/** Median of small appends that are brought to the disk one by one. */
function fdatasyncMs(dir: string): number {
  const file = openSync(join(dir, 'fdatasync.probe'), 'a');
  try {
    const times = Array.from({ length: APPENDS }, () => {
      const startedAt = performance.now();
      writeSync(file, 'some hundred bytes, as a small record has them '.repeat(3));
      fdatasyncSync(file);
      return performance.now() - startedAt;
    });
    return median(times);
  } finally {
    closeSync(file);
  }
}
