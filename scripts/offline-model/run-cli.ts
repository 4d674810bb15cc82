/** Runs a real CLI to its end, for contract tests and for recordings. */
import { spawn } from 'node:child_process';
import { mkdir, mkdtemp, realpath, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

const DEADLINE_MS = 50_000;

/** One finished run of a CLI. */
export interface CliRun {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  /** The lines of stdout, as they came. */
  readonly lines: readonly string[];
  readonly stderr: string;
}

export interface CliCommand {
  readonly binary: string;
  readonly args: readonly string[];
  /** The whole environment. */
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly cwd: string;
  readonly prompt: string;
  /** Sends `signal` to the process group at the first line of stdout that contains `text`. */
  readonly endAt?: { readonly text: string; readonly signal: NodeJS.Signals };
}

/** A home and a workspace of their own for some runs; disposing of it deletes both. */
export interface CliHome extends AsyncDisposable {
  readonly home: string;
  readonly workspace: string;
}

/** Makes an empty home with a workspace in it. */
export async function makeCliHome(): Promise<CliHome> {
  const home = await realpath(await mkdtemp(join(tmpdir(), 'bullpen-cli-')));
  const workspace = join(home, 'workspace');
  await mkdir(workspace);
  const remove = () => rm(home, { recursive: true, force: true, maxRetries: 5 });
  return { home, workspace, [Symbol.asyncDispose]: remove };
}

/** A run that outlives 50 s is killed with its process group and rejects. */
export async function runCli({ binary, args, env, cwd, prompt, endAt }: CliCommand): Promise<CliRun> {
  const child = spawn(binary, [...args], { cwd, detached: true, stdio: ['pipe', 'pipe', 'pipe'], env });
  const exited = Promise.withResolvers<Pick<CliRun, 'code' | 'signal'>>();
  child.once('error', exited.reject);
  child.once('close', (code, signal) => exited.resolve({ code, signal }));
  const signalGroup = (signal: NodeJS.Signals): void => {
    if (child.pid !== undefined && child.exitCode === null && child.signalCode === null)
      process.kill(-child.pid, signal);
  };
  const lines: string[] = [];
  const errorText: string[] = [];
  child.stderr.setEncoding('utf8').on('data', (chunk: string) => errorText.push(chunk));
  const deadline = setTimeout(() => {
    const said = [...lines, ...errorText].join('\n');
    exited.reject(new Error(`${binary} did not end within ${DEADLINE_MS} ms; it had said:\n${said}`));
    signalGroup('SIGKILL');
  }, DEADLINE_MS);
  let ended = false;
  createInterface({ input: child.stdout }).on('line', (line) => {
    lines.push(line);
    if (ended || endAt === undefined || !line.includes(endAt.text)) return;
    ended = true;
    signalGroup(endAt.signal);
  });
  child.stdin.on('error', () => {}); // a CLI that refuses its arguments never reads the prompt
  child.stdin.end(prompt);
  try {
    return { ...(await exited.promise), lines, stderr: errorText.join('') };
  } finally {
    clearTimeout(deadline);
  }
}
