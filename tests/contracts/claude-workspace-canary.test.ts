/**
 * What a workspace or a prompt brings along does not run: proved with the real claude CLI and an
 * offline model.
 */
import { execFileSync } from 'node:child_process';
import { chmod, mkdir, readdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { resolvedPrompt } from '../../scripts/offline-model/resolved-prompt.ts';
import {
  type ClaudeHome,
  type ClaudeRun,
  makeClaudeHome,
  runClaude,
} from '../../scripts/offline-model/run-claude.ts';
import { type OfflineModel, startOfflineModel } from '../../scripts/offline-model/server.ts';
import { createUntrustedEnvironment } from '../../src/executor/untrusted-environment.ts';
import type { ResolvedPrompt } from '../../src/protocol/prompt.ts';
import { createClaudeProvider } from '../../src/providers/claude/provider.ts';
import type { CommandContext, Verdict } from '../../src/providers/provider.ts';
import { launch } from '../helpers/launcher.ts';
import { builtInOptions } from '../unit/providers/settings.ts';

const provider = createClaudeProvider(builtInOptions({ maxRetries: 0 }));
let model: OfflineModel;
let home: ClaudeHome;
let marks: string;

beforeEach(async () => {
  model = await startOfflineModel();
  home = await makeClaudeHome();
  marks = join(home.home, 'marks');
  await mkdir(marks);
});
afterEach(async () => {
  await model.stop();
  await home[Symbol.asyncDispose]();
});

interface Ran {
  readonly run: ClaudeRun;
  readonly verdict: Verdict;
}

/** Runs the provider's own command line. */
async function ask(
  changed: Partial<ResolvedPrompt> & { prompt: string },
  context: Partial<CommandContext> = {},
  env: Record<string, string> = {},
): Promise<Ran> {
  const request = resolvedPrompt(changed);
  const command = provider.command(request, {
    nativeSessionId: null,
    trustedWorkspace: false,
    scratchDir: '/scratch',
    ...context,
  });
  const run = await runClaude({
    baseUrl: model.url,
    home,
    prompt: (command.opening ?? '') + command.stdin,
    args: command.args,
    env: { ...command.env, ...env },
  });
  const translator = provider.translator(request);
  for (const line of run.lines) translator.line(line);
  return { run, verdict: translator.end(run, run.stderr) };
}

const touch = (mark: string): string => `touch ${join(marks, mark)}`;
const hook = (mark: string) => [{ hooks: [{ type: 'command', command: touch(mark) }] }];
async function write(path: string, content: unknown): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, typeof content === 'string' ? content : JSON.stringify(content));
}

/** Everything in a workspace that would run a command, each leaving its own mark. */
async function plantCanaries(): Promise<void> {
  await write(join(home.workspace, '.claude/settings.json'), {
    apiKeyHelper: `${touch('api-key-helper')}; echo key`,
    hooks: { SessionStart: hook('session-start'), UserPromptSubmit: hook('user-prompt-submit') },
  });
  await write(join(home.workspace, '.claude/settings.local.json'), {
    enableAllProjectMcpServers: true,
    hooks: { Stop: hook('stop') },
  });
  await write(join(home.workspace, '.mcp.json'), {
    mcpServers: { canary: { command: 'touch', args: [join(marks, 'mcp')] } },
  });
}

describe('a workspace with hooks, a key helper and an MCP server', () => {
  beforeEach(plantCanaries);
  const prompt = 'Hello [[reply: Hello.]]';

  it('runs them when it is trusted', async () => {
    await ask({ prompt }, { trustedWorkspace: true });
    const ran = ['api-key-helper', 'mcp', 'session-start', 'stop', 'user-prompt-submit'];
    expect((await readdir(marks)).sort()).toEqual(ran);
  });

  it("runs none of them when the user's settings allow all MCP servers, and keeps the user's login", async () => {
    await write(join(home.home, '.claude/settings.json'), {
      enableAllProjectMcpServers: true,
      apiKeyHelper: 'echo key-of-the-user',
    });
    const { verdict } = await ask({ prompt }, {}, { ANTHROPIC_API_KEY: '' });
    expect(verdict).toMatchObject({ text: 'Hello.', error: null });
    expect(await readdir(marks)).toEqual([]);
  });
});

