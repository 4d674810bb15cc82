import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { delimiter, join } from 'node:path';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { Redis } from 'ioredis';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { stringify } from 'yaml';
import { type OfflineModel, startOfflineModel } from '../../scripts/offline-model/server.ts';
import type { StoredEvent } from '../../src/protocol/event.ts';
import type { Job } from '../../src/protocol/job.ts';
import type { Turn } from '../../src/protocol/session.ts';
import type { Step } from '../fakes/fake-cli-steps.ts';
import { eventually } from '../helpers/eventually.ts';
import { fakePrompt, installFakeCli } from '../helpers/fake-cli.ts';
import { descendants, isAlive, processesWithMarker } from '../helpers/proc.ts';
import { PROGRAM } from '../helpers/program.ts';
import { CLAUDE } from '../helpers/real-clis.ts';
import { CACHE_DIR } from '../helpers/redis-private.ts';
import { sharedServer, startServer, type TestServerOptions } from '../helpers/server.ts';
import { makeTempDir, removeDir, tempDir } from '../helpers/temp.ts';

const NODE_BIN = fileURLToPath(new URL('../../node_modules/.bin', import.meta.url));
const PATIENCE = { timeoutMs: 60_000 };
const WITHIN_MS = 90_000;

/** Most tests are about our command alone: the `claude` in their PATH is the fake one. */
const fake = makeTempDir();
const path = (...first: readonly string[]): string =>
  [...first, NODE_BIN, process.env['PATH']].join(delimiter);

let model: OfflineModel;
beforeAll(async () => {
  model = await startOfflineModel();
  await installFakeCli(fake);
});
afterAll(async () => {
  removeDir(fake);
  await model.stop();
});

interface Place {
  /** Holds home, workspace and data. */
  readonly dir: string;
  readonly workspace: string;
  readonly data: string;
}

/** A user of this machine who has nothing yet. */
function newPlace(dir = tempDir()): Place {
  const place = { dir, workspace: join(dir, 'workspace'), data: join(dir, 'data') };
  for (const folder of [place.workspace, join(dir, 'home')]) mkdirSync(folder, { recursive: true });
  return place;
}

interface Command {
  readonly child: ChildProcess;
  /** What it has said on stderr so far. */
  err(): string;
  out(): string;
  readonly ended: Promise<{ readonly code: number | null; readonly out: string; readonly err: string }>;
}

interface CommandOptions {
  readonly env?: Readonly<Record<string, string>>;
  readonly stdin?: string;
  /** The claude in PATH is the real one. */
  readonly real?: true;
}

/**
 * `bullpen ARGS…` as a process of its own; killed when the test ends, and after a minute and a
 * half.
 */
function start(place: Place, args: readonly string[], options: CommandOptions = {}): Command {
  const { env = {}, stdin, real } = options;
  const child = spawn(process.execPath, ['--no-warnings', PROGRAM, ...args], {
    cwd: place.workspace,
    timeout: WITHIN_MS,
    killSignal: 'SIGKILL',
    env: {
      PATH: real ? path() : path(fake),
      HOME: join(place.dir, 'home'),
      BULLPEN_HOME: place.data,
      BULLPEN_CACHE: CACHE_DIR,
      CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC: '1',
      DISABLE_TELEMETRY: '1',
      DISABLE_AUTOUPDATER: '1',
      ANTHROPIC_BASE_URL: model.url,
      ANTHROPIC_API_KEY: 'offline',
      ...env,
    },
  });
  let out = '';
  let err = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    out += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    err += text;
  });
  child.stdin.on('error', () => {}); // it need not read what it does not want
  child.stdin.end(stdin ?? '');
  const { promise: ended, resolve } = Promise.withResolvers<Awaited<Command['ended']>>();
  child.once('close', (code) => resolve({ code, out, err }));
  onTestFinished(async () => {
    child.kill('SIGKILL');
    await ended;
  });
  return { child, out: () => out, err: () => err, ended };
}

const type = (place: Place, args: readonly string[], options?: CommandOptions) =>
  start(place, args, options).ended;

/** `bullpen serve`, once it starts. A command before that would start a server itself. */
async function startServe(place: Place): Promise<Command> {
  const serve = start(place, ['serve'], { env: { BULLPEN_PORT: '0', BULLPEN_WARM_PROCESSES: '0' } });
  await eventually(() => existsSync(join(place.data, 'server.json')), PATIENCE);
  return serve;
}

