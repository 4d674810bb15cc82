import { type ChildProcess, execFile, spawn } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  realpathSync,
  writeFileSync,
} from 'node:fs';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it, onTestFinished } from 'vitest';
import { stringify } from 'yaml';
import { eventually } from '../helpers/eventually.ts';
import { descendants, isAlive } from '../helpers/proc.ts';
import { PROGRAM } from '../helpers/program.ts';
import { CACHE_DIR } from '../helpers/redis-private.ts';
import { tempDir } from '../helpers/temp.ts';

const SYSTEMCTL = fileURLToPath(new URL('../fakes/systemctl.ts', import.meta.url));
const PATIENCE = { timeoutMs: 60_000 };
const WITHIN_MS = 90_000;

interface Typed {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

/** A user of this machine who has two projects and nothing else yet. */
function newUser() {
  const dir = realpathSync(tempDir());
  const folder = (name: string): string => join(dir, name);
  for (const name of ['home', 'project', 'other', 'bin']) mkdirSync(folder(name));
  const data = folder('home/.local/state/bullpen');
  const gate = folder('gate');
  const held = folder('bin/held');
  writeFileSync(held, `#!/bin/sh\nuntil [ -e '${gate}' ]; do sleep 0.05; done\nexec /bin/cat\n`);
  chmodSync(held, 0o755);
  const custom = { echo: { binary: '/bin/cat' }, held: { binary: held } };
  mkdirSync(folder('home/.config/bullpen'), { recursive: true });
  writeFileSync(
    folder('home/.config/bullpen/config.yaml'),
    stringify({ provider: 'echo', providers: { custom } }),
  );
  const user: Record<string, string> = {
    PATH: [folder('bin'), process.env['PATH']].join(delimiter),
    HOME: folder('home'),
    BULLPEN_CACHE: CACHE_DIR,
    BULLPEN_PORT: '0',
  };
  const children: ChildProcess[] = [];
  const note = (): { pid: number; startedBy: string } | null => {
    const file = join(data, 'server.json');
    return existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')) : null;
  };
  onTestFinished(async () => {
    const pid = note()?.pid;
    for (const child of children) child.kill('SIGKILL');
    if (pid === undefined || !isAlive(pid)) return;
    const all = [pid, ...descendants(pid)];
    for (const one of all) if (isAlive(one)) process.kill(one, 'SIGKILL');
    await eventually(() => !all.some(isAlive), PATIENCE);
  });
  return {
    data,
    folder,
    note,
    log: () => readFileSync(join(data, 'server.log'), 'utf8'),
    open: () => writeFileSync(gate, ''),
    /** `bullpen ARGS…` in a folder of the user. */
    type(args: readonly string[], env: Record<string, string> = {}, cwd = 'project'): Promise<Typed> {
      const { promise, resolve } = Promise.withResolvers<Typed>();
      const options = { cwd: folder(cwd), env: { ...user, ...env }, timeout: WITHIN_MS };
      const child = execFile(
        process.execPath,
        ['--no-warnings', PROGRAM, ...args],
        options,
        (error, out, err) => {
          resolve({ code: error === null ? 0 : Number(error.code ?? -1), out, err });
        },
      );
      child.stdin?.end();
      children.push(child);
      return promise;
    },
  };
}

/** The address that a command has printed. */
const addressIn = ({ out }: Typed): string => out.trim();

/** Starts a job that ends when the user's gate is open; resolves to its id when it runs. */
async function runsHeld(user: ReturnType<typeof newUser>, up: Typed): Promise<string> {
  const { out } = await user.type(['run', 'held', '--provider', 'held', '--detach']);
  const id = out.trim();
  const headers = { authorization: `Bearer ${readFileSync(join(user.data, 'token'), 'utf8').trim()}` };
  await eventually(async () => {
    const response = await fetch(`${addressIn(up)}/v1/jobs/${id}`, { headers });
    expect(await response.json()).toMatchObject({ status: 'running' });
  }, PATIENCE);
  return id;
}

describe('bullpen up and down', () => {
  it('start one server, also when typed twice at once, for jobs of every folder; down waits for them', async () => {
    const user = newUser();
    const [up, beside] = await Promise.all([user.type(['up']), user.type(['up'])]);
    expect(up).toMatchObject({ code: 0, out: expect.stringMatching(/^http:\/\/127\.0\.0\.1:\d+\n$/) });
    expect(beside).toMatchObject({ code: 0, out: up.out });
    for (const { err } of [up, beside]) expect(err).toContain('stop it with: bullpen down');
    expect(up.err + beside.err).toContain(`page: ${addressIn(up)}/; token: `);
    expect(up.err + beside.err).toContain(join(user.data, 'server.log'));
    const { pid = 0 } = user.note() ?? {};

    const again = await user.type(['up'], {}, 'other');
    expect(again).toMatchObject({ code: 0, out: up.out, err: expect.stringContaining('runs already') });
    expect(user.note()?.pid).toBe(pid);

    const run = await user.type(['run', 'from another folder'], {}, 'other');
    expect(run).toMatchObject({ code: 0, out: 'from another folder\n' });
    expect(run.err).not.toContain('no server is running');
    const doctor = await user.type(['doctor']);
    expect(doctor.out).toContain(`runs at ${addressIn(up)} in the background`);

    const id = await runsHeld(user, up);
    const below = descendants(pid);
    expect(below.length).toBeGreaterThan(1);
    const down = user.type(['down']);
    await eventually(() => user.log().includes('"stopping;'), PATIENCE);
    expect(user.log()).not.toContain(`"jobId":"${id}","status":"succeeded"`);
    user.open();
    const { code, err } = await down;
    expect(code).toBe(0);
    expect(err).toContain(`1 running job: ${id}`);
    expect(err).toMatch(/\nstopped\n$/);
    expect(user.log()).toContain(`"jobId":"${id}","status":"succeeded"`); // the job ended
    await eventually(() => ![pid, ...below].some(isAlive), PATIENCE);
    expect(await user.type(['down'])).toMatchObject({ code: 0, err: expect.stringContaining('no server') });
    expect(user.note()).toBeNull();
  }, 300_000); // many commands, one after the other

  it('down --force interrupts the running jobs', async () => {
    const user = newUser();
    const up = await user.type(['up'], { BULLPEN_DRAIN_MS: '600000' });
    await runsHeld(user, up);
    expect(await user.type(['down', '--force'])).toMatchObject({ code: 0 });
  });

  it('a failed start says why, with the exit code of the server', async () => {
    const user = newUser();
    const wrong = await user.type(['up'], { BULLPEN_CONCURRENCY: 'many' });
    expect(wrong).toMatchObject({ code: 78, err: expect.stringContaining('BULLPEN_CONCURRENCY') });
    expect(await user.type(['down'])).toMatchObject({ code: 0 });
  });

  it('down signals no process that only has the pid of a server that died', async () => {
    const user = newUser();
    mkdirSync(user.data, { recursive: true });
    const other = spawn('sleep', ['600']);
    onTestFinished(() => void other.kill('SIGKILL'));
    const note = { pid: other.pid, startTicks: 1, startedAt: new Date().toISOString() };
    const address = 'http://127.0.0.1:9';
    writeFileSync(join(user.data, 'server.json'), JSON.stringify({ ...note, address, startedBy: 'up' }));
    expect(await user.type(['down'])).toMatchObject({ code: 0, err: expect.stringContaining('no server') });
    expect(isAlive(other.pid ?? 0)).toBe(true);
  });

  it('with BULLPEN_URL they are refused, because that server is not theirs', async () => {
    const user = newUser();
    const env = { BULLPEN_URL: 'http://127.0.0.1:9', BULLPEN_TOKEN: 't' };
    for (const command of ['up', 'down'])
      expect(await user.type([command], env)).toMatchObject({
        code: 64,
        err: expect.stringContaining('BULLPEN_URL'),
      });
  });
});

describe('where systemctl --user works', () => {
  /** A user with a systemd that starts units and knows their state. */
  function withSystemd() {
    const user = newUser();
    mkdirSync(user.folder('run'));
    const program = user.folder('bin/systemctl');
    writeFileSync(program, `#!/bin/sh\nexec '${process.execPath}' --no-warnings '${SYSTEMCTL}' "$@"\n`);
    chmodSync(program, 0o755);
    const env = { XDG_RUNTIME_DIR: user.folder('run'), ODD: 'a "b" \\ %h $HOME\nc' };
    return {
      ...user,
      calls: () => readFileSync(user.folder('run/calls'), 'utf8').trim().split('\n'),
      type: (args: readonly string[], more: Record<string, string> = {}) =>
        user.type(args, { ...env, ...more }),
    };
  }

  it('the server is a unit with the environment of the command, which down stops and removes', async () => {
    const user = withSystemd();
    const up = await user.type(['up']);
    expect(up).toMatchObject({ code: 0, out: expect.stringMatching(/^http:/) });
    const [, name = ''] = /systemd unit (bullpen-[0-9a-f]{8}\.service) of this user/.exec(up.err) ?? [];
    const file = user.folder(`run/systemd/user/${name}`);
    expect(readFileSync(file, 'utf8')).toContain('KillMode=mixed\n');
    expect(user.calls()).toEqual(expect.arrayContaining(['--user daemon-reload', `--user start ${name}`]));
    const { pid = 0 } = user.note() ?? {};
    const environment = readFileSync(`/proc/${pid}/environ`, 'utf8').split('\0');
    expect(environment).toContain('ODD=a "b" \\ %h $HOME\nc');

    expect(await user.type(['down'])).toMatchObject({ code: 0, err: expect.stringContaining('stopped') });
    await eventually(() => !isAlive(pid), PATIENCE);
    expect(existsSync(file)).toBe(false);
  });

  it('a failed start says why, with the exit code of the server', async () => {
    const user = withSystemd();
    const up = await user.type(['up'], { REDIS_URL: 'redis://127.0.0.1:1', BULLPEN_CWD: '/' });
    expect(up.code).toBe(78);
    expect(up.err).toMatch(/the server did not start: .*data folder/s);
    // The unit holds the environment, keys included.
    expect(readdirSync(user.folder('run/systemd/user'))).toEqual([]);
  });
});
