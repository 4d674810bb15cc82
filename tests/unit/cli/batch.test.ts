import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { progressLine } from '../../../src/cli/batch-progress.ts';
import { inRequests, readPromptList } from '../../../src/cli/commands/batch.ts';
import { batchLinks } from '../../../src/protocol/job.ts';
import { tempDir } from '../../helpers/temp.ts';
import { type Answer, json, problem, startScriptedServer } from '../client/scripted-server.ts';
import { at, item } from './answers.ts';
import { manualInterrupts, type as typed } from './harness.ts';

const ID = '01K9ZV4Q4S9V0M0X2T6D8Y3B7C';
const created = (items: readonly object[]) => json(202, { id: ID, items, links: batchLinks(ID) });
const ZERO = { queued: 0, scheduled: 0, waiting: 0, running: 0, succeeded: 0, failed: 0, cancelled: 0 };
const standing = (finished: boolean, counts: object) => {
  const times = { createdAt: '', startedAt: null, finishedAt: null };
  const rest = { total: 2, refused: 0, costUsd: null, links: batchLinks(ID) };
  return json(200, { id: ID, finished, counts: { ...ZERO, ...counts }, ...times, ...rest });
};
/** The events of a batch: its counts, as often as given, then its end. */
const changes = (...counts: readonly object[]): Answer => {
  const events = [
    ...counts.map((one) => ({ kind: 'batch.changed', counts: { ...ZERO, ...one } })),
    { kind: 'batch.finished' },
  ];
  const frames = events.map(
    (event, index) => `data: ${JSON.stringify({ cursor: `${index}-0`, total: 2, ...event })}\n\n`,
  );
  return (response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' }).end(frames.join(''));
  };
};
const many = (rest: object) => json(200, { matched: 3, skipped: {}, nextCursor: null, ...rest });
const bodyOf = (request: { readonly body: string } | undefined): object => JSON.parse(request?.body ?? '');