/** Processes of any execution of this place's node. */
function marked({ data }: Place): number[] {
  const file = join(data, 'node-id');
  if (!existsSync(file)) return [];
  return processesWithMarker(`BULLPEN_EXECUTION_ID=${readFileSync(file, 'utf8').trim()}/`);
}

/** A prompt whose tool has a process outside of its group, and does this step. */
const tool = (during: Step, answer: string): string =>
  fakePrompt([
    { spawn: { setsid: true } },
    { tool: { name: 'Bash', input: { command: 'x' }, during: [during] } },
    { delta: answer },
  ]);
const endless = (): string => tool({ hang: true }, 'never');

/** The answer to a request over the server's private Redis, without a password. */
async function answerTo({ data }: Place, request: object): Promise<unknown> {
  const port = Number(readFileSync(join(data, 'redis', 'port'), 'utf8'));
  const open = () => new Redis({ port, enableReadyCheck: false, disableClientInfo: true });
  const [listener, sender] = [open(), open()];
  const answer = new Promise((resolve) => {
    listener.on('message', (_, message) => {
      const parsed = JSON.parse(message);
      if ('success' in parsed) resolve(parsed);
    });
  });
  await listener.subscribe('claude:cli:responses');
  await sender.publish('claude:cli:requests', JSON.stringify(request));
  return answer.finally(() => [listener, sender].forEach((one) => void one.disconnect()));
}

describe('bullpen run without a server', () => {
  it('starts one, prints the answer alone, and leaves no process', async () => {
    const place = newPlace();
    const go = join(place.workspace, 'go');
    const command = `until [ -e ${go} ]; do sleep 0.05; done; echo hi`;
    const prompt = `[[say: I will look.]] ${CLAUDE.tool(command)} [[reply: All is well.]]`;
    const run = start(place, ['run', prompt, '--allowed-tools', 'Bash'], { real: true });
    // The text before the tool is there while the job runs.
    await eventually(() => run.out().includes('I will look.'), PATIENCE);
    await eventually(() => run.err().includes('tool Bash'), PATIENCE);
    const below = descendants(run.child.pid ?? 0);
    expect(below.length).toBeGreaterThan(1); // Redis, workers, the CLI
    writeFileSync(go, '');

    const { code, out, err } = await run.ended;
    expect(err).toContain('no server is running');
    expect(err).toContain('tool Bash answered: hi');
    expect(err.trimEnd().split('\n').at(-1)).toMatch(
      /^succeeded · \$\d\.\d+ \(reported\) · \d+ tokens in.*, \d+ out · \d+\.\d s · session [0-9A-Z]{26}$/,
    );
    expect([code, out]).toEqual([0, 'I will look.\nAll is well.\n']);
    await eventually(() => !below.some(isAlive), PATIENCE);
    expect(marked(place)).toEqual([]);
    expect(existsSync(join(place.data, 'server.json'))).toBe(false);
  });

  it('ends everything at a signal: the job, its tool, the server', async () => {
    const place = newPlace();
    const run = start(place, ['run', endless()]);
    await eventually(() => run.err().includes('tool Bash'), PATIENCE);
    const below = descendants(run.child.pid ?? 0);
    run.child.kill('SIGTERM');
    const { code, err } = await run.ended;
    expect(code).toBe(130);
    expect(err).toContain('cancelling the job');
    expect(err).toContain('cancelled · ');
    await eventually(() => ![...below, ...marked(place)].some(isAlive), PATIENCE);
  });

  it('shares it with commands that come later, also in another folder, and stops it after their jobs', async () => {
    const here = newPlace();
    const there = { ...here, workspace: join(here.dir, 'other') };
    mkdirSync(there.workspace);
    const gate = (name: string): string => join(here.dir, name);
    const gated = (name: string): string => tool({ waitFor: gate(name) }, `${name} is done`);
    const first = start(here, ['run', gated('one')]);
    await eventually(() => first.err().includes('tool Bash'), PATIENCE);
    const second = start(there, ['run', gated('two')]);
    await eventually(() => second.err().includes('tool Bash'), PATIENCE);
    expect(second.err()).not.toContain('starting one');
    const raw = await answerTo(here, { id: 1, prompt: 'x', cwd: there.workspace });
    expect(raw).toMatchObject({ success: false, error: expect.stringContaining('not inside an allowed') });
    expect((await type(here, ['jobs', '--status', 'running'])).out.trimEnd().split('\n')).toHaveLength(3);
    // More of them run beside each other than workers wait at rest.
    expect(await type(here, ['run', 'three'])).toMatchObject({ code: 0, out: 'fake: three\n' });

    writeFileSync(gate('one'), '');
    await eventually(() => first.err().includes('other jobs that use this server'), PATIENCE);
    expect(first.out()).toBe('one is done\n');
    writeFileSync(gate('two'), '');
    expect(await second.ended).toMatchObject({ code: 0, out: 'two is done\n' });
    expect((await first.ended).code).toBe(0);
    expect(existsSync(join(here.data, 'server.json'))).toBe(false);

    // Named roots are the user's word: no folder is added to them.
    const named = { env: { BULLPEN_ROOTS: here.workspace } };
    expect((await type(there, ['run', 'x'], named)).code).toBe(64);
  });

  it('is taken over by one that waits, without a gap, when it is killed', async () => {
    const place = newPlace();
    const first = start(place, ['run', endless()]);
    await eventually(() => first.err().includes('tool Bash'), PATIENCE);
    const second = start(place, ['run', 'mine', '--delay', '6s', '--json']);
    await eventually(() => second.out().includes('"job.scheduled"'), PATIENCE);
    first.child.kill('SIGKILL');
    const { code, out, err } = await second.ended;
    expect(code, err).toBe(0);
    expect(err).toContain('starting one to go on');
    const lines = out
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(lines.at(-1)).toMatchObject({ status: 'succeeded', outcome: { text: 'fake: mine' } });
    const kinds = lines.slice(0, -1).map(({ kind }) => kind);
    expect(kinds.slice(0, 3)).toEqual(['job.scheduled', 'job.queued', 'job.running']);
    expect(kinds.filter((kind) => kind === 'job.running' || kind === 'job.finished')).toHaveLength(2);
    expect(existsSync(join(place.data, 'server.json'))).toBe(false);
  });

  it('starts one for two that begin in the same moment', async () => {
    const place = newPlace();
    const both = [start(place, ['run', 'a']), start(place, ['run', 'b'])];
    const [a, b] = await Promise.all(both.map(({ ended }) => ended));
    expect([a?.code, b?.code], `${a?.err}\n${b?.err}`).toEqual([0, 0]);
    expect([a?.out, b?.out]).toEqual(['fake: a\n', 'fake: b\n']);
  });

  it('is refused for a detached job: no server would run it', async () => {
    const detached = await type(newPlace(), ['run', 'x', '--detach']);
    expect(detached).toMatchObject({ code: 69, out: '', err: expect.stringContaining('bullpen up') });
  });
});

