import { type BuiltInOptions, refused, unsupportedMode } from '../built-in.ts';
import type { Interactive, ScreenPattern } from '../interactive.ts';
import type { Capabilities } from '../provider.ts';
import { distrust, modeArgs, modelArgs } from './command.ts';

/** From the last cursor, which is that of the input, to the end of the screen. */
const INPUT = '› [^›]*';

/**
 * What the screens of codex 0.169.0 mean. While the model writes, the screen does not say that a
 * turn runs; each end of a turn has a line above the input.
 */
export const CODEX_SCREENS: readonly ScreenPattern[] = [
  {
    status: 'awaiting_auth',
    pattern: /Welcome to Codex, OpenAI's command-line coding agent [^›•]*press (?:enter|esc) to [\w ]+$/,
    source: 'seen',
  },
  {
    status: 'awaiting_auth',
    pattern: /Welcome to Codex, [^›•]*(?:signing in via your browser|one-time code)[^›•]*$/,
    source: 'documented',
  },
  // The trust of a folder.
  { status: 'awaiting_input', pattern: /Folder access .*enter continue · esc back$/, source: 'seen' },
  // Commands, changes of files, lists to choose from.
  { status: 'awaiting_input', pattern: /press enter to confirm or esc to [\w ]+$/, source: 'seen' },
  // Questions.
  { status: 'awaiting_input', pattern: /enter to submit [^›•]*$/, source: 'seen' },
  {
    status: 'busy',
    pattern: new RegExp(`\\((?:\\d+[hms] ?)+ • esc to interrupt\\)[^›•■]*${INPUT}$`),
    source: 'seen',
  },
  {
    status: 'awaiting_auth',
    pattern: new RegExp(`■ [^›•■]*\\b401 Unauthorized\\b[^›•■]*${INPUT}$`),
    source: 'seen',
  },
  {
    status: 'ready',
    pattern: new RegExp(`Worked for [^›•■]{1,24} • \\d\\d:\\d\\d ${INPUT}$`),
    source: 'seen',
  },
  // A turn that failed, or was interrupted.
  { status: 'ready', pattern: new RegExp(`■ [^›•■]*${INPUT}$`), source: 'seen' },
  // Before the first message. Until it has started, the line below the input names no model.
  {
    status: 'ready',
    pattern: new RegExp(`>_ OpenAI Codex \\(v[^›•■]*${INPUT} · [^›]*$`),
    source: 'seen',
  },
  {
    status: 'awaiting_auth',
    pattern: /openai_api_key|api key|please login/,
    early: true,
    source: 'documented',
  },
];

/** The interactive mode of codex. */
export function createCodexInteractive(
  options: BuiltInOptions,
  modes: Capabilities['permissionModes'],
): Interactive {
  return {
    unsupported: ({ permissionMode, appendSystemPrompt }) => [
      ...unsupportedMode('codex', permissionMode, modes, options),
      ...refused([
        [
          'appendSystemPrompt',
          appendSystemPrompt !== null,
          'codex takes no instructions in its interactive mode, except in an argument that all users can read',
        ],
      ]),
    ],
    command: ({ cwd, trustedWorkspace, permissionMode, privatePaths, ...asked }) => ({
      args: [
        // Else it starts a server that outlives it and serves every codex of the user.
        '--no-daemon',
        ...(trustedWorkspace ? [] : [distrust(cwd)]),
        ...options.args,
        ...(options.modes[permissionMode] ?? [
          ...APPROVALS[permissionMode],
          ...modeArgs(permissionMode, privatePaths),
        ]),
        ...modelArgs(asked),
      ],
      env: {},
    }),
    screens: CODEX_SCREENS,
  };
}

/** Always passed: without a flag the user's own `approval_policy` would decide. */
const APPROVALS = {
  default: ['--ask-for-approval=on-request'],
  plan: ['--ask-for-approval=never'],
  acceptEdits: ['--ask-for-approval=on-request'],
  fullAccess: [],
} as const;
