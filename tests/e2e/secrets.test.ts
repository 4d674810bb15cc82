/**
 * Secrets of a server of its own, put into every place that takes text, and looked for in every
 * answer, in the log and in every file of the data folder.
 */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { expect, it, onTestFinished } from 'vitest';
import { REDIS_USER } from '../../src/redis/private/users.ts';
import { eventually } from '../helpers/eventually.ts';
import { installFakeCli } from '../helpers/fake-cli.ts';
import { startServer, type TestServer } from '../helpers/server.ts';
import { sharedFromStart, whenOver } from '../helpers/shared.ts';
import { makeTempDir, removeDir } from '../helpers/temp.ts';

/** A part of each secret that no encoding but base64 changes. */
const CORE = 'c4n4ryInTheMine';
const SECRETS = {
  variable: `${CORE}-"of\\the/server`,
  lines: `the first line\n${CORE}-second-line-of-it`,
  argument: `${CORE}-of+an=argument`,
  key: `sk-ant-api03-${CORE}-${'aB3_'.repeat(6)}`,
};
/** Without that part: the other test looks for it while this one stores it in a prompt. */
const PROMPTED = 'm1ners-lamp/"token';
/** Base64 of the core at each alignment, without the characters that its neighbours change. */
const ENCODED = [0, 1, 2].map((before) =>
  Buffer.from(`${'.'.repeat(before)}${CORE}`)
    .toString('base64')
    .slice(before === 0 ? 0 : 4, 18),
);
const NEEDLES = [CORE, ...ENCODED];
/** In the same places: shows that the search looks where the secrets would be. */
const MARK = 'not-a-secret-mark';

/** A command that says every secret it knows, in every way. */
const LEAKY = `
  const { CANARY_TOKEN: a, CANARY_PASSWORD: b } = process.env;
  const c = process.argv.at(-1);
  if (process.argv[2] === '--version') console.log('1.0 ' + a);
  else {
    let prompt = '';
    for await (const chunk of process.stdin) prompt += chunk;
    const say = (line) => console.log(JSON.stringify(line));
    say({ session: a, tool: 'Bash', input: { command: 'echo ' + b, [a]: [{ c }] } });
    for (const [secret, n] of [[a, 5], [b, 9], [c, 1000]])
      for (let at = 0; at < secret.length; at += n) say({ text: secret.slice(at, at + n) });
    say({ text: prompt + ' ${MARK}' });
    for (const secret of [a, b, c])
      for (const before of ['', '.', '..']) console.log(Buffer.from(before + secret).toString('base64'));
    console.log('raw', a, b, c, encodeURIComponent(a), JSON.stringify(JSON.stringify({ a })));
    console.error('${MARK}', a, b, c);
    process.exit(prompt.includes('fail') ? 3 : 0);
  }
`;

/** What the fake claude does before its answer. */
const STEPS = [
  { delta: 'my key is sk-ant' },
  { delta: SECRETS.key.slice(6, 20) },
  { delta: `${SECRETS.key.slice(20)} ${MARK}` },
  { tool: { name: 'Bash', input: { command: `curl -H ${SECRETS.key}` }, output: `401: ${SECRETS.key}` } },
  { line: JSON.stringify({ type: 'unknown', token: SECRETS.key }) },
  { stderr: `${MARK} ${SECRETS.key}` },
];

