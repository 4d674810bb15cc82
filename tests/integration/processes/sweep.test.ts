import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { describe, expect, it, onTestFinished } from 'vitest';
import { createCgroups } from '../../../src/processes/cgroups.ts';
import { MARKER_VARIABLE, readMarked, readStat } from '../../../src/processes/proc-entry.ts';
import { createProcScanner, type ProcScanner } from '../../../src/processes/proc-scanner.ts';
import { findMarked, supportsSweep, sweep } from '../../../src/processes/sweep.ts';
import { type TerminateTarget, terminate } from '../../../src/processes/terminate.ts';
import { eventually } from '../../helpers/eventually.ts';
import { isAlive } from '../../helpers/proc.ts';
import { bench } from './harness.ts';

const SLEEP = 'exec sleep 1000';

/** A process in its own group, started by the test itself. It is killed after the test. */
async function stranger(env: Record<string, string> = {}): Promise<number> {
  const child = spawn('/bin/sleep', ['1000'], { detached: true, stdio: 'ignore', env });
  await once(child, 'spawn');
  const exited = once(child, 'exit');
  onTestFinished(async () => {
    child.kill('SIGKILL');
    await exited;
  });
  if (child.pid === undefined) throw new Error('a spawned process has no id');
  return child.pid;
}

describe.skipIf(!supportsSweep())('the sweep', () => {
  it('finds the processes of one execution, or of one node, and no others', async () => {
    const { sh, marker, scanner } = bench();
    const node = marker.slice(0, marker.indexOf('/') + 1);
    const one = await sh(SLEEP);
    const two = await sh(SLEEP, { marker: `${node}2` });
    const other = await sh(SLEEP, { marker: `other-${node}1` });
    const pids = async (wanted: string) => (await findMarked(wanted, scanner)).map(({ pid }) => pid).sort();

    expect(await pids(marker)).toEqual([one.process.pid]);
    expect(await pids(node)).toEqual([one.process.pid, two.process.pid].sort());

    const { killed, survivors } = await sweep(node, { scanner });
    expect([...killed].sort()).toEqual([one.process.pid, two.process.pid].sort());
    expect(survivors).toEqual([]);
    expect(isAlive(other.process.pid)).toBe(true);
    expect((await sweep(`other-${node}1`, { scanner })).killed).toEqual([other.process.pid]);
  });

  it('reads an environment that is larger than its buffer', async () => {
    const { sh, marker, scanner } = bench();
    const env = Object.fromEntries(Array.from({ length: 4 }, (_, i) => [`LARGE_${i}`, 'x'.repeat(100_000)]));
    const { process: shell } = await sh(SLEEP, { env });
    expect((await sweep(marker, { scanner })).killed).toEqual([shell.pid]);
  });

  it('is not misled by the marker inside another variable', async () => {
    const { marker, scanner } = bench();
    await stranger({ NOTE: `see BULLPEN_EXECUTION_ID=${marker}`, OLD_BULLPEN_EXECUTION_ID: marker });
    expect(await findMarked(marker, scanner)).toEqual([]);
  });

  it('does not miss a process in the middle of execve', async () => {
    const { dir, sh, marker, scanner } = bench();
    writeFileSync(`${dir}/again`, `#!/bin/sh\nexec ${dir}/again\n`, { mode: 0o755 });
    const { process: shell } = await sh(`exec ${dir}/again`);
    const missed: number[] = [];
    for (let look = 1; look <= 100; look += 1) {
      const seen = await findMarked(marker, scanner);
      if (!seen.some(({ pid }) => pid === shell.pid)) missed.push(look);
    }
    expect(missed).toEqual([]);
    expect(await sweep(marker, { scanner })).toEqual({ killed: [shell.pid], survivors: [] });
  });

  it('counts no zombie', async () => {
    const { sh, scanner, marker } = bench();
    // The parent of the inner sleep becomes a sleep too, which never reaps.
    const { process: shell, lines } = await sh('setsid sleep 1000 & echo $!; exec sleep 1000');
    const inner = Number((await eventually(() => lines[0] ?? null)).line);
    await eventually(() => readStat(inner)?.sessionId === inner);
    process.kill(inner, 'SIGKILL');
    await eventually(() => readStat(inner)?.state === 'Z');

    expect((await findMarked(marker, scanner)).map(({ pid }) => pid)).toEqual([shell.pid]);
    await terminate(shell, { graceMs: 5000, scanner });
  });

  it('reports the survivors of its last attempt', async () => {
    const { marker } = bench();
    const { scanner, pid } = await staleScanner(marker);
    expect(await sweep(marker, { scanner })).toEqual({ killed: [], survivors: [pid] });
  });

  it('shares one scan among all calls during a scan', async () => {
    const { scanner } = bench();
    const first = scanner.scan();
    const second = scanner.scan();
    expect(second).not.toBe(first);
    expect(scanner.scan()).toBe(second);
    await second;
    expect(scanner.scan()).not.toBe(second);
  });

  it('sees a process that was started before the call, even during a scan', async () => {
    const { sh, marker, scanner } = bench();
    void scanner.scan();
    const { process: shell } = await sh(SLEEP);
    expect((await findMarked(marker, scanner)).map(({ pid }) => pid)).toEqual([shell.pid]);
    await sweep(marker, { scanner });
  });
});

