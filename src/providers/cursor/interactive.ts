import type { PermissionMode } from '../../protocol/prompt.ts';
import { type BuiltInOptions, refused, unsupportedMode } from '../built-in.ts';
import type { Interactive, ScreenPattern } from '../interactive.ts';

/**
 * What its screens mean, by Cursor's documentation and users' reports (2026): no screen of it was
 * seen here. https://cursor.com/docs/cli
 */
export const CURSOR_SCREENS: readonly ScreenPattern[] = [
  { status: 'awaiting_auth', pattern: /press any key to log in/, early: true, source: 'documented' },
  {
    status: 'awaiting_input',
    pattern: /workspace trust required .*do you trust the contents of this directory/,
    early: true,
    source: 'documented',
  },
  { status: 'awaiting_input', pattern: /→ .*skip [^→]*\(esc or n\)/, source: 'documented' },
  { status: 'busy', pattern: /ctrl\+c to stop/, source: 'documented' },
  { status: 'ready', pattern: /→ (?:plan, search, build anything|add a follow-up)/, source: 'documented' },
  {
    status: 'awaiting_auth',
    pattern: /login required|please sign in|authentication/,
    early: true,
    source: 'documented',
  },
];

/** Without a flag the CLI asks before it runs a command. It has no flag for `acceptEdits`. */
const PERMISSION_ARGS: Readonly<Partial<Record<PermissionMode, readonly string[]>>> = {
  default: [],
  plan: ['--mode=plan'],
  fullAccess: ['--force', '--sandbox', 'disabled'],
};
const MODES: readonly PermissionMode[] = ['default', 'plan', 'fullAccess'];

/** The interactive mode of cursor-agent. */
export function createCursorInteractive(options: BuiltInOptions): Interactive {
  return {
    unsupported: ({ permissionMode, effort, appendSystemPrompt }) => [
      ...unsupportedMode('cursor-agent', permissionMode, MODES, options),
      ...refused([
        ['effort', effort !== null, 'cursor-agent has no levels of effort'],
        ['appendSystemPrompt', appendSystemPrompt !== null, 'cursor-agent cannot add to its system prompt'],
      ]),
    ],
    // `--trust` is for `-p` only. In a terminal a person answers.
    command: ({ model, permissionMode }) => ({
      args: [
        ...options.args,
        ...(options.modes[permissionMode] ?? PERMISSION_ARGS[permissionMode] ?? []),
        ...(model === null ? [] : [`--model=${model}`]),
      ],
      env: {},
    }),
    screens: CURSOR_SCREENS,
  };
}