describe('a folder of a stranger', () => {
  it('has no setting that is obeyed: no program of it runs, and no token goes where it says', async () => {
    const place = newPlace();
    const { workspace } = place;
    const requests: string[] = [];
    const stranger = createServer((request, response) => {
      requests.push(`${request.url} ${request.headers.authorization}`);
      response.end('{}');
    });
    await new Promise<void>((resolve) => stranger.listen(0, '127.0.0.1', resolve));
    onTestFinished(() => void stranger.close());
    const { port } = stranger.address() as AddressInfo; // it listens on a port
    mkdirSync(join(workspace, 'data'));
    const note = { pid: process.pid, startedAt: '2026-01-01T00:00:00Z', address: `http://127.0.0.1:${port}` };
    writeFileSync(join(workspace, 'data', 'server.json'), JSON.stringify(note));
    const canary = join(place.dir, 'canary');
    const script = { binary: 'sh', args: ['-c', `cat; echo ran >> '${canary}'`] };
    const evil = { provider: 'evil', providers: { custom: { evil: script } } };
    writeFileSync(join(workspace, 'bullpen.config.yaml'), stringify({ ...evil, home: 'data' }));
    writeFileSync(join(workspace, '.env'), 'BULLPEN_HOME=data\nBULLPEN_PROVIDER=evil\n');
    writeFileSync(join(workspace, 'named.yaml'), stringify(evil));

    const env = { BULLPEN_HOME: '', BULLPEN_TOKEN: 'mine', XDG_CONFIG_HOME: '.', XDG_CACHE_HOME: '.' };
    const ran = await type(place, ['run', 'for claude'], { env });
    expect(ran).toMatchObject({ code: 0, out: 'fake: for claude\n' });
    expect(ran.err.match(/^bullpen\.config\.yaml in this folder is not read.*$/gm)).toHaveLength(1);
    expect((await type(place, ['jobs'], { env })).code).toBe(69);
    expect(requests).toEqual([]);
    expect(existsSync(canary)).toBe(false);

    // A file that is named is obeyed: the canary sings.
    const named = await type(place, ['run', 'for cat', '--config', 'named.yaml'], { env });
    expect(named).toMatchObject({ code: 0, out: 'for cat\n' });
    expect(named.err).not.toContain('is not read');
    expect(readFileSync(canary, 'utf8')).toBe('ran\n');
  });
});