describe('bullpen batch', () => {
  it('sends the lines of stdin, with the options for those that say nothing else, and prints the ids', async () => {
    const items = [
      { index: 0, id: 'J0' },
      { index: 1, error: { code: 'x', message: 'no such provider', retryable: false, errors: [] } },
    ];
    const server = await startScriptedServer(created(items));
    const stdin = 'first\n\n{"prompt":"second","provider":"other"}\r\n';
    const answer = await typed(['batch', '-', '--provider', 'cat'], { ...at(server.url), stdin });
    expect(answer).toMatchObject({ code: 1, out: 'J0\n' });
    expect(answer.err).toContain('line 3: no such provider');
    expect(answer.err).toContain(`1 job in batch ${ID}; 1 refused`);
    expect(JSON.parse(server.requests[0]?.body ?? '')).toEqual({
      prompts: [
        { cwd: '/work', provider: 'cat', prompt: 'first' },
        { cwd: '/work', provider: 'other', prompt: 'second' },
      ],
    });
  });

  it('reports and waits for what was made when a later part of the list is refused', async () => {
    const error = { code: 'x', message: 'no such provider', retryable: false, errors: [] };
    const made = Array.from({ length: 999 }, (_, index) => ({ index, id: `J${index}` }));
    const stdin = 'prompt\n'.repeat(1002);
    const answers = [created([...made, { index: 999, error }]), problem(403, 'auth.forbidden')] as const;
    const all = [changes(), standing(true, { succeeded: 999 }), json(200, { data: [], nextCursor: null })];
    const server = await startScriptedServer(...answers, ...all);
    const answer = await typed(['batch', '-', '--wait'], { ...at(server.url), stdin });
    expect(answer.out.split('\n')).toHaveLength(1000);
    for (const text of [
      'line 1000: no such provider\n2 lines (1001, 1002): not accepted\n',
      `999 jobs in batch ${ID}; 1 refused\n`,
      '999 succeeded, 0 failed',
    ])
      expect(answer.err).toContain(text);
    expect(answer.code).toBe(77);
    expect(answer.err).toMatch(/bullpen: .+\n$/);
  });

  it('says once why prompts are refused, however many are', async () => {
    const error = { code: 'cwd.not_allowed', message: 'not there', retryable: false, errors: [] };
    const server = await startScriptedServer(created([0, 1, 2].map((index) => ({ index, error }))));
    const answer = await typed(['batch', '-'], { ...at(server.url), stdin: 'a\n\nb\nc\n' });
    expect(answer.err).toBe(`3 lines (1, 3, 4): not there\n0 jobs in batch ${ID}; 3 refused\n`);
  });

  it('reads a file, waits for the end of every job, and says how they ended', async () => {
    const file = join(tempDir(), 'prompts.txt');
    writeFileSync(file, '\ufeff{"prompt":"one"}\ntwo\n'); // as some editors save it
    const made = created([0, 1].map((index) => ({ index, id: `J${index}` })));
    const page = (...data: readonly object[]) => json(200, { data, nextCursor: null });
    const done = [standing(false, { running: 2 }), standing(true, { succeeded: 2 })] as const;
    const all = [made, changes({ running: 2 }), ...done, page(item(), item({ id: 'J1', deniedTools: 1 }))];
    const good = await startScriptedServer(...all);
    const answer = await typed(['batch', file, '--wait'], at(good.url));
    expect(answer).toMatchObject({ code: 0, out: 'J0\nJ1\n' });
    expect(answer.err).toContain('2 succeeded, 0 failed, 0 cancelled');
    expect(answer.err).toContain('denied a tool: J1;');
    expect(good.requests.map(({ url }) => url.pathname.replace(`/v1/batches/${ID}`, ''))).toEqual([
      ...['/v1/batches', '/events', '', '', '/v1/jobs'],
    ]);
    const bad = await startScriptedServer(
      made,
      changes(),
      standing(true, { succeeded: 1, failed: 1 }),
      page(),
    );
    expect((await typed(['batch', file, '-w', '--json'], at(bad.url))).code).toBe(1);
  });

  it('goes on waiting with a server of its own when the one it found leaves', async () => {
    const made = created([{ index: 0, id: 'J0' }]);
    const theirs = await startScriptedServer(made, (response) => {
      response.socket?.destroy();
      void theirs.stop();
    });
    const own = await startScriptedServer(
      ...[changes(), standing(true, { succeeded: 1 }), json(200, { data: [], nextCursor: null })],
    );
    const place = { url: theirs.url, token: 't', tokenFrom: 'f', of: 'run' } as const;
    const none = { kind: 'none', why: 'no server is running', busy: false } as const;
    let looks = 0;
    const answer = await typed(['batch', '-', '--wait'], {
      stdin: 'one',
      finder: () => ({
        home: async () => '/data',
        find: async () => (looks++ === 0 ? { kind: 'found', place } : none),
      }),
      startServer: async () => ({ url: own.url, token: 't', stop: async () => {} }),
    });
    expect(answer.code, answer.err).toBe(0);
    expect(answer.err).toContain('1 succeeded');
  });

  it('leaves the jobs alone at an interrupt while it waits, and says so', async () => {
    const interrupts = manualInterrupts();
    const server = await startScriptedServer(created([{ index: 0, id: 'J0' }]), () => {
      interrupts.raise();
    });
    const answer = await typed(['batch', '-', '--wait'], { ...at(server.url), stdin: 'one', interrupts });
    expect(answer).toMatchObject({ code: 130, err: expect.stringContaining('the jobs continue') });
  });

  it('shows a batch with what failed, and how to try it again', async () => {
    const error = { code: 'execution.crashed', message: '', retryable: false };
    const failed = item({ id: 'J1', customId: 'row 7', status: 'failed', error });
    const server = await startScriptedServer(
      ...[standing(true, { succeeded: 1, failed: 1 }), json(200, { data: [failed], nextCursor: null })],
    );
    const answer = await typed(['batch', 'show', ID], at(server.url));
    expect(answer.out).toContain('jobs      2: 1 succeeded, 1 failed\n');
    expect(answer.out).toMatch(/J1 +row 7 +execution\.crashed/);
    expect(answer.err).toContain(`bullpen batch retry ${ID}`);
  });

  it('watches a batch to its end; the exit code says whether all succeeded', async () => {
    const server = await startScriptedServer(
      ...[changes({ running: 2 }, { running: 1, failed: 1 }), standing(false, { running: 2 })],
      standing(true, { succeeded: 1, failed: 1 }),
      json(200, { data: [], nextCursor: null }),
    );
    const answer = await typed(['batch', 'watch', ID], at(server.url));
    expect(answer.code).toBe(1);
    // Without a terminal, a line when another tenth of the jobs has ended.
    expect(answer.err).toContain('1 of 2 done (1 failed), 1 running\n');
    expect(answer.err).toContain('1 succeeded, 1 failed, 0 cancelled');
  });

  it('watches on from the counts of now when the events are too old to resume', async () => {
    const good = [changes(), standing(true, { succeeded: 2 }), json(200, { data: [], nextCursor: null })];
    const server = await startScriptedServer(problem(410, 'events.expired'), ...good);
    expect((await typed(['batch', 'watch', ID], at(server.url))).code).toBe(0);
  });

  it('prints the results as they come, line by line', async () => {
    const lines = '{"index":0}\n{"index":1,"customId":"ü"}\n';
    const server = await startScriptedServer((response) => {
      response.writeHead(200, { 'content-type': 'application/x-ndjson' }).end(lines);
    });
    const answer = await typed(['batch', 'results', ID], at(server.url));
    expect(answer).toMatchObject({ code: 0, out: lines });
    expect(server.requests[0]?.headers.accept).toBe('application/x-ndjson');
  });

  it('retries what failed as a new batch, whose id it prints, and cancels one', async () => {
    const retried = await startScriptedServer(many({ retried: 2, batchId: 'NEW' }));
    const answer = await typed(['batch', 'retry', ID], at(retried.url));
    expect(answer).toMatchObject({ code: 0, out: 'NEW\n', err: '2 jobs retried, in batch NEW\n' });
    expect(bodyOf(retried.requests[0])).toEqual({ filter: { batch: ID } });
    const cancelled = await startScriptedServer(standing(false, { running: 1, cancelled: 1 }));
    const cancelling = await typed(['batch', 'cancel', ID, '--force'], at(cancelled.url));
    expect(cancelling.err).toBe(`batch ${ID}: 1 of 2 jobs are cancelled; 1 running job will stop\n`);
    expect(bodyOf(cancelled.requests[0])).toEqual({ force: true });
  });

  it('lists the newest batches, of which a part of an id is enough', async () => {
    const page = json(200, {
      data: [{ id: ID, counts: {}, total: 0, createdAt: '', costUsd: 1 }],
      nextCursor: null,
    });
    const server = await startScriptedServer(page, page, standing(true, {}));
    expect((await typed(['batch', 'list'], at(server.url))).out).toContain(ID);
    expect((await typed(['batch', 'show', ID.slice(-4)], at(server.url))).out).toContain(`batch     ${ID}`);
  });

  it.each([
    ['no id', ['batch', 'retry']],
    ['two ids', ['batch', 'show', ID, ID]],
    ['an option of a request', ['batch', 'retry', ID, '--model', 'opus']],
  ])('refuses an action with %s', async (_name, args) => {
    expect((await typed(args, {})).code).toBe(64);
  });

  it.each([
    ['nothing', ['batch'], null],
    ['an empty list', ['batch', '-'], '\n \n'],
    ['two files', ['batch', 'a', 'b'], null],
    ['a file that is not there', ['batch', '/missing/list'], null],
    ['a line that is broken JSON', ['batch', '-'], '{"prompt":'],
  ])('refuses %s without asking a server', async (_name, args, stdin) => {
    expect((await typed(args, { stdin })).code).toBe(64);
  });
});

