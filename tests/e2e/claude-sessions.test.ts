/** Sessions of the real claude whose server is killed: every prompt is asked once. */
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type OfflineModel, startOfflineModel } from '../../scripts/offline-model/server.ts';
import { eventually } from '../helpers/eventually.ts';
import { launchServer, type TestServer } from '../helpers/server.ts';
import { makeTempDir, removeDir } from '../helpers/temp.ts';

const PATIENCE = { timeoutMs: 60_000 };
const CLAUDE = fileURLToPath(new URL('../../node_modules/.bin/claude', import.meta.url));

let model: OfflineModel;
let server: TestServer;
const dir = makeTempDir();
const failpoints = makeTempDir();
const path = (name: string): string => join(dir, name);
const failpoint = (name: string): string => join(failpoints, `executor.ended.${name}`);

const launch = (): Promise<TestServer> =>
  launchServer({
    dir,
    env: {
      ANTHROPIC_BASE_URL: model.url,
      ANTHROPIC_API_KEY: 'offline',
      BULLPEN_RETRY_BACKOFF_MS: '100',
      BULLPEN_TEST_FAILPOINTS: failpoints,
    },
    config: { providers: { claude: { binary: path('claude'), maxRetries: 0 } } },
  });

beforeAll(async () => {
  model = await startOfflineModel();
  // The next start hangs where there is a file of that name.
  const hangs = `if [ -e ${path('hang')} ]; then mv ${path('hang')} ${path('hung')}; exec sleep 1000; fi`;
  writeFileSync(path('claude'), `#!/bin/sh\n${hangs}\nexec ${CLAUDE} "$@"\n`, { mode: 0o755 });
  server = await launch();
});
afterAll(async () => {
  removeDir(failpoints); // nothing waits there any more
  await server?.stop();
  removeDir(dir);
  await model?.stop();
});

/** What the model was asked with a last text that begins so. */
const asked = (prompt: string) =>
  model.requests.filter(({ lastUserText }) => lastUserText?.trimStart().startsWith(prompt) === true);
/** How often the prompt is in each request of a conversation that has it. */
const times = (text: string): number[] =>
  model.requests
    .map(({ userTexts }) => userTexts.join('\n').split(text).length - 1)
    .filter((count) => count > 0);

async function newSession(): Promise<string> {
  const { outcome } = await server.run({ prompt: 'I am Ada. [[reply: Hello Ada]]' });
  return outcome?.sessionId ?? expect.unreachable();
}

it('a job follows the first one of its session before that has begun it, and goes on where it ends', async () => {
  const first = await server.run({ prompt: 'I am Bob. [[slow: 20 tokens 50ms]]' }, 0);
  const prompt = 'Who am I? [[reply: You are Bob]]';
  const second = await server.run({ prompt, sessionId: first.sessionId }, 0);
  expect(await server.job(second.id)).toMatchObject({ status: 'queued', waitReason: 'session' });
  const { outcome, ...job } = await server.finished(second.id);
  expect(job).toMatchObject({ status: 'succeeded', sessionId: first.id, attempts: 1 });
  expect(outcome).toMatchObject({ text: 'You are Bob', sessionId: first.id });
  expect(job.nativeSessionId).toBe((await server.job(first.id)).nativeSessionId);
  expect(times('I am Bob')).toEqual([1, 1]);
});

describe('after the server was killed', () => {
  const retry = { maxAttempts: 2 };
  let ids: { late: string; lost: string; follower: string };
  let lostSession: string;

  beforeAll(async () => {
    const given = await server.run({ prompt: 'given up [[hang]]' }, 0);
    await eventually(() => asked('given up').length === 1, PATIENCE);
    await server.api('POST', `/v1/jobs/${given.id}/cancel`);
    const { status, outcome } = await server.finished(given.id);
    expect(status).toBe('cancelled');
    writeFileSync(path('hang'), '');
    const sessionId = outcome?.sessionId ?? expect.unreachable();
    const late = await server.run({ prompt: 'asked late [[reply: mine]]', sessionId, retry }, 0);
    await eventually(() => existsSync(path('hung')), PATIENCE);

    lostSession = await newSession();
    writeFileSync(failpoint('hold'), '');
    const prompt = 'lost answer [[reply: first]]';
    const lost = await server.run({ prompt, sessionId: lostSession, retry }, 0);
    await eventually(() => existsSync(failpoint('reached')), PATIENCE);
    const first = await server.run({ prompt: 'cut at first [[slow: 80 tokens 50ms]]' }, 0);
    await eventually(async () => (await server.job(first.id)).nativeSessionId !== null, PATIENCE);
    await eventually(() => asked('cut at first').length === 1, PATIENCE);
    const follower = await server.run({ prompt: 'followed [[reply: last]]', sessionId: first.id }, 0);

    await server.kill('SIGKILL');
    removeDir(failpoint('hold'));
    ids = { late: late.id, lost: lost.id, follower: follower.id };
    server = await launch();
  });

  it('a job that follows a crashed one waits until that has gone on', async () => {
    const { sessionId, ...job } = await server.finished(ids.follower);
    expect(job).toMatchObject({ status: 'succeeded', attempts: 1, outcome: { text: 'last' } });
    expect(await server.job(sessionId)).toMatchObject({ status: 'succeeded', attempts: 2 });
    expect(times('cut at first')).toEqual([1, 1, 1]);
  });

  it('an answer that was lost is asked for again, not the prompt', async () => {
    const text = expect.stringContaining('You said: "Continue where you left off.');
    expect(await server.finished(ids.lost)).toMatchObject({
      ...{ status: 'succeeded', attempts: 2, outcome: { text, sessionId: lostSession } },
    });
    expect(asked('lost answer')).toHaveLength(1);
  });

  it('an attempt that never asked does not go on with what another job of the session has left', async () => {
    expect(await server.finished(ids.late)).toMatchObject({
      ...{ status: 'succeeded', attempts: 2, outcome: { text: 'mine' } },
    });
    expect(asked('given up')).toHaveLength(1);
  });
});
