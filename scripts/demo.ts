/**
 * `npm run demo`: a Redis, the whole server and one prompt through the real `claude`, from nothing,
 * and nothing left behind. `npm run demo -- "your prompt"` asks something else; `--offline` and
 * `--real` choose the model by hand.
 */
import { appendFileSync, existsSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, realpath, rm, writeFile } from 'node:fs/promises';
import { homedir, tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { type App, startApp } from '../src/app.ts';
import { createClient } from '../src/client/client.ts';
import { loadSettings } from '../src/config/load.ts';
import { secretsOf } from '../src/config/secrets.ts';
import { messageOf } from '../src/errors.ts';
import { createLogger } from '../src/logger.ts';
import type { Job } from '../src/protocol/job.ts';
import { createRedactor } from '../src/redactor.ts';
import { findRedisServer } from '../src/redis/private/find-server.ts';
import { createEventPrinter } from './demo/events.ts';
import { findClaudeLogin, offlineEnvironment, realEnvironment } from './demo/login.ts';
import { createScreen, type Screen } from './demo/screen.ts';
import { startOfflineModel } from './offline-model/server.ts';

const GREETING = 'Greetings from a file in the workspace.';
const PROMPT = 'Read hello.txt in this folder and tell me in one sentence what it says.';
const DEADLINE_MS = 5 * 60_000;
const ROOT = fileURLToPath(new URL('..', import.meta.url));
/** The command from a clone, with the Node that was installed in it. */
const RUN_BULLPEN = `${join(ROOT, 'node_modules/.bin/node')} ${join(ROOT, 'src/bin.js')}`;
const LOCAL_BIN = join(ROOT, 'node_modules/.bin');

interface Demo {
  readonly screen: Screen;
  readonly signal: AbortSignal;
  /** Everything that must end, in reverse order. */
  readonly ends: AsyncDisposableStack;
  readonly dir: string;
  readonly prompt: string | null;
  readonly model: 'offline' | 'real' | null;
}

async function run({ screen, signal, ends, dir, prompt, model }: Demo): Promise<void> {
  const workspace = join(dir, 'workspace');
  await mkdir(workspace);
  await writeFile(join(workspace, 'hello.txt'), `${GREETING}\n`);
  const ownEnv = { ...process.env, PATH: [LOCAL_BIN, process.env['PATH']].filter(Boolean).join(delimiter) };

  screen.step('The model');
  const { env, paid } = await chooseModel({ screen, ends, dir, workspace, prompt, model, env: ownEnv });
  const settings = loadSettings(
    {
      ...env,
      BULLPEN_HOME: join(dir, 'data'),
      BULLPEN_LOG_LEVEL: 'debug',
      BULLPEN_PORT: '0',
      BULLPEN_WARM_PROCESSES: '0', // there is no next prompt
    },
    workspace,
  );

  screen.step('A Redis');
  const cacheDir = join(settings.cacheDir, 'redis');
  const redis = await findRedisServer({ cacheDir, path: ownEnv.PATH, signal, onProgress: screen.detail });
  screen.detail(`${redis.path}, version ${redis.version}; Bullpen starts a private one`);

  screen.step('The server: HTTP API, queue, sandboxed workers, executor');
  const logFile = join(dir, 'server.log');
  const redactor = createRedactor(secretsOf(settings, env));
  const logger = createLogger(
    settings.logLevel,
    { write: (line) => appendFileSync(logFile, line) },
    redactor,
  );
  const startedAt = performance.now();
  const app = await startApp({ settings, env, version: 'demo', redactor, logger });
  ends.defer(() => stopApp(app, screen, signal));
  screen.detail(
    `${app.url} is ready after ${seconds(performance.now() - startedAt)}; its Redis has port ${app.redisPort}`,
  );

  const client = createClient({ url: app.url, token: (await readFile(app.tokenFile, 'utf8')).trim() });
  const request = { prompt: prompt ?? PROMPT, timeoutMs: DEADLINE_MS };
  screen.step('The prompt: bullpen run, which is POST /v1/jobs');
  screen.field('prompt', request.prompt);
  const job = await client.create(request, { signal });
  screen.field('job', job.id);

  screen.step(`What happens: bullpen watch, which is GET ${job.links.events}`);
  const print = createEventPrinter(screen);
  for await (const event of client.events(job.id, { signal })) print(event);

  screen.step(`The result: bullpen show, which is GET ${job.links.self}`);
  report(screen, await client.get(job.id, { signal }), paid);
}

interface ModelChoice extends Pick<Demo, 'screen' | 'ends' | 'dir' | 'prompt' | 'model'> {
  readonly workspace: string;
  readonly env: NodeJS.ProcessEnv;
}

/**
 * Says which model answers and gives the environment that the server, and through it claude, gets.
 */
async function chooseModel({ screen, ends, dir, workspace, prompt, model, env }: ModelChoice) {
  const login = findClaudeLogin(env, env['HOME'] ?? homedir());
  if (model === 'real' || (model === null && login !== null)) {
    screen.detail(
      `The real model, with your login (${login ?? 'as claude finds it'}). This run costs what one short prompt costs.`,
    );
    return { env: realEnvironment(env), paid: true };
  }
  const offline = ends.use(await startOfflineModel());
  if (prompt === null) {
    offline.setBehaviour([
      { kind: 'say', text: 'I will look into the file. ' },
      { kind: 'tool', name: 'Read', input: { file_path: join(workspace, 'hello.txt') } },
      {
        kind: 'reply',
        text: `hello.txt says: “${GREETING}” (This sentence was scripted: no model was asked.)`,
      },
    ]);
  }
  const why =
    login === null ? 'There is no API key and no login on this machine' : 'You asked for it (--offline)';
  screen.detail(`${why}, so the bundled offline model answers.`);
  screen.detail(
    'claude is the real one, and so is everything else; only the answers of the model are made up.',
  );
  screen.detail(
    'For a real answer: set ANTHROPIC_API_KEY or run `npx claude` and /login, then run the demo again.',
  );
  return { env: offlineEnvironment(env, offline.url, join(dir, 'claude')), paid: false };
}

function report(screen: Screen, job: Job, paid: boolean): void {
  const { outcome } = job;
  if (job.status !== 'succeeded' || outcome === null) {
    const error = outcome?.error;
    throw new Error(`the job ${job.status}${error ? ` with ${error.code}: ${error.message}` : ''}`);
  }
  const { usage } = outcome;
  const cost = usage?.costUsd ?? null;
  screen.field('status', job.status);
  screen.field('result', outcome.text);
  const basis = paid ? `${usage?.costBasis} by the CLI` : 'what the CLI would have paid for; nothing was';
  screen.field('cost', cost === null ? 'not known' : `$${cost.toFixed(4)} (${basis})`);
  if (usage !== null) screen.field('tokens', `${usage.inputTokens} in, ${usage.outputTokens} out`);
  screen.field('duration', `${seconds(outcome.durationMs ?? 0)} in the CLI, ${seconds(totalMs(job))} in all`);
}

function showNext(screen: Screen): void {
  screen.step('Now yourself, in a folder of yours');
  screen.command(`alias bullpen='${RUN_BULLPEN}'`);
  screen.command('bullpen run "What is in this folder?"');
  screen.detail('or with a server that stays, for many jobs at once:');
  screen.command('bullpen up');
  screen.detail('which takes prompts by command or over HTTP:');
  screen.command('bullpen run --detach "Say hello" && bullpen jobs');
  screen.command(
    `curl -sS 'http://127.0.0.1:3000/v1/jobs?wait=60' -H "Authorization: Bearer $(cat "\${XDG_STATE_HOME:-$HOME/.local/state}/bullpen/token")" -H 'Content-Type: text/plain' -H 'Accept: text/plain' -d 'Say hello'`,
  );
}

async function stopApp(app: App, screen: Screen, signal: AbortSignal): Promise<void> {
  screen.step('Everything stops');
  const stopped = app.stop();
  if (signal.aborted) app.hurry();
  await stopped;
  screen.detail('The server, its workers and its Redis have ended.');
}

const seconds = (ms: number): string => `${(ms / 1000).toFixed(2)} s`;

const totalMs = (job: Job): number => Date.parse(job.finishedAt ?? '') - Date.parse(job.createdAt);

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    options: { offline: { type: 'boolean' }, real: { type: 'boolean' } },
    allowPositionals: true,
  });
  const screen = createScreen(process.stdout);
  const interrupted = new AbortController();
  for (const name of ['SIGINT', 'SIGTERM'] as const) {
    process.on(name, () => interrupted.abort(new Error(`it was interrupted by ${name}`)));
  }
  const signal = AbortSignal.any([interrupted.signal, AbortSignal.timeout(DEADLINE_MS)]);
  const dir = await realpath(await mkdtemp(join(tmpdir(), 'bullpen-demo-')));
  const model = values.offline ? 'offline' : values.real ? 'real' : null;

  screen.title('Bullpen: one prompt through the whole system');
  let failure: unknown = null;
  try {
    await using ends = new AsyncDisposableStack();
    await run({ screen, signal, ends, dir, prompt: positionals.join(' ') || null, model });
  } catch (error) {
    failure = error;
  }
  if (failure === null) {
    await rm(dir, { recursive: true, force: true, maxRetries: 5 });
    showNext(screen);
    return 0;
  }
  console.error(`\nThe demo failed: ${signal.aborted ? messageOf(signal.reason) : messageOf(failure)}`);
  const log = join(dir, 'server.log');
  if (existsSync(log) && !interrupted.signal.aborted) console.error(`The server's log is in ${log}`);
  else await rm(dir, { recursive: true, force: true, maxRetries: 5 });
  return interrupted.signal.aborted ? 130 : 1;
}

process.exitCode = await main();
