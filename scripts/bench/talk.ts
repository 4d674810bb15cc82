/**
 * Conversations: a message in a live chat, an approval that is answered, a thousand approvals that
 * wait, and fifty chats at once.
 */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { type Client, createClient } from '../../src/client/client.ts';
import type { Approval } from '../../src/protocol/approval.ts';
import type { Job } from '../../src/protocol/job.ts';
import type { Session } from '../../src/protocol/session.ts';
import { REDIS_USER } from '../../src/redis/private/users.ts';
import { startByHand } from './by-hand.ts';
import { cpuTime, residentMb, wakeUps } from './proc.ts';
import { addSample, line, type Row, type Samples, type Section } from './results.ts';
import { writeScriptedCli } from './scripted-cli.ts';
import type { BenchServer } from './server.ts';
import { repeat, type Setting } from './setting.ts';
import { median, quantile } from './statistics.ts';
import { bareTurnRunner, PROMPT } from './ways.ts';

const CHATS = 50;
const WATCH_MS = 10_000;
const LOOK_MS = 20;
const PAUSE_MS = 500;
const WITHIN_MS = 120_000;
/** A hold so short that each call waits without a process. */
const NO_HOLD = { BULLPEN_APPROVAL_HOLD_MS: '1', BULLPEN_APPROVAL_UNATTENDED_MS: '1' };
const LONG_HOLD = { BULLPEN_APPROVAL_HOLD_MS: '600000', BULLPEN_APPROVAL_UNATTENDED_MS: '600000' };

const row = (name: string, value: number, unit: string): Row => ({ name, value, unit });

export async function measureTalk(setting: Setting): Promise<Section> {
  const rounds = setting.quick ? 2 : 20;
  const firstMs = await messages(setting, rounds);
  const live = await approvals(setting, 'running', rounds);
  const own = await scriptedApprovals(setting, rounds);
  const waiting = await approvals(setting, 'waiting', rounds);
  return {
    title: 'Conversations',
    lines: [line('message → first text in a live chat', 'ms', firstMs)],
    rows: [
      row('approval answered → its command runs, live, p50', median(live), 'ms'),
      row('p95', quantile(live, 0.95), 'ms'),
      row('until a scripted CLI has the answer, p50', median(own), 'ms'),
      row('approval answered → its command runs, from a waiting job, p50', median(waiting), 'ms'),
      ...(await manyWaiting(setting, setting.quick ? 50 : 1000)),
      ...(await manyChats(setting)),
    ],
    notes: [
      'An answer is timed from its POST to the clock of the command itself, which claude runs in a shell.',
      'The approvals that wait, and the chats at once, are those of a scripted CLI.',
    ],
  };
}

/** A session's process and a bare one take turns. */
async function messages(setting: Setting, rounds: number): Promise<Samples> {
  using hand = startByHand(setting);
  const bare = await bareTurnRunner(hand);
  await using server = await setting.server({ env: { BULLPEN_SESSION_IDLE_MS: '600000' } });
  const client = createClient(server);
  const { id } = await client.sessions.create({ prompt: PROMPT });
  const chat = listen(client, id);
  for (let turn = 0; turn < 2; turn += 1) await chat.say(PROMPT); // from the third on its process is there
  const samples: Samples = {};
  for (let round = 0; round < rounds; round += 1) {
    await delay(PAUSE_MS);
    const { firstMs } = await bare.answer();
    if (firstMs !== undefined) addSample(samples, 'turn', firstMs);
    await delay(PAUSE_MS);
    addSample(samples, 'session', await chat.say(PROMPT));
  }
  await chat.leave();
  return samples;
}

interface Chat {
  /** Sends a message. Resolves when its turn has ended, with the milliseconds to its first text. */
  say(prompt: string): Promise<number>;
  leave(): Promise<void>;
}

