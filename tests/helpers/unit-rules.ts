/**
 * What the project `unit` refuses: processes, threads, SQLite, waiting for the disk, Redis. A test
 * that needs one of them belongs into tests/integration.
 */
import processes from 'node:child_process';
import fs from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import sqlite from 'node:sqlite';
import threads from 'node:worker_threads';
import { Redis } from 'ioredis';
import { afterEach } from 'vitest';

const refusals: string[] = [];

function refuse(owner: object, names: readonly string[]): void {
  for (const name of names) {
    const refused = function refused(): never {
      refusals.push(name);
      throw new Error(`a unit test may not use ${name}: move it to tests/integration`);
    };
    Object.defineProperty(owner, name, { value: refused, configurable: true, writable: true });
  }
}

const file = await fs.promises.open(import.meta.filename);
refuse(Object.getPrototypeOf(file), ['sync', 'datasync']);
await file.close();
refuse(fs, ['fsync', 'fsyncSync', 'fdatasync', 'fdatasyncSync']);
const STARTS = ['exec', 'execFile', 'execFileSync', 'execSync', 'fork', 'spawn', 'spawnSync'];
refuse(processes, STARTS);
refuse(threads, ['Worker']);
refuse(sqlite, ['DatabaseSync']);
refuse(Redis.prototype, ['connect']);
syncBuiltinESMExports();

// Code under test may have caught the error.
afterEach(() => {
  const names = refusals.splice(0).join(', ');
  if (names !== '') throw new Error(`a unit test used ${names}: move it to tests/integration`);
});
