import { describe, expect, it } from 'vitest';
import { aFailure, anOutcome } from '../../fakes/remote-executions.ts';
import { ID, originalHeaders, startDoor } from './door-harness.ts';

describe('what everyone may ask', () => {
  it('health: 200 when healthy, 503 when not, without spending a prompt', async () => {
    await using door = await startDoor();
    const healthy = await door.app.inject({ url: '/health' });
    expect([healthy.statusCode, healthy.json()]).toEqual([200, door.health.found]);
    door.health.found = {
      ...door.health.found,
      status: 'unhealthy',
      claudeAvailable: false,
      problem: 'no CLI',
    };
    const unhealthy = await door.app.inject({ url: '/health?test=false' });
    expect([unhealthy.statusCode, unhealthy.json()]).toMatchObject([
      503,
      { status: 'unhealthy', claudeAvailable: false },
    ]);
    expect(door.executions.executed).toEqual([]);
  });

  it('health with a test needs a signature, and shows what the CLI answered', async () => {
    await using door = await startDoor();
    const stranger = await door.app.inject({ url: '/health?test=true' });
    expect([stranger.statusCode, stranger.json().code]).toEqual([401, 'signature.missing']);
    expect(door.executions.executed).toEqual([]);
    door.executions.answer = async () => ({ outcome: anOutcome('OK'), finalLine: null });
    const tested = await door.send('GET', '/health?test=true');
    expect([tested.statusCode, tested.json()]).toEqual([200, { ...door.health.found, testResponse: 'OK' }]);
    expect(door.executions.executed[0]?.request).toMatchObject({ maxTurns: 1 });
    door.executions.answer = async () => ({ outcome: aFailure('auth.required', 'log in'), finalLine: null });
    const failed = await door.send('GET', '/health?test=true');
    expect([failed.statusCode, failed.json()]).toMatchObject([
      ...[503, { status: 'unhealthy', problem: 'auth.required: log in', testResponse: null }],
    ]);
    expect((await door.send('GET', '/health?test=yes')).statusCode).toBe(400);
  });

  it('metrics: text for Prometheus, and the JSON of the original', async () => {
    await using door = await startDoor();
    const text = await door.app.inject({ url: '/metrics' });
    expect(text.headers['content-type']).toBe('text/plain; version=0.0.4; charset=utf-8');
    expect(text.body).toContain('bullpen_executor_requests_total{result="succeeded"} 3');
    expect(text.body).toContain('bullpen_executor_requests_total{result="failed"} 1');
    expect(text.body).toContain('bullpen_executor_active_requests 1');
    expect(text.body).toContain('bullpen_executor_execution_seconds_average 1.5');
    expect(text.body).toMatch(/^process_resident_memory_bytes \d+$/m);
    const json = await door.app.inject({ url: '/metrics', headers: { accept: 'application/json' } });
    expect(json.json()).toEqual(door.counts.now);
    const scraper =
      'application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.4,*/*;q=0.1';
    expect(
      (await door.app.inject({ url: '/metrics', headers: { accept: scraper } })).headers['content-type'],
    ).toContain('text/plain');
    expect((await door.app.inject({ url: '/metrics', headers: { accept: 'image/png' } })).statusCode).toBe(
      406,
    );
  });

  it('nothing else: 404 and 405 are problems', async () => {
    await using door = await startDoor();
    for (const url of ['/', '/v1', '/v1/jobs', '/docs', '/execute/x', '/v1/executions/x']) {
      const answer = await door.app.inject({ url });
      expect([url, answer.statusCode, answer.json().code]).toEqual([url, 404, 'request.not_found']);
      expect(answer.headers['content-type']).toBe('application/problem+json');
    }
    const method = await door.app.inject({ url: '/execute' });
    expect([method.statusCode, method.headers['allow']]).toEqual([405, 'POST']);
    for (const url of ['/v1/executions', `/v1/executions/${ID}/events`])
      expect((await door.app.inject({ url })).statusCode).toBe(401);
  });

  it('answers have the headers that keep a browser from using them', async () => {
    await using door = await startDoor();
    const { headers } = await door.app.inject({ url: '/health', headers: { host: 'evil.example' } });
    expect(headers).toMatchObject({ 'x-content-type-options': 'nosniff', 'cache-control': 'no-store' });
    expect(headers['access-control-allow-origin']).toBeUndefined();
  });
});

