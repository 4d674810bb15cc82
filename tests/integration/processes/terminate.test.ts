import { describe, expect, it } from 'vitest';
import { readStat } from '../../../src/processes/proc-entry.ts';
import { supportsSweep } from '../../../src/processes/sweep.ts';
import { terminate } from '../../../src/processes/terminate.ts';
import { eventually } from '../../helpers/eventually.ts';
import { fakePrompt, journalOf } from '../../helpers/fake-cli.ts';
import { isAlive } from '../../helpers/proc.ts';
import { bench } from './harness.ts';

const LONG_GRACE_MS = 30_000;
const ALL_SIGNALS = ['SIGTERM', 'SIGINT', 'SIGHUP'] as const;

/** Waits until the fake CLI has started `count` processes. Returns their pids. */
const grandchildren = (journal: string, count = 1) =>
  eventually(() => {
    const ids = journalOf(journal, 'spawned').map(({ child }) => child);
    return ids.length === count && ids;
  });

/** Waits until the fake CLI has read its prompt. */
const atWork = (journal: string) => eventually(() => journalOf(journal, 'prompt').length === 1);

describe.skipIf(!supportsSweep())('terminating a process', () => {
  it('sends SIGTERM and forces nothing when it obeys', async () => {
    const { fake, journal, scanner } = bench();
    const { process: cli } = await fake(fakePrompt([{ hang: true }]));
    await atWork(journal);
    const ending = await terminate(cli, { graceMs: LONG_GRACE_MS, scanner });
    expect(ending).toEqual({ forced: false, killed: [], survivors: [] });
    expect(await cli.ended).toEqual({ code: 143, signal: null, leakedPipe: false });
    expect(journalOf(journal, 'signal').map(({ signal }) => signal)).toEqual(['SIGTERM']);
  });

  it('kills one that ignores every signal, after the grace (C1)', async () => {
    const { fake, journal, scanner, dir } = bench();
    const steps = [{ ignore: ALL_SIGNALS }, { touch: `${dir}/ready` }, { hang: true }] as const;
    const { process: cli } = await fake(fakePrompt(steps));
    await atWork(journal);
    const ending = await terminate(cli, { graceMs: 200, scanner });
    expect(ending).toMatchObject({ forced: true, survivors: [] });
    expect(await cli.ended).toEqual({ code: null, signal: 'SIGKILL', leakedPipe: false });
    expect(journalOf(journal, 'end')).toEqual([]);
  });

  it('ends the grace at once when it is forced', async () => {
    const { fake, journal, scanner } = bench();
    const { process: cli } = await fake(fakePrompt([{ ignore: ['SIGTERM'] }, { hang: true }]));
    await atWork(journal);
    const force = new AbortController();
    const ending = terminate(cli, { graceMs: LONG_GRACE_MS, force: force.signal, scanner });
    await eventually(() => journalOf(journal, 'signal').length === 1);
    force.abort();
    expect(await ending).toMatchObject({ forced: true });
    // A second call finds nothing to do and does not wait for its grace.
    const again = await terminate(cli, { graceMs: LONG_GRACE_MS, force: force.signal, scanner });
    expect(again).toEqual({ forced: false, killed: [], survivors: [] });
  });

  it('continues a stopped process, and kills it when it does not obey (C22)', async () => {
    for (const [ignore, end] of [
      [[], { code: 143, signal: null }],
      [ALL_SIGNALS, { code: null, signal: 'SIGKILL' }],
    ] as const) {
      const { fake, scanner } = bench();
      const { process: cli } = await fake(fakePrompt([{ ignore }, { stop: true }, { hang: true }]));
      await eventually(() => readStat(cli.pid)?.state === 'T');
      await terminate(cli, { graceMs: ignore.length === 0 ? LONG_GRACE_MS : 100, scanner });
      expect(await cli.exited).toEqual(end);
    }
  });

  it('kills a process that holds the pipe of an exited one (C2)', async () => {
    const { fake, journal, scanner } = bench();
    const { process: cli, lines } = await fake(fakePrompt([{ spawn: { holdPipe: true } }]), { drainMs: 50 });
    expect(await cli.ended).toEqual({ code: 0, signal: null, leakedPipe: true });
    expect(lines.at(-1)?.line).toContain('"type":"result"');
    const [child] = await grandchildren(journal);
    expect(await terminate(cli, { graceMs: LONG_GRACE_MS, scanner })).toEqual({
      forced: false,
      killed: [child],
      survivors: [],
    });
  });

  it('ends the wait for the pipe by killing the process that holds it', async () => {
    const { fake, scanner } = bench();
    const prompt = fakePrompt([{ spawn: { holdPipe: true, setsid: true } }]);
    const { process: cli } = await fake(prompt, { drainMs: LONG_GRACE_MS });
    await cli.exited;
    await terminate(cli, { graceMs: LONG_GRACE_MS, scanner });
    expect(await cli.ended).toEqual({ code: 0, signal: null, leakedPipe: false });
  });

  it('finds processes that left the group by setsid and a double fork (C3)', async () => {
    const { fake, journal, scanner } = bench();
    const steps = [
      { spawn: { setsid: true } },
      { spawn: { setsid: true, double: true, holdPipe: true } },
      { hang: true },
    ] as const;
    const { process: cli } = await fake(fakePrompt(steps));
    const children = await grandchildren(journal, 2);
    const ending = await terminate(cli, { graceMs: LONG_GRACE_MS, scanner });
    expect([...ending.killed].sort()).toEqual([...children].sort());
    await eventually(() => !children.some(isAlive));
    expect(await cli.ended).toMatchObject({ leakedPipe: false });
  });

  it('finds processes without marker in the group, even after the exit', async () => {
    const { fake, journal, scanner } = bench();
    const { process: cli } = await fake(fakePrompt([{ spawn: { cleanEnv: true } }]));
    await cli.ended;
    const children = await grandchildren(journal);
    expect(children.every(isAlive)).toBe(true);
    expect((await terminate(cli, { graceMs: LONG_GRACE_MS, scanner })).killed).toEqual(children);
    await eventually(() => !children.some(isAlive));
  });

  it('does not find a process without marker outside the group: the known limit (C3)', async () => {
    const { fake, journal, scanner } = bench();
    const { process: cli } = await fake(fakePrompt([{ spawn: { cleanEnv: true, setsid: true } }]));
    await cli.ended;
    const [escaped] = await grandchildren(journal);
    const ending = await terminate(cli, { graceMs: LONG_GRACE_MS, scanner });
    expect(ending).toEqual({ forced: false, killed: [], survivors: [] });
    expect(escaped !== undefined && isAlive(escaped)).toBe(true);
    if (escaped !== undefined) process.kill(escaped, 'SIGKILL');
  });
});