/** All that anyone can read over HTTP about these jobs. */
async function everyAnswer(server: TestServer, ids: readonly string[]): Promise<string> {
  const ofJobs = ids.flatMap((id) => [
    `/v1/jobs/${id}`,
    `/v1/jobs/${id}/executions`,
    `/v1/jobs/${id}/events?raw=true`,
    `/admin/queues/api/queues/prompts/${id}`,
    `/admin/queues/api/queues/prompts/${id}/logs`,
  ]);
  const ofStatus = ['completed', 'failed', 'latest'].map(
    (status) => `/admin/queues/api/queues?activeQueue=prompts&status=${status}&page=1&jobsPerPage=10`,
  );
  const others = [
    '/v1/jobs',
    `/v1/jobs?q=${MARK}`,
    '/v1/usage',
    '/v1/providers',
    '/v1/processes',
    '/v1/queue',
  ];
  const open = ['/ready', '/health', '/metrics', '/claude-cli/health', '/v1/nodes', '/v1/batches'];
  const answers: string[] = [];
  for (const path of [...ofJobs, ...ofStatus, ...others, ...open]) {
    for (const accept of path.includes('/events') ? ['application/x-ndjson', 'text/event-stream'] : ['*/*']) {
      const answer = await server.api('GET', path, undefined, { accept });
      expect([path, answer.status]).toEqual([path, 200]);
      answers.push(await answer.text());
    }
  }
  return answers.join('\n');
}

/** Every file of the data folder. */
function everyFile(home: string): string {
  return readdirSync(home, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => readFileSync(join(entry.parentPath, entry.name), 'latin1'))
    .join('\n');
}

/** A connection to the server's Redis with all rights, closed after the test. */
function redisOf(server: TestServer): Redis {
  const password = readFileSync(join(server.home, 'redis', 'password'), 'utf8').trim();
  const redis = new Redis({ port: server.redisPort ?? 0, username: REDIS_USER, password });
  onTestFinished(() => redis.disconnect());
  return redis;
}

/** Answers to raw requests: one that is refused, and one whose CLI says its secrets. */
async function rawAnswers(server: TestServer): Promise<string> {
  const [redis, subscriber] = [redisOf(server), redisOf(server)];
  const answers: string[] = [];
  subscriber.on('message', (_channel, message) => answers.push(message));
  await subscriber.subscribe('claude:cli:responses');
  const publish = (request: object) => redis.publish('claude:cli:requests', JSON.stringify(request));
  await publish({ id: 'refused', prompt: 'x', args: [SECRETS.key] });
  await publish({ id: 'done', prompt: 'say it' });
  await eventually(() => {
    for (const id of ['refused', 'done']) expect(answers.join()).toContain(`"id":"${id}","success"`);
  });
  return answers.join('\n');
}

/** Every key of Redis with its value. */
async function everyKey(server: TestServer): Promise<string> {
  const redis = redisOf(server);
  const found: unknown[] = [];
  for (const key of await redis.keys('*')) {
    const type = await redis.type(key);
    if (type === 'string') found.push(await redis.get(key));
    else if (type === 'hash') found.push(await redis.hgetall(key));
    else if (type === 'stream') found.push(await redis.xrange(key, '-', '+'));
    else if (type === 'zset') found.push(await redis.zrange(key, '0', '-1'));
    else if (type === 'set') found.push(await redis.smembers(key));
    else if (type === 'list') found.push(await redis.lrange(key, 0, -1));
    found.push(key);
  }
  return JSON.stringify(found);
}

const shared = sharedFromStart(async () => {
  const dir = makeTempDir();
  whenOver(() => removeDir(dir));
  const leaky = join(dir, 'leaky.mjs');
  writeFileSync(leaky, LEAKY);
  const claude = await installFakeCli(join(dir, 'bin'), { FAKE_STEPS: JSON.stringify(STEPS) });
  return startServer({
    env: {
      PROMPTED_TOKEN: PROMPTED,
      CANARY_TOKEN: SECRETS.variable,
      CANARY_PASSWORD: SECRETS.lines,
      ANTHROPIC_API_KEY: SECRETS.key,
    },
    config: {
      provider: 'leaky',
      providers: {
        claude: { binary: claude },
        custom: {
          leaky: {
            binary: process.execPath,
            args: [leaky, '--api-key', SECRETS.argument],
            versionArgs: [leaky, '--version'],
            env: ['CANARY_TOKEN', 'CANARY_PASSWORD'],
            output: {
              ndjson: { text: '/text', session: '/session', toolName: '/tool', toolInput: '/input' },
            },
          },
        },
      },
    },
  });
});

