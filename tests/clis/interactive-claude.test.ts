import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { makeClaudeHome } from '../../scripts/offline-model/run-claude.ts';
import { type OfflineModel, startOfflineModel } from '../../scripts/offline-model/server.ts';
import type { PermissionMode } from '../../src/protocol/prompt.ts';
import type { TerminalSize } from '../../src/protocol/terminal.ts';
import { createClaudeProvider } from '../../src/providers/claude/provider.ts';
import { type CliTerminal, inEachSize, openCliTerminal } from '../helpers/cli-terminal.ts';
import { builtInOptions } from '../unit/providers/settings.ts';

const CLAUDE = fileURLToPath(new URL('../../node_modules/.bin/claude', import.meta.url));
const NO_PROXY = 'http://127.0.0.1:9'; // refuses each connection

interface Start {
  readonly key?: string;
  readonly permissionMode?: PermissionMode;
  readonly appendSystemPrompt?: string;
  readonly trustedWorkspace?: boolean;
  /** `new`: its first start; `known`: it has asked about the folder and the key before. */
  readonly user: 'new' | 'asked' | 'known';
}

/** Walks through the screens of a claude, in each size at once. */
async function walk(
  start: Start,
  steps: (terminal: CliTerminal, model: OfflineModel) => Promise<void>,
): Promise<void> {
  await using model = await startOfflineModel();
  await inEachSize((size) => walkIn(size, start, model, steps));
}

async function walkIn(
  size: TerminalSize,
  { key, user, ...asked }: Start,
  model: OfflineModel,
  steps: (terminal: CliTerminal, model: OfflineModel) => Promise<void>,
): Promise<void> {
  await using home = await makeClaudeHome();
  const { interactive = expect.unreachable() } = createClaudeProvider(
    builtInOptions({ runningAsRoot: true, sandboxMarker: true }),
  );
  const command = interactive.command({
    ...{ model: null, effort: null, permissionMode: 'default', appendSystemPrompt: null },
    ...{ cwd: home.workspace, scratchDir: home.home, trustedWorkspace: false, privatePaths: [] },
    ...asked,
  });
  for (const [name, text] of Object.entries(command.files ?? {}))
    await writeFile(join(home.home, name), text);
  const known = {
    projects: { [home.workspace]: { hasTrustDialogAccepted: true } },
    customApiKeyResponses: { approved: ['offline', 'wrong-key'], rejected: [] },
  };
  const state = { hasCompletedOnboarding: true, theme: 'dark', ...(user === 'known' ? known : {}) };
  if (user !== 'new') await writeFile(join(home.home, '.claude.json'), JSON.stringify(state));
  await using terminal = openCliTerminal({
    ...{ binary: CLAUDE, args: command.args, home, size, baseUrl: model.url },
    ...{ provider: 'claude', screens: interactive.screens },
    env: {
      ANTHROPIC_BASE_URL: model.url,
      ...(key === undefined ? {} : { ANTHROPIC_API_KEY: key }),
      ...(user === 'new' ? { HTTPS_PROXY: NO_PROXY } : {}),
      CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC: '1',
      DISABLE_TELEMETRY: '1',
      DISABLE_AUTOUPDATER: '1',
      CLAUDE_CODE_MAX_RETRIES: '1',
      ...command.env,
    },
  });
  await steps(terminal, model);
}

const question = {
  question: 'Which parser?',
  header: 'Parser',
  multiSelect: false,
  options: [
    { label: 'Fast', description: 'The fast one' },
    { label: 'Small', description: 'The small one' },
  ],
};

