import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it, onTestFinished } from 'vitest';
import { readStat } from '../../src/processes/proc-entry.ts';
import { eventually } from '../helpers/eventually.ts';
import { commandLine, descendants, isAlive } from '../helpers/proc.ts';
import { CACHE_DIR } from '../helpers/redis-private.ts';
import { tempDir } from '../helpers/temp.ts';

const DEMO = fileURLToPath(new URL('../../scripts/demo.ts', import.meta.url));
const DEADLINE_MS = 90_000;

/**
 * Runs the demo as someone without an account and with nothing in their home, and sees every
 * process it starts.
 */
function startDemo(args: readonly string[] = []) {
  const dir = tempDir();
  const [home, tmp] = [join(dir, 'home'), join(dir, 'tmp')];
  for (const folder of [home, tmp]) mkdirSync(folder);
  const child = spawn(process.execPath, ['--no-warnings', DEMO, ...args], {
    cwd: dir,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: {
      PATH: process.env['PATH'],
      HOME: home,
      TMPDIR: tmp,
      // The Redis that the other tests use, too: fetching it is tested elsewhere.
      XDG_CACHE_HOME: dirname(CACHE_DIR),
      NODE_COMPILE_CACHE: process.env['NODE_COMPILE_CACHE'],
    },
  });
  onTestFinished(() => {
    child.kill('SIGKILL');
  });
  const pid = child.pid ?? 0;
  const seen = new Map<number, { startTicks: number; command: string }>();
  const chunks: { out: string[]; err: string[] } = { out: [], err: [] };
  child.stdout.on('data', (chunk: Buffer) => {
    chunks.out.push(chunk.toString());
    for (const found of descendants(pid)) {
      const startTicks = readStat(found)?.startTicks;
      if (startTicks !== undefined) seen.set(found, { startTicks, command: commandLine(found) ?? '' });
    }
  });
  child.stderr.on('data', (chunk: Buffer) => chunks.err.push(chunk.toString()));
  const closed = once(child, 'close', { signal: AbortSignal.timeout(DEADLINE_MS) });
  return {
    pid,
    tmp,
    out: () => chunks.out.join(''),
    err: () => chunks.err.join(''),
    code: async () => (await closed)[0] as number | null, // the event's first argument
    /** Command lines of what it started and had not ended when it exited. */
    left: () =>
      [...seen]
        .filter(([id, { startTicks }]) => isAlive(id) && readStat(id)?.startTicks === startTicks)
        .map(([, { command }]) => command),
    started: () => [...seen.values()].map(({ command }) => command),
  };
}

describe('npm run demo on a machine without an account', () => {
  it('shows one prompt from the request to the result, says that no model was asked, and leaves nothing', async () => {
    const demo = startDemo();
    expect({ code: await demo.code(), err: demo.err() }).toEqual({ code: 0, err: '' });
    const out = demo.out();
    expect(out).toContain('no API key and no login on this machine, so the bundled offline model answers');
    expect(out).toContain('tool Read {"file_path":');
    expect(out).toMatch(/│ hello\.txt says: “Greetings from a file in the workspace\.”/);
    expect(out).toMatch(/status +succeeded/);
    expect(out).toMatch(/result +hello\.txt says/);
    expect(out).toMatch(/cost +\$0\.\d{4} /);
    expect(out).toMatch(/duration +\d+\.\d\d s in the CLI/);
    expect(out).toContain("curl -sS 'http://127.0.0.1:3000/v1/jobs?wait=60'");
    expect(out, 'colours, and this is no terminal').not.toContain('\u001b');

    expect(demo.started().join('\n')).toMatch(/redis-server|valkey-server/);
    expect(demo.left()).toEqual([]);
    expect(readdirSync(demo.tmp).filter((name) => name.startsWith('bullpen-demo-'))).toEqual([]);
  });

  it('ends with a sentence and code 1 when the job fails', async () => {
    const demo = startDemo(['[[error: 400]]']);
    expect(await demo.code()).toBe(1);
    expect(demo.err()).toMatch(/The demo failed: the job failed with execution\.invalid_request: .+\n/);
    expect(demo.left()).toEqual([]);
  });

  it('stops everything when it is interrupted', async () => {
    const demo = startDemo(['[[hang]]']);
    await eventually(() => demo.out().includes('claude started, pid'), { timeoutMs: DEADLINE_MS });
    process.kill(demo.pid, 'SIGINT');
    expect(await demo.code()).toBe(130);
    expect(demo.err()).toContain('The demo failed: it was interrupted by SIGINT');
    expect(demo.started().length).toBeGreaterThan(1);
    expect(demo.left()).toEqual([]);
    expect(readdirSync(demo.tmp).filter((name) => name.startsWith('bullpen-demo-'))).toEqual([]);
  });
});
