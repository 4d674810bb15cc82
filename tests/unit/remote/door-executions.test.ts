import { once } from 'node:events';
import { Agent, request as httpRequest } from 'node:http';
import { describe, expect, it } from 'vitest';
import { aLine, anEnd, anOutcome } from '../../fakes/remote-executions.ts';
import { eventually } from '../../helpers/eventually.ts';
import { aSubmission, ID, signedGet, startDoor } from './door-harness.ts';

const linesOf = (text: string): { type: string; n?: number }[] =>
  text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line));

describe('the executions of a server', () => {
  it('are taken, known, and the same again; every answer names the node', async () => {
    await using door = await startDoor();
    const execution = { id: ID, jobId: 'J', state: 'running', events: 0 };
    for (let times = 0; times < 2; times++) {
      const answer = await door.send('POST', '/v1/executions', aSubmission());
      expect([answer.statusCode, answer.json()]).toEqual([202, { node: 'node-1', execution }]);
      expect(answer.headers['x-bullpen-node']).toBe('node-1');
    }
    expect((await door.send('GET', '/v1/executions')).json()).toEqual({
      node: 'node-1',
      executions: [execution],
    });
    const reused = await door.send('POST', '/v1/executions', aSubmission({ jobId: 'other' }));
    expect([reused.statusCode, reused.json().code]).toEqual([409, 'execution.id_reused']);
    expect([reused.headers['x-bullpen-node'], reused.headers['content-type']]).toEqual([
      ...['node-1', 'application/problem+json'],
    ]);
    expect(door.executions.submissions).toEqual([aSubmission()]);
  });

  it('of a server with another version are refused until both have the same one', async () => {
    await using door = await startDoor();
    const versioned = (version: string) => (headers: Record<string, string>) => ({
      ...{ ...headers, 'x-bullpen-version': version },
    });
    const newer = { ...aSubmission(), aNewField: true };
    for (const [method, body] of [
      ['POST', newer],
      ['GET', undefined],
    ] as const) {
      const refused = await door.send(method, '/v1/executions', body, versioned('1.3.0'));
      expect(refused.statusCode).toBe(503);
      const detail = 'it has version 1.2.3, and the server 1.3.0: give both the same one';
      expect(refused.json()).toMatchObject({ code: 'executor.unavailable', detail });
    }
    const { statusCode } = await door.send('POST', '/v1/executions', aSubmission(), versioned('1.2.3'));
    expect(statusCode).toBe(202);
    // What runs is followed and cancelled nevertheless.
    const cancel = { reason: 'cancelled', force: false };
    const path = `/v1/executions/${ID}/cancel`;
    expect((await door.send('POST', path, cancel, versioned('1.3.0'))).statusCode).toBe(200);
  });

  it('are run by CLIs that only a signed request may ask for', async () => {
    await using door = await startDoor();
    const answer = await door.send('GET', '/v1/providers');
    expect(answer.json()).toMatchObject({
      node: 'node-1',
      providers: [{ name: 'claude', available: false }],
    });
    expect((await door.app.inject({ method: 'GET', url: '/v1/providers' })).statusCode).toBe(401);
  });

  it('may be as deep and as large as what a server takes', async () => {
    await using door = await startDoor();
    let schema: Record<string, unknown> = {};
    for (let depth = 0; depth < 61; depth++) schema = { a: schema };
    const outputSchema = { ...schema, b: Array.from({ length: 9_000 }, () => 1) };
    const request = { ...aSubmission().request, prompt: 'x'.repeat(1024 * 1024), outputSchema };
    expect((await door.send('POST', '/v1/executions', aSubmission({ request }))).statusCode).toBe(202);
    const tooDeep = { ...request, outputSchema: { a: { a: { a: { a: schema } } } } };
    const refused = await door.send('POST', '/v1/executions', aSubmission({ request: tooDeep }));
    expect([refused.statusCode, refused.json().code]).toEqual([400, 'request.invalid']);
  });

  it.each([
    ['an id that is none', { id: 'x' }],
    ['an attempt of 0', { attempt: 0 }],
    ['another kind', { kind: 'chat' }],
    ['an unknown field', { env: { PATH: '/evil' } }],
    ['a request without a provider', { request: { ...aSubmission().request, provider: undefined } }],
    ['a request with an unknown field', { request: { ...aSubmission().request, binary: '/bin/sh' } }],
  ])('are refused with %s', async (_what, change) => {
    await using door = await startDoor();
    const answer = await door.send('POST', '/v1/executions', { ...aSubmission(), ...change });
    expect([answer.statusCode, answer.json().code]).toEqual([400, 'request.invalid']);
    expect(door.executions.submissions).toEqual([]);
  });

  it('are cancelled with a reason, also those that are not known', async () => {
    await using door = await startDoor();
    const cancel = `/v1/executions/${ID}-fallback/cancel`;
    const request = { reason: 'interrupted', force: true };
    const answer = await door.send('POST', cancel, request);
    expect([answer.statusCode, answer.json()]).toMatchObject([
      200,
      { node: 'node-1', execution: { state: 'ended' } },
    ]);
    expect(door.executions.cancelled).toEqual([{ id: `${ID}-fallback`, request }]);
    for (const wrong of [
      {},
      { reason: 'cancelled' },
      { reason: 'lost', force: false },
      { ...request, more: 1 },
    ])
      expect((await door.send('POST', cancel, wrong)).statusCode).toBe(400);
    expect((await door.send('POST', '/v1/executions/x/cancel', request)).statusCode).toBe(400);
  });

  it('can be followed and cancelled while the executor drains; new ones are refused', async () => {
    await using door = await startDoor();
    await door.send('POST', '/v1/executions', aSubmission());
    door.executions.say(aLine(1), anEnd(anOutcome('done')));
    door.app.refuseNewRequests();
    expect((await door.send('GET', '/v1/executions')).statusCode).toBe(200);
    expect((await door.send('GET', `/v1/executions/${ID}/events`)).statusCode).toBe(200);
    const cancel = { reason: 'cancelled', force: false };
    expect((await door.send('POST', `/v1/executions/${ID}/cancel`, cancel)).statusCode).toBe(200);
    const refused = await door.send('POST', '/v1/executions', aSubmission());
    expect([refused.statusCode, refused.json().code]).toEqual([503, 'server.stopping']);
    const execute = await door.execute({ prompt: 'Hello' });
    expect([execute.statusCode, execute.json().code]).toEqual([503, 'server.stopping']);
  });
});

