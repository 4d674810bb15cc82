/**
 * Many POSTs: 200 a second for a minute, ten times as many as the server can take, and what
 * authentication, limits and redaction are of a POST.
 */
import { createHmac, randomBytes } from 'node:crypto';
import { Agent, request } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';
import { pino } from 'pino';
import { createGuesses } from '../../src/auth/guesses.ts';
import { createJwtVerifier } from '../../src/auth/jwt.ts';
import { createAuthenticator } from '../../src/auth/keyring.ts';
import { createRedactor } from '../../src/redactor.ts';
import { createBenchClient } from './client.ts';
import { cpuTime } from './proc.ts';
import type { Section } from './results.ts';
import type { BenchServer } from './server.ts';
import { repeat, type Setting } from './setting.ts';
import { median, quantile, turns } from './statistics.ts';

const BODY = JSON.stringify({ prompt: 'hello', provider: 'cat' });
const RATE_PER_S = 200;
/** A caller that has waited longer does not want the answer any more. */
const GOOD_MS = 2000;
const PROBES_IN_A_ROW = 5;
const MAX_CONNECTIONS = 1000;
const SENDERS = 64;

export async function measureLoad(setting: Setting): Promise<Section> {
  const { quick } = setting;
  const config = { providers: { custom: { cat: { binary: 'cat' } } } };
  await using server = await setting.server({ config, env: { BULLPEN_CONCURRENCY: '2' } });
  const posts = createPosts(server.url);
  try {
    const shares = await measureShares(setting, server, posts);
    const steady = await openLoop(posts, server.token, RATE_PER_S, quick ? 5 : 60);
    setting.log(`${steady.sent} POSTs, ${steady.good} accepted in time`);

    const baseMs = await probes(posts, server.token, 20);
    const peak = await closedLoop(posts, server.token, quick ? 2 : 10);
    setting.log(`at most ${peak.toFixed(0)} POSTs a second`);
    const overload = await openLoop(posts, server.token, 10 * peak, quick ? 3 : 20);
    const backMs = await untilNormal(posts, server.token, 2 * median(baseMs));

    const row = (name: string, value: number, unit: string) => ({ name, value, unit });
    return {
      title: `Many POSTs (${quick ? 'a few seconds' : 'a minute'} at ${RATE_PER_S} a second)`,
      lines: [],
      rows: [
        row(`${RATE_PER_S} POST/s: answers other than 202`, steady.sent - steady.accepted, ''),
        row(`${RATE_PER_S} POST/s: p50`, quantile(steady.tookMs, 0.5), 'ms'),
        row(`${RATE_PER_S} POST/s: p99`, quantile(steady.tookMs, 0.99), 'ms'),
        row('most POSTs a second', peak, 'per s'),
        row('at ten times as many: sent', overload.sent / overload.seconds, 'per s'),
        row('accepted in time', overload.good / overload.seconds, 'per s'),
        row('of the most', overload.good / overload.seconds / peak, '×'),
        row('refused with 503 or 429', overload.refused, ''),
        row('back to twice the usual time of a POST', backMs, 'ms'),
        ...shares.map(({ name, value, unit }) => row(name, value, unit)),
      ],
      notes: [
        `Accepted in time: 202 within ${GOOD_MS / 1000} s of the time at which the POST was due.`,
        `The sender runs on the same cores, with ${MAX_CONNECTIONS} connections at most: it cannot send ten times as many.`,
      ],
    };
  } finally {
    posts.close();
  }
}

type Posts = ReturnType<typeof createPosts>;

/** Sends POSTs over as many connections as they need. */
function createPosts(url: string) {
  const agent = new Agent({ keepAlive: true, maxSockets: MAX_CONNECTIONS });
  return {
    /** The status; 0: no answer. */
    send(token: string): Promise<number> {
      const { promise, resolve } = Promise.withResolvers<number>();
      const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' };
      const sent = request(`${url}/v1/jobs`, { method: 'POST', agent, headers }, (answer) => {
        answer.resume().once('close', () => resolve(answer.statusCode ?? 0));
      });
      sent.once('error', () => resolve(0));
      sent.end(BODY);
      return promise;
    },
    close: () => agent.destroy(),
  };
}

