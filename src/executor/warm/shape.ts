/** What a process was bound to when it was started: it may only serve a job that would have started it just so. */
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { ProbedCli } from '../cli-probe.ts';
import type { PreparedExecution } from '../prepare.ts';

export interface Shape {
  /** Equal for executions whose processes cannot be told apart before they get their prompts. */
  readonly key: string;
  /** Absolute paths of what the process reads while it boots, its binary first. */
  readonly reads: readonly string[];
}

type Shaping = Pick<PreparedExecution, 'provider' | 'command' | 'env' | 'cwd'> & {
  readonly cli: Pick<ProbedCli, 'binary' | 'identity'>;
};

/** The shape of an execution, or null when it has to be started with its prompt. */
export function shapeOf({ provider, cli, command, env, cwd }: Shaping, maxLineBytes: number): Shape | null {
  const { warmStart, login } = provider;
  // A file in the scratch folder belongs to one execution.
  if (warmStart === undefined || command.files !== undefined) return null;
  const home = [...warmStart.reads.home, ...login.files].map(({ variable, home, name }) =>
    join((variable === null ? undefined : env[variable]) ?? join(env['HOME'] ?? '/', home), name),
  );
  const environment = Object.entries(env).sort(([a], [b]) => (a < b ? -1 : 1));
  return {
    key: JSON.stringify([
      provider.name,
      cli.binary,
      cli.identity,
      command.args,
      command.opening ?? '',
      environment,
      cwd,
      maxLineBytes,
    ]),
    reads: [cli.binary, ...warmStart.reads.workspace.map((path) => join(cwd, path)), ...home],
  };
}

/** How all of these files stand; another text means that at least one has changed. */
export async function stateOf(paths: readonly string[]): Promise<string> {
  const states = await Promise.all(
    paths.map((path) =>
      stat(path).then(
        ({ ino, size, mtimeMs }) => `${ino}:${size}:${mtimeMs}`,
        () => '-', // not there, or not to be read by us and so not by a CLI of ours
      ),
    ),
  );
  return states.join(' ');
}