describe('the events of an execution', () => {
  const events = `/v1/executions/${ID}/events`;

  async function running(changes: Parameters<typeof startDoor>[0] = {}) {
    const door = await startDoor(changes);
    await door.send('POST', '/v1/executions', aSubmission());
    return door;
  }

  it('come from a number on, and end with the outcome', async () => {
    await using door = await running();
    door.executions.say(aLine(1), aLine(2), aLine(3), anEnd(anOutcome('done')));
    const all = await door.send('GET', events);
    expect(all.headers['content-type']).toBe('application/x-ndjson');
    expect(linesOf(all.body).map(({ type, n }) => n ?? type)).toEqual([1, 2, 3, 'ended']);
    const rest = await door.send('GET', `${events}?after=2`);
    expect(linesOf(rest.body)).toEqual([aLine(3), anEnd(anOutcome('done'))]);
    expect(door.executions.followed.map(({ after }) => after)).toEqual([0, 2]);
  });

  it('of an unknown execution are 404, with the node; a number that is none is 400', async () => {
    await using door = await startDoor();
    const unknown = await door.send('GET', events);
    expect([unknown.statusCode, unknown.json().code]).toEqual([404, 'execution.not_found']);
    expect(unknown.headers['x-bullpen-node']).toBe('node-1');
    for (const after of ['-1', '1.5', 'x', '', '1&after=2'])
      expect((await door.send('GET', `${events}?after=${after}`)).statusCode).toBe(400);
    expect((await door.send('GET', `${events}?more=1`)).statusCode).toBe(400);
  });

  it('are followed for a while, with a sign of life, and then asked for again', async () => {
    await using door = await running({ streams: { streamMs: 300, aliveMs: 20 } });
    door.executions.say(aLine(1));
    const answer = linesOf((await door.send('GET', events)).body).map(({ type }) => type);
    expect(answer[0]).toBe('event');
    expect(answer.slice(1).length).toBeGreaterThan(0);
    expect(new Set(answer.slice(1))).toEqual(new Set(['alive']));
    await eventually(() => door.executions.followed[0]?.ended === true);
  });

  it('that cannot be read cut the connection, so that the reader does not take them for all', async () => {
    await using door = await running();
    door.executions.follow = async () =>
      (async function* () {
        yield aLine(1);
        throw new Error('the disk failed');
      })();
    const url = await door.listen();
    const headers = signedGet(events);
    const answer = await fetch(url + events, { headers });
    expect(answer.status).toBe(200);
    await expect(answer.text()).rejects.toThrow();
  });

  it('are not read ahead of a slow reader, and not at all for one that has left', async () => {
    await using door = await running();
    const line = aLine(1, 'x'.repeat(100_000));
    door.executions.say(...Array.from({ length: 2_000 }, () => line));
    const url = await door.listen();
    const headers = signedGet(events);
    const agent = new Agent();
    const asked = httpRequest(url + events, { headers, agent }).end();
    const [response] = await once(asked, 'response');
    response.pause();
    const followed = await eventually(() => door.executions.followed[0] ?? null);
    // It stops when the buffers of the connection are full: far less than the 200 MB.
    let before = -1;
    await eventually(
      () => {
        const still = followed.taken === before && followed.taken > 0;
        before = followed.taken;
        return still;
      },
      { intervalMs: 200 },
    );
    expect(followed.taken).toBeLessThan(500);
    asked.destroy();
    agent.destroy();
    await eventually(() => followed.ended);
    expect(followed.taken).toBeLessThan(500);
  });

  it('end when the executor stops', async () => {
    await using door = await running();
    const answer = door.send('GET', events);
    await eventually(() => door.executions.followed.length === 1);
    door.app.beginStopping();
    expect((await answer).statusCode).toBe(200);
  });
});
