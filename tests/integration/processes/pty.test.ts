/** Real programs on the PTYs of the launcher. */
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { pino } from 'pino';
import { describe, expect, it, onTestFinished } from 'vitest';
import type { Launch, LaunchRequest } from '../../../src/processes/launch.ts';
import { createLauncher } from '../../../src/processes/launcher.ts';
import { killProcess } from '../../../src/processes/sweep.ts';
import { terminate } from '../../../src/processes/terminate.ts';
import type { Exit } from '../../../src/protocol/cli.ts';
import { eventually } from '../../helpers/eventually.ts';
import { launch as sharedLaunch } from '../../helpers/launcher.ts';
import { commandLine, descendants, isAlive, processesWithMarker } from '../../helpers/proc.ts';
import { random } from '../../helpers/random.ts';
import { tempDir } from '../../helpers/temp.ts';
import { bench } from './harness.ts';

const SIZE = { cols: 80, rows: 24 };
const MEGABYTE = 1024 * 1024;
const PATH = '/usr/bin:/bin';
/** No byte is changed or has a meaning. `R` comes when this holds. */
const RAW = 'stty raw -echo; printf R;';

interface Options extends Partial<LaunchRequest> {
  readonly launch?: Launch;
}

async function open(binary: string, args: readonly string[], options: Options = {}) {
  const { launch = sharedLaunch, ...rest } = options;
  const { marker, dir } = bench();
  const env = { PATH, TERM: 'xterm', BULLPEN_EXECUTION_ID: marker, ...rest.env };
  const child = await launch({ binary, args, cwd: dir, pty: SIZE, ...rest, env });
  const chunks: Buffer[] = [];
  child.stdout.on('data', (chunk: Buffer) => chunks.push(chunk));
  child.stderr.resume();
  const exited = new Promise<Exit>((resolve) => child.onExit(resolve));
  const closed = new Promise<void>((resolve) => child.onClose(resolve));
  const bytes = (): Buffer => Buffer.concat(chunks);
  const text = (): string => bytes().toString();
  const shows = (part: string): Promise<unknown> => eventually(() => text().includes(part));
  const type = (keys: string | Buffer): boolean => child.stdin.write(keys);
  onTestFinished(() => {
    for (const pid of processesWithMarker(marker)) killProcess(pid);
  });
  return { child, exited, closed, bytes, text, shows, type, marker, dir };
}

const sh = (script: string, options?: Options) => open('/bin/sh', ['-c', script], options);
const bash = (options?: Options) => open('/bin/bash', ['--norc', '--noprofile'], options);

/** The launch of a PTY by `spawnProcess`, which `terminate` can stop. */
const onPty =
  (launch: Launch = sharedLaunch): Launch =>
  (request, stop) =>
    launch({ ...request, pty: SIZE }, stop);

const launchers = (): number[] =>
  descendants(process.pid).filter((pid) => commandLine(pid)?.includes('launcher-process') === true);

/** A launcher of terminals for one test, with its pid. */
async function ownLauncher() {
  const before = launchers();
  const launcher = createLauncher({
    dir: tempDir(),
    socket: 'terminals.sock',
    logger: pino({ enabled: false }),
  });
  onTestFinished(() => launcher.stop());
  await (await open('/bin/true', [], { launch: launcher.launch })).exited;
  const pid = launchers().find((one) => !before.includes(one));
  if (pid === undefined) throw new Error('there is no launcher');
  return { launcher, pid };
}

const filesOf = (pid: number): number => readdirSync(`/proc/${pid}/fd`).length;
const stateOf = (pid: number): string =>
  /^State:\s*(\w)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? '';