describe('bullpen with a server that runs', () => {
  const options = (): TestServerOptions => ({ env: { PATH: path(fake), ANTHROPIC_API_KEY: 'offline' } });
  const shared = sharedServer(options);
  const beside = (): Place => newPlace(shared().dir);

  it('runs, follows, lists and shows jobs from anywhere the data folder is known', async () => {
    const place = beside();
    const run = await type(place, ['run', '--json'], { stdin: 'From stdin.' });
    expect(run).toMatchObject({ code: 0, err: '' });
    const lines = run.out.trimEnd().split('\n');
    const events = lines.slice(0, -1).map((line) => JSON.parse(line) as StoredEvent); // the documented events
    expect(events.map(({ seq }) => seq)).toEqual(events.map((_, index) => index + 1));
    expect(events.at(-1)?.kind).toBe('job.finished');
    const job = JSON.parse(lines.at(-1) ?? '') as Job; // the documented job
    expect(job).toMatchObject({
      prompt: 'From stdin.',
      cwd: place.workspace,
      outcome: { text: 'fake: From stdin.' },
    });

    const detached = await type(place, ['run', 'Later.', '--detach', '--tag', 'later']);
    expect(detached).toMatchObject({ code: 0, err: '' });
    const id = detached.out.trim();
    const watched = await type(place, ['watch', id]);
    expect(watched).toMatchObject({
      code: 0,
      out: 'fake: Later.\n',
      err: expect.stringContaining('succeeded · '),
    });
    // A finished job, from its last event on.
    const after = await type(place, ['watch', id, '--after', '1000', '--json']);
    expect(after.code).toBe(0);
    expect(JSON.parse(after.out)).toMatchObject({ id, status: 'succeeded' });

    expect((await type(place, ['show', id.slice(-8), '--text'])).out).toBe('fake: Later.');
    expect(JSON.parse((await type(place, ['show', id, '--json'])).out)).toMatchObject({
      id,
      tags: ['later'],
    });
    const page = JSON.parse((await type(place, ['jobs', '--limit', '1', '--json'])).out);
    expect(page).toMatchObject({ data: [{ id }], nextCursor: expect.any(String) });
    const next = await type(place, ['jobs', '--cursor', page.nextCursor]);
    expect(next.out).toContain(job.id);
    const session = job.outcome?.sessionId ?? expect.unreachable();
    const again = await type(place, ['run', 'Go on.', '--session', session]);
    expect(again).toMatchObject({
      code: 0,
      out: 'fake: Go on.\n',
      err: expect.stringContaining(`session ${session}`),
    });
    const usage = JSON.parse((await type(place, ['usage', '--by', 'tag', '--json'])).out);
    expect(usage).toMatchObject({
      by: 'tag',
      data: [{ key: 'later', executions: 1, succeeded: 1 }, { key: null }],
    });
    const table = await type(place, ['usage', '--by', 'provider', '--from', '1d']);
    expect(table.out).toMatch(/^PROVIDER +RUNS.*\nclaude +3 +100% /);
    const retried = await type(place, ['retry', id, '--prompt', 'Else.']);
    expect(retried).toMatchObject({ code: 0, out: 'fake: Else.\n' });
  });

  it('asks a server that the environment names from any folder, and says what it refuses', async () => {
    const { url, token } = shared();
    const elsewhere = newPlace();
    const env = { BULLPEN_URL: url, BULLPEN_TOKEN: token };
    const providers = await type(elsewhere, ['providers'], { env });
    expect(providers).toMatchObject({ code: 0, out: expect.stringMatching(/^claude +\d+\.\d+\.\d+/m) });
    const wrong = await type(elsewhere, ['jobs'], { env: { ...env, BULLPEN_TOKEN: 'bp_wrong' } });
    expect(wrong).toMatchObject({
      code: 77,
      out: '',
      err: expect.stringContaining('the token (from BULLPEN_TOKEN)'),
    });
    expect(wrong.err).not.toContain('bp_wrong');
    // This server may not run jobs where that user is.
    const refused = await type(elsewhere, ['run', 'x'], { env });
    expect(refused).toMatchObject({ code: 64, err: expect.stringContaining('the current folder') });
    expect(refused.err).toMatch(/allowed root \(.*\); .*BULLPEN_ROOTS=/);
    expect(existsSync(elsewhere.data)).toBe(false);
  });

  it('cancels what it runs at Ctrl-C and leaves the server alone', async () => {
    const place = beside();
    const run = start(place, ['run', endless()]);
    await eventually(() => run.err().includes('tool Bash'), PATIENCE);
    const running = await type(place, ['ps', '--provider', 'claude']);
    expect(running.out).toMatch(/ running +claude +job \w{26} +\d+/);
    run.child.kill('SIGINT');
    expect((await run.ended).code).toBe(130);
    expect(marked(place)).toEqual([]);
    expect((await type(place, ['jobs', '--status', 'cancelled'])).out).toContain('cancelled');

    const other = start(place, ['run', endless()]);
    await eventually(() => other.err().includes('tool Bash'), PATIENCE);
    const id = /^job (\w+)$/m.exec(other.err())?.[1] ?? '';
    expect((await type(place, ['cancel', id, '--force'])).code).toBe(0);
    expect((await other.ended).code).toBe(130);
    expect(await type(place, ['cancel', id])).toMatchObject({ code: 0, err: `job ${id} is cancelled\n` });
  });

  it('cancels the job when its reader leaves, as with `| head`', async () => {
    const place = beside();
    const go = join(place.dir, 'left');
    const steps = [{ delta: 'one' }, { waitFor: go }, { delta: 'two' }, { hang: true }] as const;
    const run = start(place, ['run', fakePrompt(steps)]);
    await eventually(() => run.out().includes('one'), PATIENCE);
    run.child.stdout?.destroy();
    writeFileSync(go, '');
    expect((await run.ended).code).toBe(130);
    await eventually(() => expect(marked(place)).toEqual([]), PATIENCE);
  });

  it('chats: stops the turn at the first Ctrl-C and goes on; the CLI and its tool end', async () => {
    const place = beside();
    const chat = start(place, ['chat', endless()], { stdin: 'still here' });
    await eventually(() => chat.err().includes('tool Bash'), PATIENCE);
    chat.child.kill('SIGINT');
    const { code, out, err } = await chat.ended;
    expect([code, out], err).toEqual([0, 'fake: still here\n']);
    expect(err).toContain('stopping the turn');
    expect(err).toMatch(/^cancelled · /m);
    await eventually(() => marked(place).length === 0, PATIENCE);
  });

  it('watches over its restart; after its death, later commands say that none runs', async () => {
    const place = beside();
    const detached = await type(place, ['run', 'here', '--delay', '4s', '--detach']);
    const watch = start(place, ['watch', detached.out.trim(), '--json']);
    await eventually(() => watch.out().includes('"job.scheduled"'), PATIENCE);
    await shared().stop();
    const second = await startServer({ ...options(), dir: shared().dir });
    const { code, out } = await watch.ended;
    expect(code).toBe(0);
    const lines = out
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(lines.at(-1)).toMatchObject({ status: 'succeeded', outcome: { text: 'fake: here' } });
    const seqs = lines.slice(0, -1).map(({ seq }) => seq);
    expect(seqs).toEqual(seqs.map((_, index) => index + 1));

    await second.kill('SIGKILL');
    expect(existsSync(join(place.data, 'server.json'))).toBe(true);
    expect(await type(place, ['jobs'])).toMatchObject({
      code: 69,
      err: expect.stringContaining('no server is running'),
    });
  });
});

