import { once } from 'node:events';
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox';
import Fastify from 'fastify';
import { expect, test } from 'vitest';
import { MAX_UNDER_WAY, refuseOverload } from '../../../src/http/overload.ts';
import type { TerminalAsk } from '../../../src/protocol/terminal.ts';
import { callerOf } from '../../fakes/principals.ts';
import { eventually } from '../../helpers/eventually.ts';
import { asAdmin, asCaller, startHttp } from './harness.ts';
import { dial } from './raw-socket.ts';

test('with too many requests under way, further ones are refused; /health answers', async () => {
  await using http = await startHttp();
  const url = await http.listen();
  const ask = (path: string) => fetch(url + path, { headers: asCaller });
  const list = http.jobs.list.bind(http.jobs);
  const hold = Promise.withResolvers<void>();
  let held = 0;
  http.jobs.list = async (...query) => {
    held += 1;
    await hold.promise;
    return list(...query);
  };
  const slow = Array.from({ length: MAX_UNDER_WAY }, () => ask('/v1/jobs'));
  await eventually(() => expect(held).toBe(MAX_UNDER_WAY));
  const refused = await ask('/v1/jobs');
  expect([refused.status, refused.headers.get('retry-after')]).toEqual([503, '1']);
  expect(await refused.json()).toMatchObject({ code: 'server.busy' });
  expect((await ask('/health')).status).toBe(200);
  hold.resolve();
  for (const answer of await Promise.all(slow)) expect(answer.status).toBe(200);
  expect((await ask('/v1/jobs')).status).toBe(200);
});

test('requests without a right token or with half a body do not count', async () => {
  await using http = await startHttp();
  const url = await http.listen();
  const sockets = await Promise.all(Array.from({ length: MAX_UNDER_WAY + 10 }, () => dial(url)));
  for (const [at, socket] of sockets.entries()) {
    const token = at % 2 === 0 ? asCaller.authorization : 'Bearer x';
    const head = ['POST /v1/jobs HTTP/1.1', 'Host: localhost', `Authorization: ${token}`];
    socket.write([...head, 'Content-Type: application/json', 'Content-Length: 10', '\r\n'].join('\r\n'));
  }
  expect((await fetch(`${url}/v1/jobs`, { headers: asCaller })).status).toBe(200);
  for (const socket of sockets) socket.destroy();
});

test('requests that only wait are not too many', async () => {
  await using http = await startHttp();
  const url = await http.listen();
  const { id } = await http.make();
  const left = new AbortController();
  const polls = Array.from({ length: MAX_UNDER_WAY + 10 }, () =>
    fetch(`${url}/v1/jobs/${id}?wait=300`, { headers: asCaller, signal: left.signal }),
  );
  const ended = Promise.allSettled(polls);
  for (const _ of polls) await http.jobs.nextWait();
  expect((await fetch(`${url}/v1/jobs`, { headers: asCaller })).status).toBe(200);
  left.abort();
  await ended;
});

test('readers of results and recordings are not too many, however slow they are', async () => {
  await using http = await startHttp();
  const url = await http.listen();
  const owner = callerOf('caller');
  const { batch } = await http.batches.create(owner, [], null);
  const { session } = await http.sessions.create(owner, { kind: 'terminal' }, null);
  const hold = Promise.withResolvers<void>();
  const open: Response[] = [];
  http.batches.results = async () =>
    (async function* () {
      await hold.promise;
      yield [];
    })();
  const ask = http.terminals.ask.bind(http.terminals);
  http.terminals.ask = async (...args) => {
    const question: TerminalAsk = args[2];
    if (question.kind === 'recording' && question.from > 0) await hold.promise;
    return ask(...args);
  };
  const paths = [`/v1/batches/${batch.id}/results`, `/v1/sessions/${session.id}/recording`];
  for (const path of paths) {
    const slow = await Promise.all(
      Array.from({ length: MAX_UNDER_WAY }, () => fetch(url + path, { headers: asAdmin })),
    );
    expect(new Set(slow.map(({ status }) => status)), path).toEqual(new Set([200]));
    expect((await fetch(`${url}/v1/jobs`, { headers: asAdmin })).status, path).toBe(200);
    open.push(...slow);
  }
  hold.resolve();
  for (const answer of open) await answer.text();
});

test('requests whose callers left before their turn do not count', async () => {
  await using app = Fastify().withTypeProvider<TypeBoxTypeProvider>();
  let left = 0;
  app.decorateRequest('principal', null);
  refuseOverload(app);
  app.addHook('onRequest', async (request, reply) => {
    request.principal = callerOf('caller');
    if (request.url === '/slow') await once(reply.raw, 'close');
  });
  app.get('/slow', async () => {
    left += 1;
    return '';
  });
  app.get('/', async () => '');
  const url = await app.listen({ host: '127.0.0.1', port: 0 });
  for (let i = 0; i < MAX_UNDER_WAY; i += 1) {
    const socket = await dial(url);
    socket.write('GET /slow HTTP/1.1\r\nHost: localhost\r\n\r\n', () => socket.destroy());
  }
  await eventually(() => expect(left).toBe(MAX_UNDER_WAY));
  expect((await fetch(url)).status).toBe(200);
});