/** Reads the events of a session. */
function listen(client: Client, id: string): Chat {
  const leaving = new AbortController();
  const text = { onFirst: (): void => {} };
  let ended = Promise.withResolvers<void>();
  const reading = (async () => {
    for await (const event of client.sessions.events(id, { signal: leaving.signal })) {
      if (event.kind === 'text.delta') text.onFirst();
      if (event.kind === 'session.status' && event.status === 'ready') {
        ended.resolve();
        ended = Promise.withResolvers();
      }
    }
  })();
  reading.catch(() => undefined); // it was left
  return {
    async say(prompt) {
      await client.sessions.get(id, { waitMs: WITHIN_MS, until: 'ready' });
      const startedAt = performance.now();
      let firstMs: number | null = null;
      text.onFirst = () => {
        firstMs ??= performance.now() - startedAt;
      };
      const over = ended.promise;
      const job = await client.sessions.message(id, { prompt });
      const { outcome } = await client.get(job.id, { waitMs: WITHIN_MS });
      await over;
      if (outcome?.status !== 'succeeded' || firstMs === null)
        throw new Error(`a turn did not answer: ${JSON.stringify(outcome)}`);
      return firstMs;
    },
    async leave() {
      leaving.abort();
      await reading.catch(() => undefined);
    },
  };
}

/**
 * Milliseconds from each answer to the start of the command that it allows.
 * @param status of the job until then
 */
async function approvals(
  setting: Setting,
  status: 'running' | 'waiting',
  rounds: number,
): Promise<readonly number[]> {
  await using server = await setting.server({ env: status === 'running' ? LONG_HOLD : NO_HOLD });
  const client = createClient(server);
  const took: number[] = [];
  for (let round = 0; round < rounds; round += 1) {
    const file = join(setting.workspace, `answered-${server.pid}-${round}`);
    const call = { command: `date +%s%N > ${file}`, description: 'Write the time' };
    const tool = `[[tool: Bash ${JSON.stringify(call)}]]`;
    // A call that is to wait without a process has to be made again.
    const prompt = `${status === 'running' ? tool : `${tool} ${tool}`} [[reply: done]]`;
    const job = await client.create({ prompt, cwd: setting.workspace, onPermissionDenied: 'ask' });
    const approval = await pendingOf(client, job, status);
    const startedAt = Date.now();
    await client.approvals.decide(approval.id, { decision: 'allow' });
    const { outcome } = await client.get(job.id, { waitMs: WITHIN_MS });
    if (!existsSync(file)) throw new Error(`a command did not run: ${JSON.stringify(outcome)}`);
    took.push(Number(readFileSync(file, 'utf8')) / 1e6 - startedAt);
  }
  return took;
}

/** The same until the CLI has the answer: what Bullpen takes of it. */
async function scriptedApprovals(setting: Setting, rounds: number): Promise<readonly number[]> {
  await using server = await scripted(setting, setting.newFolder(), LONG_HOLD);
  const client = createClient(server);
  const took: number[] = [];
  for (let round = 0; round < rounds; round += 1) {
    const job = await client.create({ prompt: 'ask', onPermissionDenied: 'ask' });
    const approval = await pendingOf(client, job, 'running');
    const startedAt = Date.now();
    await client.approvals.decide(approval.id, { decision: 'allow' });
    const { outcome } = await client.get(job.id, { waitMs: WITHIN_MS });
    if (outcome?.status !== 'succeeded') throw new Error(`a job failed: ${JSON.stringify(outcome)}`);
    took.push(Number(outcome.text) / 1e6 - startedAt);
  }
  return took;
}

/** The approval that a job with this status waits for. */
async function pendingOf(client: Client, { id }: Job, status: Job['status']): Promise<Approval> {
  for (const until = performance.now() + WITHIN_MS; performance.now() < until; await delay(LOOK_MS)) {
    const { data } = await client.approvals.list({ status: 'pending', jobId: id });
    if (data[0] !== undefined && (status === null || (await client.get(id)).status === status))
      return data[0];
  }
  throw new Error('a job asks for no approval');
}

/** A server whose claude is the scripted one. */
const scripted = (
  setting: Setting,
  home: string,
  env: Readonly<Record<string, string>>,
): Promise<BenchServer> => {
  const binary = writeScriptedCli(setting.workspace);
  return setting.server({ home, env, config: { providers: { claude: { binary } } } });
};

