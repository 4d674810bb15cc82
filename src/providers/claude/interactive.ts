import { type BuiltInOptions, unsupportedMode } from '../built-in.ts';
import type { Interactive, ScreenPattern } from '../interactive.ts';
import type { Capabilities } from '../provider.ts';
import { type ClaudeCommandOptions, denial, sharedArgs, sharedEnv } from './command.ts';

const APPENDED_FILE = 'append-system-prompt.txt';

/** From the last cursor, which is that of the input, to the end of the screen. */
const INPUT = '❯[^❯]*';
/** Ends the screen, below the input. */
const MODE = '(?:mode|edits|permissions) on(?: \\(shift\\+tab to cycle\\))?';

/**
 * What the screens of claude 2.1.329 mean. A dialog replaces the input at the end of the screen,
 * and what the model writes is always above it.
 */
export const CLAUDE_SCREENS: readonly ScreenPattern[] = [
  { status: 'awaiting_auth', pattern: /Select login method: .*Esc to cancel$/, source: 'seen' },
  { status: 'awaiting_auth', pattern: /Paste code here if prompted >[^❯]*$/, source: 'documented' },
  // The trust of a folder, a key in the environment, bypassed permissions, questions.
  { status: 'awaiting_input', pattern: /Enter to (?:confirm|select) · .*Esc to \w+$/, source: 'seen' },
  // Calls of tools.
  { status: 'awaiting_input', pattern: /Esc to cancel · Tab to amend\b[^❯]*$/, source: 'seen' },
  // Plans, and calls whose last line is below the screen.
  {
    status: 'awaiting_input',
    pattern: new RegExp(`❯ \\d\\. (?!.*${MODE}\\b)[^❯]*$`),
    source: 'seen',
  },
  {
    status: 'awaiting_auth',
    pattern: new RegExp(`(?:Not logged in · run /login|● Please run /login · API Error[^●✻❯]*) ${INPUT}$`),
    source: 'seen',
  },
  { status: 'busy', pattern: new RegExp(`${MODE} · esc to interrupt(?: · [^·❯]*)*$`), source: 'seen' },
  // While a message is typed into a turn the line below the input does not say it.
  {
    status: 'busy',
    pattern: new RegExp(
      `[·✢✳✶✻✽*] \\S+… (?:\\(\\d[^)]*\\) )?(?:⎿ (?!Interrupted)[^❯]*|[^●✻⎿❯]{0,60})${INPUT}$`,
    ),
    source: 'seen',
  },
  { status: 'ready', pattern: new RegExp(`${INPUT}${MODE}(?: · [^·❯]*)*$`), source: 'seen' },
  {
    status: 'awaiting_auth',
    pattern: /anthropic_api_key|api key|authentication/,
    early: true,
    source: 'documented',
  },
];

/** The interactive mode of claude. */
export function createClaudeInteractive(
  options: BuiltInOptions & ClaudeCommandOptions,
  modes: Capabilities['permissionModes'],
): Interactive {
  return {
    unsupported: ({ permissionMode }) => unsupportedMode('claude', permissionMode, modes, options),
    command: ({ appendSystemPrompt, privatePaths, scratchDir, trustedWorkspace, ...asked }) => ({
      args: [
        ...sharedArgs(asked, trustedWorkspace, options),
        ...privatePaths.flatMap(denial),
        ...(appendSystemPrompt === null
          ? []
          : [`--append-system-prompt-file=${scratchDir}/${APPENDED_FILE}`]),
      ],
      env: sharedEnv(asked.permissionMode, options),
      ...(appendSystemPrompt === null ? {} : { files: { [APPENDED_FILE]: appendSystemPrompt } }),
    }),
    screens: CLAUDE_SCREENS,
  };
}