describe('the progress of batches', () => {
  const batch = (counts: object, rest: object = {}) => ({
    ...{ id: ID, createdAt: '', startedAt: null, finishedAt: null, finished: false, refused: 0 },
    ...{ total: 40, counts: { ...ZERO, ...counts }, costUsd: null, links: batchLinks(ID), ...rest },
  });
  const startedAt = '2026-11-21T07:00:00.000Z';
  const later = (minutes: number): number => Date.parse(startedAt) + minutes * 60_000;

  it.each([
    [[batch({ queued: 38, scheduled: 2 })], 0, '0 of 40 done, 40 waiting'],
    [
      [batch({ succeeded: 8, failed: 2, running: 4, queued: 26 }, { costUsd: 0.5, startedAt })],
      4,
      '10 of 40 done (2 failed), 4 running, 26 waiting, $0.5000, about 12 min left',
    ],
    [
      [batch({ succeeded: 40 }, { startedAt }), batch({ running: 40 }, { costUsd: 2 })],
      120,
      '40 of 80 done, 40 running, $2.00, about 2 h left',
    ],
    [[batch({ succeeded: 1, running: 39 }, { startedAt })], 1, '1 of 40 done, 39 running'],
  ])('is one line %#', (batches, minutes, line) => {
    expect(progressLine(batches, later(minutes))).toBe(line);
  });
});

