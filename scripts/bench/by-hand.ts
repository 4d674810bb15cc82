/** The command line's side of each comparison: the same claude, started without Bullpen. */
import { fork } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ResolvedPrompt } from '../../src/protocol/prompt.ts';
import { claudeCommand } from '../../src/providers/claude/command.ts';
import { CLAUDE_ENV_NAMES } from '../../src/providers/claude/provider.ts';
import { buildEnvironment } from '../../src/providers/environment.ts';
import type { Setting } from './setting.ts';

/** What one process took, from its spawn. */
export interface HandRun {
  readonly code: number | null;
  /** To the first line of stdout with a piece of text; null when none came. */
  readonly firstMs: number | null;
  /** To its exit. */
  readonly endMs: number;
}

export interface ByHand extends Disposable {
  /** Of the small program that starts the CLIs. */
  readonly pid: number;
  /**
   * `claude -p` with the arguments and the environment that Bullpen gives it.
   * @param expected throws on any other answer; null accepts all
   */
  claude(prompt: string, expected: string | null): Promise<HandRun>;
  /**
   * `xargs -P` over `count` such runs. Returns when each ended (ms of this machine's clock). Throws
   * on another answer.
   */
  xargs(count: number, concurrency: number, prompt: string, expected: string): Promise<number[]>;
}

interface Command {
  readonly binary: string;
  readonly args: readonly string[];
  readonly stdin: string;
  readonly cwd: string;
  readonly env: Readonly<Record<string, string>>;
}

export function startByHand(setting: Setting): ByHand {
  const { workspace: cwd, claude: binary } = setting;
  const starter = startStarter(cwd, setting.env);

  function commandFor(prompt: string): Command {
    const context = { nativeSessionId: null, trustedWorkspace: false, scratchDir: '/scratch' };
    const options = { args: [], modes: {}, maxRetries: null, allowRootFullAccess: false };
    const { args, stdin, env: set } = claudeCommand(plainRequest(prompt, cwd), context, options);
    const env = buildEnvironment({ source: setting.env, names: CLAUDE_ENV_NAMES, set });
    return { binary, args, stdin, cwd, env };
  }

  return {
    pid: starter.pid,
    async claude(prompt, expected) {
      const { output, ...run } = await starter.start(commandFor(prompt));
      if (expected !== null) checkAnswer(output, expected);
      return run;
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
      const { code, output } = await starter.start({
        ...command,
        binary: 'xargs',
        args: ['-P', String(concurrency), '-n', '1', 'sh', join(folder, 'one.sh')],
        stdin: `${numbers}\n`,
      });
      if (code !== 0) throw new Error(`xargs exited with ${code}: ${output}`);
      const outputs = readdirSync(folder).filter((name) => name.endsWith('.out'));
      for (const name of outputs) checkAnswer(readFileSync(join(folder, name), 'utf8'), expected);
      return outputs.map((name) => statSync(join(folder, name)).mtimeMs);
    },
    [Symbol.dispose]: () => starter[Symbol.dispose](),
  };
}

type Started = HandRun & { readonly output: string };

/**
 * A small program that starts the CLIs, starter.js: a fork takes longer the more memory a process
 * has.
 */
function startStarter(cwd: string, env: Readonly<Record<string, string>>) {
  const child = fork(new URL('./starter.js', import.meta.url), { cwd, env: { ...env }, execArgv: [] });
  const waiting = new Map<number, PromiseWithResolvers<Started>>();
  let lastId = 0;
  child.on('message', (message) => {
    const { id, failed, ...started } = message as Started & { id: number; failed?: string }; // from starter.js
    const waiter = waiting.get(id);
    waiting.delete(id);
    if (failed === undefined) waiter?.resolve(started);
    else waiter?.reject(new Error(failed));
  });
  child.once('exit', () => {
    for (const { reject } of waiting.values()) reject(new Error('starter.js exited'));
  });
  return {
    pid: child.pid ?? 0,
    start(command: Command): Promise<Started> {
      lastId += 1;
      const waiter = Promise.withResolvers<Started>();
      waiting.set(lastId, waiter);
      child.send({ ...command, id: lastId });
      return waiter.promise;
    },
    [Symbol.dispose]: () => {
      child.kill();
    },
  };
}

/** Quotes a word for sh. */
const quoted = (word: string): string => `'${word.replaceAll("'", `'\\''`)}'`;

function checkAnswer(output: string, expected: string): void {
  const last: unknown = JSON.parse(output.trimEnd().split('\n').at(-1) || 'null');
  const result = typeof last === 'object' && last !== null && 'result' in last ? last.result : null;
  if (result !== expected) throw new Error(`claude did not answer as expected: ${JSON.stringify(last)}`);
}

/** A job with nothing but its prompt. */
const plainRequest = (prompt: string, cwd: string): ResolvedPrompt => ({
  prompt,
  provider: 'claude',
  model: null,
  effort: null,
  cwd,
  sessionId: null,
  permissionMode: 'default',
  allowedTools: [],
  disallowedTools: [],
  onPermissionDenied: 'report',
  appendSystemPrompt: null,
  outputSchema: null,
  maxTurns: null,
  maxCostUsd: null,
  providerOptions: {},
  limits: {},
  timeoutMs: 60_000,
  idleTimeoutMs: 60_000,
  ttlMs: null,
  priority: 0,
  delayMs: 0,
  maxAttempts: 1,
  concurrencyKey: null,
  tags: [],
  metadata: {},
});