describe('bullpen serve', () => {
  it.each([
    [
      'a root that is not there',
      { BULLPEN_ROOTS: '/not/there' },
      /^bullpen: \/not\/there \(BULLPEN_ROOTS\) does not exist/,
    ],
    [
      'a host that is not here',
      { BULLPEN_HOST: '192.0.2.1', BULLPEN_PORT: '0', BULLPEN_ALLOW_PLAIN_HTTP: 'on' },
      /^bullpen: the server cannot listen on 192.0.2.1/,
    ],
  ])('stops with one line at %s', async (_what, env, line) => {
    const place = newPlace();
    const { code, err } = await type(place, ['serve'], { env });
    expect([code, err.trimEnd().split('\n').length]).toEqual([78, 1]);
    expect(err).toMatch(line);
    expect(existsSync(join(place.data, 'server.json'))).toBe(false);
  });

  it.each([
    [{ BULLPEN_HOST: '0.0.0.0' }, /host \(BULLPEN_HOST\): lets other machines in .* set BULLPEN_PUBLIC_URL/],
    [{ JWT_SECRET: 'change-me' }, /JWT_SECRET\): is a password of examples .* `openssl rand -hex 32`/],
  ])('stops at %j and prints what to do', async (env, line) => {
    const place = newPlace();
    const { code, err } = await type(place, ['serve'], { env });
    expect([code, err]).toEqual([78, expect.stringMatching(line)]);
    expect(readdirSync(place.data)).toEqual([]);
  });
});

