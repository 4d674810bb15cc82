/** Describes the machine that the figures belong to. */
import { execFile } from 'node:child_process';
import { closeSync, fdatasyncSync, openSync, writeSync } from 'node:fs';
import { arch, cpus, loadavg, release, totalmem, type } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { MachineFacts } from './results.ts';
import { median } from './statistics.ts';

const APPENDS = 100;

export async function machineFacts(options: {
  readonly redisVersion: string;
  /** Absolute path of the claude CLI. */
  readonly claude: string;
  readonly dataDir: string;
  readonly env: Readonly<Record<string, string>>;
}): Promise<MachineFacts> {
  const { stdout } = await promisify(execFile)(options.claude, ['--version'], { env: options.env });
  const processors = cpus();
  return {
    cores: processors.length,
    processor: processors[0]?.model.trim() ?? 'unknown',
    memoryGb: Math.round(totalmem() / 1e9),
    system: `${type()} ${release()} ${arch()}`,
    node: process.versions.node,
    redis: options.redisVersion,
    claude: stdout.trim(),
    loadBefore: loadavg()[0] ?? 0,
    fdatasyncMs: fdatasyncMs(options.dataDir),
  };
}

/** Median of small appends, each synced to the disk. */
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
