/** Backup and restore by the commands of docs/operations.md. */
import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { eventually } from '../helpers/eventually.ts';
import { startServer } from '../helpers/server.ts';
import { tempDir } from '../helpers/temp.ts';
import { accepted, eventsOf, fakeClis } from './fault-bench.ts';

const SLOW = { timeout: 120_000 }; // two starts of a server
const PATIENCE = { timeoutMs: 40_000 };
const OPERATIONS = readFileSync(new URL('../../docs/operations.md', import.meta.url), 'utf8');
const COPY_LEDGER = /^node -e '.* backup\(.*"copy\.db"\)'$/m.exec(OPERATIONS)?.[0] ?? '';

it(
  'a copy of the ledger, made while the server runs, is enough to continue on another machine',
  SLOW,
  async () => {
    const clis = await fakeClis();
    const work = tempDir();
    const env = { BULLPEN_CWD: work, BULLPEN_CONCURRENCY: '1', BULLPEN_SWEEP_MS: '50' };
    const start = (dir: string) => startServer({ dir, config: clis.config, env });
    const first = await start(tempDir());
    const done = await first.run({ provider: 'echo', prompt: 'done', tags: ['kept'] });
    const running = await accepted(first, { prompt: clis.held('gate', 'half'), autoContinue: false });
    await eventually(() => clis.prompted() === 1, PATIENCE);
    const waiting = await accepted(first, { provider: 'echo', prompt: 'waited' });
    expect((await first.api('GET', '/v1/jobs')).status).toBe(200); // the copies are up to date
    const events = await eventsOf(first, done.id);

    execFileSync('sh', ['-c', COPY_LEDGER], { cwd: first.home });
    await first.kill('SIGKILL');
    const dir = tempDir();
    mkdirSync(join(dir, 'data'), { mode: 0o700 });
    cpSync(join(first.home, 'copy.db'), join(dir, 'data', 'ledger.db'));
    for (const name of ['token', 'node-id']) cpSync(join(first.home, name), join(dir, 'data', name));

    const second = await start(dir);
    expect(second.token).toBe(first.token);
    expect(await second.finished(waiting)).toMatchObject({
      status: 'succeeded',
      attempts: 1,
      outcome: { text: 'waited' },
    });
    expect(await second.finished(running)).toMatchObject({
      status: 'failed',
      outcome: { error: { code: 'execution.lost' } },
    });
    expect(await second.job(done.id)).toEqual(done);
    expect(await eventsOf(second, done.id)).toEqual(events);
    const list = await (await second.api('GET', '/v1/jobs?tag=kept')).json();
    expect(list).toMatchObject({ data: [{ id: done.id }] });
    expect(clis.spawns()).toHaveLength(3);
  },
);