describe('the requests of an address', () => {
  const from = (
    door: Awaited<ReturnType<typeof startDoor>>,
    remoteAddress: string,
    headers = {},
    url = '/metrics',
  ) => door.app.inject({ url, remoteAddress, headers: { accept: 'application/json', ...headers } });

  it('are 100 a minute; then 429 says when to ask again', async () => {
    await using door = await startDoor();
    for (let left = 99; left >= 0; left--) {
      const answer = await from(door, '192.0.2.1');
      expect([answer.statusCode, answer.headers['ratelimit-remaining']]).toEqual([200, String(left)]);
    }
    const refused = await from(door, '192.0.2.1');
    expect([refused.statusCode, refused.json().code]).toEqual([429, 'limit.requests_per_minute']);
    expect(refused.headers['content-type']).toBe('application/problem+json');
    expect(Number(refused.headers['retry-after'])).toBeGreaterThan(0);
    expect(refused.headers['ratelimit-limit']).toBe('100');
    expect((await from(door, '192.0.2.2')).statusCode).toBe(200);
    // Another address does not help when a header names it.
    expect(
      (await from(door, '192.0.2.1', { 'x-forwarded-for': '192.0.2.9', forwarded: 'for=192.0.2.9' }))
        .statusCode,
    ).toBe(429);
  });

  it('that follow or cancel an execution do not count: a running one is never given up for its number', async () => {
    await using door = await startDoor({ settings: { serviceRequestsPerMinute: 1, serviceExempt: [] } });
    expect((await door.send('GET', '/v1/executions')).statusCode).toBe(200);
    expect((await door.send('GET', '/v1/executions')).statusCode).toBe(429);
    const cancel = { reason: 'cancelled', force: false };
    for (const [method, path, body] of [
      ['POST', 'cancel', cancel],
      ['GET', 'events?after=0', undefined],
    ] as const) {
      const { statusCode } = await door.send(method, `/v1/executions/${ID}/${path}`, body);
      expect(statusCode, path).not.toBe(429);
    }
  });

  it('of every kind count: unknown paths, refused signatures, /execute', async () => {
    await using door = await startDoor({ settings: { serviceRequestsPerMinute: 3 } });
    const remoteAddress = '192.0.2.1';
    expect((await from(door, remoteAddress, {}, '/unknown')).statusCode).toBe(404);
    expect((await from(door, remoteAddress, {}, '/v1/executions')).statusCode).toBe(401);
    const payload = '{"prompt":"Hello"}';
    const execute = () =>
      door.app.inject({
        method: 'POST',
        url: '/execute',
        headers: originalHeaders(payload),
        payload,
        remoteAddress,
      });
    expect((await execute()).statusCode).toBe(200);
    const refused = await execute();
    expect([refused.statusCode, refused.json()]).toEqual([
      ...[429, { success: false, code: 'limit.requests_per_minute', error: expect.any(String) }],
    ]);
    expect((await from(door, remoteAddress, {}, '/health')).statusCode).toBe(200);
  });

  it('of exempt addresses, and those of health, do not count', async () => {
    const settings = { serviceRequestsPerMinute: 1, serviceExempt: ['127.0.0.1', '192.0.2.7'] };
    await using door = await startDoor({ settings });
    for (let times = 0; times < 3; times++) {
      expect((await from(door, '127.0.0.1')).statusCode).toBe(200);
      expect((await from(door, '::ffff:192.0.2.7')).statusCode).toBe(200);
      expect((await from(door, '192.0.2.8', {}, '/health')).statusCode).toBe(200);
    }
  });

  it('of IPv6 count by network', async () => {
    await using door = await startDoor({ settings: { serviceRequestsPerMinute: 1, serviceExempt: [] } });
    expect((await from(door, '2001:db8::1')).statusCode).toBe(200);
    expect((await from(door, '2001:db8::2')).statusCode).toBe(429);
    expect((await from(door, '2001:db8:0:1::1')).statusCode).toBe(200);
    expect((await from(door, '127.0.0.1')).statusCode).toBe(200);
    expect((await from(door, '127.0.0.1')).statusCode).toBe(429);
  });

  it('are any number with the limit off', async () => {
    await using door = await startDoor({ settings: { serviceRequestsPerMinute: null, serviceExempt: [] } });
    for (let times = 0; times < 150; times++) expect((await from(door, '192.0.2.1')).statusCode).toBe(200);
  });
});
