import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { makeCliHome } from '../../scripts/offline-model/run-cli.ts';
import { makeGeminiHome } from '../../scripts/offline-model/run-gemini.ts';
import { type OfflineModel, startOfflineModel } from '../../scripts/offline-model/server.ts';
import type { PermissionMode } from '../../src/protocol/prompt.ts';
import type { TerminalSize } from '../../src/protocol/terminal.ts';
import { createGeminiProvider } from '../../src/providers/gemini/provider.ts';
import { type CliTerminal, inEachSize, openCliTerminal } from '../helpers/cli-terminal.ts';
import { builtInOptions } from '../unit/providers/settings.ts';

const GEMINI = fileURLToPath(new URL('./node_modules/.bin/gemini', import.meta.url));

interface Start {
  /** null: no login, and no settings. */
  readonly key: string | null;
  readonly permissionMode: PermissionMode;
  /** null: the CLI itself asks about the folder, as when it is started by hand. */
  readonly trustedWorkspace: boolean | null;
}

/** Walks through the screens of a gemini, in each size at once. */
async function walk(
  start: Start,
  steps: (terminal: CliTerminal, model: OfflineModel) => Promise<void>,
): Promise<void> {
  await inEachSize((size) => walkIn(size, start, steps));
}

async function walkIn(
  size: TerminalSize,
  { key, permissionMode, trustedWorkspace }: Start,
  steps: (terminal: CliTerminal, model: OfflineModel) => Promise<void>,
): Promise<void> {
  await using model = await startOfflineModel();
  await using home = key === null ? await makeCliHome() : await makeGeminiHome();
  const { interactive = expect.unreachable() } = createGeminiProvider(builtInOptions());
  const command = interactive.command({
    ...{ model: 'gemini-2.5-flash', effort: null, permissionMode, appendSystemPrompt: null },
    ...{ cwd: home.workspace, scratchDir: home.home, privatePaths: [] },
    trustedWorkspace: trustedWorkspace ?? false,
  });
  await using terminal = openCliTerminal({
    ...{ binary: GEMINI, args: command.args, home, size, baseUrl: model.url },
    ...{ provider: 'gemini', screens: interactive.screens },
    env: {
      NODE_COMPILE_CACHE: process.env['NODE_COMPILE_CACHE'],
      ...(key === null
        ? {}
        : {
            GOOGLE_GEMINI_BASE_URL: model.url,
            GEMINI_API_KEY: key,
            GEMINI_CLI_NO_RELAUNCH: 'true', // it starts faster, and does not change its trust here
          }),
      ...(trustedWorkspace === null ? {} : command.env),
    },
  });
  await steps(terminal, model);
}

const question = {
  ...{ question: 'Which parser', header: 'Parser', type: 'choice' },
  options: [
    { label: 'Fast', description: 'The fast one' },
    { label: 'Small', description: 'The small one' },
  ],
};
const tool = (name: string, input: object): string => `[[tool: ${name} ${JSON.stringify(input)}]]`;

describe('the screens of gemini', () => {
  it('ask about the folder, start again, and show the ways to a login', async () => {
    await walk({ key: null, permissionMode: 'default', trustedWorkspace: null }, async (terminal) => {
      await terminal.shows('awaiting_input', /Do you trust the files in this folder\?.*Don't trust/, 'trust');
      await terminal.press(
        'enter',
        'awaiting_auth',
        /How would you like to authenticate.*Vertex AI/,
        'login',
      );
      await terminal.press('two', 'awaiting_auth', /Paste your API key here/, 'api-key');
    });
  }, 240_000); // it starts itself again

  it('take a message in a folder that is not trusted, and ask before a tool runs', async () => {
    const start = { key: 'offline', permissionMode: 'default', trustedWorkspace: false } as const;
    await walk(start, async (terminal, model) => {
      await terminal.shows('ready', /Type your message .* untrusted/, 'ready');

      model.setBehaviour('[[hang: before]]');
      await terminal.say('Wait for me', 'busy', /esc to cancel, \d+s/, 'busy');
      terminal.type('and this later');
      await terminal.shows('busy', /and this later/, 'busy-typed');
      await terminal.press('clear', 'busy', /Type your message/);
      await terminal.press('escape', 'ready', /Request cancelled/, 'cancelled');

      model.setBehaviour(`${tool('run_shell_command', { command: 'touch made' })} [[reply: done]]`);
      await terminal.say('Make the file', 'awaiting_input', /Allow execution of .*No, suggest/, 'permission');
      await terminal.press('escape', 'ready', /Type your message/);

      model.setBehaviour(`${tool('ask_user', { questions: [question] })} [[reply: done]]`);
      await terminal.say('Ask me', 'awaiting_input', /Which parser .*Enter to select/, 'question');
      await terminal.press('escape', 'ready', /Type your message/);

      const before = terminal.statuses.length;
      const words =
        'Your api key needs authentication. Please authenticate. Allow execution? 1. Allow once (esc to cancel, 3s)';
      model.setBehaviour(`[[reply: ${words}]]`);
      await terminal.say('Which words', 'ready', /cancel, 3s\) .*Type your message/, 'words');
      const since = terminal.statuses.slice(before);
      expect(since.filter((status) => status.startsWith('awaiting'))).toEqual([]);

      model.setBehaviour('[[error: 401]]');
      await terminal.say('Hello', 'awaiting_auth', /UNAUTHENTICATED/, 'refused-login');
    });
  });

  it('show the mode fullAccess, and that the key is refused', async () => {
    const start = { key: 'wrong-key', permissionMode: 'fullAccess', trustedWorkspace: true } as const;
    await walk(start, async (terminal) => {
      await terminal.shows('ready', /YOLO .*Type your message/, 'ready-full-access');
      await terminal.say('hello', 'awaiting_auth', /API_KEY_INVALID/, 'refused-key');
    });
  });
});
