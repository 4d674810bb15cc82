/** Short runs of a CLI outside of jobs: what it answers to `--version` or `auth status`. */
import { type ChildProcess, spawn } from 'node:child_process';
import { signalGroup } from '../processes/launch.ts';

const MAX_OUTPUT_CHARS = 64 * 1024;
/** For the rest of its output after its exit: a process that left its group may keep it open. */
const REST_MS = 100;

export interface CliAnswer {
  readonly code: number;
  /** The first 64 KiB. */
  readonly stdout: string;
}

/**
 * Runs a CLI for its answer. What it leaves in its process group ends with it. Null: it could not
 * be started, was killed, or did not end in time.
 */
export function askCli(
  binary: string,
  args: readonly string[],
  env: Readonly<Record<string, string>>,
  timeoutMs: number,
): Promise<CliAnswer | null> {
  const { promise, resolve } = Promise.withResolvers<CliAnswer | null>();
  const child = start(binary, args, env);
  if (child === null) return Promise.resolve(null);
  let stdout = '';
  const endGroup = (): void => {
    if (child.pid !== undefined) signalGroup(child.pid, 'SIGKILL');
  };
  const end = (code: number | null): void => {
    clearTimeout(timer);
    child.stdout?.destroy();
    resolve(code === null ? null : { code, stdout });
  };
  const timer = setTimeout(() => {
    endGroup();
    end(null);
  }, timeoutMs);
  // Without free descriptors it has no stdout.
  child.stdout?.on('data', (chunk: Buffer) => {
    if (stdout.length < MAX_OUTPUT_CHARS) stdout += chunk.toString();
  });
  child.once('error', () => end(null));
  child.once('exit', (code) => {
    clearTimeout(timer);
    endGroup();
    setTimeout(end, REST_MS, code);
  });
  child.once('close', end);
  return promise;
}

function start(
  binary: string,
  args: readonly string[],
  env: Readonly<Record<string, string>>,
): ChildProcess | null {
  try {
    return spawn(binary, [...args], {
      stdio: ['ignore', 'pipe', 'ignore'],
      env: { ...env },
      cwd: '/', // a CLI obeys files of its folder, so not the folder of the server
      detached: true,
    });
  } catch {
    return null; // reasons that Node throws, as a lack of memory
  }
}
