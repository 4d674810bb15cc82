/** The other side of each comparison: the same program started without Bullpen. */
import { spawn } from 'node:child_process';
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
  const child = spawn(binary, [...args], { cwd, env, stdio: ['pipe', 'pipe', 'ignore'] });
  const { promise, resolve, reject } = Promise.withResolvers<number | null>();
  child.once('error', reject);
  child.once('close', resolve);
  child.stdin.end(stdin);
  const output = await text(child.stdout);
  const code = await promise;
  if (code !== 0) throw new Error(`${binary} ended with ${code}: ${output.slice(-500)}`);
  return output;
}

/** `cat`, the instant CLI. */
export async function catByHand(
  stdin: string,
  cwd: string,
  env: Readonly<Record<string, string>>,
): Promise<void> {
  const output = await runOnce({ binary: 'cat', args: [], stdin, cwd, env });
  if (output !== stdin) throw new Error('cat did not answer as it should');
}

/** `claude -p` with the arguments and the environment that Bullpen gives it. Throws unless it says `expected`. */
export async function claudeByHand(
  prompt: string,
  expected: string,
  cwd: string,
  env: Readonly<Record<string, string>>,
): Promise<void> {
  const context = { nativeSessionId: null, trustedWorkspace: false };
  const options = { defaultArgs: [], maxRetries: null, allowRootFullAccess: false };
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
