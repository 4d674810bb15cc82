import { AppError } from '../../errors.ts';
import type { PermissionMode, ResolvedPrompt } from '../../protocol/prompt.ts';
import type { BuiltInSettings } from '../../protocol/provider-settings.ts';
import { promptFor } from '../built-in.ts';
import { withoutDialect } from '../output-schema.ts';
import type { Command, CommandContext } from '../provider.ts';

const THREAD_ID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;
const SCHEMA_FILE = 'output-schema.json';

/** The CLI asks nobody in `exec`: what its sandbox does not allow fails. */
const PERMISSION_ARGS: Readonly<Record<PermissionMode, readonly string[]>> = {
  default: ['--sandbox=read-only'],
  plan: ['--sandbox=read-only'],
  acceptEdits: ['--sandbox=workspace-write'],
  fullAccess: ['--dangerously-bypass-approvals-and-sandbox'],
};

export type CodexCommandOptions = Pick<BuiltInSettings, 'args' | 'modes'>;

/**
 * The command line for a request. Pure. Options come before `resume`: behind it the CLI refuses most of them.
 *
 * A workspace's own `.codex/config.toml` (commands, MCP servers) counts where the user's config trusts the
 * project; unless the settings trust its root too, that trust is taken back for this run.
 *
 * @throws AppError execution.invalid_request when the session id to resume is not one of codex's
 */
export function codexCommand(
  request: ResolvedPrompt,
  context: CommandContext,
  options: CodexCommandOptions,
): Command {
  const schema = request.outputSchema && JSON.stringify(withoutDialect(request.outputSchema));
  const args = [
    'exec',
    '--json',
    '--skip-git-repo-check',
    ...(context.trustedWorkspace ? [] : [distrust(request.cwd)]),
    ...options.args,
    ...(options.modes[request.permissionMode] ?? PERMISSION_ARGS[request.permissionMode]),
    ...(request.model === null ? [] : [`--model=${request.model}`]),
    ...(request.effort === null ? [] : [config('model_reasoning_effort', request.effort)]),
    ...(schema === null ? [] : [`--output-schema=${context.scratchDir}/${SCHEMA_FILE}`]),
    ...resumeArgs(context.nativeSessionId),
    '-',
  ];
  return {
    args,
    stdin: instructionsOf(request.appendSystemPrompt) + promptFor(request, context),
    env: {},
    ...(schema === null ? {} : { files: { [SCHEMA_FILE]: schema } }),
  };
}

/** `-c name=value`, the value as TOML, where a string is written as in JSON. */
const config = (name: string, value: string): string => `--config=${name}=${JSON.stringify(value)}`;

/**
 * In front of the prompt, as the CLI itself hands on an AGENTS.md. Its `developer_instructions` can be given in an
 * argument or in the user's own configuration only.
 */
const instructionsOf = (text: string | null): string =>
  text === null ? '' : `<INSTRUCTIONS>\n${text}\n</INSTRUCTIONS>\n\n`;

/** A project is trusted by its own folder or by that of its repository, which is one above. */
function distrust(cwd: string): string {
  const parts = cwd.split('/').filter((part) => part !== '');
  const folders = parts.map((_, index) => `/${parts.slice(0, index + 1).join('/')}`);
  const projects = folders.map((folder) => `${JSON.stringify(folder)}={trust_level="untrusted"}`);
  return `--config=projects={${projects.join(',')}}`;
}

function resumeArgs(id: string | null): readonly string[] {
  if (id === null) return [];
  if (THREAD_ID.test(id)) return ['resume', id];
  throw new AppError('execution.invalid_request', 'the session to resume has no valid codex thread id');
}
