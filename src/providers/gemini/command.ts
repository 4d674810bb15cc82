import { AppError } from '../../errors.ts';
import type { PermissionMode, ResolvedPrompt } from '../../protocol/prompt.ts';
import type { BuiltInSettings } from '../../protocol/provider-settings.ts';
import { promptFor } from '../built-in.ts';
import type { Command, CommandContext } from '../provider.ts';
import { toolPolicy } from './tool-policy.ts';
import { modeRules, trustOf } from './workspace-trust.ts';

const SESSION_ID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;
const POLICY_FILE = 'tools.toml';

/** Always named: without a flag the user's own `general.defaultApprovalMode` would decide. */
const PERMISSION_ARGS: Readonly<Record<PermissionMode, string>> = {
  default: '--approval-mode=default',
  plan: '--approval-mode=plan',
  acceptEdits: '--approval-mode=auto_edit',
  fullAccess: '--approval-mode=yolo',
};

export type GeminiCommandOptions = Pick<BuiltInSettings, 'args' | 'modes'>;

/**
 * The command line for a request. Pure. Every value is joined to its flag by `=`, so that no value can be
 * read as a flag. A session can be resumed only in the folder it was begun in.
 *
 * @throws AppError execution.invalid_request when the session id to resume is not one of gemini's
 */
export function geminiCommand(
  request: ResolvedPrompt,
  context: CommandContext,
  options: GeminiCommandOptions,
): Command {
  const { permissionMode: mode, allowedTools: allowed, disallowedTools: denied } = request;
  const trust = trustOf(context.trustedWorkspace);
  const own = options.modes[mode];
  const listed = { allowed, denied };
  const policy = toolPolicy(context.trustedWorkspace || own !== undefined ? listed : modeRules(mode, listed));
  const args = [
    '--output-format=stream-json',
    ...trust.args,
    ...options.args,
    ...(own ?? [PERMISSION_ARGS[context.trustedWorkspace ? mode : 'default']]),
    // A policy that is named replaces the user's own, which therefore is named too.
    ...(policy === null
      ? []
      : [`--policy=${context.scratchDir}/${POLICY_FILE}`, '--policy=~/.gemini/policies']),
    ...(request.model === null ? [] : [`--model=${request.model}`]),
    ...resumeArgs(context.nativeSessionId),
  ];
  return {
    args,
    stdin: asPlainText(promptFor(request, context)),
    env: {
      // Else it runs itself as a child, which a signal to the process that was started does not reach.
      GEMINI_CLI_NO_RELAUNCH: 'true',
      NO_COLOR: '1',
      ...trust.env,
    },
    ...(policy === null ? {} : { files: { [POLICY_FILE]: policy } }),
  };
}

function resumeArgs(id: string | null): readonly string[] {
  if (id === null) return [];
  if (SESSION_ID.test(id)) return [`--resume=${id}`];
  throw new AppError('execution.invalid_request', 'the session to resume has no valid gemini session id');
}

/** A prompt that begins with `/` would run a command, also one of the workspace's; behind a newline it is text. */
const asPlainText = (prompt: string): string => (prompt.startsWith('/') ? `\n${prompt}` : prompt);
