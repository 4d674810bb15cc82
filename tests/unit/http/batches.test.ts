import { expect, test } from 'vitest';
import { AppError } from '../../../src/errors.ts';
import { callerOf } from '../../fakes/principals.ts';
import { asAdmin, asCaller, startHttp } from './harness.ts';

type Http = Awaited<ReturnType<typeof startHttp>>;
const json = { ...asCaller, 'content-type': 'application/json' };

const post = (http: Http, payload: object | string, headers: Record<string, string> = {}) =>
  http.app.inject({ method: 'POST', url: '/v1/batches', headers: { ...json, ...headers }, payload });
const get = (http: Http, id: string, headers = asCaller) =>
  http.app.inject({ url: `/v1/batches/${id}`, headers });
const cancel = (http: Http, id: string, payload?: object) =>
  http.app.inject({
    method: 'POST',
    url: `/v1/batches/${id}/cancel`,
    headers: asCaller,
    ...(payload === undefined ? {} : { payload }),
  });
const many = (count: number) => Array.from({ length: count }, (_, index) => ({ prompt: `p${index}` }));

test('each prompt becomes a job or an error, without an effect on the others', async () => {
  await using http = await startHttp();
  const answer = await post(http, {
    prompts: [
      { customId: 'one', prompt: 'first', tags: ['a'] },
      { prompt: ' ' },
      7,
      { customId: 'four', prompt: 'x', speed: 1 },
      { customId: 5, prompt: 'x' },
      { prompt: 'last' },
    ],
  });
  expect(answer.statusCode).toBe(202);
  const { id, items, links } = answer.json();
  expect(answer.headers.location).toBe(`/v1/batches/${id}`);
  expect(links).toEqual({
    self: `/v1/batches/${id}`,
    jobs: `/v1/jobs?batch=${id}`,
    results: `/v1/batches/${id}/results`,
    events: `/v1/batches/${id}/events`,
    cancel: `/v1/batches/${id}/cancel`,
  });
  expect(items).toEqual([
    { index: 0, customId: 'one', id: expect.any(String) },
    {
      index: 1,
      customId: null,
      error: {
        code: 'request.invalid',
        message: 'prompt must not be only white space',
        retryable: false,
        errors: [{ path: '/prompt', message: 'must not be only white space' }],
      },
    },
    { index: 2, customId: null, error: expect.objectContaining({ code: 'request.invalid' }) },
    {
      index: 3,
      customId: 'four',
      error: expect.objectContaining({ errors: [{ path: '/speed', message: 'is not a known field' }] }),
    },
    {
      index: 4,
      customId: null,
      error: expect.objectContaining({ errors: [{ path: '/customId', message: 'must be a string' }] }),
    },
    { index: 5, customId: null, id: expect.any(String) },
  ]);
  expect(http.batches.calls[0]?.[0]).toEqual({
    customId: 'one',
    prompt: { prompt: 'first', tags: ['a'] },
  });
});

test('two prompts with the same customId are 400, and nothing is made', async () => {
  await using http = await startHttp();
  const twice = ['a', 'b', 'a'].map((customId) => ({ customId, prompt: 'x' }));
  const answer = await post(http, { prompts: twice });
  expect(answer.statusCode).toBe(400);
  const message = 'must be unique in the batch: prompt 0 has it, too';
  expect(answer.json().errors).toEqual([{ path: '/prompts/2/customId', message }]);
  expect(http.batches.calls).toEqual([]);
});

test('a customId belongs in a batch: a job of its own with one is 400', async () => {
  await using http = await startHttp();
  const payload = { customId: 'a', prompt: 'x' };
  const answer = await http.app.inject({ method: 'POST', url: '/v1/jobs', headers: json, payload });
  expect(answer.json().errors).toEqual([{ path: '/customId', message: 'is not a known field' }]);
});

