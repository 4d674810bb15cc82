/**
 * The vendor's Agent SDK: a process started ahead with `startup()`, which knows its folder, or with
 * `prewarm()`, which learns it with the prompt. It is not a dependency of the package: ./sdk pins
 * it, and it is installed beside the results when it is missing there.
 */
import { execFile } from 'node:child_process';
import { copyFileSync, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { messageOf } from '../../src/errors.ts';
import { LATER_TOOLS } from '../../src/providers/claude/command.ts';
import { CLAUDE_ENV_NAMES } from '../../src/providers/claude/provider.ts';
import { buildEnvironment } from '../../src/providers/environment.ts';
import { startProgram } from './program.ts';
import type { Setting } from './setting.ts';

const PINNED = fileURLToPath(new URL('./sdk/', import.meta.url));
const FOLDER = fileURLToPath(new URL('../../bench-results/sdk/', import.meta.url));
const PACKAGE = '@anthropic-ai/claude-agent-sdk';
const INSTALL_WITHIN_MS = 300_000;
const REASON_LENGTH = 200;

export type SdkWay = 'startup' | 'prewarm';

interface SdkRun {
  /** Milliseconds to the first text; null when none came. */
  readonly firstMs: number | null;
  /** Milliseconds to the result. */
  readonly endMs: number;
}

export interface AgentSdk extends Disposable {
  /** Starts the process of this way. Resolves when it has booted. */
  boot(way: SdkWay): Promise<void>;
  /** Gives the prompt to that process. Throws on any other answer. */
  ask(way: SdkWay, prompt: string, expected: string): Promise<SdkRun>;
}

/** The SDK; a sentence when it cannot be installed. */
export async function startAgentSdk(setting: Setting): Promise<AgentSdk | string> {
  try {
    await install(setting.log);
  } catch (error) {
    return `The Agent SDK is not measured: it cannot be installed (${messageOf(error).slice(0, REASON_LENGTH)}).`;
  }
  const { workspace: cwd } = setting;
  const module = join(FOLDER, 'node_modules', PACKAGE, 'sdk.mjs');
  const program = startProgram<SdkRun & { readonly text: unknown }>('./sdk.js', setting);
  // The same settings as the arguments that Bullpen gives the CLI.
  const options = {
    pathToClaudeCodeExecutable: setting.claude,
    cwd,
    env: buildEnvironment({ source: setting.env, names: CLAUDE_ENV_NAMES, set: {} }),
    includePartialMessages: true,
    permissionMode: 'default',
    settingSources: ['user'],
    strictMcpConfig: true,
    disallowedTools: LATER_TOOLS,
    systemPrompt: { type: 'preset', preset: 'claude_code' },
    extraArgs: { 'disable-slash-commands': null },
  };
  return {
    async boot(way) {
      await program.ask({
        way,
        module,
        options: way === 'startup' ? options : { ...options, cwd: undefined },
      });
    },
    async ask(way, prompt, expected) {
      const { text, ...run } = await program.ask({ way, prompt, cwd });
      if (text !== expected) throw new Error(`${way} of the Agent SDK answered ${JSON.stringify(text)}`);
      return run;
    },
    [Symbol.dispose]: () => program[Symbol.dispose](),
  };
}

function manifest(path: string): {
  readonly version?: string;
  readonly dependencies?: Readonly<Record<string, string>>;
} {
  try {
    return JSON.parse(readFileSync(join(path, 'package.json'), 'utf8'));
  } catch {
    return {}; // not installed
  }
}

/** Rejects with npm's own words. */
async function install(log: (line: string) => void): Promise<void> {
  const pinned = manifest(PINNED).dependencies?.[PACKAGE];
  if (manifest(join(FOLDER, 'node_modules', PACKAGE)).version === pinned) return;
  log(`installing the Agent SDK ${pinned}`);
  mkdirSync(FOLDER, { recursive: true });
  for (const name of ['package.json', 'package-lock.json'])
    copyFileSync(join(PINNED, name), join(FOLDER, name));
  // Without its optional packages, which are the CLI once more for each platform, and without its
  // peers, which it needs for tools of one's own only.
  const args = ['ci', '--omit=optional', '--legacy-peer-deps', '--ignore-scripts', '--no-audit', '--no-fund'];
  await promisify(execFile)('npm', args, { cwd: FOLDER, timeout: INSTALL_WITHIN_MS });
}
