/** BULLPEN_PREFIX, BULLPEN_REQUEST_CHANNEL and BULLPEN_RESPONSE_CHANNEL at work. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { expect, it, onTestFinished } from 'vitest';
import type { Job } from '../../src/protocol/job.ts';
import { eventually } from '../helpers/eventually.ts';
import { findTestServer, runRedisCli } from '../helpers/redis-private.ts';
import { startServer, type TestServer } from '../helpers/server.ts';
import { fakeClis } from './fault-bench.ts';

const SLOW = { timeout: 120_000 }; // two starts of a server

const namesOf = (name: string) => ({
  BULLPEN_PREFIX: name,
  BULLPEN_REQUEST_CHANNEL: `${name}:ask`,
  BULLPEN_RESPONSE_CHANNEL: `${name}:answer`,
  BULLPEN_PROVIDER: 'echo',
});

const prompts = async (server: TestServer): Promise<string[]> => {
  const { data } = (await (await server.api('GET', '/v1/jobs')).json()) as { data: Job[] };
  return data.map((job) => ('promptPreview' in job ? String(job.promptPreview) : '')).toSorted();
};

it('two servers with names of their own share a Redis and see nothing of each other', SLOW, async () => {
  const { config } = await fakeClis();
  const one = await startServer({ config, env: namesOf('one') });
  const password = readFileSync(join(one.home, 'redis', 'password'), 'utf8').trim();
  const url = `redis://bullpen:${password}@127.0.0.1:${one.redisPort}`;
  const shares = { REDIS_URL: url, BULLPEN_RAW_REQUESTS: 'on' };
  const two = await startServer({ config, env: { ...namesOf('two'), ...shares } });
  const redis = new Redis(url);
  onTestFinished(() => redis.disconnect());
  const answers: unknown[] = [];
  redis.on('message', (channel, text) => {
    const message = JSON.parse(text);
    if ('success' in message) answers.push([channel, message]);
  });
  await redis.subscribe('one:answer', 'two:answer');

  const job = await one.run({ prompt: 'by HTTP' });
  expect(job).toMatchObject({ status: 'succeeded', outcome: { text: 'by HTTP' } });
  expect((await two.api('GET', `/v1/jobs/${job.id}`)).status).toBe(404);
  expect(await two.run({ prompt: 'the other' })).toMatchObject({ status: 'succeeded' });

  // As docs/protocol.md says, without a password.
  const binary = await findTestServer();
  const publish = (channel: string) =>
    runRedisCli(binary, [
      ...['-p', String(one.redisPort), 'PUBLISH', channel],
      '{"id":"test","prompt":"Hello","args":["--print"]}',
    ]);
  expect(await publish('one:ask')).toBe('1');
  await eventually(() =>
    expect(answers).toEqual([['one:answer', { id: 'test', success: true, result: 'Hello' }]]),
  );
  expect(await publish('claude:cli:requests').catch(String)).toMatch(/NOPERM/);
  expect(await prompts(one)).toEqual(['Hello', 'by HTTP']);
  expect(await prompts(two)).toEqual(['the other']);

  await redis.unsubscribe();
  const keys = await redis.keys('*');
  expect(keys.filter((key) => !/^\{(one|two)\}:/.test(key))).toEqual([]);
  expect(new Set(keys.map((key) => key.slice(0, 6)))).toEqual(new Set(['{one}:', '{two}:']));
});
