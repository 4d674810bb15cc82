import { AppError } from '../../errors.ts';
import type { PermissionMode, ResolvedPrompt } from '../../protocol/prompt.ts';
import type { BuiltInOptions } from '../built-in.ts';
import type { Command, CommandContext } from '../provider.ts';

const SESSION_ID = /^[A-Za-z0-9][\w-]{0,127}$/;

const BASE_ARGS = ['-p', '--output-format', 'stream-json', '--stream-partial-output'];

/**
 * Without a mode `-p` "has access to all tools, including write and shell" says the documentation, while users saw
 * changes only proposed; `ask` reads and answers for certain.
 * https://cursor.com/docs/cli/reference/parameters
 */
const PERMISSION_ARGS: Readonly<Record<PermissionMode, readonly string[]>> = {
  default: ['--mode=ask'],
  plan: ['--mode=plan'],
  acceptEdits: ['--force'],
  fullAccess: ['--force', '--sandbox', 'disabled'],
};

/**
 * The command line for a request. Pure.
 *
 * The prompt goes to stdin: an argument can be read by every user of the machine. The documentation shows only the
 * argument, but says that piped stdin implies `-p`, and users pipe prompts; to be probed with a real CLI.
 *
 * What the workspace brings along (rules, hooks) cannot be left out, so only a trusted one gets `--trust`. In
 * another the CLI refuses to run, unless the mode is one with `--force`.
 *
 * @throws AppError execution.invalid_request when the session id to resume is not one of cursor-agent's
 */
export function cursorCommand(
  request: ResolvedPrompt,
  { nativeSessionId, trustedWorkspace }: CommandContext,
  { args, modes }: Pick<BuiltInOptions, 'args' | 'modes'>,
): Command {
  if (nativeSessionId !== null && !SESSION_ID.test(nativeSessionId)) {
    throw new AppError('execution.invalid_request', 'the session to resume has no valid cursor-agent id');
  }
  return {
    args: [
      ...BASE_ARGS,
      ...(trustedWorkspace ? ['--trust'] : []),
      ...args,
      ...(modes[request.permissionMode] ?? PERMISSION_ARGS[request.permissionMode]),
      ...(request.model === null ? [] : [`--model=${request.model}`]),
      ...(nativeSessionId === null ? [] : [`--resume=${nativeSessionId}`]),
    ],
    stdin: asPlainText(request.prompt),
    env: {},
  };
}

/** `/` would begin a command and `&` hand the task over to the vendor's cloud. */
const asPlainText = (prompt: string): string => (/^[/&]/.test(prompt) ? `\n${prompt}` : prompt);