describe.skipIf(!supportsSweep())('a process without a marker', () => {
  /** A stranger that gets the marker by execve when asked, and a scanner with the test's clock. */
  async function lateComer() {
    const { marker } = bench();
    const script = 'read marker; BULLPEN_EXECUTION_ID=$marker exec sleep 1000';
    const child = spawn('/bin/sh', ['-c', script], { stdio: ['pipe', 'ignore', 'ignore'], env: { A: 'b' } });
    const exited = once(child, 'exit');
    onTestFinished(async () => {
      child.kill('SIGKILL');
      await exited;
    });
    let clock = 0;
    const scanner = createProcScanner(createCgroups(null), () => clock);
    const found = async () => (await findMarked(marker, scanner)).some(({ pid }) => pid === child.pid);
    return {
      async scanAt(ms: number) {
        clock = ms;
        return found();
      },
      async marks() {
        child.stdin.end(`${marker}\n`);
        await eventually(() => readMarked(child.pid ?? 0)?.marker === marker);
      },
    };
  }

  it('is read by each scan of its first five seconds', async () => {
    const { scanAt, marks } = await lateComer();
    for (let ms = 0; ms < 5000; ms += 500) expect(await scanAt(ms)).toBe(false);
    await marks();
    expect(await scanAt(4999)).toBe(true);
  });

  it('is read again after that once a second has passed without a scan', async () => {
    const { scanAt, marks } = await lateComer();
    for (let ms = 0; ms <= 5000; ms += 500) expect(await scanAt(ms)).toBe(false);
    await marks();
    expect(await scanAt(5500)).toBe(false); // its pid is the one of a process that never gets a marker
    expect(await scanAt(6500)).toBe(true);
  });
});

/** A scanner that reports a stranger with our marker, as if its pid was reused since the scan. */
async function staleScanner(marker: string): Promise<{ scanner: ProcScanner; pid: number }> {
  const pid = await stranger({ BULLPEN_EXECUTION_ID: 'someone-else/1' });
  const real = await eventually(() => readMarked(pid));
  const scan = async () => [{ ...real, marker }];
  return { scanner: { scan }, pid };
}

describe.skipIf(!supportsSweep())('a pid that was reused (C31)', () => {
  it('is not killed by the sweep when another process has it now', async () => {
    const { marker } = bench();
    const { scanner, pid } = await staleScanner(marker);
    await sweep(marker, { scanner });
    expect(isAlive(pid)).toBe(true);

    const real = readMarked(pid);
    const olderScan: ProcScanner = {
      scan: async () => (real ? [{ ...real, startTicks: real.startTicks - 1 }] : []),
    };
    expect((await sweep('someone-else/1', { scanner: olderScan })).killed).toEqual([]);
    expect(isAlive(pid)).toBe(true);
  });

  it('is not signalled as a group after the exit of our process', async () => {
    const { marker, scanner } = bench();
    const pid = await stranger();
    const startTicks = (await eventually(() => readStat(pid))).startTicks;
    // Our leader had the same pid and was reaped before the stranger started.
    const reaped: TerminateTarget = {
      pid,
      marker,
      exited: Promise.resolve({ code: 0, signal: null }),
      exitedAtUptimeS: (startTicks - 1) / 100,
      signalGroup: () => false,
    };
    expect(await terminate(reaped, { graceMs: 0, scanner })).toEqual({
      forced: false,
      killed: [],
      survivors: [],
    });
    expect(isAlive(pid)).toBe(true);
  });
});

describe.skipIf(!supportsSweep())('a server without a free descriptor', () => {
  it('does not take a process that it cannot read for one without a marker', () => {
    const program = `
      import { openSync } from 'node:fs';
      import { inspect } from '${new URL('../../../src/processes/proc-entry.ts', import.meta.url)}';
      const inspected = () => inspect(process.pid).marker;
      const seen = [inspected()];
      try {
        for (;;) openSync('/dev/null', 'r');
      } catch {}
      try {
        seen.push(inspected());
      } catch (error) {
        seen.push(error.code);
      }
      console.log(seen.join());`;
    const node = [process.execPath, '--no-warnings', '--input-type=module', '-e', program];
    const env = { [MARKER_VARIABLE]: 'short/1' };
    const seen = execFileSync('sh', ['-c', 'ulimit -n 64; exec "$@"', 'sh', ...node], {
      env,
      encoding: 'utf8',
    });
    expect(seen.trim()).toBe('short/1,EMFILE');
  });
});
