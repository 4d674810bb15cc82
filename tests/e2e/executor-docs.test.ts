/**
 * docs/executor.md, as two people type it: the executor and the server are two processes, of two
 * users where this user may start programs as another one. The CLI is the real claude with the
 * offline model.
 */
import { type ChildProcess, execFile, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, chownSync, copyFileSync, existsSync, mkdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type OfflineModel, startOfflineModel } from '../../scripts/offline-model/server.ts';
import type { Job } from '../../src/protocol/job.ts';
import { isAlive } from '../helpers/proc.ts';
import { PROGRAM } from '../helpers/program.ts';
import { CACHE_DIR } from '../helpers/redis-private.ts';
import { makeTempDir, removeDir } from '../helpers/temp.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const PAGE = readFileSync(join(ROOT, 'docs/executor.md'), 'utf8');
const START_WITHIN_MS = 60_000;
/** A user that owns nothing. */
const OTHER_USER = 65_534;

/** Whether this user may start our program as another one. */
function mayBeOtherUser(): boolean {
  if (process.getuid?.() !== 0) return false;
  const script = `require('node:fs').readFileSync(${JSON.stringify(PROGRAM)})`;
  const options = { uid: OTHER_USER, gid: OTHER_USER, cwd: '/', env: {}, timeout: 20_000 };
  return spawnSync(process.execPath, ['-e', script], options).status === 0;
}

