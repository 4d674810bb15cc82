/** The other side of each comparison: the same program started without Bullpen. */
import { fork, spawn } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import type { ResolvedPrompt } from '../../src/protocol/prompt.ts';
import { claudeCommand } from '../../src/providers/claude/command.ts';
import { CLAUDE_ENV_NAMES } from '../../src/providers/claude/env-names.ts';
import { buildEnvironment } from '../../src/providers/environment.ts';

interface Run {
  readonly binary: string;
  readonly args: readonly string[];
  readonly stdin: string;
  readonly cwd: string;
  readonly env: Readonly<Record<string, string>>;
}

/** Starts a program, gives it its input, reads its output to the end. */
async function runOnce({ binary, args, stdin, cwd, env }: Run): Promise<string> {
  // A session of its own, as Bullpen gives it one: Linux shares a busy processor out by session (sched_autogroup).
  const child = spawn(binary, [...args], { cwd, env, stdio: ['pipe', 'pipe', 'ignore'], detached: true });
  const { promise, resolve, reject } = Promise.withResolvers<number | null>();
  child.once('error', reject);
  child.once('close', resolve);
  child.stdin.end(stdin);
  const output = await text(child.stdout);
  const code = await promise;
  if (code !== 0) throw new Error(`${binary} ended with ${code}: ${output.slice(-500)}`);
  return output;
}

export interface BareLoop {
  readonly pid: number;
  /** Spawns `cat` `count` times, at most `concurrency` at once. Milliseconds: of each run, and of all. */
  run(count: number, concurrency: number, prompt: string): Promise<{ times: number[]; totalMs: number }>;
  [Symbol.dispose](): void;
}

/** `cat` spawned by a program that does nothing else. */
export function startBareLoop(cwd: string, env: Readonly<Record<string, string>>): BareLoop {
  const child = fork(new URL('./bare-loop.js', import.meta.url), { cwd, env, execArgv: [] });
  const ended = once(child, 'exit').then(() => Promise.reject(new Error('the bare loop failed')));
  ended.catch(() => undefined); // it also ends when we are done with it
  return {
    pid: child.pid ?? 0,
    async run(count, concurrency, prompt) {
      const { promise, resolve } = Promise.withResolvers<unknown>();
      child.once('message', resolve);
      child.send({ count, concurrency, prompt });
      const result = await Promise.race([promise, ended]);
      return result as { times: number[]; totalMs: number }; // sent by bare-loop.js
    },
    [Symbol.dispose]: () => {
      child.kill();
    },
  };
}

/** `claude -p` with the arguments and the environment that Bullpen gives it. Throws unless it says `expected`. */
export async function claudeByHand(
  prompt: string,
  expected: string,
  cwd: string,
  env: Readonly<Record<string, string>>,
): Promise<void> {
  const context = { nativeSessionId: null, trustedWorkspace: false, scratchDir: '/scratch' };
  const options = { args: [], modes: {}, maxRetries: null, allowRootFullAccess: false };
  const command = claudeCommand(plainRequest(prompt, cwd), context, options);
  const output = await runOnce({
    binary: 'claude',
    args: command.args,
    stdin: command.stdin,
    cwd,
    env: buildEnvironment({ source: env, names: CLAUDE_ENV_NAMES, set: command.env }),
  });
  const last: unknown = JSON.parse(output.trimEnd().split('\n').at(-1) ?? 'null');
  const result = typeof last === 'object' && last !== null && 'result' in last ? last.result : null;
  if (result !== expected) throw new Error(`claude did not answer as it should: ${JSON.stringify(last)}`);
}

/** A job that asks for nothing but its prompt. */
export const plainRequest = (prompt: string, cwd: string): ResolvedPrompt => ({
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
