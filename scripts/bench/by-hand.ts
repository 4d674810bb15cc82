/** The command line's side of each comparison: the same program started without Bullpen. */
import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { claudeCommand } from '../../src/providers/claude/command.ts';
import { CLAUDE_ENV_NAMES } from '../../src/providers/claude/env-names.ts';
import { buildEnvironment } from '../../src/providers/environment.ts';
import { plainRequest } from './plain-request.ts';
import { type Program, startProgram } from './program.ts';
import type { Setting } from './setting.ts';

/** What one run by hand took, from the spawn. */
export interface HandRun {
  readonly code: number | null;
  /** To the first line of stdout with a piece of text; null when none came. */
  readonly firstMs: number | null;
  /** To the end of the process: then a shell has its prompt back. */
  readonly endMs: number;
}

export interface ByHand extends Disposable {
  /** Of the program that starts the CLIs. */
  readonly pid: number;
  /** `claude -p` with the arguments and the environment that Bullpen gives it. Throws unless it says `expected`. */
  claude(prompt: string, expected: string): Promise<HandRun>;
  /**
   * The same without a look at the answer, for a run that is ended on its way.
   * @param marker what its processes can be found by
   */
  held(
    prompt: string,
    allowedTools: readonly string[],
    marker: Readonly<Record<string, string>>,
  ): Promise<HandRun>;
  /** `xargs -P` over `count` such runs, when each ended (ms of this machine's clock). Throws unless each says `expected`. */
  xargs(count: number, concurrency: number, prompt: string, expected: string): Promise<number[]>;
}

export function startByHand(setting: Setting): ByHand {
  const { workspace: cwd, claude: binary } = setting;
  const starter = startProgram('./starter.js', { cwd, env: setting.env });

  function commandFor(prompt: string, allowedTools: readonly string[] = []) {
    const context = { nativeSessionId: null, trustedWorkspace: false, scratchDir: '/scratch' };
    const options = { args: [], modes: {}, maxRetries: null, allowRootFullAccess: false };
    const request = { ...plainRequest(prompt, cwd), allowedTools: [...allowedTools] };
    const { args, stdin, env: set } = claudeCommand(request, context, options);
    return {
      binary,
      args,
      stdin,
      cwd,
      env: buildEnvironment({ source: setting.env, names: CLAUDE_ENV_NAMES, set }),
    };
  }

  return {
    pid: starter.pid,
    async claude(prompt, expected) {
      const { run, output } = await start(starter, commandFor(prompt));
      checkAnswer(output, expected);
      return run;
    },
    async held(prompt, allowedTools, marker) {
      const command = commandFor(prompt, allowedTools);
      return (await start(starter, { ...command, env: { ...command.env, ...marker } })).run;
    },
    async xargs(count, concurrency, prompt, expected) {
      const folder = setting.newFolder();
      mkdirSync(folder, { recursive: true });
      const command = commandFor(prompt);
      writeFileSync(join(folder, 'prompt'), command.stdin);
      // setsid: a session of its own for each, as Bullpen gives it one (sched_autogroup). It forks nothing here.
      const words = ['exec', 'setsid', binary, ...command.args]
        .map(quoted)
        .join(' ')
        .replace(/^'exec'/, 'exec');
      writeFileSync(
        join(folder, 'one.sh'),
        `${words} < ${quoted(join(folder, 'prompt'))} > ${quoted(folder)}/"$1"\n`,
      );
      const numbers = Array.from({ length: count }, (_, index) => `${index}.out`).join('\n');
      const { run, output } = await start(starter, {
        ...command,
        binary: 'xargs',
        args: ['-P', String(concurrency), '-n', '1', 'sh', join(folder, 'one.sh')],
        stdin: `${numbers}\n`,
      });
      if (run.code !== 0) throw new Error(`xargs ended with ${run.code}: ${output}`);
      const outputs = readdirSync(folder).filter((name) => name.endsWith('.out'));
      for (const name of outputs) checkAnswer(readFileSync(join(folder, name), 'utf8'), expected);
      return outputs.map((name) => statSync(join(folder, name)).mtimeMs);
    },
    [Symbol.dispose]: () => starter[Symbol.dispose](),
  };
}

/** For a shell. */
const quoted = (word: string): string => `'${word.replaceAll("'", `'\\''`)}'`;

interface Command {
  readonly binary: string;
  readonly args: readonly string[];
  readonly stdin: string;
  readonly cwd: string;
  readonly env: Readonly<Record<string, string>>;
}

async function start(starter: Program, command: Command): Promise<{ run: HandRun; output: string }> {
  const answer = await starter.ask({ ...command });
  const { output, ...run } = answer as unknown as HandRun & { output: string }; // sent by starter.js
  return { run, output };
}

function checkAnswer(output: string, expected: string): void {
  const last: unknown = JSON.parse(output.trimEnd().split('\n').at(-1) || 'null');
  const result = typeof last === 'object' && last !== null && 'result' in last ? last.result : null;
  if (result !== expected) throw new Error(`claude did not answer as it should: ${JSON.stringify(last)}`);
}