/** What is left of the secrets in a text, with what is around it. */
const found = (text: string): readonly string[] =>
  NEEDLES.flatMap((needle) => {
    const at = text.indexOf(needle);
    return at === -1 ? [] : [text.slice(Math.max(0, at - 300), at + 100)];
  });

it('no secret of the server leaves it: not in answers, streams, the board, the log, Redis or a file', async () => {
  const server = shared();
  const jobs = [
    await server.run({ prompt: 'say it', tags: ['a-tag'] }),
    await server.run({ prompt: 'say it and fail' }),
    await server.run({ prompt: 'say it', provider: 'claude' }),
  ];
  expect(jobs.map(({ status }) => status)).toEqual(['succeeded', 'failed', 'succeeded']);
  expect(jobs[0]?.outcome?.text).toMatch(/^\[redacted\].*say it not-a-secret-mark$/s);
  expect(jobs[1]?.outcome?.error?.message).toContain(`${MARK} [redacted]`);

  const refusals = [
    server.api('POST', '/v1/jobs', { prompt: 'x', [SECRETS.variable]: 1 }),
    server.api('POST', '/v1/jobs', { prompt: 'x', cwd: `/${SECRETS.lines}` }),
    server.api('POST', '/v1/jobs', { prompt: 'x', provider: SECRETS.argument }),
    server.api('POST', '/v1/jobs', { prompt: 'x', model: SECRETS.variable }),
    server.api('GET', `/v1/jobs/${encodeURIComponent(SECRETS.argument)}`),
    server.api('GET', `/v1/jobs?status=${encodeURIComponent(SECRETS.variable)}`),
    server.api('GET', `/v1/jobs?${encodeURIComponent(SECRETS.variable)}=1`),
    server.api('GET', '/v1/jobs', undefined, { authorization: `Bearer ${SECRETS.key}` }),
    server.api('GET', '/v1/jobs', undefined, { accept: SECRETS.key }),
    server.api('POST', '/v1/jobs', 'x', { 'x-request-id': SECRETS.key.slice(0, 60) }),
    server.api('POST', '/v1/providers/x/resume', undefined, { 'idempotency-key': SECRETS.key }),
  ];
  for (const refusal of refusals) {
    const answer = await refusal;
    const text = await answer.text();
    expect([answer.status >= 400 && answer.status < 500, found(text), text]).toEqual([true, [], text]);
  }

  await eventually(async () => expect(everyFile(server.home)).toContain(MARK));
  const places = {
    raw: await rawAnswers(server),
    answers: await everyAnswer(
      server,
      jobs.map(({ id }) => id),
    ),
    keys: await everyKey(server),
    files: everyFile(server.home),
    log: server.log(),
  };
  for (const [place, text] of Object.entries(places)) {
    expect([place, found(text)]).toEqual([place, []]);
    // The data folder has the token in a file of its own.
    if (place !== 'files') expect([place, text.includes(server.token)]).toEqual([place, false]);
  }
  for (const text of [places.raw, places.answers, places.keys, places.files]) expect(text).toContain(MARK);
  expect(places.log).toContain('job ended');
});

it('a prompt that holds a secret stays as its sender wrote it; what a CLI makes of it does not', async () => {
  const server = shared();
  const prompt = `echo ${PROMPTED}`;
  const job = await server.run({ prompt });
  expect(job).toMatchObject({ prompt, outcome: { text: expect.stringContaining('echo [redacted]') } });
  expect((await server.job(job.id)).prompt).toBe(prompt);
  const board = await server.api('GET', `/admin/queues/api/queues/prompts/${job.id}`);
  const shown = await board.text();
  expect(shown).toContain('echo [redacted]');
  expect(shown).not.toContain('m1ners');
});
