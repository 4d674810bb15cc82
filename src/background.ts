/**
 * Starts and stops a server that outlives the command: as a systemd unit of this user where
 * `systemctl --user` works, else as a process of its own. Both write to one log in the data folder.
 */
import { execFile, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  closeSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { plainDataFolder } from './config/places.ts';
import type { Settings } from './config/schema.ts';
import { AppError } from './errors.ts';
import { isAlive, readServerNote } from './store/server-note.ts';

type Environment = Readonly<Record<string, string | undefined>>;

export interface BackgroundOptions {
  readonly env: Environment;
  readonly cwd: string;
  /** Node, its options and the script of this command. */
  readonly program: readonly string[];
  loadSettings(): Promise<Pick<Settings, 'home' | 'drainMs'>>;
}

/** The log is put aside at a start when it is larger. One earlier log is kept. */
const MAX_LOG_BYTES = 10 * 1024 * 1024;
/** How long systemd waits for the end of the server beyond the time for its running jobs. */
const STOP_MARGIN_MS = 120_000;
const SYSTEMCTL_TIMEOUT_MS = 10_000;

/** The exit code of a server that was started; null while it runs. */
type ExitCode = () => Promise<number | null>;

export function createBackground({ env, cwd, program, loadSettings }: BackgroundOptions) {
  const command = [...program, 'serve', '--background'];
  const systemctl = createSystemctl(env);

  return {
    /** @throws AppError for wrong settings */
    async start() {
      const { home, drainMs } = await loadSettings();
      mkdirSync(home, { recursive: true, mode: 0o700 });
      const log = openLog(home);
      try {
        const unit = await systemctl.unitFor(home);
        const exitCode =
          unit === null
            ? startProcess(command, { env, cwd, log: log.descriptor })
            : await systemctl.start(unit, unitText({ command, env, cwd, home, drainMs, logFile: log.file }));
        return { unit: unit?.name ?? null, logFile: log.file, exitCode, reason: log.reason };
      } finally {
        closeSync(log.descriptor);
      }
    },

    /** The process that has the data folder; null for none. */
    async find() {
      const home = plainDataFolder(env, cwd) ?? (await loadSettings()).home;
      const note = readServerNote(home);
      if (note === null || !isAlive(note)) return null;
      const { pid, startedBy } = note;
      return {
        pid,
        startedBy,
        isRunning: () => isAlive(note),
        stop() {
          if (isAlive(note)) process.kill(pid, 'SIGTERM');
        },
        async forget() {
          const unit = await systemctl.unitFor(home);
          if (unit !== null) rmSync(unit.file, { force: true });
        },
      };
    },
  };
}

/** Starts a process in a session of its own. Returns its exit code once it has ended. */
function startProcess(
  [file = '', ...args]: readonly string[],
  { env, cwd, log }: { readonly env: Environment; readonly cwd: string; readonly log: number },
): ExitCode {
  const child = spawn(file, args, { env, cwd, detached: true, stdio: ['ignore', log, log] });
  let failure: Error | null = null;
  child.once('error', (error) => {
    failure = error;
  });
  child.unref();
  return async () => {
    if (failure !== null) throw failure;
    return child.exitCode ?? (child.signalCode === null ? null : 1);
  };
}

/** The log of the server, for this start. */
function openLog(home: string) {
  const file = join(home, 'server.log');
  if ((statSync(file, { throwIfNoEntry: false })?.size ?? 0) > MAX_LOG_BYTES) renameSync(file, `${file}.1`);
  const descriptor = openSync(file, 'a', 0o600);
  const { size } = statSync(file);
  return {
    file,
    descriptor,
    /** What a failed start has written beside the JSON lines of the log. */
    reason: (): string =>
      readFileSync(file)
        .subarray(size)
        .toString('utf8')
        .split('\n')
        .filter((line) => line !== '' && !line.startsWith('{'))
        .map((line) => line.replace(/^bullpen: /, ''))
        .slice(-MAX_REASON_LINES)
        .join('\n'),
  };
}

const MAX_REASON_LINES = 20;

interface Unit {
  readonly name: string;
  /** In the folder of units that live until the next boot, because it holds the environment. */
  readonly file: string;
}

function createSystemctl(env: Environment) {
  const call = async (...args: readonly string[]): Promise<string> => {
    const options = { env, timeout: SYSTEMCTL_TIMEOUT_MS };
    return (await promisify(execFile)('systemctl', ['--user', ...args], options)).stdout;
  };
  const works = (): Promise<boolean> =>
    call('show-environment').then(
      () => true,
      () => false,
    );

  return {
    /** The unit of the server with this data folder; null: this user has no systemd. */
    async unitFor(home: string): Promise<Unit | null> {
      const runtime = env['XDG_RUNTIME_DIR'] ?? '';
      if (runtime === '' || !(await works())) return null;
      const id = createHash('sha256').update(home).digest('hex').slice(0, 8);
      const name = `bullpen-${id}.service`;
      return { name, file: join(runtime, 'systemd', 'user', name) };
    },

    /** @throws AppError config.invalid when systemd does not start it */
    async start(unit: Unit, text: string): Promise<ExitCode> {
      mkdirSync(join(unit.file, '..'), { recursive: true, mode: 0o700 });
      rmSync(unit.file, { force: true }); // else the mode below would not apply
      writeFileSync(unit.file, text, { mode: 0o600 });
      await call('reset-failed', unit.name).catch(() => undefined); // it fails for a unit that did not
      try {
        await call('daemon-reload');
        await call('start', unit.name);
      } catch (error) {
        const why = error instanceof Error && 'stderr' in error ? String(error.stderr).trim() : String(error);
        throw new AppError('config.invalid', `systemd does not start ${unit.name}: ${why}`, { cause: error });
      }
      return async () => {
        const shown = await call('show', unit.name, '--property=ActiveState,ExecMainStatus');
        const { ActiveState, ExecMainStatus } = Object.fromEntries(
          shown.split('\n').map((line) => line.split('=', 2)),
        );
        if (ActiveState !== 'failed' && ActiveState !== 'inactive') return null;
        rmSync(unit.file, { force: true });
        return Number(ExecMainStatus) || 1;
      };
    },
  };
}

/**
 * A unit as systemd.service(5) describes it. SIGTERM goes to the server alone, which stops its CLIs
 * itself; what is left after it is killed.
 */
export function unitText({
  command,
  env,
  cwd,
  home,
  drainMs,
  logFile,
}: {
  readonly command: readonly string[];
  readonly env: Environment;
  readonly cwd: string;
  readonly home: string;
  readonly drainMs: number;
  readonly logFile: string;
}): string {
  const variables = Object.entries(env).flatMap(([name, value]) =>
    value === undefined || !/^[A-Za-z_]\w*$/.test(name) ? [] : [`Environment=${quoted(`${name}=${value}`)}`],
  );
  return `[Unit]
Description=Bullpen, data folder ${plain(home)}

[Service]
Type=exec
ExecStart=${command.map((word) => quoted(word).replaceAll('$', '$$$$')).join(' ')}
WorkingDirectory=${plain(cwd)}
StandardOutput=append:${plain(logFile)}
StandardError=append:${plain(logFile)}
KillMode=mixed
TimeoutStopSec=${Math.ceil((drainMs + STOP_MARGIN_MS) / 1000)}
Restart=on-abnormal
Delegate=yes
${variables.join('\n')}
`;
}

/** A word in quotes: systemd knows the escapes of C, and `%` begins a specifier. */
const quoted = (word: string): string =>
  `"${word
    .replace(/[\\"]/g, '\\$&')
    .replace(/[\0-\x1f\x7f]/g, escaped)
    .replaceAll('%', '%%')}"`;

const escaped = (char: string): string => `\\x${char.charCodeAt(0).toString(16).padStart(2, '0')}`;

/**
 * A path that takes the rest of its line.
 * @throws AppError config.invalid for one with line breaks
 */
function plain(path: string): string {
  if (!/[\n\r\\]/.test(path)) return path.replaceAll('%', '%%');
  throw new AppError('config.invalid', `systemd cannot use the path ${JSON.stringify(path)}`);
}