test('a thousand prompts with many options are accepted; one more, or none, are refused', async () => {
  await using http = await startHttp();
  const options = {
    provider: 'claude',
    tags: ['a', 'b', 'c', 'd'],
    metadata: { a: '1', b: '2' },
    priority: 3,
  };
  const full = many(1000).map((prompt) => ({ ...prompt, ...options }));
  expect((await post(http, { prompts: full })).json().items).toHaveLength(1000);
  for (const prompts of [many(1001), []]) {
    const refused = await post(http, { prompts });
    expect(refused.json()).toMatchObject({
      status: 400,
      code: 'request.invalid',
      errors: [{ path: '/prompts' }],
    });
  }
});

test.each([
  ['no body', ''],
  ['a list', '[]'],
  ['no prompts', '{}'],
  ['prompts that are no list', '{"prompts":{"prompt":"x"}}'],
  ['an unknown field beside them', '{"prompts":[{"prompt":"x"}],"provider":"claude"}'],
])('%s is 400', async (_name, payload) => {
  await using http = await startHttp();
  const refused = await post(http, payload);
  expect(refused.json()).toMatchObject({ status: 400, code: 'request.invalid' });
  expect(http.batches.calls).toEqual([]);
});

test('a body over the limit is 413, one prompt over its own is refused alone', async () => {
  await using small = await startHttp({ settings: { bodyLimitBytes: 1024 } });
  expect((await post(small, { prompts: [{ prompt: 'x'.repeat(2000) }] })).json().code).toBe(
    'request.too_large',
  );
  await using http = await startHttp();
  const items = (
    await post(http, { prompts: [{ prompt: 'x'.repeat(1024 * 1024 + 1) }, { prompt: 'y' }] })
  ).json().items;
  expect(items).toMatchObject([{ index: 0, error: { code: 'request.too_large' } }, { index: 1 }]);
  expect(items[1].id).toEqual(expect.any(String));
});

test('a body in another type, without a token, or for a full queue is refused as everywhere', async () => {
  await using http = await startHttp();
  const prompts = many(1);
  expect((await post(http, 'x', { 'content-type': 'text/plain' })).statusCode).toBe(415);
  const anonymous = await http.app.inject({ method: 'POST', url: '/v1/batches', payload: { prompts } });
  expect(anonymous.statusCode).toBe(401);
  http.batches.failNext = new AppError('queue.full', 'too many', { retryAfterSeconds: 10 });
  const full = await post(http, { prompts });
  expect([full.statusCode, full.headers['retry-after'], full.json().code]).toEqual([503, '10', 'queue.full']);
});

test('the same Idempotency-Key and prompts give the same batch, other prompts are 422', async () => {
  await using http = await startHttp();
  const key = { 'idempotency-key': 'k1' };
  const first = await post(http, { prompts: [{ prompt: 'a', priority: 1 }] }, key);
  const again = await post(http, '{ "prompts": [ { "priority": 1, "prompt": "a" } ] }', key);
  expect([again.statusCode, again.headers['idempotent-replayed']]).toEqual([202, 'true']);
  expect(again.json()).toEqual(first.json());
  expect(first.headers['idempotent-replayed']).toBeUndefined();
  const other = await post(http, { prompts: [{ prompt: 'b' }] }, key);
  expect(other.json()).toMatchObject({ status: 422, code: 'idempotency.key_reused' });
});

test('a batch has its job counts by status, for its owner and for an admin', async () => {
  await using http = await startHttp();
  const { id } = (await post(http, { prompts: [...many(2), {}] })).json();
  const answer = await get(http, id);
  expect(answer.json()).toEqual({
    id,
    createdAt: expect.any(String),
    ...{ startedAt: null, finishedAt: null, refused: 1, costUsd: null },
    finished: false,
    total: 2,
    counts: { queued: 2, scheduled: 0, waiting: 0, running: 0, succeeded: 0, failed: 0, cancelled: 0 },
    links: expect.any(Object),
  });
  expect((await get(http, id, asAdmin)).statusCode).toBe(200);
  const { id: foreign } = (await post(http, { prompts: many(1) }, asAdmin)).json();
  for (const unknown of [foreign, '01J00000000000000000000000', 'x', "' OR 1=1"]) {
    const missing = await get(http, encodeURIComponent(unknown));
    expect(missing.json(), unknown).toMatchObject({ status: 404, code: 'batch.not_found' });
  }
});

