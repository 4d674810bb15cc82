import { describe, expect, it } from 'vitest';
import { ofProvider } from '../../../src/cli/commands/doctor.ts';
import { usageTable } from '../../../src/cli/commands/usage.ts';
import { resolveJobId } from '../../../src/cli/ids.ts';
import { wireError } from '../../../src/errors.ts';
import type { PromptOverrides } from '../../../src/protocol/prompt.ts';
import type { ProviderReport } from '../../../src/protocol/server-info.ts';
import { FakeProcesses } from '../../fakes/processes.ts';
import { aJob, anOutcome, JOB_ID } from '../client/job.ts';
import { json, problem, startScriptedServer } from '../client/scripted-server.ts';
import { at, FINISHED, finished, item, sse } from './answers.ts';
import { manualInterrupts, type as typed } from './harness.ts';

describe('the other commands', () => {
  it('list jobs as a table with what failed, and say how to go on', async () => {
    const error = { code: 'execution.crashed', message: '', retryable: false };
    const due = new Date(2026, 11, 24, 3, 30);
    const data = [
      item({ costUsd: 0.5, status: 'succeeded', promptPreview: 'two\nlines\u001b[2J' }),
      item({ status: 'failed', error, createdAt: '2026-11-20T12:00:00Z' }),
      item({ status: 'waiting', waitReason: 'paused' }),
      item({ status: 'queued', waitReason: 'session' }),
      item({ status: 'scheduled', waitReason: 'quota', scheduledFor: due.toISOString() }),
      item({ status: 'scheduled', waitReason: 'delayed', scheduledFor: due.toISOString() }),
    ];
    const server = await startScriptedServer(json(200, { data, nextCursor: 'next' }));
    const args = [
      'jobs',
      '--status',
      'failed,succeeded',
      '--tag',
      'a',
      '--q',
      'x',
      '--since',
      '1d',
      '-n',
      '2',
    ];
    const { code, out, err } = await typed(args, at(server.url));
    expect(code).toBe(0);
    const lines = out.trimEnd().split('\n');
    expect(lines).toHaveLength(7);
    expect(lines[1]).toMatch(/succeeded +claude +5h +\$0\.5000 +two lines\\u001b\[2J$/);
    expect(lines[2]).toMatch(/execution\.crashed +claude +1d/);
    expect(lines[3]).toMatch(/ waiting \(paused\) +claude /);
    expect(lines[4]).toMatch(/ queued \(session\) +claude /);
    expect(lines[5]).toMatch(/ scheduled \(quota until .*24.*03:30\) +claude /);
    expect(lines[6]).toMatch(/ scheduled \(until .*24.*03:30\) +claude /);
    expect(err).toBe('more: --cursor next\n');
    const query = server.requests[0]?.url.searchParams;
    expect(query?.getAll('status')).toEqual(['failed', 'succeeded']);
    expect(query?.get('createdAfter')).toBe('2026-11-20T12:00:00.000Z');
  });

  it('list jobs by every filter, and refuse two that exclude each other', async () => {
    const server = await startScriptedServer(json(200, { data: [], nextCursor: null }));
    const args =
      '--wait-reason quota --model opus,sonnet --batch B --session S --project web --principal bob --error-code a.b --not-archived --until 2026-11-01';
    expect(await typed(['jobs', ...args.split(' ')], at(server.url))).toMatchObject({ code: 0 });
    expect([...(server.requests[0]?.url.searchParams ?? [])]).toEqual([
      ['waitReason', 'quota'],
      ['model', 'opus'],
      ['model', 'sonnet'],
      ['batch', 'B'],
      ['session', 'S'],
      ['project', 'web'],
      ['principal', 'bob'],
      ['errorCode', 'a.b'],
      ['archived', 'false'],
      ['createdBefore', '2026-11-01T00:00:00.000Z'],
    ]);
    expect(await typed(['jobs', '--archived', '--not-archived'])).toMatchObject({ code: 64 });
  });

  it('change jobs: tags, metadata and the archived mark', async () => {
    const changed = json(200, aJob({ archived: true }));
    const server = await startScriptedServer(changed, changed, changed);
    const line = `change ${JOB_ID} ${JOB_ID} --archive --tag a --tag b --metadata k=v=w`;
    expect(await typed(line.split(' '), at(server.url))).toMatchObject({
      code: 0,
      err: `job ${JOB_ID} is changed\n`.repeat(2),
    });
    await typed(['change', JOB_ID, '--unarchive', '--no-tags', '--no-metadata'], at(server.url));
    expect(server.requests.map(({ method, body }) => [method, JSON.parse(body)])).toEqual([
      ['PATCH', { archived: true, tags: ['a', 'b'], metadata: { k: 'v=w' } }],
      ['PATCH', { archived: true, tags: ['a', 'b'], metadata: { k: 'v=w' } }],
      ['PATCH', { archived: false, tags: [], metadata: {} }],
    ]);
    for (const wrong of [
      `${JOB_ID}`,
      '--archive',
      `${JOB_ID} --archive --unarchive`,
      `${JOB_ID} --tag a --no-tags`,
    ])
      expect((await typed(['change', ...wrong.split(' ')])).code, wrong).toBe(64);
  });

  it('list processes, terminate one, and end the idle ones of a provider', async () => {
    const idle = new FakeProcesses().add('claude', null);
    const running = new FakeProcesses().add('codex', JOB_ID);
    const dead = { ...new FakeProcesses().add('codex', null), alive: false };
    const server = await startScriptedServer(
      json(200, { data: [running, idle, dead], summary: { total: 3, alive: 2, dead: 1 }, nextCursor: null }),
      json(200, { data: [], summary: { total: 0, alive: 0, dead: 0 }, nextCursor: null }),
      json(202, idle),
      json(200, { ended: 2 }),
    );
    const { out, err } = await typed(['ps'], at(server.url));
    expect(err).toBe('2 alive, 1 dead\n');
    expect(out).toMatch(new RegExp(`${dead.id} +dead +codex `));
    expect(out).toMatch(new RegExp(`${running.id} +running +codex +job ${JOB_ID} +4711 `));
    expect(out).toMatch(new RegExp(`${idle.id} +idle +claude +any job +4711 `));
    expect(await typed(['ps', '--provider', 'x'], at(server.url))).toMatchObject({ err: 'no processes\n' });
    const ended = await typed(['ps', 'terminate', idle.id, '--force'], at(server.url));
    expect(ended).toMatchObject({ code: 0, err: 'process 4711 of claude is being terminated\n' });
    const cleaned = await typed(['providers', 'cleanup', 'claude'], at(server.url));
    expect(cleaned).toMatchObject({ code: 0, err: 'idle processes of claude that were ended: 2\n' });
    expect(server.requests.map(({ method, url, body }) => [method, url.pathname + url.search, body])).toEqual(
      [
        ['GET', '/v1/processes', ''],
        ['GET', '/v1/processes?provider=x', ''],
        ['POST', `/v1/processes/${idle.id}/terminate`, '{"force":true}'],
        ['POST', '/v1/providers/claude/cleanup', '{}'],
      ],
    );
    for (const wrong of ['ps terminate', 'ps kill x', 'providers cleanup', 'providers x'])
      expect((await typed(wrong.split(' '))).code, wrong).toBe(64);
  });

  it('make, list, rotate and revoke keys, and print a token alone on stdout', async () => {
    const key = {
      ...{ id: JOB_ID, name: 'ci', project: 'web', scopes: ['jobs:write'], status: 'active' },
      ...{ createdAt: '2026-11-01T00:00:00Z', createdBy: 'admin', expiresAt: null, revokedAt: null },
      ...{ lastUsedAt: '2026-11-21T11:00:00Z', roots: ['/srv'], maxRunning: 2, tools: null },
    };
    const server = await startScriptedServer(
      json(201, { ...key, token: 'bp_1' }),
      json(200, { ...key, token: 'bp_2' }),
      json(200, key),
      json(200, { data: [key], nextCursor: null }),
      json(201, { ...key, token: null }),
    );
    const create = 'keys create --name ci --scopes jobs:read,jobs:write'.split(' ');
    const narrow =
      '--roots /srv,/opt --tools= --permission-modes plan --max-running 2 --usd-per-day 0.5'.split(' ');
    const made = await typed([...create, '--project', 'web', '--expires', '90d', ...narrow], at(server.url));
    expect([made.code, made.out]).toEqual([0, 'bp_1\n']);
    expect((await typed(['keys', 'rotate', JOB_ID], at(server.url))).out).toBe('bp_2\n');
    expect((await typed(['keys', 'revoke', JOB_ID], at(server.url))).err).toBe(`key ${JOB_ID} is revoked\n`);
    expect((await typed(['keys'], at(server.url))).out).toMatch(
      /ci +web +jobs:write +active +1h +never +roots=\/srv max-running=2/,
    );
    const replayed = await typed(create, at(server.url));
    expect([replayed.out, replayed.err]).toEqual(['', expect.stringContaining('was shown before')]);
    expect(JSON.parse(server.requests[0]?.body ?? '')).toEqual({
      ...{ name: 'ci', project: 'web', scopes: ['jobs:read', 'jobs:write'] },
      expiresAt: '2027-02-19T12:00:00.000Z',
      ...{ roots: ['/srv', '/opt'], tools: [], permissionModes: ['plan'], maxRunning: 2, usdPerDay: 0.5 },
    });
    expect(server.requests.map(({ url }) => url.pathname)).toEqual([
      ...['/v1/keys', `/v1/keys/${JOB_ID}/rotate`, `/v1/keys/${JOB_ID}/revoke`, '/v1/keys', '/v1/keys'],
    ]);
    for (const wrong of [
      ...['keys create', 'keys create --name x', 'keys create --scopes admin', 'keys revoke', 'keys x'],
      ...[
        'keys revoke a b',
        'keys list a',
        'keys --name x',
        'keys create --name x --scopes admin --max-running two',
        'keys revoke a --roots /x',
      ],
    ])
      expect((await typed(wrong.split(' '))).code, wrong).toBe(64);
  });

  it('pause and resume jobs, and show what is paused', async () => {
    const since = '2026-11-21T12:00:00.000Z';
    const paused = [
      { provider: null, project: null, since },
      { provider: 'codex', project: null, since },
      { provider: null, project: 'web', since },
    ];
    const answers = [paused, paused, [], []].map((some) => json(200, { paused: some }));
    const server = await startScriptedServer(...answers);
    expect((await typed(['queue'], at(server.url))).err).toBe(
      `all jobs are paused since ${since}\njobs of provider codex are paused since ${since}\njobs of project web are paused since ${since}\n`,
    );
    const printed = await typed(['queue', 'pause', '--provider', 'codex', '--json'], at(server.url));
    expect(JSON.parse(printed.out)).toEqual({ paused });
    const resumed = await typed(['queue', 'resume', '--project', 'web'], at(server.url));
    expect(resumed).toMatchObject({ code: 0, err: 'nothing is paused\n' });
    await typed(['queue', 'resume'], at(server.url));
    expect(server.requests.map(({ method, url, body }) => [method, url.pathname, body])).toEqual([
      ['GET', '/v1/queue', ''],
      ['POST', '/v1/queue/pause', '{"provider":"codex"}'],
      ['POST', '/v1/queue/resume', '{"project":"web"}'],
      ['POST', '/v1/queue/resume', '{}'],
    ]);
    for (const wrong of [
      'queue x',
      'queue pause y',
      'queue --provider x',
      'queue pause --provider a --project b',
    ])
      expect((await typed(wrong.split(' '))).code, wrong).toBe(64);
  });

  it('list the servers of a Redis, and drain one', async () => {
    const node = {
      ...{ id: JOB_ID, status: 'ok', lastSeenAt: '2026-11-21T12:00:00.000Z', running: 2, given: 0, free: 6 },
    };
    const drained = { ...node, status: 'drained' };
    const stopped = { ...drained, lastSeenAt: null, free: null };
    const server = await startScriptedServer(
      json(200, { data: [node, stopped], nextCursor: null }),
      json(200, drained),
      json(200, node),
    );
    const { out } = await typed(['nodes'], at(server.url));
    expect(out).toMatch(new RegExp(`${JOB_ID} +ok +2 +6 +2026-`));
    expect(out).toMatch(new RegExp(`${JOB_ID} +stopped +2`));
    expect((await typed(['nodes', 'drain', JOB_ID], at(server.url))).err).toBe(
      `node ${JOB_ID} starts no more jobs; 2 still run there\n`,
    );
    expect((await typed(['nodes', 'resume', JOB_ID], at(server.url))).err).toBe(
      `node ${JOB_ID} starts jobs again\n`,
    );
    expect(server.requests.map(({ url }) => url.pathname)).toEqual([
      '/v1/nodes',
      `/v1/nodes/${JOB_ID}/drain`,
      `/v1/nodes/${JOB_ID}/resume`,
    ]);
    for (const wrong of ['nodes drain', 'nodes x y', 'nodes drain a b'])
      expect((await typed(wrong.split(' '))).code, wrong).toBe(64);
  });

  it('show a job, its answer alone, and that there is none yet', async () => {
    const server = await startScriptedServer(json(200, FINISHED), json(200, FINISHED), json(200, aJob()));
    const shown = await typed(['show', JOB_ID], at(server.url));
    expect(shown.out).not.toContain('made by');
    expect(shown.out).toMatch(/^job +01K9ZV4Q4S9V0M0X2T6D8Y3B7C\nstatus +succeeded · /);
    expect(shown.out).toMatch(/\n\ndone\n$/);
    expect((await typed(['show', JOB_ID, '--text'], at(server.url))).out).toBe('done');
    const waiting = await typed(['show', JOB_ID, '--text'], at(server.url));
    expect(waiting).toMatchObject({ code: 0, out: '', err: expect.stringContaining('it is queued') });
  });

  it('show the options of a job', async () => {
    const asked: PromptOverrides = {
      ...{
        effort: 'high' as const,
        timeoutMs: 5_400_000,
        disallowedTools: ['Write'],
        retry: { maxAttempts: 3 },
      },
      ...{ appendSystemPrompt: `be\nshort\u001b[2J ${'and '.repeat(50)}`, priority: 3, tags: ['a'] },
    };
    const job = aJob({ request: { ...aJob().request, ...asked } });
    const server = await startScriptedServer(json(200, job), json(200, aJob()));
    const { out } = await typed(['show', JOB_ID], at(server.url));
    expect(out).toMatch(
      /^options +effort high, timeout 1 h 30 min, disallowedTools \["Write"\], retry \{"maxAttempts":3\}, appendSystemPrompt be short\\u001b\[2J .{40,80}…, priority 3$/m,
    );
    expect((await typed(['show', JOB_ID], at(server.url))).out).not.toContain('options');
  });

  it('show the executions of a job', async () => {
    const failed = { id: 'E1', attempt: 1, status: 'failed', node: 'N', provider: 'claude' };
    const executions = [
      {
        ...{ ...failed, credential: 'claude:work', nativeSessionId: 'n', endedAt: '' },
        startedAt: '2026-11-21T11:00:00.000Z',
        usage: anOutcome().usage,
        outcome: anOutcome({ status: 'failed', error: wireError('execution.quota', 'the limit') }),
      },
      {
        ...{ ...failed, attempt: 2, status: 'running', credential: null, nativeSessionId: null },
        ...{ startedAt: null, endedAt: null, usage: null, outcome: null },
      },
    ];
    const page = json(200, { data: executions, nextCursor: null });
    const server = await startScriptedServer(page, page, json(200, aJob({ attempts: 2 })));
    const { out } = await typed(['show', JOB_ID, '--executions'], at(server.url));
    expect(out.split('\n').map((line) => line.split(/ {2,}/))).toEqual([
      ['ATTEMPT', 'STATUS', 'ERROR', 'PROVIDER', 'STARTED', 'TIME', 'COST', 'NODE'],
      [
        '',
        '1',
        'failed',
        'execution.quota',
        'claude:work',
        '2026-11-21T11:00:00.000Z',
        '3.2 s',
        '$0.0042 (reported)',
        'N',
      ],
      ['', '2', 'running', 'claude', 'N'],
      [''],
    ]);
    expect(server.requests[0]?.url.pathname).toBe(`/v1/jobs/${JOB_ID}/executions`);
    expect(JSON.parse((await typed(['show', JOB_ID, '--executions', '--json'], at(server.url))).out)).toEqual(
      executions,
    );
    expect((await typed(['show', JOB_ID], at(server.url))).out).toContain(
      `attempts  2 (bullpen show ${JOB_ID} --executions)`,
    );
    expect((await typed(['show', JOB_ID, '--executions', '--text'])).code).toBe(64);
  });

  it('say of a job that succeeded without a tool it wanted that it did', async () => {
    const denied = [{ tool: 'Bash', input: { command: 'touch x' } }];
    const owner = { project: 'web', principal: 'key:K' };
    const job = { ...FINISHED, ...owner, outcome: anOutcome({ permissionDenials: denied }) };
    const page = json(200, { data: [item({ status: 'succeeded', deniedTools: 2 })], nextCursor: null });
    const server = await startScriptedServer(page, json(200, job));
    expect((await typed(['jobs'], at(server.url))).out).toContain('succeeded, 2 tools denied');
    const { out } = await typed(['show', JOB_ID], at(server.url));
    expect(out).toMatch(/^status +succeeded, 1 tool denied · .*\n(error.*\n)?denied +Bash touch x\n/m);
    expect(out).toContain('made by   key:K (project web)\n');
    expect(out).toContain(`to allow  bullpen retry ${JOB_ID} --allowed-tools 'Bash(touch *)'`);
  });

  it('watch a job from a place on, and go on over a broken connection', async () => {
    const server = await startScriptedServer(
      json(200, aJob()),
      (response) => {
        response.writeHead(204).end();
      },
      json(200, FINISHED),
    );
    const { code, out } = await typed(['watch', JOB_ID, '--after', '9'], at(server.url));
    expect([code, out]).toEqual([0, 'done\n']);
    expect(server.requests[1]?.headers['last-event-id']).toBe('9');
  });

  it('leave a watched job alone at an interrupt', async () => {
    const interrupts = manualInterrupts();
    const server = await startScriptedServer(json(200, aJob()), (response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      response.flushHeaders();
      interrupts.raise();
    });
    const { code, err } = await typed(['watch', JOB_ID], { ...at(server.url), interrupts });
    expect(code).toBe(130);
    expect(err).toContain('the job continues');
    expect(server.requests).toHaveLength(2);
  });

  it('retry a job with what the options change, and follow the new one', async () => {
    const server = await startScriptedServer(json(202, aJob()), sse(finished()));
    const { code } = await typed(['retry', JOB_ID, '--model', 'm', '--prompt', 'else'], at(server.url));
    expect(code).toBe(0);
    expect(JSON.parse(server.requests[0]?.body ?? '')).toEqual({ model: 'm', prompt: 'else' });
  });

  it('say what is wrong with token, server and route', async () => {
    const refusing = await startScriptedServer(problem(401, 'auth.unauthenticated'));
    expect(await typed(['jobs'], at(refusing.url))).toMatchObject({
      code: 77,
      err: expect.stringContaining('the token (from BULLPEN_TOKEN) is wrong'),
    });
    const invalid = await startScriptedServer(
      problem(400, 'request.invalid', { errors: [{ path: '/limit', message: 'must be at most 100' }] }),
    );
    const { code, err } = await typed(['jobs', '-n', '101'], at(invalid.url));
    expect([code, err]).toEqual([
      64,
      'bullpen: request.invalid: it is request.invalid\n  limit: must be at most 100\n',
    ]);
    expect(await typed(['jobs'])).toMatchObject({
      code: 69,
      err: 'bullpen: no server is running with the data folder /data; start one with `bullpen up`, or set BULLPEN_URL and BULLPEN_TOKEN\n',
    });
  });
});

describe('a short id', () => {
  const lister = (...ids: readonly string[]) => ({
    list: async () => ({ data: ids.map((id) => item({ id })), nextCursor: null }),
  });
  const OTHER = '01K9ZV4Q4S9V0M0X2T6D8YYYYY';

  it('is the end of one id; the whole one is taken as it is, in any case', async () => {
    expect(await resolveJobId(lister(JOB_ID, OTHER), '3b7c')).toBe(JOB_ID);
    expect(await resolveJobId(lister(), JOB_ID.toLowerCase())).toBe(JOB_ID);
  });

  it.each([
    ['01K9ZV4', 'give more of it'],
    ['ZZZZ', 'none of the newest'],
    ['abc', 'is no job id'],
    ['../x', 'is no job id'],
  ])('%j is refused: %s', async (id, message) => {
    await expect(resolveJobId(lister(JOB_ID, OTHER), id)).rejects.toThrow(message);
  });
});

describe('a table of usage', () => {
  const row = {
    executions: 2,
    succeeded: 1,
    ...{ cancelled: 0, successRate: 0.5, durationP50Ms: 1200, durationP95Ms: 61_000 },
    inputTokens: 10,
    outputTokens: 5,
    cacheReadTokens: 0,
    cacheWriteTokens: 0,
    costUsd: 0.5,
    reportedUsd: 0.25,
    estimatedUsd: 0.25,
    unknownCosts: 1,
  };
  const data = [
    { key: 'a', ...row },
    { key: null, ...row },
  ];

  it('ends with the sum', () => {
    const lines = usageTable({ by: 'model', from: null, to: null, data }, null);
    expect(lines).toHaveLength(4);
    expect(lines[0]).toMatch(/^MODEL +RUNS/);
    expect(lines[2]).toMatch(/^\(none\) +2 +50% +1\.2 s +1 min 1 s +10/);
    expect(lines[3]).toMatch(/^total +4 +50% +20 +10 +0 +0 +\$1\.00 +\$0\.5000 +2$/);
  });

  it('has no sum by tag, where one execution counts in several rows', () => {
    expect(usageTable({ by: 'tag', from: null, to: null, data }, null)).toHaveLength(3);
  });
});

describe('what doctor says of a provider', () => {
  const claude = {
    name: 'claude',
    available: true,
    version: '2.1',
    binary: '/bin/claude',
    authenticated: 'yes',
    why: 'a job succeeded',
    todo: null,
    credentials: [{ name: 'claude:work', status: 'ok', limitedUntil: null }],
    running: 0,
    concurrency: null,
    fallback: null,
    capabilities: {},
  } satisfies ProviderReport;
  const missing = { ...claude, available: false, version: null, binary: null, todo: 'install it' } as const;
  const marks = (...args: Parameters<typeof ofProvider>) => ofProvider(...args).map(({ mark }) => mark);

  it('is bad only for the default one, and only when its jobs cannot succeed', () => {
    expect(marks(claude, 'claude')).toEqual(['ok']);
    expect(marks({ ...claude, authenticated: 'unknown' }, 'claude')).toEqual(['ok']);
    expect(marks({ ...claude, authenticated: 'no', todo: 'log in' }, 'claude')).toEqual(['bad', 'bad']);
    expect(marks(missing, 'claude')).toEqual(['bad', 'bad']);
    expect(marks(missing, 'codex')).toEqual(['note', 'note']);
    // Another one runs its jobs.
    expect(marks({ ...missing, fallback: 'codex' }, 'claude')).toEqual(['note', 'note']);
  });

  it('does not fail a server that is ready and could not read a record: jobs succeed there', async () => {
    const stored = { ok: false, detail: '1 could not be read since the start' };
    const ready = json(200, { ready: true, degraded: true, checks: { stored } });
    const server = await startScriptedServer(ready, ready, json(200, { data: [claude] }));
    const { code, out } = await typed(['doctor'], at(server.url));
    expect(out).toContain('-   stored data     1 could not be read since the start');
    expect(code).toBe(0);
  });
});