/**
 * Sends so many a second, whether or not they are answered. What is due while every connection is
 * in use is not sent: a caller without a connection does no work for the server.
 */
async function openLoop(posts: Posts, token: string, perSecond: number, seconds: number) {
  const found = { sent: 0, accepted: 0, good: 0, refused: 0, seconds, tookMs: [] as number[] };
  const underWay = new Set<Promise<void>>();
  const startedAt = performance.now();
  async function one(dueAt: number): Promise<void> {
    const status = await posts.send(token);
    const tookMs = performance.now() - dueAt;
    found.tookMs.push(tookMs);
    if (status === 202) found.accepted += 1;
    if (status === 202 && tookMs <= GOOD_MS) found.good += 1;
    if (status === 503 || status === 429) found.refused += 1;
  }
  const total = Math.round(perSecond * seconds);
  for (let due = 0; due < total; await delay(1)) {
    const dueNow = Math.min(total, Math.ceil(((performance.now() - startedAt) / 1000) * perSecond));
    for (; due < dueNow; due += 1) {
      if (underWay.size >= MAX_CONNECTIONS) continue;
      const sent = one(startedAt + (due * 1000) / perSecond).finally(() => underWay.delete(sent));
      underWay.add(sent);
      found.sent += 1;
    }
  }
  await Promise.all(underWay);
  return found;
}

/** The most POSTs a second, with senders that each wait for their answer. */
async function closedLoop(posts: Posts, token: string, seconds: number): Promise<number> {
  let accepted = 0;
  const startedAt = performance.now();
  const until = startedAt + seconds * 1000;
  const sender = async (): Promise<void> => {
    while (performance.now() < until) if ((await posts.send(token)) === 202) accepted += 1;
  };
  await Promise.all(Array.from({ length: SENDERS }, sender));
  return (accepted * 1000) / (performance.now() - startedAt);
}

/** Milliseconds of each of some POSTs, one after the other. */
async function probes(posts: Posts, token: string, count: number): Promise<readonly number[]> {
  const tookMs: number[] = [];
  for (let i = 0; i < count; i += 1)
    tookMs.push(await repeat(1, 1, async () => void (await posts.send(token))));
  return tookMs;
}

/** Milliseconds until some POSTs in a row are as fast as that. */
async function untilNormal(posts: Posts, token: string, limitMs: number): Promise<number> {
  const startedAt = performance.now();
  for (let fast = 0; fast < PROBES_IN_A_ROW && performance.now() - startedAt < 60_000; ) {
    const [tookMs = 0] = await probes(posts, token, 1);
    fast = tookMs <= limitMs ? fast + 1 : 0;
  }
  return performance.now() - startedAt;
}

/**
 * What a POST costs of processor time in the main process and Redis: with the admin token, with a
 * key, with the limit that JWTs have by default, and with every limit, in turns.
 */
