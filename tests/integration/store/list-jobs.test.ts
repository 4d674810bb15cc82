import { join } from 'node:path';
import { pino } from 'pino';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { JobQuery } from '../../../src/protocol/job.ts';
import type { JobCopy } from '../../../src/store/jobs.ts';
import { openStore, type Store } from '../../../src/store/store.ts';
import { makeTempDir, removeDir } from '../../helpers/temp.ts';
import { AT, aFinishedJob, aJob, anOutcome, aQuery, project, testStore } from './test-store.ts';

/** A store of this file: the tests that look for their own jobs among others share it. */
let shared: Store;
let dir: string;
beforeAll(async () => {
  dir = makeTempDir();
  shared = await openStore({ file: join(dir, 'ledger.db'), logger: pino({ enabled: false }) });
});
afterAll(async () => {
  await shared.close();
  removeDir(dir);
});

const idsOf = async (store: Store, query: Partial<JobQuery>, seenBy: string | null = null) =>
  (await store.run('jobs.list', { project: seenBy, query: aQuery(query) })).rows.map(({ id }) => id);

/** The prompts of the jobs that `q` finds, among those given. */
async function found(prompts: readonly string[], q: string): Promise<string[]> {
  const jobs = prompts.map((prompt) => aJob({ request: { prompt } }));
  await project(shared, ...jobs);
  const ids = await idsOf(shared, { q, limit: 100 });
  return jobs.filter(({ id }) => ids.includes(id)).map(({ request }) => request.prompt);
}

describe('the list of jobs', () => {
  it('pages newest first over jobs of the same millisecond, none twice and none left out', async () => {
    const store = await testStore();
    const jobs = Array.from({ length: 25 }, () => aJob());
    await project(store, ...jobs);
    const list = (cursor: string | null) =>
      store.run('jobs.list', { project: null, query: aQuery({ limit: 5, cursor }) });
    const pages = [await list(null)];
    for (let next = pages.at(-1)?.nextCursor; next; next = pages.at(-1)?.nextCursor)
      pages.push(await list(next));
    const seen = pages.flatMap(({ rows }) => rows.map(({ id }) => id));
    expect(pages).toHaveLength(5);
    expect(seen).toEqual(
      jobs
        .map(({ id }) => id)
        .sort()
        .reverse(),
    );
  });

  it('narrows to a batch, page by page, and says of each job which batch it is of', async () => {
    const store = await testStore();
    const inBatch = Array.from({ length: 5 }, () => aJob({ batchId: 'B1' }));
    const others = [aJob(), aJob({ batchId: 'B2' })];
    await project(store, ...inBatch, ...others);
    const wanted = inBatch
      .map(({ id }) => id)
      .sort()
      .reverse();
    const first = await store.run('jobs.list', { project: null, query: aQuery({ batch: 'B1', limit: 3 }) });
    expect(first.rows.map(({ id, batchId }) => [id, batchId])).toEqual(
      wanted.slice(0, 3).map((id) => [id, 'B1']),
    );
    expect(await idsOf(store, { batch: 'B1', limit: 3, cursor: first.nextCursor })).toEqual(wanted.slice(3));
    expect(await idsOf(store, { batch: 'B1' }, 'bob')).toEqual([]);
    expect(await idsOf(store, { batch: 'none' })).toEqual([]);
    expect(await store.run('jobs.get', { id: others[0]?.id ?? '' })).toMatchObject({ batchId: null });
    expect(await store.run('jobs.get', { id: inBatch[0]?.id ?? '' })).toMatchObject({ batchId: 'B1' });
  });

  it('the jobs of a batch are returned in order, without the deleted ones', async () => {
    const store = await testStore();
    const jobs = Array.from({ length: 3 }, () => aJob({ batchId: 'B1' }));
    await project(store, ...jobs, aJob({ batchId: 'B2' }));
    await project(store, ...jobs.map((job) => ({ ...job, rev: 2, status: 'running' as const })));
    const [gone, ...kept] = jobs.map(({ id }) => id).sort();
    await store.run('jobs.delete', { id: gone ?? '' });
    expect(await store.run('jobs.ofBatch', { batch: 'B1' })).toEqual(
      kept.map((id) => ({ id, status: 'running', project: 'default' })),
    );
    expect(await store.run('jobs.ofBatch', { batch: 'none' })).toEqual([]);
  });

  it('a page goes on where it ended although its last job was deleted', async () => {
    const store = await testStore();
    const [oldest, middle, newest] = [1, 2, 3].map((day) =>
      aJob({ createdAt: `2026-03-0${day}T00:00:00.000Z` }),
    );
    if (!oldest || !middle || !newest) throw new Error('three jobs');
    await project(store, oldest, middle, newest);
    const page = await store.run('jobs.list', { project: null, query: aQuery({ limit: 2 }) });
    await store.run('jobs.delete', { id: middle.id });
    expect(await idsOf(store, { cursor: page.nextCursor })).toEqual([oldest.id]);
  });

  it.each(['', 'x', 'JA', Buffer.from('01J').toString('base64url'), 'é', "' OR 1=1 --"])(
    'refuses the cursor %j',
    async (cursor) => {
      const list = shared.run('jobs.list', { project: null, query: aQuery({ cursor }) });
      await expect(list).rejects.toMatchObject({ code: 'request.invalid', problems: [{ path: '/cursor' }] });
    },
  );

  it('shows a preview, the error and the cost, and neither prompt nor text', async () => {
    const store = await testStore();
    const error = { code: 'execution.timed_out', message: 'too long', retryable: false, resetsAt: null };
    const prompt = `${'👋'.repeat(200)} and more`;
    const job = aFinishedJob(AT, {
      status: 'failed',
      outcome: anOutcome({ status: 'failed', error, permissionDenials: [{ tool: 'Bash', input: {} }] }),
      request: { prompt, priority: -3, tags: ['t'], metadata: { k: 'v' } },
    });
    await project(store, job);
    const { rows } = await store.run('jobs.list', { project: null, query: aQuery() });
    expect(rows).toEqual([
      {
        id: job.id,
        kind: 'api',
        project: 'default',
        principal: 'alice',
        status: 'failed',
        waitReason: null,
        scheduledFor: null,
        provider: 'claude',
        model: null,
        nativeSessionId: null,
        tags: ['t'],
        metadata: { k: 'v' },
        archived: false,
        attempts: 0,
        retryOf: null,
        sessionId: job.sessionId,
        batchId: null,
        customId: null,
        node: null,
        createdAt: AT,
        startedAt: null,
        finishedAt: AT,
        promptPreview: '👋'.repeat(200),
        error,
        costUsd: 0.25,
        priority: -3,
        deniedTools: 1,
      },
    ]);
  });
});