describe('a program on a PTY', () => {
  it('has its size and follows a change', async () => {
    const { child, exited, shows, type } = await bash();
    type('stty size\r');
    await shows('24 80');
    child.resize({ cols: 100, rows: 30 });
    type('stty size\r');
    await shows('30 100');
    type('exit 7\r');
    expect(await exited).toEqual({ code: 7, signal: null });
    child.resize(SIZE); // no effect
  });

  it('is the leader of its session, which the PTY controls', async () => {
    const { child, text, closed } = await sh(
      'ps -o pid=,pgid=,sid=,tpgid= -p $$; [ -t 0 ] && [ -t 2 ] && tty',
    );
    await closed;
    const [ids = '', tty] = text().trim().split('\r\n');
    expect(ids.trim().split(/\s+/).map(Number)).toEqual(Array(4).fill(child.pid));
    expect(tty).toMatch(/^\/dev\//);
  });

  it('gets exactly the requested arguments, environment and folder', async () => {
    const env = { PATH, TERM: 'dumb', EMPTY: '', LINES_OF: 'a\nb', ODD: '"$x" é' };
    const script = 'for a; do printf "%s|" "$a"; done; pwd; env -0';
    const args = ['-c', `stty -opost; ${script}`, 'sh', 'a b', '', "'$HOME'", '*'];
    const { text, closed, marker, dir } = await open('bash', args, { env });
    await closed;
    const [first = '', ...rest] = text().split('\n');
    expect(first).toBe(`a b||'$HOME'|*|${dir}`);
    const variables = Object.fromEntries(
      rest
        .join('\n')
        .split('\0')
        .slice(0, -1)
        .map((line) => /^(\w+)=(.*)$/s.exec(line)?.slice(1) ?? []),
    );
    const own = { PWD: dir, SHLVL: expect.any(String), _: '/usr/bin/env' }; // of bash itself
    expect(variables).toEqual({ ...env, BULLPEN_EXECUTION_ID: marker, ...own });
  });

  it('cannot reach the PTYs of other programs', async () => {
    const others = await Promise.all([1, 2, 3].map(() => sh(`${RAW} cat`)));
    for (const { shows } of others) await shows('R');
    const withoutPty: Launch = ({ pty: _size, ...request }, stop) => sharedLaunch(request, stop);
    for (const launch of [sharedLaunch, withoutPty]) {
      const { text, closed } = await sh('ls -l /proc/self/fd', { launch });
      await closed;
      expect(text()).toContain('/dev/null');
      expect(text()).not.toContain('ptmx');
      expect(new Set(text().match(/\/dev\/pts\/\d+/g)).size).toBe(launch === withoutPty ? 0 : 1);
    }
  });

  it('can be vim, which edits and saves a file', async () => {
    const { dir, exited, shows, type } = await open('vim', ['-u', 'NONE', '-N', 'file.txt']);
    await shows('file.txt');
    type('ifirst\rsecond\u001b');
    await shows('second');
    type(':wq\r');
    expect(await exited).toEqual({ code: 0, signal: null });
    expect(readFileSync(join(dir, 'file.txt'), 'utf8')).toBe('first\nsecond\n');
  });

  it('reports its exit code and its signal after all of its output', async () => {
    const { exited, closed, text } = await sh('seq 20000; exit 3');
    expect(await exited).toEqual({ code: 3, signal: null });
    await closed;
    expect(text().trim().split('\r\n')).toEqual(Array.from({ length: 20_000 }, (_, i) => String(i + 1)));
    const killed = await sh('kill -SEGV $$');
    expect(await killed.exited).toEqual({ code: null, signal: 'SIGSEGV' });
  });

  it.each([
    ['that is silent', "trap '' HUP; sleep 1000"],
    ['that writes all the time', "trap '' HUP; yes"],
  ])('has ended although a process %s still has the PTY', async (_name, background) => {
    const { exited, closed, text } = await sh(`(${background}) & sleep 0.1; echo last; exit 4`);
    expect(await exited).toEqual({ code: 4, signal: null });
    await closed;
    expect(text()).toContain('last');
  });
});

describe('the bytes of a PTY', () => {
  it('arrive whole and in order: 10 MB', async () => {
    const { closed, bytes } = await sh(`stty -opost; yes | head -c ${10 * MEGABYTE}`);
    await closed;
    expect(bytes().equals(Buffer.from('y\n'.repeat(5 * MEGABYTE)))).toBe(true);
  });

  it('are passed as they are when UTF-8 is split at every byte', async () => {
    const sent = Buffer.from('aé€😀ü漢字\u0000\u001b[31m'.repeat(20));
    const { closed, bytes, shows, type } = await sh(`${RAW} dd bs=1 count=${sent.length} status=none`);
    await shows('R');
    for (const byte of sent) {
      type(Buffer.of(byte));
      await new Promise(setImmediate);
    }
    await closed;
    expect(bytes().subarray(1)).toEqual(sent);
  });

  it.each([1, 2])('lose nothing and gain nothing in chunks of random sizes (seed %i)', async (seed) => {
    const next = random(seed);
    const below = (limit: number): number => Math.floor(next() * limit);
    const sent = Buffer.from(Array.from({ length: 300_000 }, () => below(256)));
    const { child, closed, bytes, shows, type } = await sh(`${RAW} dd bs=${1 + below(5000)} status=none`);
    await shows('R');
    for (let at = 0; at < sent.length; ) {
      const end = at + 1 + below([2, 100, 5000, 70_000][below(4)] ?? 1);
      if (below(4) === 0) child.stdout.pause();
      type(sent.subarray(at, end));
      at = end;
      if (below(3) === 0) await new Promise(setImmediate);
      child.stdout.resume();
    }
    await eventually(() => bytes().length > sent.length);
    child.signalGroup('SIGTERM'); // `dd` waits for more
    await closed;
    expect(bytes().subarray(1).equals(sent), `seed ${seed}`).toBe(true);
  });

  it('block the program while they are not read; none is lost, even after its exit', async () => {
    const script = `stty -opost; seq 300000; touch done; seq 300000 300100`;
    const { child, dir, exited, closed, text } = await sh(script);
    child.stdout.pause();
    // Many times as long as it takes unhindered.
    for (let i = 0; i < 20; i += 1) await (await sh('exit 0')).exited;
    expect(existsSync(join(dir, 'done'))).toBe(false);
    expect(child.exit).toBeNull();
    child.stdout.resume();
    expect(await exited).toEqual({ code: 0, signal: null });
    await closed;
    const numbers = text().trim().split('\n');
    expect(numbers.length).toBe(300_101);
    expect(numbers.every((line, i) => Number(line) === (i < 300_000 ? i + 1 : i))).toBe(true);
  });

  it('that end before they are read are all there, and so is the exit then', async () => {
    const { child, dir, exited, closed, bytes } = await sh('stty -opost; seq 20000; touch done; exit 5');
    child.stdout.pause();
    await eventually(() => existsSync(join(dir, 'done')));
    child.stdout.resume();
    expect(await exited).toEqual({ code: 5, signal: null });
    await closed;
    expect(bytes().toString()).toBe(`${Array.from({ length: 20_000 }, (_, i) => i + 1).join('\n')}\n`);
  });

  it('that the program does not read wait, and hold up no other program', async () => {
    const sent = Buffer.from(Array.from({ length: MEGABYTE }, (_, i) => i % 251));
    const waiting = await sh(`${RAW} until [ -e go ]; do sleep 0.05; done; head -c ${sent.length}`);
    await waiting.shows('R');
    waiting.type(sent);
    const other = await sh('exit 6');
    expect(await other.exited).toEqual({ code: 6, signal: null });
    expect(waiting.child.stdin.writableLength).toBeGreaterThan(0);
    writeFileSync(join(waiting.dir, 'go'), '');
    await waiting.closed;
    expect(waiting.bytes().subarray(1).equals(sent)).toBe(true);
  });
});

describe('signals', () => {
  it('are what Ctrl-C and Ctrl-Z are, and INT and TSTP reach the foreground only', async () => {
    const env = { PS1: '<\\#:$?>' }; // the number of the command, and the end of the last one
    const { shows, type, child, dir } = await bash({ env });
    const started = async (name: string): Promise<void> => {
      type(`sh -c 'touch ${name}; exec sleep 1000'\r`);
      await eventually(() => existsSync(join(dir, name)));
    };
    await started('one');
    type('\u0003');
    await shows('<2:130>');
    await started('two');
    child.signalForeground('SIGINT');
    await shows('<3:130>');
    await started('three');
    child.signalForeground('SIGTSTP');
    await shows('<4:148>');
    await started('four');
    type('\u001a');
    await shows('<5:148>');
  });

  it('CONT goes to the foreground', async () => {
    const { child } = await open('sleep', ['1000']);
    await eventually(() => commandLine(child.pid) === 'sleep 1000');
    process.kill(child.pid, 'SIGSTOP');
    await eventually(() => stateOf(child.pid) === 'T');
    expect(child.signalForeground('SIGCONT')).toBe(true);
    await eventually(() => stateOf(child.pid) === 'S');
  });

  it('do nothing after the exit', async () => {
    const { child, exited } = await sh('exit 0');
    await exited;
    expect(child.signalForeground('SIGINT')).toBe(false);
    expect(child.signalGroup('SIGINT')).toBe(false);
  });
});

describe('a program that cannot be started on a PTY', () => {
  it('is refused with the reason', async () => {
    const dir = tempDir();
    const plain = join(dir, 'plain');
    writeFileSync(plain, 'echo');
    const start = (binary: string) => open(binary, []);
    await expect(start(join(dir, 'missing'))).rejects.toMatchObject({ code: 'ENOENT' });
    await expect(start('no-such-program')).rejects.toMatchObject({ code: 'ENOENT' });
    await expect(start(plain)).rejects.toMatchObject({ code: 'EACCES' });
    await expect(start(dir)).rejects.toMatchObject({ code: 'EACCES' });
    await expect(start(join(plain, 'below'))).rejects.toMatchObject({ code: 'ENOTDIR' });
    await expect(open('/bin/sh', ['a\0b'])).rejects.toMatchObject({ code: 'ERR_INVALID_ARG_VALUE' });
  });

  it('is refused when its folder is missing or was replaced', async () => {
    const dir = tempDir();
    const cwd = join(dir, 'folder');
    await expect(open('pwd', [], { cwd })).rejects.toMatchObject({ code: 'CWD_GONE' });
    mkdirSync(cwd);
    await (await open('pwd', [], { cwd })).closed;
    renameSync(cwd, join(dir, 'moved'));
    symlinkSync('moved', cwd);
    await expect(open('pwd', [], { cwd })).rejects.toMatchObject({ code: 'CWD_GONE' });
  });
});

describe('nothing is left', () => {
  /** Each leaves the terminal in another way. */
  const STAYS = [
    'setsid sleep 1000 &',
    'nohup sleep 1001 >/dev/null 2>&1 &',
    "(trap '' HUP; exec sleep 1002) &",
    'sh -c \'trap "" HUP TERM; while :; do sleep 1; done\' &',
    'set -m; sleep 1003 & set +m;',
  ];

  it('of a closed terminal', async () => {
    const { sh: spawn, marker, scanner } = bench();
    const { process: shell } = await spawn(`${STAYS.join('\n')}\nexec sleep 2000`, { launch: onPty() });
    await eventually(() => processesWithMarker(marker).length >= STAYS.length + 1);
    shell.signalGroup('SIGHUP');
    await shell.exited;
    expect(processesWithMarker(marker).length).toBeGreaterThan(0);
    const { survivors } = await terminate(shell, { graceMs: 0, scanner });
    expect(survivors).toEqual([]);
    expect(processesWithMarker(marker)).toEqual([]);
  });

  it('when the launcher of terminals stops, as when its server disconnects', async () => {
    const { launcher } = await ownLauncher();
    const { sh: spawn, marker } = bench();
    await spawn(`${STAYS.join('\n')}\nexec sleep 2000`, { launch: onPty(launcher.launch) });
    await eventually(() => processesWithMarker(marker).length >= STAYS.length + 1);
    await launcher.stop();
    expect(processesWithMarker(marker)).toEqual([]);
  });

  it('after its launcher was killed: terminals are lost, other processes are not', async () => {
    const { launcher, pid } = await ownLauncher();
    const { sh: spawn, marker, scanner } = bench();
    const { process: lost } = await spawn(`${STAYS.join('\n')}\nexec sleep 2000`, {
      launch: onPty(launcher.launch),
    });
    const { process: other } = await bench().sh('exec sleep 2000');
    await eventually(() => processesWithMarker(marker).length >= STAYS.length + 1);
    process.kill(pid, 'SIGKILL');
    await lost.ended;
    expect(lost.lost).toBe(true);
    await terminate(lost, { graceMs: 0, scanner });
    expect(processesWithMarker(marker)).toEqual([]);
    expect(isAlive(other.pid)).toBe(true);
    expect(other.exitedAtUptimeS).toBeNull();
    await terminate(other, { graceMs: 0, scanner });
    const next = await sh('exit 3', { launch: launcher.launch }); // by the next launcher
    expect(await next.exited).toEqual({ code: 3, signal: null });
  });

  it('open in the launcher after 60 terminals, refused ones included', async () => {
    const { launcher, pid } = await ownLauncher();
    const { launch } = launcher;
    const many = async (count: number): Promise<void> => {
      for (let done = 0; done < count; done += 20) {
        await Promise.all([
          ...Array.from({ length: 18 }, async () => (await sh('echo x', { launch })).closed),
          expect(open('/no/program', [], { launch })).rejects.toThrow(),
          expect(open('true', [], { launch, cwd: '/no/folder' })).rejects.toThrow(),
        ]);
      }
    };
    await many(20);
    const before = await eventually(() => filesOf(pid));
    await many(60);
    await eventually(() => filesOf(pid) <= before);
  });
});

describe('a launcher that was not started', () => {
  it('has no problem and no process, and starts with the first launch', async () => {
    const before = launchers();
    const dir = tempDir();
    const launcher = createLauncher({ dir, socket: 'terminals.sock', logger: pino({ enabled: false }) });
    expect(launcher.problem()).toBeNull();
    expect(readdirSync(dir)).toEqual([]);
    const starts = [1, 2, 3].map((code) => sh(`exit ${code}`, { launch: launcher.launch }));
    const exits = await Promise.all(starts.map(async (one) => (await one).exited));
    expect(exits.map(({ code }) => code)).toEqual([1, 2, 3]);
    expect(launchers().length).toBe(before.length + 1);
    expect(readdirSync(dir)).toEqual(['terminals.sock']);
    await launcher.stop();
    expect(launchers()).toEqual(before);
  });

  it('can be stopped, and starts nothing then', async () => {
    const dir = tempDir();
    const launcher = createLauncher({ dir, logger: pino({ enabled: false }) });
    await launcher.stop();
    await expect(sh('exit 0', { launch: launcher.launch })).rejects.toMatchObject({ code: 'execution.lost' });
    expect(readdirSync(dir)).toEqual([]);
  });

  it('tries again after a launch for which it had no socket', async () => {
    const dir = join(tempDir(), 'later');
    const launcher = createLauncher({ dir, logger: pino({ enabled: false }) });
    onTestFinished(() => launcher.stop());
    await expect(sh('exit 0', { launch: launcher.launch })).rejects.toMatchObject({ code: 'NO_STREAMS' });
    mkdirSync(dir);
    expect(await (await sh('exit 2', { launch: launcher.launch })).exited).toMatchObject({ code: 2 });
  });
});