async function measureShares(setting: Setting, server: BenchServer, posts: Posts) {
  using client = createBenchClient(server);
  const blocks = setting.quick ? 2 : 9;
  const count = setting.quick ? 200 : 1000;
  const limits = { requestsPerMinute: 1e6, jobsPerHour: 1e6, maxQueued: 1e6, usdPerDay: 1e6 };
  const tokens = {
    admin: server.token,
    key: await client.createKey({ name: 'open' }),
    hourly: await client.createKey({ name: 'hourly', jobsPerHour: 1e6 }),
    limited: await client.createKey({ name: 'limited', ...limits }),
  };
  const costMs: Record<keyof typeof tokens, number[]> = { admin: [], key: [], hourly: [], limited: [] };
  await client.pauseQueue(); // the processes of jobs are no part of a POST
  for (let block = 0; block < blocks; block += 1) {
    for (const name of turns(['admin', 'key', 'hourly', 'limited'] as const, block)) {
      const before = cpuOf(server);
      await repeat(count, 8, async () => void (await posts.send(tokens[name])));
      costMs[name].push((cpuOf(server) - before) / count);
    }
  }
  await client.resumeQueue();
  const [key, hourly, limited] = [median(costMs.key), median(costMs.hourly), median(costMs.limited)];
  const ownMs = (await authenticateMs()) + (await redactMs());
  const share = (whole: number): number => (100 * (whole - key + ownMs)) / whole;
  return [
    { name: 'processor time of a POST with a key', value: key, unit: 'ms' },
    { name: 'with jobs an hour, as a JWT', value: hourly, unit: 'ms' },
    { name: 'with every limit', value: limited, unit: 'ms' },
    { name: 'with the admin token', value: median(costMs.admin), unit: 'ms' },
    { name: 'authentication of a JWT, and redaction', value: ownMs, unit: 'ms' },
    { name: 'these two and the limit of jobs an hour, of a POST', value: share(hourly), unit: '%' },
    { name: 'these two and every limit, of a POST', value: share(limited), unit: '%' },
  ];
}

/** Of the main process and Redis, in ms. */
const cpuOf = (server: BenchServer): number =>
  server
    .parts()
    .filter(({ part }) => part === 'main' || part === 'redis')
    .reduce((sum, { pid }) => sum + cpuTime(pid).own, 0);

const TIMES = 20_000;

/** Milliseconds of one authentication with a JWT, the dearest one. */
async function authenticateMs(): Promise<number> {
  const jwtSecret = randomBytes(32).toString('hex');
  const logger = pino({ level: 'silent' });
  const none = { jwtKeys: null, jwtIssuer: null, jwtAudience: null, jwtLimits: {}, jwtJobsPerHour: null };
  const settings = { ...none, jwtProjectClaim: 'project' };
  const jwts = await createJwtVerifier({ settings: { ...settings, jwtSecret, jwtMaxLifeMs: 1e8 }, logger });
  const authenticator = createAuthenticator({
    ...{ adminToken: jwtSecret, jwts, guesses: createGuesses({ onRefused: () => undefined }) },
    keys: { find: () => null, named: () => null, current: () => null },
    jobTokens: { find: () => null, current: () => null },
    logins: { isOpen: () => false },
  });
  const nowS = Math.floor(Date.now() / 1000);
  const encoded = (part: object): string => Buffer.from(JSON.stringify(part)).toString('base64url');
  const claims = { sub: 'ann', scope: 'jobs:write', iat: nowS, exp: nowS + 3600 };
  const signed = `${encoded({ alg: 'HS256' })}.${encoded(claims)}`;
  const token = `${signed}.${createHmac('sha256', jwtSecret).update(signed).digest('base64url')}`;
  return each(async () => void (await authenticator.authenticate(`Bearer ${token}`, '127.0.0.1')));
}

/** Milliseconds to redact the line that the log has of a request. */
async function redactMs(): Promise<number> {
  const redactor = createRedactor([`bp_${'a'.repeat(43)}`, 'a-password-of-redis-0123456789']);
  const lines: string[] = [];
  const logger = pino({}, { write: (line: string) => void lines.push(line) });
  logger.info(
    { method: 'POST', from: '127.0.0.1', route: '/v1/jobs', status: 202, ms: 3 },
    'request answered',
  );
  const [line = ''] = lines;
  return each(async () => void redactor.text(line));
}

async function each(task: () => Promise<void>): Promise<number> {
  for (let i = 0; i < TIMES / 10; i += 1) await task();
  const before = process.cpuUsage();
  for (let i = 0; i < TIMES; i += 1) await task();
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1000 / TIMES;
}
