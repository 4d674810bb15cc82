/** The vendor's Agent SDK: `query()` in a Node program that does nothing else, with the same CLI, arguments and environment. */
import { randomUUID } from 'node:crypto';
import { CLAUDE_ENV_NAMES } from '../../src/providers/claude/env-names.ts';
import { buildEnvironment } from '../../src/providers/environment.ts';
import { type Program, startProgram } from './program.ts';
import type { Setting } from './setting.ts';

/** What one query took, from the call of query(). */
export interface SdkRun {
  readonly firstMs: number | null;
  /** To the result: then the program has its answer. */
  readonly answerMs: number;
  /** To the end of the stream, which waits for the process. */
  readonly endMs: number;
}

export interface SdkLoop extends Disposable {
  readonly pid: number;
  /** Throws unless it says `expected`. */
  query(prompt: string, expected: string): Promise<SdkRun>;
  /** Begins one that is aborted on its way; `ended` settles when the SDK gives it up. */
  held(
    prompt: string,
    allowedTools: readonly string[],
    marker: Readonly<Record<string, string>>,
  ): { readonly ended: Promise<unknown>; abort(): Promise<unknown> };
}

/** Null when the SDK is not there; `setting.sdk` says why. */
export function startSdkLoop(setting: Setting): SdkLoop | null {
  const { sdk, workspace: cwd } = setting;
  if ('missing' in sdk) return null;
  const program: Program = startProgram('./query-loop.js', { cwd, env: setting.env });
  const env = buildEnvironment({ source: setting.env, names: CLAUDE_ENV_NAMES, set: {} });
  // The options that stand for the arguments Bullpen gives the CLI.
  const options = {
    pathToClaudeCodeExecutable: setting.claude,
    cwd,
    env,
    includePartialMessages: true,
    permissionMode: 'default',
    settingSources: ['user'],
    strictMcpConfig: true,
    systemPrompt: { type: 'preset', preset: 'claude_code' },
    extraArgs: { 'disable-slash-commands': null },
  };
  const ask = (question: Readonly<Record<string, unknown>>) =>
    program.ask({ module: sdk.module, name: randomUUID(), ...question });
  return {
    pid: program.pid,
    async query(prompt, expected) {
      const answer = await ask({ prompt, options });
      if (answer['text'] !== expected)
        throw new Error(`the Agent SDK did not answer as it should: ${JSON.stringify(answer)}`);
      return answer as unknown as SdkRun; // sent by query-loop.js
    },
    held(prompt, allowedTools, marker) {
      const name = randomUUID();
      const held = { ...options, allowedTools, env: { ...env, ...marker } };
      const ended = ask({ name, prompt, options: held }).catch(() => null); // an abort is an error to it
      return { ended, abort: () => ask({ abort: name }) };
    },
    [Symbol.dispose]: () => program[Symbol.dispose](),
  };
}
