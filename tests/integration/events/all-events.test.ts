import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { createClient } from '../../../src/client/client.ts';
import type { Change, JobChange } from '../../../src/protocol/change.ts';
import { eventually } from '../../helpers/eventually.ts';
import { startServer, type TestServer } from '../../helpers/server.ts';
import { shared } from '../../helpers/shared.ts';
import { tempDir } from '../../helpers/temp.ts';
import { accepted, breakableRedis, fakeClis } from '../fault-bench.ts';

const PATIENCE = { timeoutMs: 40_000 };

/** Follows the changes of a server from the start, or from a cursor. */
function follow({ url, token }: TestServer, after = '0') {
  const leaving = new AbortController();
  onTestFinished(() => leaving.abort());
  const taken: Change[] = [];
  const ended = (async () => {
    const { signal } = leaving;
    const client = createClient({ url, token, resumeDelaysMs: [] });
    for await (const change of client.changes({ after, signal })) taken.push(change);
  })();
  ended.catch(() => undefined); // looked at where it is expected
  const changes = () => taken.filter((one): one is JobChange => 'rev' in one);
  return {
    taken,
    ended,
    leave: () => leaving.abort(),
    changes,
    hasEnded: (ids: readonly string[]) =>
      ids.every((id) => changes().some(({ jobId, kind }) => jobId === id && kind === 'job.finished')),
  };
}

/** Two servers of one Redis. The first test kills `a`. */
const pair = shared(async () => {
  const redis = await breakableRedis();
  const clis = await fakeClis();
  const workspace = join(tempDir(), 'work');
  mkdirSync(workspace);
  const start = () =>
    startServer({
      config: clis.config,
      env: { REDIS_URL: redis.url, BULLPEN_CWD: workspace, BULLPEN_PROVIDER: 'echo' },
    });
  const [a, b] = await Promise.all([start(), start()]);
  return { redis, a, b };
});

/** Each change of a job once, whatever reader has it. */
const distinct = (changes: readonly JobChange[]): string[] =>
  [...new Set(changes.map(({ cursor, jobId, rev, status }) => `${cursor} ${jobId} ${rev} ${status}`))].sort();

it('a reader whose server dies goes on at another one with its cursor, and misses nothing', async () => {
  const { a, b } = await pair();
  const all = follow(b); // stays
  const first = follow(a);
  const ids: string[] = [];
  for (let at = 0; at < 10; at += 1) ids.push(await accepted(a, { prompt: `before ${at}` }));
  // Two readers leave in the middle: one by itself, the other because its server is killed.
  const early = follow(a);
  await eventually(() => early.changes().length >= 3, PATIENCE);
  early.leave();
  await eventually(() => first.hasEnded(ids), PATIENCE);
  await a.kill('SIGKILL');
  await expect(first.ended).rejects.toThrow();
  for (let at = 0; at < 10; at += 1) ids.push(await accepted(b, { prompt: `after ${at}` }));

  const resumed = [first, early].map((reader) => ({ reader, rest: follow(b, reader.taken.at(-1)?.cursor) }));
  await eventually(() => all.hasEnded(ids), PATIENCE);
  const last = all.changes().at(-1)?.cursor;
  for (const { reader, rest } of resumed) {
    await eventually(() => rest.changes().at(-1)?.cursor === last, PATIENCE);
    const both = [...reader.changes(), ...rest.changes()];
    expect(distinct(both)).toEqual(distinct(all.changes()));
    expect(both).toHaveLength(all.changes().length); // the cursor is exact: nothing came twice
  }
  for (const id of ids) {
    const own = all.changes().filter(({ jobId }) => jobId === id);
    expect(own[0]).toMatchObject({ kind: 'job.created', rev: 1 });
    expect(own.map(({ rev }) => rev)).toEqual(own.map((_, index) => index + 1));
    expect(own.map(({ status }) => status)).toContain('running');
  }
});

it('a reader learns that Redis lost the log, and begins again', async () => {
  const { redis, b: server } = await pair();
  const reader = follow(server);
  const { id: one } = await server.run({ prompt: 'one' });
  await eventually(() => reader.hasEnded([one]), PATIENCE);
  expect(await redis.admin.del('{bullpen}:log', '{bullpen}:log:id')).toBe(2);
  // The open stream ends; the cursor is refused.
  await expect(reader.ended).rejects.toThrow();
  const cursor = reader.taken.at(-1)?.cursor ?? '';
  const answer = await server.api('GET', `/v1/events?after=${cursor}`);
  expect([answer.status, await answer.json()]).toMatchObject([410, { code: 'events.expired' }]);
  const again = follow(server);
  const { id } = await server.run({ prompt: 'two' });
  await eventually(() => again.hasEnded([id]), PATIENCE);
});
