import { AppError } from '../../errors.ts';
import type { PermissionMode, ResolvedPrompt } from '../../protocol/prompt.ts';
import type { Command, CommandContext } from '../provider.ts';
import type { BuiltInSettings } from '../settings.ts';

const THREAD_ID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;
const SCHEMA_FILE = 'output-schema.json';

/** The CLI asks nobody in `exec`: what its sandbox does not allow fails. */
const PERMISSION_ARGS: Readonly<Record<PermissionMode, readonly string[]>> = {
  default: ['--sandbox=read-only'],
  plan: ['--sandbox=read-only'],
  acceptEdits: ['--sandbox=workspace-write'],
  fullAccess: ['--dangerously-bypass-approvals-and-sandbox'],
};

export type CodexCommandOptions = Pick<BuiltInSettings, 'args' | 'modes' | 'maxRetries'>;

/**
 * The command line for a request. Pure. Options come before `resume`: behind it the CLI refuses most of them.
 *
 * An untrusted workspace's `.codex/config.toml` is left out because only a project the user's own config
 * trusts has one that counts.
 *
 * @throws AppError execution.invalid_request when the session id to resume is not one of codex's
 */
export function codexCommand(
  request: ResolvedPrompt,
  context: CommandContext,
  options: CodexCommandOptions,
): Command {
  const schema = request.outputSchema === null ? null : JSON.stringify(request.outputSchema);
  const args = [
    'exec',
    '--json',
    '--skip-git-repo-check',
    ...(context.trustedWorkspace ? [] : [config('projects', {})]),
    ...retryArgs(options.maxRetries),
    ...options.args,
    ...(options.modes[request.permissionMode] ?? PERMISSION_ARGS[request.permissionMode]),
    ...(request.model === null ? [] : [`--model=${request.model}`]),
    ...(request.effort === null ? [] : [config('model_reasoning_effort', request.effort)]),
    ...(request.appendSystemPrompt === null
      ? []
      : [config('developer_instructions', request.appendSystemPrompt)]),
    ...(schema === null ? [] : [`--output-schema=${context.scratchDir}/${SCHEMA_FILE}`]),
    ...resumeArgs(context.nativeSessionId),
    '-',
  ];
  return {
    args,
    stdin: request.prompt,
    env: {},
    ...(schema === null ? {} : { files: { [SCHEMA_FILE]: schema } }),
  };
}

/** `-c name=value`, the value as TOML: a JSON string and an empty object are the same there. */
const config = (name: string, value: string | number | object): string =>
  `--config=${name}=${JSON.stringify(value)}`;

/** Of the built-in vendor; one the settings define has retries of its own. */
const retryArgs = (maxRetries: number | null): readonly string[] =>
  maxRetries === null
    ? []
    : [
        config('model_providers.openai.request_max_retries', maxRetries),
        config('model_providers.openai.stream_max_retries', maxRetries),
      ];

function resumeArgs(id: string | null): readonly string[] {
  if (id === null) return [];
  if (THREAD_ID.test(id)) return ['resume', id];
  throw new AppError('execution.invalid_request', 'the session to resume has no valid codex thread id');
}
