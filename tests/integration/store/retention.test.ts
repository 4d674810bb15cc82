import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { eventually } from '../../helpers/eventually.ts';
import { startServer } from '../../helpers/server.ts';
import { tempDir } from '../../helpers/temp.ts';
import { aFinishedJob, project, testStore } from './test-store.ts';

const JOBS = 40;
const EVENTS = 50;
const DAY_MS = 86_400_000;
const ago = (days: number): string => new Date(Date.now() - days * DAY_MS).toISOString();

it('a server removes all that is too old, more than fits one slice, and nothing else', async () => {
  const dir = tempDir();
  const file = join(dir, 'data', 'ledger.db');
  mkdirSync(join(dir, 'data'), { mode: 0o700 });
  const made = await testStore(file);
  const old = Array.from({ length: JOBS }, () => aFinishedJob(ago(31)));
  const [bare, kept] = [aFinishedJob(ago(8)), aFinishedJob(ago(6))];
  await project(made, ...old, bare, kept);
  for (const { id, createdAt: at } of [...old, bare, kept]) {
    const event = (_: unknown, seq: number) => ({
      ...{ jobId: id, seq: seq + 1, attempt: 1, at, raw: null, kind: 'text' as const, text: 'x' },
    });
    await made.run('events.append', { jobId: id, events: Array.from({ length: EVENTS }, event) });
  }
  await made.close();

  const server = await startServer({ dir, env: { BULLPEN_SWEEP_MS: '50', BULLPEN_WORKERS: '1' } });
  await eventually(async () => {
    const { data } = (await (await server.api('GET', '/v1/jobs?limit=100')).json()) as {
      data: { id: string }[];
    };
    expect(data.map(({ id }) => id)).toEqual([kept.id, bare.id]);
  });
  await server.stop();
  const left = await testStore(file);
  const events = async (jobId: string) =>
    (await left.run('events.read', { jobId, after: 0, limit: 1000 })).length;
  expect(await Promise.all([...old, bare, kept].map(({ id }) => events(id)))).toEqual([
    ...old.map(() => 0),
    0,
    EVENTS,
  ]);
});
