/** The command line's side of each comparison: the same claude, started without Bullpen. */
import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { claudeCommand } from '../../src/providers/claude/command.ts';
import { CLAUDE_ENV_NAMES } from '../../src/providers/claude/provider.ts';
import { buildEnvironment } from '../../src/providers/environment.ts';
import { resolvedPrompt } from '../offline-model/resolved-prompt.ts';
import { startProgram } from './program.ts';
import type { Setting } from './setting.ts';

/** What one process took, from its spawn. */
export interface HandRun {
  readonly code: number | null;
  /** To the first line of stdout with a piece of text; null when none came. */
  readonly firstMs: number | null;
  /** To its exit. */
  readonly endMs: number;
}

/** What one prompt to a process took, from the prompt. */
export interface BareRun extends Omit<HandRun, 'code'> {
  /** To the line of the result. */
  readonly resultMs: number;
}

/** A process that waits for a prompt: what Bullpen starts ahead, without Bullpen. */
export interface BareProcess {
  /** @param stays keeps the process for the next turn; else it exits after the answer */
  ask(prompt: string, expected: string, stays: boolean): Promise<BareRun>;
}

export interface ByHand extends Disposable {
  /** Of the small program that starts the CLIs. */
  readonly pid: number;
  /**
   * `claude -p` with the arguments and the environment that Bullpen gives it.
   * @param expected throws on any other answer; null accepts all
   */
  claude(prompt: string, expected: string | null): Promise<HandRun>;
  /** Starts claude without a prompt. Resolves when it has booted. */
  boot(): Promise<BareProcess>;
  /**
   * `xargs -P` over `count` such runs. Returns when each ended (ms of this machine's clock). Throws
   * on another answer.
   */
  xargs(count: number, concurrency: number, prompt: string, expected: string): Promise<number[]>;
}

export function startByHand(setting: Setting): ByHand {
  const { workspace: cwd, claude: binary } = setting;
  const starter = startProgram<Started>('./starter.js', setting);
  let lastName = 0;

  function commandFor(prompt: string) {
    const context = { nativeSessionId: null, trustedWorkspace: false, scratchDir: '/scratch' };
    const options = { args: [], modes: {}, maxRetries: null, allowRootFullAccess: false };
    const { env: set, ...command } = claudeCommand(
      resolvedPrompt({ prompt: prompt, cwd: cwd }),
      context,
      options,
    );
    const env = buildEnvironment({ source: setting.env, names: CLAUDE_ENV_NAMES, set });
    return { ...command, binary, cwd, env };
  }

  return {
    pid: starter.pid,
    async claude(prompt, expected) {
      const { output, ...run } = await starter.ask({ run: commandFor(prompt) });
      if (expected !== null) checkAnswer(output, expected);
      return run;
    },
    async boot() {
      lastName += 1;
      const name = String(lastName);
      const command = commandFor('');
      await starter.ask({ boot: { ...command, stdin: command.opening }, name });
      return {
        async ask(prompt, expected, stays) {
          const { output, ...took } = await starter.ask({ prompt: commandFor(prompt).stdin, name, stays });
          checkAnswer(output, expected);
          return took;
        },
      };
    },
    async xargs(count, concurrency, prompt, expected) {
      const folder = setting.newFolder();
      mkdirSync(folder, { recursive: true });
      const command = commandFor(prompt);
      writeFileSync(join(folder, 'prompt'), command.stdin);
      // setsid: a session of its own for each, as Bullpen gives it (Linux divides a busy processor
      // by session).
      const words = [binary, ...command.args].map(quoted).join(' ');
      writeFileSync(
        join(folder, 'one.sh'),
        `exec setsid ${words} < ${quoted(join(folder, 'prompt'))} > ${quoted(folder)}/"$1"\n`,
      );
      const numbers = Array.from({ length: count }, (_, index) => `${index}.out`).join('\n');
      const args = ['-P', String(concurrency), '-n', '1', 'sh', join(folder, 'one.sh')];
      const { code, output } = await starter.ask({
        run: { ...command, binary: 'xargs', args, stdin: `${numbers}\n` },
      });
      if (code !== 0) throw new Error(`xargs exited with ${code}: ${output}`);
      const outputs = readdirSync(folder).filter((name) => name.endsWith('.out'));
      for (const name of outputs) checkAnswer(readFileSync(join(folder, name), 'utf8'), expected);
      return outputs.map((name) => statSync(join(folder, name)).mtimeMs);
    },
    [Symbol.dispose]: () => starter[Symbol.dispose](),
  };
}

type Started = HandRun & BareRun & { readonly output: string };

/** Quotes a word for sh. */
const quoted = (word: string): string => `'${word.replaceAll("'", `'\\''`)}'`;

function checkAnswer(output: string, expected: string): void {
  const last: unknown = JSON.parse(output.trimEnd().split('\n').at(-1) || 'null');
  const result = typeof last === 'object' && last !== null && 'result' in last ? last.result : null;
  if (result !== expected) throw new Error(`claude did not answer as expected: ${JSON.stringify(last)}`);
}
