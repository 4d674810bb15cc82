import { existsSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { createOutputFlow } from '../../../src/executor/watches.ts';
import { spawnProcess } from '../../../src/processes/spawn.ts';
import { terminate } from '../../../src/processes/terminate.ts';
import { eventually } from '../../helpers/eventually.ts';
import { fakePrompt } from '../../helpers/fake-cli.ts';
import { launch } from '../../helpers/launcher.ts';
import { bench, DEFAULTS } from './harness.ts';

const MEGABYTE = 1024 * 1024;
const rssGrowth = (since: number): number => process.memoryUsage().rss - since;

describe('the output of a process', () => {
  it('comes as lines in order, and all of it before the end', async () => {
    const { sh } = bench();
    const { process: shell, lines } = await sh(
      'i=0; while [ $i -lt 2000 ]; do echo $i; i=$((i+1)); done; printf last',
    );
    await shell.ended;
    expect(lines.map(({ line }) => line)).toEqual([...Array(2000).keys().map(String), 'last']);
  });

  it('is not lost when its reader comes after the end', async () => {
    const { dir, marker } = bench();
    const args = ['-c', 'echo one; echo err >&2; printf two'];
    const request = { ...DEFAULTS, binary: '/bin/sh', args, env: {}, cwd: dir, marker };
    const shell = await spawnProcess(request, launch);
    await shell.ended;
    const lines: string[] = [];
    let bytes = 0;
    shell.onOutput((count) => {
      bytes += count;
    });
    shell.onLine((line) => lines.push(line));
    expect(lines).toEqual(['one', 'two']);
    expect(bytes).toBe(11);
  });

  it('keeps the end of stderr and counts the bytes of both streams', async () => {
    const { fake } = bench();
    const steps = [
      { flood: { bytes: MEGABYTE, to: 'stderr', lines: true } },
      { stderr: 'the reason\n' },
    ] as const;
    const { process: cli, bytes } = await fake(fakePrompt(steps));
    await cli.ended;
    expect(cli.stderrTail().endsWith('the reason\n')).toBe(true);
    expect(Buffer.byteLength(cli.stderrTail())).toBeLessThanOrEqual(64 * 1024);
    expect(bytes()).toBeGreaterThan(MEGABYTE);
  });

  it('gets replacement characters where it is not UTF-8 (C7)', async () => {
    const { fake } = bench();
    const { process: cli, lines } = await fake(fakePrompt([{ badUtf8: true }]));
    await cli.ended;
    expect(lines.slice(1, 3).map(({ line }) => line)).toEqual(['\u{fffd}\u{fffd} \u{fffd}(', 'é']);
  });

  it('is cut in bounded memory when a line has 100 MB and no newline (C6)', async () => {
    const { fake } = bench();
    const rss = process.memoryUsage().rss;
    const {
      process: cli,
      lines,
      bytes,
    } = await fake(fakePrompt([{ flood: { bytes: 100 * MEGABYTE, to: 'stdout' } }, { line: '' }]));
    await cli.ended;
    const long = lines.filter(({ cut }) => cut !== null);
    expect(long.map(({ line }) => line.length)).toEqual([MEGABYTE]);
    expect(lines.at(-1)?.line).toContain('"type":"result"');
    expect(bytes()).toBeGreaterThan(100 * MEGABYTE);
    expect(rssGrowth(rss)).toBeLessThan(100 * MEGABYTE);
  });

  it('blocks the process while its reader lags, and continues afterwards (C4)', async () => {
    const { fake, sh, dir } = bench();
    const steps = [
      { touch: `${dir}/begun` },
      { flood: { bytes: 64 * MEGABYTE, to: 'stdout', lines: true } },
      { touch: `${dir}/flooded` },
    ] as const;
    const flooder = await fake(fakePrompt(steps));
    flooder.process.pauseOutput();
    await eventually(() => existsSync(`${dir}/begun`));
    // As long as it takes for a process to start and end, which is many times what the flood takes
    // unhindered.
    for (let i = 0; i < 20; i += 1) await (await sh('exit 0')).process.ended;
    expect(existsSync(`${dir}/flooded`)).toBe(false);
    expect(flooder.bytes()).toBeLessThan(MEGABYTE);

    flooder.process.resumeOutput();
    expect(await flooder.process.ended).toMatchObject({ code: 0, leakedPipe: false });
    expect(flooder.bytes()).toBeGreaterThan(64 * MEGABYTE);
  });

  it('of a paused reader still comes after the exit of the process', async () => {
    const { sh } = bench();
    const { process: shell, lines } = await sh('echo first; echo last');
    shell.pauseOutput();
    await shell.ended;
    expect(lines.map(({ line }) => line)).toEqual(['first', 'last']);
  });

  it.each(['stdout', 'stderr'] as const)('over the cap on %s ends the process (C4, C5)', async (to) => {
    const { fake, scanner } = bench();
    const rss = process.memoryUsage().rss;
    const flood = { flood: { bytes: 1024 * MEGABYTE, to, lines: true } };
    const { process: cli } = await fake(fakePrompt([flood]));
    const exceeded = new Promise<void>((resolve) => {
      const flow = createOutputFlow({
        child: cli,
        maxOutputBytes: 16 * MEGABYTE,
        maxEvents: 1e9,
        maxEventsPerSecond: 1e9,
        onExceeded: resolve,
      });
      cli.onOutput((count) => flow.sawBytes(count));
      cli.onLine(() => {});
    });
    await exceeded;
    const { survivors } = await terminate(cli, { graceMs: 5000, scanner });
    expect(survivors).toEqual([]);
    expect(await cli.ended).toMatchObject({ leakedPipe: false });
    expect(rssGrowth(rss)).toBeLessThan(100 * MEGABYTE);
  });
});