test('cancel is 202 while a job had not ended, 200 afterwards', async () => {
  await using http = await startHttp();
  const { id } = (await post(http, { prompts: many(3) })).json();
  const first = await cancel(http, id, { force: true });
  expect([first.statusCode, first.json().counts.cancelled]).toEqual([202, 3]);
  expect((await cancel(http, id)).statusCode).toBe(200);
  expect(http.batches.forced).toEqual([true, false]);
  expect((await cancel(http, id, { force: 'yes' })).statusCode).toBe(400);
  expect((await cancel(http, '01J00000000000000000000000')).json().code).toBe('batch.not_found');
});

test('the list filters by batch', async () => {
  await using http = await startHttp();
  const { id } = (await post(http, { prompts: many(1) })).json();
  await http.app.inject({ url: `/v1/jobs?batch=${id}`, headers: asCaller });
  await http.app.inject({ url: '/v1/jobs', headers: asCaller });
  expect(http.jobs.queries.map(({ batch }) => batch)).toEqual([id, undefined]);
});

test('batches are listed newest first, a page at a time, each caller its own', async () => {
  await using http = await startHttp();
  const ids: string[] = [];
  for (let made = 0; made < 3; made += 1) ids.push((await post(http, { prompts: many(1) })).json().id);
  await post(http, { prompts: many(1) }, asAdmin);
  const page = async (query: string) =>
    (await http.app.inject({ url: `/v1/batches${query}`, headers: asCaller })).json();
  const first = await page('?limit=2');
  expect(first.data.map(({ id }: { id: string }) => id)).toEqual([ids[2], ids[1]]);
  const second = await page(`?limit=2&cursor=${first.nextCursor}`);
  expect([second.data.map(({ id }: { id: string }) => id), second.nextCursor]).toEqual([[ids[0]], null]);
  expect((await page('?limit=0')).code).toBe('request.invalid');
  expect((await page('?status=queued')).errors).toEqual([
    { path: '/query/status', message: 'is not a known field' },
  ]);
});

test('the results are lines of JSON, page after page', async () => {
  await using http = await startHttp();
  const { id } = (await post(http, { prompts: many(3) })).json();
  const lines = [0, 1, 2].map((index) => ({
    ...{ index, customId: null, jobId: `J${index}`, status: 'queued' as const, outcome: null, error: null },
  }));
  http.batches.resultPages = [lines.slice(0, 2), lines.slice(2)];
  const url = `/v1/batches/${id}/results`;
  const answer = await http.app.inject({ url, headers: asCaller });
  expect(answer.headers['content-type']).toBe('application/x-ndjson');
  expect(answer.body).toBe(lines.map((line) => `${JSON.stringify(line)}\n`).join(''));
  const asJson = await http.app.inject({ url, headers: { ...asCaller, accept: 'application/json' } });
  expect(asJson.statusCode).toBe(406);
  const foreign = await http.app.inject({ url: '/v1/batches/no-id/results', headers: asCaller });
  expect(foreign.json().code).toBe('batch.not_found');
});

test.each(['its key is revoked', 'the server stops'])('the results break off when %s', async (why) => {
  await using http = await startHttp();
  const admin = callerOf('admin');
  const { batch } = await http.batches.create(callerOf('x', 'default'), [], null);
  const key = await http.keys.create(admin, { name: 'x', project: 'default', scopes: ['jobs:read'] }, null);
  const line = {
    ...{ index: 0, customId: null, jobId: 'J0', status: 'queued' as const, outcome: null, error: null },
  };
  http.batches.results = async () =>
    (async function* () {
      yield [line];
      if (why === 'the server stops') http.app.beginStopping();
      else await http.keys.revoke(admin, key.id);
      yield [{ ...line, index: 1 }];
    })();
  const url = `${await http.listen()}/v1/batches/${batch.id}/results`;
  const answer = await fetch(url, { headers: { authorization: `Bearer ${key.token}` } });
  expect(answer.status).toBe(200);
  await expect(answer.text()).rejects.toThrow();
});
