/** A conversation with a running claude CLI, for contract tests and recordings. */
import { createInterface } from 'node:readline';
import { type ClaudeHome, type ClaudeRun, spawnClaude } from './run-claude.ts';

const DEADLINE_MS = 45_000;

/** A process whose stdin is open. Disposing of it kills its group. */
export interface ClaudeTalk extends AsyncDisposable {
  readonly pid: number;
  /** The lines of stdout so far. */
  readonly lines: readonly string[];
  write(text: string): void;
  /** The first line that is not older than the last one found, and fits. Rejects at the exit. */
  until(fits: (line: string) => boolean): Promise<string>;
  /** Closes stdin and resolves at the exit. */
  close(): Promise<ClaudeRun>;
  /** Kills the process group and resolves at the exit. */
  kill(signal: NodeJS.Signals): Promise<ClaudeRun>;
}

/** Each line is passed to `onLine` first. A process that outlives 45 s is killed. */
export function talkToClaude(options: {
  readonly baseUrl: string;
  readonly home: ClaudeHome;
  readonly args: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  onLine?(line: string): void;
}): ClaudeTalk {
  const child = spawnClaude(options);
  const exited = Promise.withResolvers<ClaudeRun>();
  const lines: string[] = [];
  let stderr = '';
  let next = 0;
  let over = false;
  let look = (): void => {};
  const { pid } = child;
  if (pid === undefined) throw new Error('claude could not be started');
  const signalGroup = (signal: NodeJS.Signals): void => {
    if (!over) process.kill(-pid, signal);
  };
  const deadline = setTimeout(() => signalGroup('SIGKILL'), DEADLINE_MS);
  child.stderr.setEncoding('utf8').on('data', (chunk: string) => {
    stderr += chunk;
  });
  child.once('exit', () => {
    over = true;
  });
  child.once('close', (code, signal) => {
    clearTimeout(deadline);
    exited.resolve({ code, signal, lines, stderr });
    look();
  });
  createInterface({ input: child.stdout }).on('line', (line) => {
    lines.push(line);
    options.onLine?.(line);
    look();
  });
  child.stdin.on('error', () => {}); // it may have exited

  const end = async (signal: NodeJS.Signals): Promise<ClaudeRun> => {
    signalGroup(signal);
    return exited.promise;
  };
  return {
    pid,
    lines,
    write: (text) => void child.stdin.write(text),
    until(fits) {
      const found = Promise.withResolvers<string>();
      look = () => {
        for (; next < lines.length; next += 1) {
          const line = lines[next] ?? '';
          if (!fits(line)) continue;
          next += 1;
          look = () => {};
          found.resolve(line);
          return;
        }
        if (child.stdout.readableEnded) {
          found.reject(new Error(`claude has exited; it had said:\n${lines.join('\n')}\n${stderr}`));
        }
      };
      look();
      return found.promise;
    },
    close() {
      child.stdin.end();
      return exited.promise;
    },
    kill: end,
    async [Symbol.asyncDispose]() {
      await end('SIGKILL');
    },
  };
}
