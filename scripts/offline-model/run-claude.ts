import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { mkdir, mkdtemp, realpath, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';

const CLAUDE = fileURLToPath(new URL('../../node_modules/.bin/claude', import.meta.url));
const DEADLINE_MS = 25_000;

/** One finished run of the real claude CLI. */
export interface ClaudeRun {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  /** The lines of stdout, as they came. */
  readonly lines: readonly string[];
  readonly stderr: string;
}

/** What a run is given. Nothing else of this process's environment reaches the CLI but PATH. */
export interface ClaudeOptions {
  readonly baseUrl: string;
  readonly home: ClaudeHome;
  readonly prompt: string;
  /** Sends the prompt as a message with this `uuid`, as a provider does; else it is plain text. */
  readonly promptId?: string;
  readonly args?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** Sends SIGTERM to the process group at the first line of stdout that contains this text. */
  readonly terminateAt?: string;
}

/** A home and a workspace of their own for some runs; disposing of it deletes both. */
export interface ClaudeHome extends AsyncDisposable {
  readonly home: string;
  readonly workspace: string;
}

/** Makes an empty home with a workspace in it. */
export async function makeClaudeHome(): Promise<ClaudeHome> {
  const home = await realpath(await mkdtemp(join(tmpdir(), 'bullpen-claude-')));
  const workspace = join(home, 'workspace');
  await mkdir(workspace);
  await mkdir(join(home, '.claude'));
  const remove = () => rm(home, { recursive: true, force: true, maxRetries: 5 });
  return { home, workspace, [Symbol.asyncDispose]: remove };
}

/** Starts the real claude in a process group of its own, with the offline model. */
export function spawnClaude({
  home: { home, workspace },
  baseUrl,
  args,
  env,
}: Pick<ClaudeOptions, 'home' | 'baseUrl' | 'env'> & {
  readonly args: readonly string[];
}): ChildProcessWithoutNullStreams {
  return spawn(CLAUDE, [...args], {
    cwd: workspace,
    detached: true,
    stdio: ['pipe', 'pipe', 'pipe'],
    env: {
      PATH: process.env['PATH'],
      HOME: home,
      CLAUDE_CONFIG_DIR: join(home, '.claude'),
      ANTHROPIC_BASE_URL: baseUrl,
      ANTHROPIC_API_KEY: 'offline',
      CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC: '1',
      DISABLE_TELEMETRY: '1',
      DISABLE_AUTOUPDATER: '1',
      ...env,
    },
  });
}

/**
 * Runs `claude -p` with streamed JSON to its end. A run that outlives 25 s is killed with its
 * process group and rejects.
 */
export async function runClaude(options: ClaudeOptions): Promise<ClaudeRun> {
  const { prompt, promptId } = options;
  const args = ['-p', '--output-format', 'stream-json', '--verbose', '--include-partial-messages'];
  if (promptId !== undefined) args.push('--input-format', 'stream-json');
  const child = spawnClaude({ ...options, args: [...args, ...(options.args ?? [])] });
  const exited = Promise.withResolvers<Pick<ClaudeRun, 'code' | 'signal'>>();
  child.once('error', exited.reject);
  child.once('close', (code, signal) => exited.resolve({ code, signal }));
  const signalGroup = (signal: NodeJS.Signals): void => {
    if (child.pid !== undefined && child.exitCode === null && child.signalCode === null)
      process.kill(-child.pid, signal);
  };
  const deadline = setTimeout(() => {
    exited.reject(new Error(`claude did not end within ${DEADLINE_MS} ms`));
    signalGroup('SIGKILL');
  }, DEADLINE_MS);
  const stderr = text(child.stderr);
  const lines: string[] = [];
  let terminated = false;
  createInterface({ input: child.stdout }).on('line', (line) => {
    lines.push(line);
    if (terminated || options.terminateAt === undefined || !line.includes(options.terminateAt)) return;
    terminated = true;
    signalGroup('SIGTERM');
  });
  child.stdin.on('error', () => {}); // a CLI that refuses its arguments never reads the prompt
  const message = { type: 'user', message: { role: 'user', content: prompt }, uuid: promptId };
  child.stdin.end(promptId === undefined ? prompt : `${JSON.stringify(message)}\n`);
  try {
    return { ...(await exited.promise), lines, stderr: await stderr };
  } finally {
    clearTimeout(deadline);
  }
}
