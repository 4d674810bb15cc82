import { ulid } from 'ulid';
import { expect, it } from 'vitest';
import type { JobGrant } from '../../../src/auth/job-grant.ts';
import { PEEK_MAX_BYTES, WINDOW } from '../../../src/records/claims.ts';
import { KEEP_MS, LEASE_MS } from '../../helpers/redis-records.ts';
import type { Bench } from './bench.ts';
import { CANCELLED, claimed, create, failed, finishOf, newJob, running, submitted } from './samples.ts';

export function claiming(bench: () => Bench): void {
  const ids = async (max: number, node = 'n1'): Promise<readonly string[]> =>
    (await bench().claimsOf(node).claim(max)).map(({ jobId }) => jobId);

  it('a claim carries what is to be run, and the record says who runs it', async () => {
    const job = newJob({ prompt: 'p', tags: ['t'] }, { principal: 'bob' });
    await bench().records.create(job);
    await bench().submissions.submit(job.id, 'e1');
    const before = await bench().now();
    expect(await bench().claimsOf('n1').claim(5)).toEqual([
      {
        jobId: job.id,
        executionId: 'e1',
        attempt: 1,
        kind: 'api',
        project: 'default',
        principal: 'bob',
        grant: null,
        forged: false,
        sessionId: job.id,
        request: job.request,
        waitedMs: expect.any(Number),
      },
    ]);
    const record = await bench().record(job.id);
    expect(record).toMatchObject({ status: 'running', node: 'n1', attempt: 1, executionId: 'e1', rev: 3 });
    expect(record.startedAt).toBeGreaterThanOrEqual(before);
    expect((await bench().records.events(job.id, 1, 10))[0]).toMatchObject({
      seq: 2,
      attempt: 1,
      kind: 'job.running',
      executionId: 'e1',
      node: 'n1',
    });
  });

  it('nothing is claimed before BullMQ has delivered it', async () => {
    const id = await create(bench());
    expect(await bench().claimOnce('n1', 5)).toEqual({ claims: [], given: [id] });
    expect(await bench().claimOnce('n1', 5)).toEqual({ claims: [], given: [] });
    await bench().submissions.submit(id, 'e1');
    expect(await bench().claimOnce('n1', 5)).toMatchObject({ claims: [{ jobId: id, executionId: 'e1' }] });
  });

  it('a node is given as many jobs as it has free slots', async () => {
    const all: string[] = [];
    for (let i = 0; i < 4; i += 1) all.push(await create(bench()));
    expect((await bench().claimOnce('n1', 0)).given).toEqual([]);
    expect((await bench().claimOnce('n1', 2)).given).toEqual(all.slice(0, 2));
    expect((await bench().claimOnce('n1', 2)).given).toEqual([]);
    await bench().submissions.submit(all[1] ?? '', 'e1');
    const { claims, given } = await bench().claimOnce('n1', 2);
    expect(claims.map(({ jobId }) => jobId)).toEqual([all[1]]);
    expect(given).toEqual([]);
    expect((await bench().claimOnce('n1', 2)).given).toEqual([all[2]]);
  });

  it('what is more urgent goes before what came earlier, until it is given to a node', async () => {
    await create(bench(), { priority: -5 });
    await create(bench());
    await bench().claimOnce('n1', 0);
    const urgent = await create(bench(), { priority: 5 });
    expect((await bench().claimOnce('n1', 1)).given).toEqual([urgent]);
  });

  it('what a node is given and gives back is ready again for others', async () => {
    const id = await create(bench());
    await bench().claimOnce('n1', 1);
    await bench().submissions.submit(id, 'e1');
    await bench().claimsOf('n1').giveBack();
    expect(await bench().record(id)).toMatchObject({ status: 'queued', executionId: null });
    expect(await bench().claimOnce('n2', 1)).toEqual({ claims: [], given: [id] });
    expect(await bench().claimOnce('n1', 1)).toEqual({ claims: [], given: [] });
  });

  it('a project with many jobs delays the next job of another one by no job', async () => {
    for (let i = 0; i < 50; i += 1) await create(bench(), { priority: 10 });
    await ids(5);
    const other = await create(bench(), { priority: -10 }, { project: 'other' });
    const mine = await create(bench(), { priority: -10 }, { principal: 'bob' });
    expect([await ids(1), await ids(1)]).toEqual([[other], [mine]]);
  });

  it('projects take turns, then principals, then their own jobs by priority', async () => {
    const names = new Map<string, string>();
    for (const [project, principal, priority, name] of [
      ['a', 'x', 0, 'ax0'],
      ['a', 'x', 5, 'ax5'],
      ['a', 'y', 0, 'ay0'],
      ['b', 'z', 0, 'bz0'],
      ['b', 'z', 1, 'bz1'],
    ] as const)
      names.set(await create(bench(), { priority }, { project, principal }), name);
    expect((await ids(5)).map((id) => names.get(id))).toEqual(['ax5', 'bz1', 'ay0', 'bz0', 'ax0']);
  });

  it('a project that was idle does not catch up what it did not use', async () => {
    for (let i = 0; i < 6; i += 1) await create(bench(), {}, { project: 'a' });
    expect(await ids(4)).toHaveLength(4);
    const b: string[] = [];
    for (let i = 0; i < 4; i += 1) b.push(await create(bench(), {}, { project: 'b' }));
    const next = (await ids(4)).filter((id) => b.includes(id));
    expect(next).toHaveLength(2);
  });

  it('a higher priority goes first, then the older one', async () => {
    const late = await submitted(bench(), { priority: -10 });
    const first = await submitted(bench());
    const second = await submitted(bench());
    const urgent = await submitted(bench(), { priority: 10 });
    const sooner = await submitted(bench(), { priority: 1 });
    expect(await ids(10)).toEqual([urgent, sooner, first, second, late]);
  });

  it('a look ahead shows what would be claimed next, and takes nothing', async () => {
    const late = await submitted(bench(), { prompt: 'late', priority: -10 });
    const first = await submitted(bench(), { prompt: 'first' });
    const urgent = await submitted(bench(), { prompt: 'urgent', priority: 10 });
    const prompts = async (max: number, claims = bench().claimsOf('n1')) =>
      (await claims.peek(max)).map(({ request }) => request.prompt);
    expect(await prompts(2)).toEqual(['urgent', 'first']);
    expect(await prompts(10)).toEqual(['urgent', 'first', 'late']);
    expect(await prompts(10, bench().claimsOf('n1', ['/elsewhere']))).toEqual([]);
    expect(await ids(10)).toEqual([urgent, first, late]);
    expect(await prompts(10)).toEqual([]);
  });

  it('what a job may do, and whose it is, comes with its claim, its record and a look ahead', async () => {
    const grant: JobGrant = {
      ...{ scopes: ['jobs:write'], providers: ['claude'], roots: ['/w'], tools: [], permissionModes: null },
      ...{ depth: 1, key: 'K' },
    };
    const rights = { project: 'web', principal: 'key:K', grant };
    const id = await submitted(bench(), {}, rights);
    expect(await bench().records.read(id)).toMatchObject(rights);
    expect(await bench().claimsOf('n1').peek(1)).toMatchObject([{ jobId: id, ...rights }]);
    expect(await claimed(bench(), id)).toMatchObject(rights);
    expect(await bench().claimsOf('n1').owned()).toMatchObject([{ jobId: id, ...rights }]);
  });

  it('a look ahead does not carry long prompts about', async () => {
    await submitted(bench(), { prompt: 'x'.repeat(PEEK_MAX_BYTES) });
    await submitted(bench(), { prompt: 'short' });
    expect((await bench().claimsOf('n1').peek(5)).map(({ request }) => request.prompt)).toEqual(['short']);
  });

  it('no more than max are claimed, best first', async () => {
    const first = await submitted(bench());
    const second = await submitted(bench());
    const third = await submitted(bench());
    expect(await ids(2)).toEqual([first, second]);
    expect(await ids(2)).toEqual([third]);
    expect(await ids(2)).toEqual([]);
  });

  it('a node claims only what runs inside its roots, and looks past the rest', async () => {
    const elsewhere: string[] = [];
    for (let i = 0; i < 5; i += 1) elsewhere.push(await submitted(bench(), { cwd: '/other/place' }));
    const beside = await submitted(bench(), { cwd: '/work-evil' });
    const below = await submitted(bench(), { cwd: '/work/a' });
    const self = await submitted(bench(), { cwd: '/work' });
    const claims = bench().claimsOf('n1', ['/work']);
    expect((await claims.claim(2)).map(({ jobId }) => jobId)).toEqual([below, self]);
    expect(await claims.claim(2)).toEqual([]);
    expect(await ids(10, 'n2')).toEqual([...elsewhere, beside]);
  });

  it('a node claims what is pinned to it wherever it runs', async () => {
    const id = await submitted(bench(), { cwd: '/other' }, { pin: 'n1' });
    expect((await bench().claimsOf('n1', ['/work']).claim(1)).map(({ jobId }) => jobId)).toEqual([id]);
  });

  it('no more of a provider are claimed than it has room for, and others go past its jobs', async () => {
    const first = await submitted(bench(), { provider: 'narrow' });
    const second = await submitted(bench(), { provider: 'narrow' });
    const third = await submitted(bench(), { provider: 'narrow' });
    const other = await submitted(bench(), { provider: 'wide' });
    const room = async (slots: Record<string, number>, max = 10) =>
      (await bench().claimsOf('n1').claim(max, slots)).map(({ jobId }) => jobId);
    expect(await room({ narrow: 0, wide: 0 })).toEqual([]);
    expect(await room({ narrow: 1, elsewhere: 0 })).toEqual([first, other]);
    expect(await room({ narrow: -1 })).toEqual([]);
    expect(await room({ narrow: 5 }, 1)).toEqual([second]);
    expect(await room({ narrow: 1 })).toEqual([third]);
  });

  it('a provider without room holds up neither a pinned job nor a raw one, and its own are limited too', async () => {
    await submitted(bench(), { provider: 'narrow' });
    const pinned = await submitted(bench(), { provider: 'wide' }, { pin: 'n1' });
    const [raw, narrow] = ['wide', 'narrow'].map((provider) => newJob({ provider }, { kind: 'raw' }));
    if (raw === undefined || narrow === undefined) throw new Error('two jobs were made');
    await bench().claimsOf('n1').adopt(raw, 'e1');
    await bench().claimsOf('n1').adopt(narrow, 'e2');
    const claims = await bench().claimsOf('n1').claim(10, { narrow: 0 });
    expect(claims.map(({ jobId }) => jobId)).toEqual([raw.id, pinned]);
  });

  it.each([
    ['a person has paused', {}],
    ['is full', { claude: 0 }],
  ])('raw requests of a provider that %s take no slots from the other jobs', async (what, room) => {
    if (what === 'a person has paused') await bench().gates.hold('provider:claude', true);
    for (let i = 0; i < 5; i += 1)
      await bench()
        .claimsOf('n1')
        .adopt(newJob({ provider: 'claude' }, { kind: 'raw' }), `e${i}`);
    const first = await create(bench(), { provider: 'codex' });
    expect(await bench().claimOnce('n1', 5, room)).toEqual({ claims: [], given: [first] });
    await bench().submissions.submit(first, ulid());
    expect((await bench().claimOnce('n1', 5, room)).claims).toMatchObject([{ jobId: first }]);
    const lone = await create(bench(), { provider: 'codex' });
    expect(await bench().submissions.submit(lone, ulid())).toEqual({ kind: 'underway' });
    await bench().gates.hold('provider:claude', false);
    expect(await ids(10)).toHaveLength(6);
  });

  it('raw requests that may not start do not count as running jobs of their project', async () => {
    const single = { project: 'single' };
    await bench().gates.hold('provider:claude', true);
    await bench()
      .claimsOf('n1')
      .adopt(newJob({ provider: 'claude' }, { ...single, kind: 'raw' }), 'e1');
    await bench().claimOnce('n1', 5);
    const job = await create(bench(), { provider: 'codex' }, single);
    expect(await ids(5)).toEqual([job]);
  });

  it('a thousand jobs of a full provider do not hide the job of another one behind them', async () => {
    const crowd = WINDOW + 50;
    await Promise.all(
      Array.from({ length: crowd }, () => submitted(bench(), { provider: 'narrow' }, { createdAt: 1 })),
    );
    const behind = await submitted(bench(), { provider: 'wide' });
    const claims = await bench().claimsOf('n1').claim(1, { narrow: 0 });
    expect(claims.map(({ jobId }) => jobId)).toEqual([behind]);
    expect(await bench().claimsOf('n1').claim(1, { narrow: 0 })).toEqual([]);
  });

  it('twenty claimers at once get each execution exactly once', async () => {
    const waiting: string[] = [];
    for (let i = 0; i < 30; i += 1) waiting.push(await submitted(bench()));
    const claims: (readonly string[])[] = [];
    for (let round = 0; round < 3; round += 1)
      claims.push(...(await Promise.all(Array.from({ length: 20 }, (_, i) => ids(1 + (i % 3), `n${i}`)))));
    expect(claims.flat().sort()).toEqual(waiting.sort());
  });

  it('a pinned job is claimed by its node only, in its place among the others', async () => {
    const open = await submitted(bench());
    const pinned = await submitted(bench(), { priority: 5 }, { pin: 'n2' });
    expect(await ids(5, 'n1')).toEqual([open]);
    const later = await submitted(bench());
    expect(await ids(5, 'n2')).toEqual([pinned, later]);
  });

  it('a job cancelled while it waited is not claimed', async () => {
    const id = await submitted(bench());
    await bench().records.cancel(id, false, CANCELLED);
    expect(await ids(5)).toEqual([]);
    expect(await bench().upkeepOf('n1').counts()).toMatchObject({ pending: 0 });
  });

  it('a job that waited longer than its ttl ends as expired instead of being claimed', async () => {
    const expired = await submitted(bench(), { ttlMs: 90_000 });
    const fresh = await submitted(bench(), { ttlMs: 300_000 });
    await bench().advance(120_000);
    expect(await ids(5)).toEqual([fresh]);
    const record = await bench().record(expired);
    expect(record).toMatchObject({
      status: 'failed',
      attempt: 0,
      outcome: { error: { code: 'queue.expired' } },
    });
    expect(await bench().kinds(expired)).toEqual(['job.queued', 'job.finished']);
  });

  it('a ttl is over with the first claim: a later attempt cannot expire', async () => {
    const claim = await running(bench(), { ttlMs: 90_000, maxAttempts: 2 });
    await bench().advance(300_000);
    const outcome = failed(claim.executionId, 'execution.overloaded');
    expect(await bench().claimsOf('n1').finish(finishOf(claim, { outcome }))).toBe('scheduled');
    await bench().advance(1000);
    await bench().submissions.submit(claim.jobId, 'e2');
    expect(await bench().upkeepOf('n1').expire(outcome, 10)).toEqual([]);
    expect(await ids(5)).toEqual([claim.jobId]);
  });

  it('the delay does not count for the ttl', async () => {
    const id = await create(bench(), { delayMs: 90_000, ttlMs: 90_000 });
    await bench().advance(120_000);
    await bench().submissions.submit(id, 'e1');
    expect(await ids(5)).toEqual([id]);
  });

  it('a node finds what it owns, and only that', async () => {
    const mine = await running(bench(), {}, 'n1');
    const other = await running(bench(), {}, 'n2');
    await submitted(bench());
    expect(await bench().claimsOf('n1').owned()).toEqual([{ ...mine, waitedMs: undefined }]);
    expect(await bench().claimsOf('n2').owned()).toEqual([{ ...other, waitedMs: undefined }]);
    await bench().claimsOf('n1').finish(finishOf(mine));
    expect(await bench().claimsOf('n1').owned()).toEqual([]);
  });

  it('an expired lease leaves the execution with its node, and no other node can claim it', async () => {
    const claim = await running(bench(), {}, 'n1');
    await bench().advance(LEASE_MS * 2);
    expect(await ids(5, 'n2')).toEqual([]);
    expect(await bench().claimsOf('n1').owned()).toEqual([{ ...claim, waitedMs: undefined }]);
    expect(await bench().claimsOf('n1').renew([claim])).toEqual(['held']);
  });

  it('renewing returns for each execution whether it is held, to be cancelled, or lost', async () => {
    const held = await running(bench());
    const asked = await running(bench());
    const forced = await running(bench());
    const elsewhere = await running(bench(), {}, 'n2');
    const ended = await running(bench());
    await bench().records.cancel(asked.jobId, false, CANCELLED);
    await bench().records.cancel(forced.jobId, true, CANCELLED);
    await bench().claimsOf('n1').finish(finishOf(ended));
    const before = await bench().record(held.jobId);
    expect(
      await bench()
        .claimsOf('n1')
        .renew([
          held,
          asked,
          forced,
          elsewhere,
          ended,
          { jobId: held.jobId, executionId: 'another' },
          { jobId: 'none', executionId: 'e' },
        ]),
    ).toEqual(['held', 'cancel', 'cancel-force', 'lost', 'lost', 'lost', 'lost']);
    expect(await bench().record(held.jobId)).toEqual(before);
  });

  it('renewing nothing is a heartbeat', async () => {
    expect(await bench().claimsOf('n1').renew([])).toEqual([]);
    expect(await bench().claimsOf('n2').renew([])).toEqual([]);
    expect(await bench().upkeepOf('n1').counts()).toMatchObject({ nodes: 2 });
  });

  it('no node owns a removed or forgotten job', async () => {
    const claim = await running(bench());
    await bench().claimsOf('n1').finish(finishOf(claim));
    await bench().advance(KEEP_MS * 2);
    expect(await bench().claimsOf('n1').owned()).toEqual([]);
    expect(await bench().claimsOf('n1').renew([claim])).toEqual(['lost']);
    expect(await bench().claimsOf('n1').append(claim.jobId, claim.executionId, 0, [])).toBe('fenced');
    expect(await bench().claimsOf('n1').finish(finishOf(claim))).toBe('superseded');
    expect(await bench().records.read(claim.jobId)).toBeNull();
  });
}
