import { type BuiltInOptions, refused, unsupportedMode } from '../built-in.ts';
import type { Interactive, ScreenPattern } from '../interactive.ts';
import type { Capabilities } from '../provider.ts';
import { sharedCommand } from './command.ts';

/** The line below the input. A dialog replaces both. */
const FOOTER = 'workspace \\(/directory\\) [^✦●]*';

/** What the screens of gemini 0.61.0 mean. What the model writes begins with `✦`. */
export const GEMINI_SCREENS: readonly ScreenPattern[] = [
  {
    status: 'awaiting_auth',
    pattern: /How would you like to authenticate for this project\? [^✦]*$/,
    source: 'seen',
  },
  {
    status: 'awaiting_auth',
    pattern: /Enter Gemini API Key [^✦]*\(Press Enter to submit, Esc to cancel[^✦]*$/,
    source: 'seen',
  },
  { status: 'awaiting_auth', pattern: /Waiting for authentication\.\.\. [^✦]*$/, source: 'seen' },
  { status: 'awaiting_auth', pattern: /Enter the authorization code:[^✦]*$/, source: 'documented' },
  // The trust of a folder, calls of tools: options, one of which is marked.
  {
    status: 'awaiting_input',
    pattern: /● \d+\. (?!.*workspace \(\/directory\)|.*restarting to apply)[^✦]*$/,
    source: 'seen',
  },
  // Questions.
  { status: 'awaiting_input', pattern: /Enter to (?:select|submit) · [^✦]*$/, source: 'seen' },
  {
    status: 'busy',
    pattern: new RegExp(`[⠀-⣿] [^✦⠀-⣿]*\\(esc to cancel, (?:\\d+[hms] ?)+\\)[^✦ℹ✕]*${FOOTER}$`),
    source: 'seen',
  },
  {
    status: 'awaiting_auth',
    pattern: new RegExp(
      `✕ \\[API Error: [^✦✕ℹ]*(?:API_KEY_INVALID|UNAUTHENTICATED)[^✦✕ℹ]*(?:ℹ This request failed[^✦✕ℹ]*)?${FOOTER}$`,
    ),
    source: 'seen',
  },
  { status: 'ready', pattern: new RegExp(`[>*!] [^✦]*${FOOTER}$`), source: 'seen' },
  {
    status: 'awaiting_auth',
    pattern: /google_api_key|api key|please authenticate/,
    early: true,
    source: 'documented',
  },
];

/** The interactive mode of gemini. */
export function createGeminiInteractive(
  options: BuiltInOptions,
  modes: Capabilities['permissionModes'],
): Interactive {
  return {
    unsupported: ({ permissionMode, effort, appendSystemPrompt }) => [
      ...unsupportedMode('gemini', permissionMode, modes, options),
      ...refused([
        ['effort', effort !== null, 'gemini has no levels of effort'],
        [
          'appendSystemPrompt',
          appendSystemPrompt !== null,
          'gemini can only replace its whole system prompt, not add to it',
        ],
      ]),
    ],
    // It may run itself as a child here: without that it ends when a person changes the trust.
    command: ({ model, permissionMode, ...context }) =>
      sharedCommand({ model, permissionMode, allowedTools: [], disallowedTools: [] }, context, options),
    screens: GEMINI_SCREENS,
  };
}
