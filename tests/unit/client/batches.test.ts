import { expect, it } from 'vitest';
import { batchLinks } from '../../../src/protocol/job.ts';
import { type Answer, clientOf, json, problem, startScriptedServer } from './scripted-server.ts';

const ID = '01K9ZV4Q4S9V0M0X2T6D8Y3B7C';
const CREATED = { id: ID, items: [{ index: 0, id: ID }], links: batchLinks(ID) };
const COUNTS = { queued: 0, scheduled: 0, waiting: 0, running: 0, succeeded: 1, failed: 0, cancelled: 0 };
const BATCH = { id: ID, createdAt: '', finished: true, total: 1, counts: COUNTS, links: batchLinks(ID) };

it('a batch is made with a key of its own and repeated with it, so that nothing is made twice', async () => {
  const server = await startScriptedServer(problem(503, 'redis.unavailable'), json(202, CREATED));
  const made = await clientOf(server.url).createBatch([{ prompt: 'a' }, { prompt: 'b', priority: 1 }]);
  expect(made).toEqual(CREATED);
  expect(server.requests.map(({ method, url, body }) => [method, url.pathname, body])).toEqual(
    Array(2).fill(['POST', '/v1/batches', '{"prompts":[{"prompt":"a"},{"prompt":"b","priority":1}]}']),
  );
  const keys = server.requests.map(({ headers }) => headers['idempotency-key']);
  expect([keys[0], new Set(keys).size]).toEqual([expect.stringMatching(/^[0-9a-f]{32}$/), 1]);
});

it('a batch is read, its jobs listed, and cancelled', async () => {
  const list = { data: [], nextCursor: null };
  const server = await startScriptedServer(json(200, BATCH), json(200, list), json(202, BATCH));
  const client = clientOf(server.url);
  expect(await client.getBatch(ID)).toEqual(BATCH);
  expect(await client.list({ batch: ID })).toEqual(list);
  expect(await client.cancelBatch(ID, { force: true })).toEqual(BATCH);
  expect(
    server.requests.map(({ method, url, body }) => `${method} ${url.pathname}${url.search} ${body}`),
  ).toEqual([
    `GET /v1/batches/${ID} `,
    `GET /v1/jobs?batch=${ID} `,
    `POST /v1/batches/${ID}/cancel {"force":true}`,
  ]);
});

it('a batch is followed to its end, over a broken connection', async () => {
  const stream =
    (text: string): Answer =>
    (response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' }).end(text);
    };
  const event = (cursor: string, kind: string): string =>
    `id: ${cursor}\ndata: ${JSON.stringify({ cursor, kind })}\n\n`;
  const server = await startScriptedServer(
    stream(event('1-0', 'batch.changed')),
    stream(event('2-0', 'batch.finished')),
  );
  const kinds: string[] = [];
  for await (const { kind } of clientOf(server.url).batchEvents(ID)) kinds.push(kind);
  expect(kinds).toEqual(['batch.changed', 'batch.finished']);
  expect(server.requests[1]?.headers['last-event-id']).toBe('1-0');
});