/** The shell blocks of a section, as they are written. */
function blocksOf(heading: string): readonly string[] {
  const section = PAGE.split(/^## /m).find((part) => part.startsWith(`${heading}\n`));
  return [...(section ?? expect.unreachable()).matchAll(/```sh\n([\s\S]*?)```/g)].map(
    ([, text = '']) => text,
  );
}

/** One of the two hosts: its user, and the folder that its shell is in. */
interface Host {
  readonly folder: string;
  readonly home: string;
  /** null: the user of the tests. */
  readonly uid: number | null;
}

function createHost(uid: number | null): Host {
  const folder = makeTempDir();
  const home = join(folder, 'home');
  mkdirSync(home, { mode: 0o700 });
  if (uid !== null) for (const one of [folder, home]) chownSync(one, uid, uid);
  return { folder, home, uid };
}

let model: OfflineModel;
const shellOf = ({ folder, home, uid }: Host, env: Readonly<Record<string, string>>) => ({
  cwd: folder,
  env: {
    PATH: `${join(ROOT, 'node_modules/.bin')}:${process.env['PATH'] ?? ''}`,
    HOME: home,
    CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC: '1',
    DISABLE_AUTOUPDATER: '1',
    ...env,
  },
  ...(uid === null ? {} : { uid, gid: uid }),
});

/** The command `bullpen` of a shell, which becomes the program. */
const BULLPEN = `bullpen() { exec '${process.execPath}' --no-warnings '${PROGRAM}' "$@"; }`;

interface Program {
  readonly url: string;
  stop(): Promise<number | null>;
}

/** Types a block that ends with a program, and waits until that is ready. */
async function begin(host: Host, block: string, env: Readonly<Record<string, string>>): Promise<Program> {
  const child: ChildProcess = spawn('bash', ['-c', `set -eu\n${BULLPEN}\n${block}`], {
    ...shellOf(host, env),
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const exited = once(child, 'exit');
  let log = '';
  const ready = Promise.withResolvers<string>();
  for (const stream of [child.stdout, child.stderr])
    stream?.on('data', (chunk: Buffer) => {
      log += chunk;
      const line = log.split('\n').find((text) => text.includes('"msg":"ready"'));
      if (line !== undefined) ready.resolve(JSON.parse(line).url);
    });
  const fail = (why: string): void => ready.reject(new Error(`${why}:\n${block}\n${log}`));
  const late = setTimeout(() => fail('did not start in time'), START_WITHIN_MS);
  exited.then(() => fail('ended'));
  const stop = async (): Promise<number | null> => {
    if (child.pid !== undefined && isAlive(child.pid)) child.kill('SIGTERM');
    return (await exited)[0];
  };
  try {
    return { url: await ready.promise, stop };
  } catch (error) {
    child.kill('SIGKILL');
    throw error;
  } finally {
    clearTimeout(late);
  }
}

describe('docs/executor.md', { timeout: 180_000 }, () => {
  const [makeSecret = '', ofExecutor = '', ofServer = '', sendJob = '', look = '', ...rest] =
    blocksOf('Try it');
  const remote = createHost(mayBeOtherUser() ? OTHER_USER : null);
  const main = createHost(null);
  let executor: Program;
  let server: Program;

  /** What a block prints on the server's host. Its addresses are those of these two programs. */
  async function typed(block: string): Promise<string> {
    const text = block
      .replaceAll('http://127.0.0.1:3001', executor.url)
      .replaceAll('http://127.0.0.1:3000', server.url);
    const options = { ...shellOf(main, {}), timeout: 90_000 };
    const { stdout } = await promisify(execFile)('bash', ['-c', `set -eu\n${text}`], options);
    return stdout;
  }

  beforeAll(async () => {
    expect(rest).toEqual([]);
    model = await startOfflineModel();
    await promisify(execFile)('bash', ['-c', makeSecret], shellOf(main, {}));
    const [secret, copy] = [join(main.folder, 'executor-secret'), join(remote.folder, 'executor-secret')];
    expect(statSync(secret).mode & 0o777).toBe(0o600);
    copyFileSync(secret, copy);
    chmodSync(copy, 0o600);
    if (remote.uid !== null) chownSync(copy, remote.uid, remote.uid);
    executor = await begin(remote, ofExecutor, {
      CLAUDE_SERVICE_PORT: '0',
      ANTHROPIC_BASE_URL: model.url,
      ANTHROPIC_API_KEY: 'offline',
      BULLPEN_WARM_PROCESSES: '0',
    });
    const there = ofServer
      .replace('http://127.0.0.1:3001', executor.url)
      .replace('/home/agent/projects', join(remote.home, 'projects'));
    server = await begin(main, there, { BULLPEN_PORT: '0', BULLPEN_CACHE: CACHE_DIR });
  }, 180_000);

  afterAll(async () => {
    await Promise.allSettled([server?.stop(), executor?.stop()]);
    await model?.stop();
    for (const { folder } of [remote, main]) removeDir(folder);
  }, 120_000);

  it('runs a job of the server in the executor, as its user and with its login', async () => {
    const job: Job = JSON.parse(await typed(sendJob));
    expect(job).toMatchObject({ status: 'succeeded', cwd: join(remote.home, 'projects') });
    expect(job.outcome).toMatchObject({ executor: 'http', error: null });
    expect(job.outcome?.text).toContain('offline model');
    // claude has its conversations in the home of the user who runs it.
    const { uid } = statSync(join(remote.home, '.claude'));
    expect(uid).toBe(remote.uid ?? process.getuid?.());
    expect(existsSync(join(main.home, '.claude'))).toBe(false);
  });

  it('shows the health of both sides', async () => {
    const [health = '', ready = ''] = (await typed(look.replaceAll('\ncurl', '\necho\ncurl')))
      .trim()
      .split('\n');
    expect(JSON.parse(health)).toMatchObject({ status: 'healthy', claudeAvailable: true, problem: null });
    expect(JSON.parse(ready)).toMatchObject({ ready: true });
  });

  it('signs requests in a shell, in both schemes', async () => {
    const [ofOurs = '', original = '', ...more] = blocksOf('Signatures');
    expect(more).toEqual([]);
    const lines = (await typed(ofOurs.replaceAll(/^signed .*$/gm, '$&\necho'))).trim().split('\n');
    const [known = '', tested = ''] = lines;
    expect(JSON.parse(known)).toMatchObject({ executions: [{ state: 'ended' }] });
    expect(JSON.parse(tested)).toMatchObject({ status: 'healthy', testResponse: expect.any(String) });
    expect(JSON.parse(await typed(original))).toMatchObject({
      success: true,
      result: expect.stringContaining('offline model'),
      executionTime: expect.any(Number),
    });
  });

  it('refuses a request that is not signed, and says only that', async () => {
    const answer = await fetch(`${executor.url}/v1/executions`);
    expect(answer.status).toBe(401);
    expect(await answer.json()).toMatchObject({ code: 'signature.missing' });
  });

  it('stops both sides in order', async () => {
    expect(await server.stop()).toBe(0);
    expect(await executor.stop()).toBe(0);
  });
});