describe('filters of the list', () => {
  const filtered = async (
    jobs: Record<string, JobCopy>,
    query: Partial<JobQuery>,
    seenBy: string | null = null,
  ) => {
    await project(shared, ...Object.values(jobs));
    const ids = await idsOf(shared, { ...query, limit: 100 }, seenBy);
    return Object.keys(jobs).filter((name) => ids.includes(jobs[name]?.id ?? ''));
  };

  it('a project sees only its own jobs, null sees all', async () => {
    const jobs = { mine: aJob(), theirs: aJob({ project: 'web' }) };
    expect(await filtered(jobs, {}, 'default')).toEqual(['mine']);
    expect(await filtered(jobs, {})).toEqual(['mine', 'theirs']);
    expect(await filtered(jobs, {}, 'ops')).toEqual([]);
  });

  it('several statuses or providers mean any of them', async () => {
    const jobs = {
      queued: aJob(),
      running: aJob({ status: 'running' }),
      codex: aJob({ status: 'running', request: { provider: 'codex' } }),
    };
    expect(await filtered(jobs, { status: ['running'] })).toEqual(['running', 'codex']);
    expect(await filtered(jobs, { status: ['queued', 'running'], provider: ['claude', 'gemini'] })).toEqual([
      'queued',
      'running',
    ]);
  });

  it('several tags mean all of them', async () => {
    const tagged = (...tags: string[]) => aJob({ request: { tags } });
    const jobs = { both: tagged('a', 'b', 'c'), a: tagged('a'), b: tagged('b'), none: tagged() };
    expect(await filtered(jobs, { tag: ['a', 'b'] })).toEqual(['both']);
    expect(await filtered(jobs, { tag: ['a', 'a'] })).toEqual(['both', 'a']);
    expect(await filtered(jobs, { tag: ['A'] })).toEqual([]);
  });

  it('narrow to a session, a project, a principal, models, wait reasons and error codes', async () => {
    const failed = (code: string) => {
      const error = { code, message: 'x', retryable: false, resetsAt: null };
      return aFinishedJob(AT, { status: 'failed', outcome: anOutcome({ status: 'failed', error }) });
    };
    const jobs = {
      plain: aJob(),
      session: aJob({ sessionId: 's1' }),
      project: aJob({ project: 'web' }),
      principal: aJob({ principal: 'bob' }),
      opus: aJob({ request: { model: 'opus' } }),
      sonnet: aJob({ request: { model: 'sonnet' } }),
      quota: aJob({ status: 'scheduled', waitReason: 'quota' }),
      lost: failed('execution.lost'),
      timeout: failed('execution.timed_out'),
    };
    expect(await filtered(jobs, { session: 's1' })).toEqual(['session']);
    expect(await filtered(jobs, { project: 'web' })).toEqual(['project']);
    expect(await filtered(jobs, { principal: 'bob' })).toEqual(['principal']);
    expect(await filtered(jobs, { model: ['opus', 'sonnet'] })).toEqual(['opus', 'sonnet']);
    expect(await filtered(jobs, { waitReason: ['quota'] })).toEqual(['quota']);
    expect(await filtered(jobs, { errorCode: ['execution.lost'] })).toEqual(['lost']);
    expect(await filtered(jobs, { errorCode: ['execution.lost', 'execution.timed_out'] })).toEqual([
      'lost',
      'timeout',
    ]);
    expect(await filtered(jobs, { model: ['opus'], session: 's1' })).toEqual([]);
    expect(await filtered(jobs, { project: 'web' }, 'default')).toEqual([]);
  });

  it('created ranges exclude their bounds and take any offset', async () => {
    const jobs = {
      early: aJob({ createdAt: '2026-03-01T10:00:00.000Z' }),
      noon: aJob({ createdAt: '2026-03-01T12:00:00.000Z' }),
      late: aJob({ createdAt: '2026-03-01T12:00:00.001Z' }),
    };
    expect(await filtered(jobs, { createdAfter: '2026-03-01T12:00:00Z' })).toEqual(['late']);
    expect(await filtered(jobs, { createdBefore: '2026-03-01T14:00:00+02:00' })).toEqual(['early']);
    const createdBefore = '2026-03-01T12:00:00.001Z';
    expect(await filtered(jobs, { createdAfter: '2026-03-01T10:00:00Z', createdBefore })).toEqual(['noon']);
    await expect(filtered(jobs, { createdAfter: 'yesterday' })).rejects.toMatchObject({
      code: 'request.invalid',
    });
  });
});

describe('the search in prompts', () => {
  it('takes %, _ and \\ literally', async () => {
    expect(await found(['100% sure', '100 sure'], '0%')).toEqual(['100% sure']);
    expect(await found(['snake_case', 'snakeXcase'], 'snake_case')).toEqual(['snake_case']);
    expect(await found(['C:\\temp', 'C:temp'], ':\\T')).toEqual(['C:\\temp']);
    expect(await found(['a%é_b', 'a é b', 'axéxb'], '%É_')).toEqual(['a%é_b']);
  });

  it('finds text past the preview in any case, including beyond ASCII', async () => {
    expect(await found([`${'x'.repeat(5000)} Needle`, 'hay'], 'nEEDLE')).toHaveLength(1);
    expect(
      await found(['die GRÖSSE zählt', 'die Grosse zahlt'], 'größe ZÄHLT'.replace('ß', 'SS')),
    ).toHaveLength(1);
    expect(await found(['ПРИВЕТ мир', 'пока'], 'привет МИР')).toHaveLength(1);
    expect(await found(['日本語のテスト', '中文'], '語の')).toEqual(['日本語のテスト']);
  });
});
