import { execFile } from 'node:child_process';
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';
import { eventually } from '../../helpers/eventually.ts';
import { startExecutor } from '../../helpers/executor-program.ts';
import { mayMount, startServer } from '../../helpers/server.ts';
import { tempDir } from '../../helpers/temp.ts';
import { accepted, expectOneExecution, fakeClis, isReady, post } from '../fault-bench.ts';
import { submission } from '../remote/submissions.ts';

const SCRIPT = fileURLToPath(new URL('./fill-disk.ts', import.meta.url));

const PATIENCE = { timeoutMs: 40_000 };
const canMount = mayMount();

it.skipIf(!canMount)(
  'a full disk fails what does not fit, keeps what was committed, and passes',
  async () => {
    const dir = tempDir();
    const command = `mount -t tmpfs -o size=2m tmpfs "$1" && exec "$2" "$3" "$1"`;
    const args = ['-Urm', 'sh', '-c', command, 'sh', dir, process.execPath, SCRIPT];
    const { stdout } = await promisify(execFile)('unshare', args);
    expect(JSON.parse(stdout)).toEqual({
      before: 'ok',
      whileFull: ['store.unavailable', 'store.unavailable'],
      reads: 'ok',
      after: ['ok', 'ok'],
      kept: ['after-1', 'after-2', 'before'],
    });
  },
);

it.skipIf(!canMount)(
  'a server whose disk was full recovers by itself, and a run that ended in between keeps its outcome',
  async () => {
    const clis = await fakeClis();
    const server = await startServer({ config: clis.config, disk: '24m' });
    const id = await accepted(server, { prompt: clis.held('gate', 'ended while it was full') });
    const later = await accepted(server, { provider: 'echo', prompt: 'later', delayMs: 1000 });
    await eventually(() => clis.prompted() === 1, PATIENCE);
    const filler = join(server.home, 'filler');
    const fill = (): void => {
      for (let size = 1024 * 1024; size >= 512; size /= 2) grow(filler, size);
    };

    fill();
    clis.open('gate');
    await eventually(async () => {
      fill(); // also what the fall of Redis has freed
      const { checks } = (await (await server.api('GET', '/ready')).json()) as Readiness;
      expect(checks['redis']?.detail).toContain('no space left');
      expect(checks['executor']?.detail).toContain('disk is full');
    }, PATIENCE);
    expect(await post(server, '/v1/jobs', { prompt: 'x' })).toMatchObject({ status: 503 });
    rmSync(filler);

    await eventually(() => isReady(server), PATIENCE);
    const job = await server.finished(id);
    expect(job).toMatchObject({ status: 'succeeded', outcome: { text: 'ended while it was full' } });
    await expectOneExecution(server, clis, job);
    expect(await server.finished(later)).toMatchObject({ status: 'succeeded', attempts: 1 });
  },
);

it.skipIf(!canMount)(
  'an executor whose disk was full says so, takes nothing meanwhile, and loses nothing',
  async () => {
    const executor = await startExecutor({ disk: '6m' });
    const health = async () => (await fetch(`${executor.url}/health`)).json();
    const filler = `/proc/${executor.pid}/root${join(executor.dir, 'data', 'filler')}`;
    await executor.client.known();
    await eventually(async () => {
      for (let size = 1024 * 1024; size >= 512; size /= 2) grow(filler, size);
      await expect(executor.client.known()).rejects.toMatchObject({ code: 'store.unavailable' });
    }, PATIENCE);
    expect(await health()).toMatchObject({
      status: 'unhealthy',
      problem: expect.stringContaining('disk is full'),
    });
    rmSync(filler);

    const asked = submission(executor);
    await eventually(async () => (await executor.client.submit(asked)).execution.id === asked.id, PATIENCE);
    expect(await health()).toMatchObject({ status: 'healthy', problem: null });
    await eventually(() => executor.journal().some((entry) => entry.event === 'start'), PATIENCE);
  },
);

interface Readiness {
  readonly checks: Readonly<Record<string, { readonly detail: string | null }>>;
}

function grow(file: string, bytes: number): void {
  try {
    for (;;) writeFileSync(file, Buffer.alloc(bytes), { flag: 'a' });
  } catch {
    // Full at this size.
  }
}
