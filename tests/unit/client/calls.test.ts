import { describe, expect, it } from 'vitest';
import { ApiError, UnreachableError } from '../../../src/client/errors.ts';
import { CLOSED_PORT } from '../../helpers/closed-port.ts';
import { aJob } from './job.ts';
import { clientOf, json, problem, reset, startScriptedServer, TOKEN } from './scripted-server.ts';

/** What a promise is rejected with. */
async function failureOf(promise: Promise<unknown>): Promise<unknown> {
  try {
    await promise;
  } catch (error) {
    return error;
  }
  throw new Error('it did not fail');
}

describe('making a job', () => {
  it('sends the request as JSON with the token and a key of its own, and gives the job', async () => {
    const server = await startScriptedServer(json(202, aJob()));
    const job = await clientOf(server.url).create({ prompt: 'hi', tags: ['a'] });
    expect(job).toEqual(aJob());
    const [first] = server.requests;
    expect(first).toMatchObject({ method: 'POST', body: '{"prompt":"hi","tags":["a"]}' });
    expect(first?.url.pathname).toBe('/v1/jobs');
    expect(first?.headers).toMatchObject({
      authorization: `Bearer ${TOKEN}`,
      'content-type': 'application/json',
    });
    expect(first?.headers['idempotency-key']).toMatch(/^[0-9a-f]{32}$/);
  });

  it('is repeated with the same key after a broken connection and after 503, and makes no second job', async () => {
    const server = await startScriptedServer(reset, problem(503, 'redis.unavailable'), json(202, aJob()));
    const client = clientOf(server.url);
    expect(await client.create({ prompt: 'hi' })).toEqual(aJob());
    const keys = server.requests.map(({ headers }) => headers['idempotency-key']);
    expect(keys).toHaveLength(3);
    expect(new Set(keys).size).toBe(1);
    expect(client.waits).toEqual([1, 2]);
  });

  it('is repeated when the answer breaks off in the middle', async () => {
    const server = await startScriptedServer(
      (response) => {
        response.writeHead(202, { 'content-type': 'application/json', 'content-length': '1000' });
        response.write('{"id":');
        response.socket?.destroy();
      },
      json(202, aJob()),
    );
    expect(await clientOf(server.url).create({ prompt: 'hi' })).toEqual(aJob());
  });

  it('gives up after a few tries, with what the server said last', async () => {
    const server = await startScriptedServer(problem(503, 'queue.full'));
    const error = await failureOf(clientOf(server.url).create({ prompt: 'hi' }));
    expect(error).toMatchObject({ status: 503, code: 'queue.full' });
    expect(server.requests).toHaveLength(3);
  });

  it('waits as long as Retry-After says, within reason', async () => {
    const busyFor = (seconds: string) => problem(503, 'server.stopping', {}, { 'retry-after': seconds });
    const server = await startScriptedServer(busyFor('3'), busyFor('86400'), json(202, aJob()));
    const client = clientOf(server.url);
    await client.create({ prompt: 'hi' });
    expect(client.waits).toEqual([3000, 15_000]);
  });

  it('is never repeated when the server refused it', async () => {
    const server = await startScriptedServer(problem(422, 'provider.unsupported_option'));
    const client = clientOf(server.url);
    await expect(client.create({ prompt: 'hi' })).rejects.toThrow('it is provider.unsupported_option');
    expect(server.requests).toHaveLength(1);
  });
});

