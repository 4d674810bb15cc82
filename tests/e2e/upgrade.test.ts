/** A server that finds the data of the version before: docs/operations.md, "Upgrade". */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { Redis } from 'ioredis';
import { describe, expect, it } from 'vitest';
import type { Job, JobListItem } from '../../src/protocol/job.ts';
import { REDIS_USER } from '../../src/redis/private/users.ts';
import { eventually } from '../helpers/eventually.ts';
import { installFakeCli, journalOf } from '../helpers/fake-cli.ts';
import { startServer } from '../helpers/server.ts';
import { sharedFromStart } from '../helpers/shared.ts';
import { tempDir } from '../helpers/temp.ts';
import { expectEndedOnce, PATIENCE } from './fake-system.ts';

const FIXTURE = new URL('../fixtures/upgrade/', import.meta.url);
const fixture = (name: string): Buffer => readFileSync(new URL(name, FIXTURE));
/** Ids of the fixture's jobs by their names. */
const IDS: Readonly<Record<string, string>> = JSON.parse(fixture('jobs.json').toString());

/** What every job had as its folder. */
const CWD = '/usr/share';
/** Longer than the fixture is old. */
const AGES = String(3660 * 24 * 3_600_000);

/** Jobs that had not run, and what they answer. */
const WAITED = {
  'of the session': 'fake: the third turn',
  'of the lane 1': 'fake: lane 1',
  'of the lane 2': 'fake: lane 2',
  scheduled: 'fake: soon',
  'given to a worker': 'fake: given 1',
  urgent: 'fake: urgent',
  'queued 1': 'fake: queued 1',
  'queued 2': 'fake: queued 2',
  'queued 3': 'fake: queued 3',
  'of another provider': 'echoed',
  'of a batch 1': 'fake: batch 1',
  'of a batch 2': 'fake: batch 2',
  'a raw request': 'fake: raw',
};

describe('a server that finds the jobs of the version before', () => {
  const upgraded = sharedFromStart(async () => {
    const dir = tempDir();
    const data = join(dir, 'data');
    const redis = join(data, 'redis', 'data');
    for (const folder of [data, join(data, 'redis'), redis])
      mkdirSync(folder, { recursive: true, mode: 0o700 });
    writeFileSync(join(redis, 'appendonly.aof'), gunzipSync(fixture('appendonly.aof.gz')));
    writeFileSync(join(data, 'ledger.db'), gunzipSync(fixture('ledger.db.gz')), { mode: 0o600 });
    writeFileSync(join(data, 'node-id'), fixture('node-id'));
    const journal = join(dir, 'journal.jsonl');
    const binary = await installFakeCli(join(dir, 'bin'), { FAKE_JOURNAL: journal });
    const server = await startServer({
      dir,
      config: { providers: { claude: { binary }, custom: { echo: { binary: 'cat' } } } },
      env: {
        BULLPEN_CWD: CWD,
        BULLPEN_ROOTS: CWD,
        BULLPEN_CONCURRENCY: '1', // one after the other, for their order is compared
        BULLPEN_RETRY_BACKOFF_MS: '50',
        BULLPEN_KEEP_JOBS_MS: AGES,
        BULLPEN_KEEP_EVENTS_MS: AGES,
      },
    });
    return {
      server,
      prompts: () => journalOf(journal, 'prompt').map(({ firstLine }) => firstLine),
      async redisKeys() {
        const password = readFileSync(join(data, 'redis', 'password'), 'utf8').trim();
        const redis = new Redis({ port: server.redisPort ?? 0, username: REDIS_USER, password });
        return redis.keys('{bullpen}:*').finally(() => redis.disconnect());
      },
    };
  });

  const idOf = (name: string): string => IDS[name] ?? expect.unreachable(name);
  const ended = async (name: string): Promise<Job> => {
    const job = await upgraded().server.finished(idOf(name));
    await expectEndedOnce(upgraded().server, job);
    return job;
  };

  it.each<[string, object]>([
    ['ended', { status: 'succeeded', outcome: { text: 'fake: the first turn' } }],
    ['failed', { status: 'failed', outcome: { error: { code: 'execution.crashed' } } }],
    ['cancelled', { status: 'cancelled', attempts: 0 }],
  ])('still has the one that had %s', async (name, expected) => {
    expect(await ended(name)).toMatchObject(expected);
  });

  it('ends what was running as lost, and tries it again where retries were asked for', async () => {
    const lost = {
      status: 'failed',
      attempts: 1,
      outcome: { text: 'half', error: { code: 'execution.lost' } },
    };
    expect(await ended('running')).toMatchObject(lost);
    const retried = { status: 'succeeded', attempts: 2, outcome: { error: null } };
    expect(await ended('running, with retries')).toMatchObject(retried);
  });

  it.each(Object.entries(WAITED))('runs %s once', async (name, text) => {
    expect(await ended(name)).toMatchObject({ status: 'succeeded', attempts: 1, outcome: { text } });
  });

  it('keeps the time of a scheduled one, which can be cancelled', async () => {
    const { server } = upgraded();
    const id = idOf('scheduled for long');
    expect(await server.job(id)).toMatchObject({
      status: 'scheduled',
      scheduledFor: '2037-01-01T00:00:00.000Z',
    });
    expect((await server.api('POST', `/v1/jobs/${id}/cancel`)).ok).toBe(true);
    expect(await ended('scheduled for long')).toMatchObject({ status: 'cancelled', attempts: 0 });
  });

  it('has no other job, gave each prompt to a CLI once, and kept the order of lanes and priorities', async () => {
    const { server, prompts, redisKeys } = upgraded();
    const list = await server.api('GET', '/v1/jobs?limit=100');
    const { data } = (await list.json()) as { data: JobListItem[] }; // as documented
    expect(data.map(({ id }) => id).toSorted()).toEqual(Object.values(IDS).toSorted());

    const answered = Object.values(WAITED).flatMap((text) => text.split('fake: ').slice(1));
    const seen = prompts();
    const [continued = ''] = seen.filter((prompt) => prompt.startsWith('Continue where you left off'));
    expect(seen.toSorted()).toEqual([...answered, continued].toSorted());
    const inOrder = (...expected: string[]) =>
      expect(seen.filter((prompt) => expected.includes(prompt))).toEqual(expected);
    inOrder(continued, 'lane 1', 'lane 2');
    inOrder('urgent', 'given 1', 'queued 1', 'queued 2', 'queued 3');

    const keys = await redisKeys();
    expect(
      keys.filter((key) => /:(pending.*|awaiting|providers|ready.*|parked|due|given.*|running)$/.test(key)),
    ).toEqual([]);
    await eventually(async () => {
      const health = await server.api('GET', '/claude-cli/health');
      expect(await health.json()).toMatchObject({ status: 'healthy', running: 0, pendingRequests: 0 });
    }, PATIENCE);
  });
});
