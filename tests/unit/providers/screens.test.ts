import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { CLAUDE_SCREENS } from '../../../src/providers/claude/interactive.ts';
import { CODEX_SCREENS } from '../../../src/providers/codex/interactive.ts';
import { CURSOR_SCREENS } from '../../../src/providers/cursor/interactive.ts';
import { GEMINI_SCREENS } from '../../../src/providers/gemini/interactive.ts';
import type { ScreenPattern } from '../../../src/providers/interactive.ts';
import { createScreenMatcher } from '../../../src/terminals/screen-status.ts';

const FIXTURES = new URL('../../fixtures/screens/', import.meta.url);
const SIZES = ['80x24', '200x50'];
const READY: ScreenPattern = { status: 'ready', pattern: /^ready$/, source: 'seen' };

type Statuses = Readonly<Record<string, ScreenPattern['status'] | null>>;

/** The status of each recorded screen. `null`: it says nothing, so the CLI is as it was. */
const STATUSES: Readonly<Record<string, { screens: readonly ScreenPattern[]; statuses: Statuses }>> = {
  claude: {
    screens: CLAUDE_SCREENS,
    statuses: {
      'api-key': 'awaiting_input',
      busy: 'busy',
      'busy-typed': 'busy',
      'full-access': 'awaiting_input',
      login: 'awaiting_auth',
      'no-login': 'awaiting_auth',
      permission: 'awaiting_input',
      plan: 'awaiting_input',
      question: 'awaiting_input',
      ready: 'ready',
      'ready-full-access': 'ready',
      'refused-key': 'awaiting_auth',
      trust: 'awaiting_input',
      unreachable: null,
      words: 'ready',
    },
  },
  codex: {
    screens: CODEX_SCREENS,
    statuses: {
      'api-key': 'awaiting_auth',
      bedrock: 'awaiting_auth',
      busy: 'busy',
      'busy-typed': 'busy',
      'busy-words': null,
      done: 'ready',
      interrupted: 'ready',
      login: 'awaiting_auth',
      'other-logins': 'awaiting_auth',
      permission: 'awaiting_input',
      question: 'awaiting_input',
      ready: 'ready',
      'ready-full-access': 'ready',
      'refused-key': 'awaiting_auth',
      restricted: 'awaiting_input',
      trust: 'awaiting_input',
      words: 'ready',
    },
  },
  gemini: {
    screens: GEMINI_SCREENS,
    statuses: {
      'api-key': 'awaiting_auth',
      busy: 'busy',
      'busy-typed': 'busy',
      cancelled: 'ready',
      login: 'awaiting_auth',
      permission: 'awaiting_input',
      question: 'awaiting_input',
      ready: 'ready',
      'ready-full-access': 'ready',
      'refused-key': 'awaiting_auth',
      'refused-login': 'awaiting_auth',
      trust: 'awaiting_input',
      words: 'ready',
    },
  },
};

/** What an early pattern would do is left out: the CLI was ready before. */
function statusOf(screens: readonly ScreenPattern[], text: string): ScreenPattern['status'] | null {
  const matcher = createScreenMatcher([READY, ...screens]);
  matcher(['ready']);
  return matcher(text.split('\n'))?.status ?? null;
}

describe.each(Object.entries(STATUSES))('recorded screens of %s', (cli, { screens, statuses }) => {
  it('each have a status here', () => {
    const recorded = readdirSync(new URL(`${cli}/`, FIXTURES)).toSorted();
    const known = Object.keys(statuses).flatMap((state) => SIZES.map((size) => `${state}-${size}.txt`));
    expect(recorded).toEqual(known.toSorted());
  });

  it.each(Object.entries(statuses))('%s is %s in both sizes', (state, status) => {
    for (const size of SIZES) {
      const text = readFileSync(new URL(`${cli}/${state}-${size}.txt`, FIXTURES), 'utf8');
      expect(statusOf(screens, text)).toBe(status);
    }
  });
});

describe('screens written after the documentation', () => {
  it.each([
    ['Cursor Agent\nv2026.01.01\n Press any key to log in...', 'awaiting_auth'],
    [
      'Workspace Trust Required\nDo you trust the contents of this directory?\n[a] Trust this workspace\n[q] Quit',
      'awaiting_input',
    ],
    [
      ' Run this command?\n Not in allowlist: touch made\n  → Run (once) (y)\n    Add Shell(touch) to allowlist? (tab)\n    Skip (esc or n)',
      'awaiting_input',
    ],
    [' Generating…\n → Add a follow-up    ctrl+c to stop', 'busy'],
    [' → Plan, search, build anything', 'ready'],
    [' It is done.\n → Add a follow-up', 'ready'],
  ] as const)('of cursor-agent: %j is %s', (text, status) => {
    expect(createScreenMatcher(CURSOR_SCREENS)(text.split('\n'))?.status).toBe(status);
  });

  it.each([
    [
      CLAUDE_SCREENS,
      "Browser didn't open? Use the url below to sign in\nhttps://claude.ai/oauth\nPaste code here if prompted >",
    ],
    [
      CODEX_SCREENS,
      "Welcome to Codex, OpenAI's command-line coding agent\nFinish signing in via your browser\nhttps://auth.openai.com\nPress esc to cancel",
    ],
    [
      CODEX_SCREENS,
      "Welcome to Codex, OpenAI's command-line coding agent\nEnter this one-time code\nABCD-1234\n",
    ],
    [GEMINI_SCREENS, '⠏ Waiting for authentication... (Press Esc or Ctrl+C to cancel)'],
    [GEMINI_SCREENS, 'https://accounts.google.com/o/oauth2\nEnter the authorization code: '],
  ] as const)('of a login are awaiting_auth', (screens, text) => {
    expect(statusOf(screens, text)).toBe('awaiting_auth');
  });
});

describe('early patterns', () => {
  const EARLY = [
    [CLAUDE_SCREENS, ['API key', 'ANTHROPIC_API_KEY', 'authentication']],
    [CODEX_SCREENS, ['API key', 'OPENAI_API_KEY', 'Please login']],
    [GEMINI_SCREENS, ['API key', 'GOOGLE_API_KEY', 'Please authenticate']],
    [CURSOR_SCREENS, ['login required', 'Please sign in', 'Authentication']],
  ] as const;

  it.each(EARLY)('ask for a login until the CLI was ready', (screens, words) => {
    for (const word of words) {
      const line = `Error: ${word} is missing`;
      expect(createScreenMatcher(screens)([line])).toEqual({ status: 'awaiting_auth', line });
      expect(statusOf(screens, line)).toBeNull();
    }
  });
});