/** What jobs cost that wait for people. */
async function manyWaiting(setting: Setting, count: number): Promise<readonly Row[]> {
  const home = setting.newFolder();
  const limits = { BULLPEN_CONCURRENCY: '8', BULLPEN_MAX_QUEUED: String(2 * count) };
  const env = { ...NO_HOLD, ...limits, BULLPEN_WARM_PROCESSES: '0' };
  await using server = await scripted(setting, home, env);
  const client = createClient(server);
  const redis = connect(home);
  try {
    const jobs: Job[] = [];
    const ask = async (): Promise<void> => {
      const job = await client.create({ prompt: 'ask', onPermissionDenied: 'ask' });
      jobs.push(job);
      await pendingOf(client, job, 'waiting');
    };
    await repeat(Math.min(20, count), 4, ask); // the first ones load code
    const restMs = await restOf(server);
    const [memory, records] = [residentMb(server.pid), await usedBytes(redis)];
    await repeat(count, 8, ask);
    const growth = residentMb(server.pid) - memory;
    const perJob = ((await usedBytes(redis)) - records) / count;
    const waitingRest = await restOf(server);
    const name = `${count.toLocaleString('en')} waiting approvals`;
    return [
      row(`${name}: memory of the main process`, growth, 'MB'),
      row('Redis per job that waits', perJob / 1024, 'KB'),
      row('processes of CLIs', server.clis().length, ''),
      row('wake-ups of the main process in 10 s, without them', restMs.wakeUps, ''),
      row('and with them', waitingRest.wakeUps, ''),
      row('CPU of the main process in 10 s, without them', restMs.cpuMs, 'ms'),
      row('and with them', waitingRest.cpuMs, 'ms'),
    ];
  } finally {
    redis.disconnect();
  }
}

/** What the main process does while nothing happens. */
async function restOf({ pid }: BenchServer): Promise<{ wakeUps: number; cpuMs: number }> {
  await delay(WATCH_MS); // what is left to do behind the last job
  const [woken, cpu] = [wakeUps(pid), cpuTime(pid).own];
  await delay(WATCH_MS);
  return { wakeUps: wakeUps(pid) - woken, cpuMs: cpuTime(pid).own - cpu };
}

/** Chats with a live process, a reader and a message at the same time. */
async function manyChats(setting: Setting): Promise<readonly Row[]> {
  const env = {
    BULLPEN_CONCURRENCY: String(CHATS),
    BULLPEN_WARM_PROCESSES: String(CHATS),
    BULLPEN_MAX_SESSIONS: String(CHATS),
    BULLPEN_SESSION_IDLE_MS: '600000',
  };
  await using server = await scripted(setting, setting.newFolder(), env);
  const client = createClient(server);
  const warmUp = await client.sessions.create({ prompt: 'hello' });
  await ready(client, warmUp);
  await client.sessions.close(warmUp.id);
  await delay(WATCH_MS);
  const before = residentMb(server.pid);
  const sessions: Session[] = [];
  await repeat(CHATS, 4, async () => void sessions.push(await client.sessions.create({ prompt: 'hello' })));
  for (const session of sessions) await ready(client, session);
  const chats = sessions.map(({ id }) => listen(client, id));
  for (let turn = 0; turn < 2; turn += 1) await Promise.all(chats.map((chat) => chat.say('hello')));
  const firstMs: number[] = [];
  const allMs = await repeat(1, 1, async () => {
    firstMs.push(...(await Promise.all(chats.map((chat) => chat.say('hello')))));
  });
  await delay(WATCH_MS);
  const perChat = (residentMb(server.pid) - before) / CHATS;
  for (const chat of chats) await chat.leave();
  return [
    row(`${CHATS} chats at once: memory of the main process per chat`, perChat, 'MB'),
    row('a message in all of them: first text, p50', median(firstMs), 'ms'),
    row('p95', quantile(firstMs, 0.95), 'ms'),
    row('until all are answered', allMs, 'ms'),
  ];
}

async function ready(client: Client, { id }: Session): Promise<void> {
  const { status } = await client.sessions.get(id, { waitMs: WITHIN_MS, until: 'ready' });
  if (status !== 'ready') throw new Error(`a chat is ${status}`);
}

function connect(home: string): Redis {
  const [port, password] = ['port', 'password'].map((name) =>
    readFileSync(join(home, 'redis', name), 'utf8').trim(),
  );
  return new Redis({ port: Number(port), username: REDIS_USER, password: password ?? '' });
}

const usedBytes = async (redis: Redis): Promise<number> =>
  Number(/used_memory:(\d+)/.exec(await redis.info('memory'))?.[1]);