describe('a repository whose settings name a program', () => {
  const git = (...args: readonly string[]) => execFileSync('git', args, { cwd: home.workspace });
  const command = (text: string) => `[[tool: Bash ${JSON.stringify({ command: text, description: 'x' })}]]`;
  const prompt = `Look. ${command('git status')} ${command('git diff')} [[reply: Seen.]]`;
  const plain = (): Record<string, string> => ({ PATH: process.env['PATH'] ?? '', HOME: home.home });

  beforeEach(async () => {
    git('init', '-q');
    await write(join(home.workspace, 'f'), 'one');
    git('add', 'f');
    await write(join(home.workspace, 'f'), 'two');
    for (const key of ['core.fsmonitor', 'diff.external']) {
      await write(join(home.home, key), `#!/bin/sh\n${touch(key)}\n`);
      await chmod(join(home.home, key), 0o755);
      git('config', key, join(home.home, key));
    }
  });

  it('does not run it in the environment of a folder that is not trusted, and git works', async () => {
    const env = await createUntrustedEnvironment({ launch })(home.workspace, plain());
    const { run, verdict } = await ask({ prompt }, {}, env);
    expect(verdict).toMatchObject({ text: 'Seen.', permissionDenials: [] });
    expect(await readdir(marks)).toEqual([]);
    expect(run.lines.join('')).toContain('modified:   f');
    expect(run.lines.join('')).toContain('+two');
  });
});

describe('a prompt', () => {
  it.each(['/cost', '/clear'])('%s reaches the model as text', async (command) => {
    const prompt = `${command} [[reply: A word with a slash.]]`;
    expect((await ask({ prompt })).verdict).toMatchObject({ text: 'A word with a slash.', error: null });
    expect(model.requests.at(-1)?.lastUserText?.trim()).toBe(prompt);
  });

  it('that mentions a file with @ does not read it', async () => {
    const secret = join(home.home, 'secret.txt');
    await write(secret, '[[reply: The file was read.]]');
    const { verdict } = await ask({ prompt: `See @${secret} [[reply: No file.]]` });
    expect(verdict).toMatchObject({ text: 'No file.', error: null });
    expect(model.requests.every(({ lastUserText }) => !lastUserText?.includes('was read'))).toBe(true);
  });
});

describe('the permission mode', () => {
  const make = `[[tool: Bash {"command":"touch made.txt","description":"Make a file"}]] [[reply: Done.]]`;
  const isMade = async (): Promise<boolean> => (await readdir(home.workspace)).includes('made.txt');

  it("default holds against the user's own default mode", async () => {
    await write(join(home.home, '.claude/settings.json'), { permissions: { defaultMode: 'acceptEdits' } });
    const { run, verdict } = await ask({ prompt: make });
    expect(run.code).toBe(0);
    expect(verdict).toMatchObject({ error: null, permissionDenials: [{ tool: 'Bash' }] });
    expect(await isMade()).toBe(false);
  });

  it('gives way to a list of allowed tools, each in its own flag', async () => {
    const { verdict } = await ask({ prompt: make, allowedTools: ['Read', 'Bash(touch *)'] });
    expect(verdict).toMatchObject({ text: 'Done.', permissionDenials: [], error: null });
    expect(await isMade()).toBe(true);
  });

  it('does not give way to a tool that is also disallowed', async () => {
    await ask({ prompt: make, allowedTools: ['Bash'], disallowedTools: ['Bash(touch *)'] });
    expect(await isMade()).toBe(false);
  });
});