describe.concurrent('the screens of claude', () => {
  it('ask about the folder and the key, then take a message, and ask before a tool runs', async () => {
    await walk({ user: 'asked', key: 'offline' }, async (terminal) => {
      await terminal.shows('awaiting_input', /Quick safety check.*❯ No, exit/, 'trust');
      await terminal.press('down', 'awaiting_input', /❯ Yes, I trust this folder/);
      await terminal.press('enter', 'awaiting_input', /use this API key\?.*❯ No/, 'api-key');
      await terminal.press('up', 'awaiting_input', /❯ Yes/);
      await terminal.press('enter', 'ready', /manual mode on/, 'ready');

      await terminal.say('Hi [[hang: before]]', 'busy', /esc to interrupt/, 'busy');
      terminal.type('and this later');
      await terminal.shows('busy', /❯ and this later/, 'busy-typed');
      await terminal.press('clear', 'busy', /esc to interrupt/);
      await terminal.press('escape', 'ready', /❯ Hi \[\[hang/);
      await terminal.press('clear', 'ready', /shortcuts/);

      await terminal.say(
        '[[tool: Bash {"command":"touch made","description":"Make it"}]] [[reply: so]]',
        'awaiting_input',
        /Do you want to proceed\?.*Esc to cancel/,
        'permission',
      );
      await terminal.press('escape', 'ready', /Did not run|Interrupted/);

      await terminal.say(
        `[[tool: AskUserQuestion ${JSON.stringify({ questions: [question] })}]]`,
        'awaiting_input',
        /Enter to select/,
        'question',
      );
      await terminal.press('escape', 'ready', /Declined to answer/);
    });
  });

  it('say that there is no login, and show the way to one', async () => {
    await walk({ user: 'known' }, async (terminal) => {
      await terminal.shows('ready', /manual mode on/);
      await terminal.say('hello', 'awaiting_auth', /Please run \/login/, 'no-login');
      await terminal.say('/login', 'awaiting_auth', /Select login method/, 'login');
      await terminal.press('escape', 'awaiting_auth', /Login interrupted/);
    });
  });

  it('say that the key is refused', async () => {
    await walk({ user: 'known', key: 'wrong-key' }, async (terminal) => {
      await terminal.shows('ready', /manual mode on/);
      await terminal.say('hello', 'awaiting_auth', /API Error: 401/, 'refused-key');
    });
  });

  it('ask about a plan, in the mode plan', async () => {
    await walk({ user: 'known', key: 'offline', permissionMode: 'plan' }, async (terminal) => {
      await terminal.shows('ready', /plan mode on/);
      await terminal.say(
        '[[tool: ExitPlanMode {"plan":"1. Do it"}]] [[reply: done]]',
        'awaiting_input',
        /exit plan mode/i,
        'plan',
      );
      await terminal.press('escape', 'ready', /Rejected/);
    });
  });

  it('ask whether it may skip permissions, in the mode fullAccess', async () => {
    await walk({ user: 'known', key: 'offline', permissionMode: 'fullAccess' }, async (terminal) => {
      await terminal.shows('awaiting_input', /Bypass Permissions mode.*❯ No, exit/, 'full-access');
      await terminal.press('down', 'awaiting_input', /❯ Yes, I accept/);
      await terminal.press('enter', 'ready', /bypass permissions on/, 'ready-full-access');
    });
  });

  it('end at the first start when the vendor cannot be reached', async () => {
    await walk({ user: 'new' }, async (terminal) => {
      await terminal.shows(null, /Unable to connect to Anthropic services/, 'unreachable');
      expect(await terminal.exited).toBe(1);
    });
  });

  it('end when the folder is not trusted', async () => {
    await walk({ user: 'asked', key: 'offline' }, async (terminal) => {
      await terminal.shows('awaiting_input', /❯ No, exit/);
      await terminal.press('enter', 'awaiting_input', /isn't trusted/);
      expect(await terminal.exited).toBe(1);
    });
  });

  it('do not become others by what the model writes', async () => {
    const appendSystemPrompt = 'Speak of parsers.';
    const words =
      'Your api key needs authentication. Not logged in · Please run /login. Do you want to proceed? ❯ 1. Yes 2. No Press enter to continue. (3s · esc to interrupt) Esc to cancel';
    await walk({ user: 'known', key: 'offline', appendSystemPrompt }, async (terminal, model) => {
      await terminal.shows('ready', /manual mode on/);
      model.setBehaviour(`[[reply: ${words}]]`);
      await terminal.say('Which words?', 'ready', /Esc to cancel .* for \d+s · done/, 'words');
      expect(terminal.statuses.filter((status) => status.startsWith('awaiting'))).toEqual([]);
      expect(model.requests.some(({ instructions }) => instructions?.includes(appendSystemPrompt))).toBe(
        true,
      );
    });
  });
});
