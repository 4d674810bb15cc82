import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { eventually } from '../../helpers/eventually.ts';
import type { TestServer } from '../../helpers/server.ts';
import { type BreakableRedis, isReady, PROMPTLY_MS, sharedBench } from '../fault-bench.ts';

const PATIENCE = { timeoutMs: 40_000 };
const ROUNDS = 4;

const setUp = sharedBench();

interface Call {
  readonly method: string;
  readonly path: string;
  readonly body?: unknown;
}

interface Answer extends Call {
  readonly status: number;
  readonly retryAfter: string | null;
  readonly ms: number;
  readonly text: string;
}

/** What each operation of the OpenAPI document needs; the document says which there are. */
const BODIES: Readonly<Record<string, unknown>> = {
  'POST /v1/jobs': { provider: 'echo', prompt: 'x', delayMs: 3_600_000 },
  'POST /v1/batches': { prompts: [{ provider: 'echo', prompt: 'x', delayMs: 3_600_000 }] },
  'POST /v1/jobs/{id}/retry': { delayMs: 3_600_000 },
  'POST /v1/jobs/{id}/cancel': {},
  'POST /v1/batches/{id}/cancel': {},
};

async function allCalls(server: TestServer): Promise<Call[]> {
  const { id } = await server.run({ provider: 'echo', prompt: 'ran' });
  const made = await server.api('POST', '/v1/batches', BODIES['POST /v1/batches']);
  const batch = (await made.json()) as { id: string }; // the documented answer
  const { paths } = (await (await server.api('GET', '/openapi.json')).json()) as {
    paths: Record<string, Record<string, unknown>>;
  };
  const documented = Object.entries(paths).flatMap(([path, operations]) =>
    Object.keys(operations).map((name): Call => {
      const method = name.toUpperCase();
      const real = path.replace('{id}', path.startsWith('/v1/batches') ? batch.id : id);
      const body = method === 'POST' ? (BODIES[`${method} ${path}`] ?? { jobId: id }) : undefined;
      return { method, path: real, ...(body === undefined ? {} : { body }) };
    }),
  );
  expect(documented.length).toBeGreaterThan(15);
  const board = { method: 'GET', path: '/admin/queues/api/queues?activeQueue=prompts' };
  // Last: it would take the job from the others.
  const rank = ({ method }: Call): number => (method === 'DELETE' ? 1 : 0);
  return [...documented, board].sort((a, b) => rank(a) - rank(b));
}

async function ask(server: TestServer, call: Call, key: string): Promise<Answer> {
  const began = performance.now();
  const response = await server.api(call.method, call.path, call.body, { 'idempotency-key': key });
  const { status, headers } = response;
  const streams = headers.get('content-type')?.startsWith('text/event-stream') === true;
  const text = streams ? '' : await response.text();
  if (streams) await response.body?.cancel();
  return { ...call, status, retryAfter: headers.get('retry-after'), ms: performance.now() - began, text };
}

function expectNoFault(answers: readonly Answer[]): void {
  expect(answers.filter(({ status }) => status >= 500 && status !== 503)).toEqual([]);
  const unready = new Set(['/ready', '/claude-cli/health']);
  const refused = answers.filter(({ status, path }) => status === 503 && !unready.has(path));
  for (const { text, retryAfter, path } of refused) {
    // Bull Board has a form of its own.
    expect(text, path).toMatch(
      path.startsWith('/admin') ? /cannot be reached|imeout/ : /"redis.unavailable"/,
    );
    expect(retryAfter, path).not.toBeNull();
  }
}

describe('every route', () => {
  it.each([
    ['is frozen', (redis: BreakableRedis) => redis.pause(), (redis: BreakableRedis) => redis.resume()],
    ['is gone', (redis: BreakableRedis) => redis.kill(), (redis: BreakableRedis) => redis.restart()],
  ])('answers in time, and never with 500, while Redis %s', async (_, take, giveBack) => {
    const { redis, server } = await setUp();
    const calls = await allCalls(server);
    await take(redis);
    const answers = await Promise.all(calls.map((call) => ask(server, call, 'k')));
    await giveBack(redis);
    expectNoFault(answers);
    expect(answers.filter(({ status }) => status === 503).length).toBeGreaterThan(8);
    expect(answers.filter(({ ms }) => ms > PROMPTLY_MS)).toEqual([]);
    await eventually(() => isReady(server), PATIENCE);
    expect(server.log()).not.toContain('internal.error');
  });

  it('answers with 503 at worst while connections break in the midst of everything', async () => {
    const { redis, server } = await setUp();
    const calls = await allCalls(server);
    const answers: Answer[] = [];
    let over = false;
    const breaking = (async () => {
      while (!over) {
        await redis.admin.call('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes');
        await delay(3);
      }
    })();
    const repeatable = calls.filter(({ method }) => method !== 'DELETE');
    for (let round = 0; round < ROUNDS; round += 1) {
      const all = repeatable.map((call) => ask(server, call, 'the same key'));
      answers.push(...(await Promise.all(all)));
    }
    over = true;
    await breaking;
    expectNoFault(answers);
    expect(new Set(answers.map(({ status }) => status))).toContain(503);
    await eventually(() => isReady(server), PATIENCE);
    expect(server.log()).not.toContain('internal.error');
  });
});