describe('many jobs at once', () => {
  it('are cancelled page by page, by the options that name them', async () => {
    const first = many({ cancelled: 2, requested: 1, nextCursor: 'c', skipped: { 'record.damaged': 1 } });
    const server = await startScriptedServer(first, many({ cancelled: 3, requested: 0 }));
    const args = ['cancel', '--tag', 'nightly', '--status', 'queued,running'];
    const answer = await typed(args, at(server.url));
    expect(answer).toMatchObject({
      code: 0,
      err: '5 jobs cancelled; 1 job running, to be stopped; left alone: 1 record.damaged\n',
    });
    const filter = { tag: ['nightly'], status: ['queued', 'running'] };
    expect(server.requests.map(bodyOf)).toEqual([
      { filter, all: false, force: false },
      { filter, all: false, cursor: 'c', force: false },
    ]);
  });

  it('are retried as batches', async () => {
    const server = await startScriptedServer(
      many({ retried: 1, batchId: 'B1', nextCursor: 'c' }),
      many({ retried: 0, batchId: null, skipped: { 'job.already_retried': 3 } }),
    );
    const answer = await typed(
      'retry --status failed --provider codex --from start'.split(' '),
      at(server.url),
    );
    expect(answer).toMatchObject({
      ...{ code: 0, out: 'B1\n' },
      err: '1 job retried, in batch B1; left alone: 3 job.already_retried\n',
    });
    expect(bodyOf(server.requests[0])).toEqual({
      ...{ filter: { status: ['failed'], provider: ['codex'] }, all: false, from: 'start' },
    });
    expect(server.requests.map(({ headers }) => typeof headers['idempotency-key'])).toEqual([
      'string',
      'string',
    ]);
  });

  it('all of them only with --all', async () => {
    const server = await startScriptedServer(many({ cancelled: 0, requested: 0 }));
    expect((await typed(['cancel', '--all'], at(server.url))).code).toBe(0);
    expect(bodyOf(server.requests[0])).toEqual({ filter: {}, all: true, force: false });
  });

  it.each([
    ['nothing that names a job', ['cancel']],
    ['an id and a filter', ['cancel', ID, '--tag', 'x']],
    ['an id and --all', ['retry', ID, '--all']],
    ['a change of the request', ['retry', '--status', 'failed', '--effort', 'high']],
    ['an unknown place', ['retry', '--status', 'failed', '--from', 'middle']],
    ['another prompt', ['retry', '--status', 'failed', '--prompt', 'x']],
  ])('refuses %s without asking a server', async (_name, args) => {
    expect((await typed(args, {})).code).toBe(64);
  });
});

describe('a list of prompts', () => {
  it('goes in as few calls as the limits of a call allow, in order', () => {
    const prompts = readPromptList(Array.from({ length: 25 }, (_, index) => `p${index}`).join('\n'), {});
    const sizes = (maxPrompts: number, maxBytes: number): number[] =>
      [...inRequests(prompts, maxPrompts, maxBytes)].map((part) => part.length);
    expect(sizes(10, 1e6)).toEqual([10, 10, 5]);
    expect(sizes(100, 1e6)).toEqual([25]);
    expect(sizes(100, 1)).toEqual(Array(25).fill(1));
    expect([...inRequests(prompts, 100, 50)].flat()).toEqual(prompts);
    expect(sizes(100, 100).every((size) => size > 1 && size < 8)).toBe(true);
  });
});
