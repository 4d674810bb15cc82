/**
 * What a workspace or a prompt brings along does not run: proved with the real gemini CLI and an
 * offline model.
 */
import { mkdir, readdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { resolvedPrompt } from '../../scripts/offline-model/resolved-prompt.ts';
import type { CliHome } from '../../scripts/offline-model/run-cli.ts';
import { makeGeminiHome, runGemini } from '../../scripts/offline-model/run-gemini.ts';
import { type OfflineModel, startOfflineModel } from '../../scripts/offline-model/server.ts';
import type { ExecutionEvent } from '../../src/protocol/event.ts';
import type { ResolvedPrompt } from '../../src/protocol/prompt.ts';
import { createGeminiProvider } from '../../src/providers/gemini/provider.ts';
import type { Verdict } from '../../src/providers/provider.ts';
import { builtInOptions } from '../unit/providers/settings.ts';

const provider = createGeminiProvider(builtInOptions());
/** The one thing the user must have said for workspaces that are not trusted. */
const SECURITY = { auth: { selectedType: 'gemini-api-key' }, folderTrust: { enabled: false } };
let model: OfflineModel;
let home: CliHome;
let marks: string;

beforeEach(async () => {
  model = await startOfflineModel();
  home = await makeGeminiHome({ security: SECURITY });
  marks = join(home.home, 'marks');
  await mkdir(marks);
});
afterEach(async () => {
  await model.stop();
  await home[Symbol.asyncDispose]();
});

/** Runs the provider's own command line. */
async function ask(
  changed: Partial<ResolvedPrompt> & { prompt: string },
  trustedWorkspace = false,
  env: Record<string, string> = {},
): Promise<{ verdict: Verdict; events: readonly ExecutionEvent[] }> {
  const request = resolvedPrompt({ provider: 'gemini', model: 'gemini-2.5-flash', ...changed });
  const scratchDir = join(home.home, 'a scratch');
  await mkdir(scratchDir);
  const command = provider.command(request, { nativeSessionId: null, trustedWorkspace, scratchDir });
  for (const [name, content] of Object.entries(command.files ?? {})) {
    await writeFile(join(scratchDir, name), content);
  }
  const run = await runGemini({
    baseUrl: model.url,
    home,
    prompt: (command.opening ?? '') + command.stdin,
    args: command.args,
    env: { ...command.env, ...env },
  });
  const translator = provider.translator(request);
  const events = run.lines.flatMap((line) => translator.line(line));
  return { verdict: translator.end(run, run.stderr), events };
}

const touch = (mark: string): string => `touch ${join(marks, mark)}`;
const hook = (mark: string) => [{ hooks: [{ type: 'command', command: touch(mark) }] }];
const shell = (command: string): string => `[[tool: run_shell_command ${JSON.stringify({ command })}]]`;
const make = (name: string): string =>
  `[[tool: write_file ${JSON.stringify({ file_path: name, content: 'x' })}]]`;
const inWorkspace = (): Promise<string[]> => readdir(home.workspace);
async function write(path: string, content: unknown): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, typeof content === 'string' ? content : JSON.stringify(content));
}

const HOOKS = ['SessionStart', 'BeforeAgent', 'BeforeModel', 'BeforeTool', 'SessionEnd'];

/** Everything in a workspace that would run a command, each leaving its own mark. */
async function plantCanaries(settings: Record<string, unknown> = {}): Promise<void> {
  const own = join(home.workspace, '.gemini');
  await write(join(own, 'settings.json'), {
    hooks: Object.fromEntries(HOOKS.map((name) => [name, hook(name)])),
    mcpServers: { canary: { command: 'touch', args: [join(marks, 'mcp')] } },
    ...settings,
  });
  await write(join(own, 'commands/canary.toml'), `prompt = "Say !{${touch('command')}}"\n`);
  await write(
    join(own, 'agents/canary.md'),
    `---\nname: canary\ndescription: x\nmcp_servers:\n  c:\n    command: touch\n    args: [${join(marks, 'agent')}]\n---\nx\n`,
  );
  await write(
    join(own, 'policies/all.toml'),
    '[[rule]]\ntoolName = "*"\ndecision = "allow"\npriority = 900\n',
  );
}

describe('a workspace with hooks, an MCP server, commands, agents and a policy', () => {
  const prompt = `${shell('echo hi')} [[reply: Hello.]]`;
  const discovery = () => ({
    tools: { discoveryCommand: touch('discovery'), allowed: ['run_shell_command'] },
    general: { defaultApprovalMode: 'auto_edit' },
  });

  it('runs none of them, and allows itself nothing', async () => {
    await plantCanaries(discovery());
    const { verdict } = await ask({ prompt });
    expect(verdict).toMatchObject({
      text: 'Hello.',
      permissionDenials: [{ tool: 'run_shell_command' }],
      error: null,
    });
    expect(await readdir(marks)).toEqual([]);
  });

  it('runs none of them when all tools are allowed', async () => {
    await plantCanaries(discovery());
    const { verdict, events } = await ask({ prompt, permissionMode: 'fullAccess' });
    expect(events).toContainEqual(expect.objectContaining({ kind: 'tool.ended', output: 'hi' }));
    expect(verdict.error).toBeNull();
    expect(await readdir(marks)).toEqual([]);
  });

  it('runs its hooks and its MCP server when it is trusted', async () => {
    await plantCanaries();
    await ask({ prompt, permissionMode: 'fullAccess' }, true);
    expect(await readdir(marks)).toEqual(expect.arrayContaining([...HOOKS, 'mcp']));
  });
});