describe('a failure', () => {
  it('is one error with status, code, detail, errors and the id of the request', async () => {
    const errors = [{ path: '/maxTurns', message: 'must be at least 1' }];
    const server = await startScriptedServer(problem(400, 'request.invalid', { errors }));
    const error = await failureOf(clientOf(server.url).get('x'));
    expect(error).toBeInstanceOf(ApiError);
    expect(error).toMatchObject({
      status: 400,
      code: 'request.invalid',
      detail: 'it is request.invalid',
      message: 'it is request.invalid',
      errors,
      requestId: 'r1',
    });
  });

  it('that is no problem+json, like the page of a proxy, is quoted in short', async () => {
    const page = `<html>\n${'x'.repeat(5000)}</html>`;
    const server = await startScriptedServer((response) => {
      response.writeHead(502, { 'content-type': 'text/html' }).end(page);
    });
    const error = await failureOf(clientOf(server.url).list());
    expect(error).toMatchObject({ status: 502, code: 'unknown', requestId: null, errors: [] });
    expect(String(error)).toContain('<html> xxx');
    expect(String(error).length).toBeLessThan(300);
  });

  it('of a refused connection is reported at once, and differs from a broken connection', async () => {
    const server = await startScriptedServer(reset);
    const broken = await failureOf(clientOf(server.url).get('x'));
    expect(broken).toBeInstanceOf(UnreachableError);
    expect(broken).toMatchObject({ refused: false });
    const client = clientOf(`http://127.0.0.1:${CLOSED_PORT}`);
    const error = await failureOf(client.get('x'));
    expect(error).toMatchObject({ refused: true });
    expect(String(error)).toContain('ECONNREFUSED');
    expect(client.waits).toEqual([]);
  });

  it('is at once for a token that is no text, such as a variable that is not set', () => {
    // as: what a program in JavaScript can do
    for (const token of [undefined, 7, ''] as readonly unknown[] as readonly string[])
      expect(() => clientOf('http://127.0.0.1:9', { token })).toThrow(TypeError);
  });

  it('never holds the token', async () => {
    expect(() => clientOf('http://127.0.0.1:9', { token: 'se\ncret' })).toThrow(/^(?!.*cret).*ASCII/);
    const server = await startScriptedServer(problem(401, 'auth.unauthenticated'));
    const error = await failureOf(clientOf(server.url).list());
    expect(JSON.stringify(error) + String(error)).not.toContain(TOKEN);
  });

  it('is what a redirect is: the token goes to no other server', async () => {
    const other = await startScriptedServer(json(200, { data: [] }));
    const server = await startScriptedServer((response) => {
      response.writeHead(307, { location: `${other.url}/v1/providers` }).end();
    });
    await expect(clientOf(server.url).providers()).rejects.toBeInstanceOf(ApiError);
    expect(other.requests).toEqual([]);
  });

  it('is an answer that is not JSON', async () => {
    const server = await startScriptedServer((response) => void response.end('hello'));
    await expect(clientOf(server.url).providers()).rejects.toThrow('is it a Bullpen server?');
  });

  it('of a caller who has given up is the reason he gave', async () => {
    const server = await startScriptedServer(() => {});
    const asked = clientOf(server.url).get('x', { signal: AbortSignal.timeout(1) });
    await expect(asked).rejects.toMatchObject({ name: 'TimeoutError' });
  });
});

describe('the other calls', () => {
  it('name what they filter by, a value with a comma as one value', async () => {
    const server = await startScriptedServer(json(200, { data: [], nextCursor: null }));
    const client = clientOf(server.url);
    await client.list({ status: ['failed', 'cancelled'], tag: ['a,b'], q: 'x, y', limit: 5 });
    const query = server.requests[0]?.url.searchParams;
    expect(query?.getAll('status')).toEqual(['failed', 'cancelled']);
    expect(query?.getAll('tag')).toEqual(['a,b', 'a,b']); // twice, or it would be read as two tags
    expect(query?.getAll('q')).toEqual(['x, y']);
    expect(query?.get('limit')).toBe('5');
    expect(query?.has('cursor')).toBe(false);
  });

  it('wait for the end of a job over as many requests as it takes', async () => {
    const server = await startScriptedServer(
      json(200, aJob({ status: 'running' })),
      json(200, aJob({ status: 'succeeded', finished: true })),
    );
    const job = await clientOf(server.url).get('x', { waitMs: 600_000 });
    expect(job.finished).toBe(true);
    const waits = server.requests.map(({ url }) => Number(url.searchParams.get('wait')));
    expect(waits).toEqual([240, 240]);
  });

  it('do not wait unless asked to', async () => {
    const server = await startScriptedServer(json(200, aJob({ status: 'running' })));
    expect((await clientOf(server.url).get('x')).status).toBe('running');
    expect(server.requests[0]?.url.search).toBe('');
  });

  it('cancel, retry with changes and forget a job', async () => {
    const server = await startScriptedServer(json(202, aJob()), json(202, aJob()), (response) => {
      response.writeHead(204).end();
    });
    const client = clientOf(`${server.url}/`);
    await client.cancel('j1', { force: true });
    await client.retry('j1', { model: 'm' });
    await client.remove('j/1');
    const asked = server.requests.map(({ method, url, body }) => [method, url.pathname, body]);
    expect(asked).toEqual([
      ['POST', '/v1/jobs/j1/cancel', '{"force":true}'],
      ['POST', '/v1/jobs/j1/retry', '{"model":"m"}'],
      ['DELETE', '/v1/jobs/j%2F1', ''],
    ]);
    expect(server.requests[1]?.headers['idempotency-key']).toBeDefined();
  });

  it('take "not ready" for an answer, also from a server that stops', async () => {
    const checks = { redis: { ok: false, detail: 'away' } };
    const server = await startScriptedServer(
      json(503, { ready: false, checks }),
      problem(503, 'server.stopping'),
    );
    const client = clientOf(server.url);
    expect(await client.ready()).toEqual({ ready: false, checks });
    expect(await client.ready()).toEqual({
      ready: false,
      checks: { server: { ok: false, detail: 'it is server.stopping' } },
    });
  });

  it('sum up what was used, by a key and within a time', async () => {
    const report = { by: 'model', from: 'a', to: 'b', data: [] };
    const server = await startScriptedServer(json(200, report));
    const from = '2026-11-01T00:00:00.000Z';
    expect(await clientOf(server.url).usage({ by: 'model', from })).toEqual(report);
    expect(Object.fromEntries(server.requests[0]?.url.searchParams ?? [])).toEqual({ by: 'model', from });
  });
});
