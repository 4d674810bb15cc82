import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { supportsSweep, sweep } from '../../../src/processes/sweep.ts';
import { compileCacheVariable } from '../../../src/sibling-module.ts';
import { eventually } from '../../helpers/eventually.ts';
import { commandLine, descendants, isAlive, processesWithMarker } from '../../helpers/proc.ts';
import { bench } from './harness.ts';

const PROGRAM = fileURLToPath(new URL('./program.ts', import.meta.url));

/** Runs `program.ts`. `said` is its first line. */
async function startServer(args: string, limits = '') {
  const { sh, marker, scanner } = bench();
  const script = `${limits} exec '${process.execPath}' --no-warnings '${PROGRAM}' ${args}`;
  // The server itself has another marker than its processes.
  const server = await sh(script.replace('MARKER', marker), {
    ...{ marker: `server-${marker}`, env: compileCacheVariable() },
  });
  const said = (await eventually(() => server.lines[0] ?? null, { timeoutMs: 20_000 })).line;
  return { server: server.process, said, marker, scanner };
}

describe.skipIf(!supportsSweep())('a server that is killed', () => {
  it.each(['parent', 'terminal'])('takes all processes of its launcher with it (%s)', async (mode) => {
    const { server, said, marker } = await startServer(`${mode} MARKER`);
    await eventually(() => processesWithMarker(`=${marker}`).length >= 2);
    expect(isAlive(Number(said))).toBe(true);
    server.signalGroup('SIGKILL');
    await eventually(() => !isAlive(Number(said)));
    await server.ended;
    await eventually(() => processesWithMarker(`=${marker}`).length === 0);
  });

  it('together with its launcher leaves processes that the next server finds by their marker', async () => {
    const { server, said, marker, scanner } = await startServer('parent MARKER');
    await eventually(() => processesWithMarker(`=${marker}`).length >= 2);
    const left = processesWithMarker(`=${marker}`);
    const launcher = descendants(server.pid).find((pid) => commandLine(pid)?.includes('launcher-process'));
    if (launcher === undefined) throw new Error('the server has no launcher');
    process.kill(launcher, 'SIGSTOP'); // or it would kill them
    server.signalGroup('SIGKILL');
    await server.ended;
    process.kill(launcher, 'SIGKILL');
    expect(left.every(isAlive)).toBe(true);
    const node = marker.slice(0, marker.indexOf('/') + 1);
    const { killed, survivors } = await sweep(node, { scanner });
    expect({ killed: [...killed].sort(), survivors }).toEqual({ killed: [...left].sort(), survivors: [] });
    await eventually(() => !isAlive(Number(said)));
  });
});

describe('a server without free file descriptors', () => {
  it('gets an error for the spawn and keeps running (C23)', async () => {
    const { server, said } = await startServer('exhaust-files MARKER', 'ulimit -n 64;');
    expect(said).toBe('execution.resource_limit');
    expect(await server.ended).toMatchObject({ code: 0 });
  }, 30_000);
});