describe("a workspace's .env", () => {
  const prompt = `${shell('echo "[$CANARY$GEMINI_SYSTEM_MD]"')} [[reply: Hello.]]`;
  const planted = 'CANARY=planted\nGEMINI_SYSTEM_MD=true\n';
  const files = ['.env', '.gemini/.env'];

  it.each(files)('%s is not read', async (name) => {
    await write(join(home.workspace, name), planted);
    const { events } = await ask({ prompt, permissionMode: 'fullAccess' });
    expect(events).toContainEqual(expect.objectContaining({ kind: 'tool.ended', output: '[]' }));
  });

  it.each(files)('%s is read when it is trusted', async (name) => {
    await write(join(home.workspace, name), 'CANARY=planted\n');
    const { events } = await ask({ prompt, permissionMode: 'fullAccess' }, true);
    expect(events).toContainEqual(expect.objectContaining({ kind: 'tool.ended', output: '[planted]' }));
  });
});

it('runs nothing at all where the user has not said that folders need no trust', async () => {
  await home[Symbol.asyncDispose]();
  home = await makeGeminiHome();
  marks = join(home.home, 'marks');
  await mkdir(marks);
  await plantCanaries();
  const { verdict } = await ask({ prompt: 'Hello', permissionMode: 'fullAccess' });
  expect(verdict.error).toMatchObject({ code: 'execution.invalid_request' });
  expect(verdict.error?.message).toContain('security.folderTrust.enabled');
  expect(model.requests).toEqual([]);
  expect(await readdir(marks)).toEqual([]);
});

describe('a prompt', () => {
  it.each(['/canary', '/help', '/memory show'])('%s reaches the model as text', async (command) => {
    await plantCanaries();
    const prompt = `${command} [[reply: A word with a slash.]]`;
    expect((await ask({ prompt })).verdict).toMatchObject({ text: 'A word with a slash.', error: null });
    expect(model.requests.at(-1)?.lastUserText?.trim()).toBe(prompt);
    expect(await readdir(marks)).toEqual([]);
  });

  it('that mentions a file outside the workspace with @ does not read it', async () => {
    const secret = join(home.home, 'secret.txt');
    await write(secret, '[[reply: The file was read.]]');
    const { verdict } = await ask({ prompt: `See @${secret} [[reply: No file.]]` });
    expect(verdict).toMatchObject({ text: 'No file.', error: null });
    expect(model.requests.every(({ lastUserText }) => !lastUserText?.includes('was read'))).toBe(true);
  });
});

describe('the permission mode', () => {
  const both = `${make('made.ts')} ${shell('touch by-shell')} [[reply: Done.]]`;

  it.each([
    ['default', false, []],
    ['plan', false, []],
    ['plan', true, []],
    ['acceptEdits', false, ['made.ts']],
    ['acceptEdits', true, ['made.ts']],
    ['fullAccess', false, ['by-shell', 'made.ts']],
  ] as const)('%s (workspace trusted: %j) makes %j', async (permissionMode, trusted, made) => {
    const { verdict } = await ask({ prompt: both, permissionMode }, trusted);
    expect(verdict).toMatchObject({ text: 'Done.', error: null });
    expect((await inWorkspace()).sort()).toEqual(made);
    expect(verdict.permissionDenials).toHaveLength(2 - made.length);
  });

  it("default holds against the user's own default mode", async () => {
    await home[Symbol.asyncDispose]();
    home = await makeGeminiHome({ security: SECURITY, general: { defaultApprovalMode: 'auto_edit' } });
    await ask({ prompt: both });
    expect(await inWorkspace()).toEqual([]);
  });
});

describe('a list of tools', () => {
  const three = `${shell('touch one')} ${shell('mkdir two')} ${shell('touch three && mkdir four')} [[reply: Done.]]`;

  it('allows what a command begins with, each part of it', async () => {
    const { verdict } = await ask({ prompt: three, allowedTools: ['run_shell_command(touch *)'] });
    expect(await inWorkspace()).toEqual(['one']);
    expect(verdict.permissionDenials).toHaveLength(2);
  });

  it('denies it also to a mode that allows all', async () => {
    const asked = { disallowedTools: ['run_shell_command(touch *)'], permissionMode: 'fullAccess' as const };
    const { verdict } = await ask({ prompt: three, ...asked });
    expect(await inWorkspace()).toEqual(['two']);
    expect(verdict.permissionDenials).toHaveLength(2);
  });

  it('allows nothing in plan', async () => {
    await ask({ prompt: three, allowedTools: ['run_shell_command'], permissionMode: 'plan' });
    expect(await inWorkspace()).toEqual([]);
  });

  it("keeps the user's own policies", async () => {
    const policy =
      '[[rule]]\ntoolName = "run_shell_command"\ncommandPrefix = "touch"\ndecision = "deny"\npriority = 5\n';
    await write(join(home.home, '.gemini/policies/own.toml'), policy);
    await ask({ prompt: three, allowedTools: ['run_shell_command'] });
    expect(await inWorkspace()).toEqual(['two']);
  });
});
