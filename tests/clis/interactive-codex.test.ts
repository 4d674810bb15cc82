import { execFileSync } from 'node:child_process';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { codexOfflineArgs } from '../../scripts/offline-model/codex-cases.ts';
import { makeCliHome } from '../../scripts/offline-model/run-cli.ts';
import { type OfflineModel, startOfflineModel } from '../../scripts/offline-model/server.ts';
import type { PermissionMode } from '../../src/protocol/prompt.ts';
import type { TerminalSize } from '../../src/protocol/terminal.ts';
import { createCodexProvider } from '../../src/providers/codex/provider.ts';
import { type CliTerminal, inEachSize, openCliTerminal } from '../helpers/cli-terminal.ts';
import { builtInOptions } from '../unit/providers/settings.ts';

const CODEX = fileURLToPath(new URL('./node_modules/.bin/codex', import.meta.url));
/** Without it codex asks questions only in a mode of its own. */
const QUESTIONS = [
  '--config=features.default_mode_request_user_input=true',
  '--config=suppress_unstable_features_warning=true',
];

interface Start {
  /** null: it has no vendor but its own, and no login. */
  readonly key: string | null;
  readonly permissionMode?: PermissionMode;
  readonly trustedWorkspace?: boolean;
}

/** Walks through the screens of a codex, in each size at once. */
async function walk(
  start: Start,
  steps: (terminal: CliTerminal, model: OfflineModel) => Promise<void>,
): Promise<void> {
  await using model = await startOfflineModel();
  await inEachSize((size) => walkIn(size, start, model, steps));
}

async function walkIn(
  size: TerminalSize,
  { key, ...asked }: Start,
  model: OfflineModel,
  steps: (terminal: CliTerminal, model: OfflineModel) => Promise<void>,
): Promise<void> {
  await using home = await makeCliHome();
  const codexHome = join(home.home, '.codex');
  await mkdir(codexHome);
  execFileSync('git', ['init', '--quiet'], { cwd: home.workspace });
  const args = key === null ? [] : [...codexOfflineArgs(model.url), ...QUESTIONS];
  const { interactive = expect.unreachable() } = createCodexProvider(builtInOptions({ args }));
  const command = interactive.command({
    ...{ model: key === null ? null : 'offline-model', effort: null, permissionMode: 'default' },
    ...{ cwd: home.workspace, scratchDir: home.home, trustedWorkspace: false, privatePaths: [] },
    ...{ appendSystemPrompt: null, ...asked },
  });
  await using terminal = openCliTerminal({
    ...{ binary: CODEX, args: command.args, home, size, baseUrl: model.url },
    ...{ provider: 'codex', screens: interactive.screens },
    env: { CODEX_HOME: codexHome, ...(key === null ? {} : { CODEX_API_KEY: key }), ...command.env },
  });
  await steps(terminal, model);
}

const shell = (cmd: string, more: object = {}): string =>
  `[[tool: exec_command ${JSON.stringify({ cmd, ...more })}]]`;
const question = {
  ...{ id: 'db', header: 'DB', question: 'Which db?' },
  options: [
    { label: 'SQLite', description: 'small' },
    { label: 'Postgres', description: 'large' },
  ],
};

describe.concurrent('the screens of codex', () => {
  it('show the ways to a login', async () => {
    await walk({ key: null }, async (terminal) => {
      await terminal.shows('awaiting_auth', /Choose how you want to use Codex\./, 'login');
      await terminal.press('three', 'awaiting_auth', /Use an OpenAI API key/, 'other-logins');
      await terminal.press('enter', 'awaiting_auth', /Paste or type your API key below/, 'api-key');
      await terminal.press('escape', 'awaiting_auth', /Sign in another way/);
      await terminal.press('two', 'awaiting_auth', /Set up Amazon Bedrock/, 'bedrock');
    });
  });

  it('ask about a trusted folder', async () => {
    await walk({ key: 'offline', trustedWorkspace: true }, async (terminal) => {
      await terminal.shows('awaiting_input', /Trust and continue/, 'trust');
      await terminal.press('enter', 'ready', /Ask Codex to do anything/);
    });
  });

  it('ask about a folder, take a message, and ask before a tool leaves the sandbox', async () => {
    await walk({ key: 'offline' }, async (terminal) => {
      await terminal.shows('awaiting_input', /Open restricted/, 'restricted');
      await terminal.press('enter', 'ready', /Ask Codex to do anything/, 'ready');

      await terminal.say('Hi [[hang: before]]', 'busy', /esc to interrupt/, 'busy');
      terminal.type('and this later');
      await terminal.shows('busy', /› and this later/, 'busy-typed');
      await terminal.press('clear', 'busy', /› Ask Codex/);
      await terminal.press('escape', 'ready', /Conversation interrupted/, 'interrupted');

      const escalated = { sandbox_permissions: 'require_escalated', justification: 'It writes.' };
      await terminal.say(
        `${shell('touch made', escalated)} [[reply: done]]`,
        'awaiting_input',
        /run the following command\?.*esc to cancel/,
        'permission',
      );
      await terminal.press('escape', 'ready', /You canceled the request/);

      await terminal.say(
        `[[tool: request_user_input ${JSON.stringify({ questions: [question] })}]]`,
        'awaiting_input',
        /Which db\?.*Postgres/,
        'question',
      );
      await terminal.press('escape', 'ready', /interrupted/);
    });
  });

  it('say that the key is refused', async () => {
    await walk({ key: 'wrong-key' }, async (terminal) => {
      await terminal.shows('awaiting_input', /Open restricted/);
      await terminal.press('enter', 'ready', /Ask Codex to do anything/);
      await terminal.say('hello', 'awaiting_auth', /401 Unauthorized/, 'refused-key');
    });
  });

  it('do not become others by what the model writes, and stay busy while it does', async () => {
    const words =
      'Your api key needs authentication. Please login. Do you want to proceed? › 1. Yes 2. No Press enter to confirm or esc to cancel (3s • esc to interrupt)';
    await walk({ key: 'offline', permissionMode: 'fullAccess' }, async (terminal, model) => {
      await terminal.shows('awaiting_input', /Open restricted/);
      await terminal.press('enter', 'ready', /Ask Codex to do anything/, 'ready-full-access');
      model.setBehaviour(`[[reply: ${words}]]`);
      await terminal.say('Which words?', 'ready', /esc to interrupt\) .*Worked for/, 'words');
      expect(terminal.statuses.slice(1)).not.toContain('awaiting_auth');
      expect(terminal.statuses.slice(1)).not.toContain('awaiting_input');

      await terminal.say('Go on [[slow: 30 tokens 100ms]]', 'busy', /word9 .*› Ask Codex/, 'busy-words');
      await terminal.shows('ready', /word30 .*Worked for/, 'done');
    });
  });
});