describe('bullpen doctor', () => {
  it('starts a server of its own, finds all well, and stops it', async () => {
    const place = newPlace();
    const doctor = start(place, ['doctor'], { real: true });
    const { code, out } = await doctor.ended;
    expect(code, out).toBe(0);
    expect(out).toMatch(/^ok {2}bullpen +\d+\.\d+\.\d+, Node 24/m);
    for (const part of ['data folder', 'redis', 'store', 'executor', 'workers']) {
      expect(out).toMatch(new RegExp(`^ok  ${part} `, 'm'));
    }
    expect(out).toMatch(/^ok {2}claude +the default, \d+\.\d+\.\d+/m);
    expect(existsSync(join(place.data, 'server.json'))).toBe(false);
  });

  it('says what to do about a default provider without a login, with 1', async () => {
    const env = { ANTHROPIC_API_KEY: '' };
    const { code, out, err } = await type(newPlace(), ['doctor'], { env, real: true });
    expect(code).toBe(1);
    expect(out).toMatch(/^BAD claude .*logged in: no/m);
    expect(out).toMatch(/^BAD +to do: .*\/login/m);
    expect(err).toContain('jobs cannot succeed');
  });

  it('says in one line that the current folder has been removed', async () => {
    const place = newPlace();
    const script = `rmdir "$PWD" && exec "${process.execPath}" "${PROGRAM}" jobs`;
    const child = spawn('sh', ['-c', script], { cwd: place.workspace, timeout: WITHIN_MS });
    const [err, [code]] = await Promise.all([text(child.stderr), once(child, 'close')]);
    expect(err).toBe('bullpen: the current folder no longer exists: cd to another one\n');
    expect(code).toBe(1);
  });

  it('says what is wrong with the settings', async () => {
    const { code, out } = await type(newPlace(), ['doctor'], { env: { BULLPEN_CONCURRENCY: 'many' } });
    expect(code).toBe(1);
    expect(out).toMatch(/^BAD server .*concurrency \(BULLPEN_CONCURRENCY\)/m);
  });
});

describe('bullpen chat', () => {
  it('talks in one session over lines of stdin, and a later command goes on with it', async () => {
    const place = newPlace();
    const lines = 'one\ntwo\n';
    const chat = await type(place, ['chat', '--name', 'mine'], { stdin: lines });
    expect([chat.code, chat.out], chat.err).toEqual([0, 'fake: one\nfake: two\n']);
    expect(chat.err).toContain('to go on: bullpen chat --session ');
    expect(marked(place)).toEqual([]);

    const more = await type(place, ['run', 'three', '--continue']);
    expect([more.code, more.out], more.err).toEqual([0, 'fake: three\n']);
    const serve = await startServe(place);
    const last = await type(place, ['chat', '--session', 'last'], { stdin: 'four' });
    expect([last.code, last.out], last.err).toEqual([0, 'fake: four\n']);
    const { out } = await type(place, ['sessions', '--json']);
    const [session, ...others] = JSON.parse(out).data;
    expect(others).toEqual([]);
    expect(session).toMatchObject({ name: 'mine', turns: 4, status: 'ready' });
    const { out: shown } = await type(place, ['sessions', 'show', session.id, '--json']);
    const turns: Turn[] = JSON.parse(shown).turns;
    expect(turns.map(({ outcome }) => outcome?.text)).toEqual(
      ['one', 'two', 'three', 'four'].map((text) => `fake: ${text}`),
    );
    expect(new Set(turns.map(({ outcome }) => outcome?.nativeSessionId)).size).toBe(1);
    serve.child.kill('SIGTERM');
    expect((await serve.ended).code).toBe(0);
  });
});
