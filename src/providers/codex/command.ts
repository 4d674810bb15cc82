import type { PermissionMode, ResolvedPrompt } from '../../protocol/prompt.ts';
import { type BuiltInOptions, checkedSessionId } from '../built-in.ts';
import { withoutDialect } from '../output-schema.ts';
import type { Command, CommandContext, PrivatePath } from '../provider.ts';

const SCHEMA_FILE = 'output-schema.json';
/** The name of the permission profile. */
export const PROFILE = 'bullpen';

/** What the sandbox does not allow fails, unless codex may ask. */
const SANDBOXES = { default: 'read-only', plan: 'read-only', acceptEdits: 'workspace' } as const;

/**
 * The command line for a request. Pure. Options come before `resume`: the CLI refuses most of them
 * after it.
 *
 * The user's config may trust a project, and then the workspace's own `.codex/config.toml`
 * (commands, MCP servers) counts. For this run that trust is withdrawn, unless the settings trust
 * the workspace too.
 *
 * @throws AppError execution.invalid_request when the session id to resume is not one of codex's
 */
export function codexCommand(
  request: ResolvedPrompt,
  context: CommandContext,
  options: Pick<BuiltInOptions, 'args' | 'modes'>,
): Command {
  const schema = request.outputSchema && JSON.stringify(withoutDialect(request.outputSchema));
  const sessionId = checkedSessionId('codex', context.nativeSessionId);
  const args = [
    'exec',
    '--json',
    '--skip-git-repo-check',
    ...(context.trustedWorkspace ? [] : [distrust(request.cwd)]),
    ...options.args,
    ...(options.modes[request.permissionMode] ?? modeArgs(request.permissionMode, context.privatePaths)),
    ...modelArgs(request),
    ...(schema === null ? [] : [`--output-schema=${context.scratchDir}/${SCHEMA_FILE}`]),
    ...(sessionId === null ? [] : ['resume', sessionId]),
    '-',
  ];
  return {
    args,
    stdin: instructionsOf(request.appendSystemPrompt) + request.prompt,
    env: {},
    ...(schema === null ? {} : { files: { [SCHEMA_FILE]: schema } }),
  };
}

export const modelArgs = ({ model, effort }: Pick<ResolvedPrompt, 'model' | 'effort'>): readonly string[] => [
  ...(model === null ? [] : [`--model=${model}`]),
  ...(effort === null ? [] : [config('model_reasoning_effort', effort)]),
];

export const modeArgs = (mode: PermissionMode, privatePaths?: readonly PrivatePath[]): readonly string[] =>
  mode === 'fullAccess' ? ['--dangerously-bypass-approvals-and-sandbox'] : profileArgs(mode, privatePaths);

/**
 * A permission profile, because `--sandbox` cannot hide a file from reading. The two do not go
 * together, and the one that comes from the command line counts (observed with 0.169.0). A link
 * would stop every command, so only real paths are named. For a file that is missing the sandbox
 * would show an empty one.
 * https://developers.openai.com/codex/permissions
 */
export function profileArgs(
  mode: Exclude<PermissionMode, 'fullAccess'>,
  privatePaths: readonly PrivatePath[] = [],
): readonly string[] {
  const sandbox = SANDBOXES[mode];
  const there = privatePaths.filter(({ exists }) => exists);
  const denied = there.map(({ real }) => `${JSON.stringify(real)}="deny"`);
  return [
    config('default_permissions', PROFILE),
    config(`permissions.${PROFILE}.extends`, `:${sandbox}`),
    ...(denied.length === 0 ? [] : [`--config=permissions.${PROFILE}.filesystem={${denied.join(',')}}`]),
  ];
}

/** `-c name=value`, the value as TOML, which writes a string as JSON does. */
const config = (name: string, value: string): string => `--config=${name}=${JSON.stringify(value)}`;

/**
 * Written before the prompt, as the CLI itself passes an AGENTS.md to the model. Its
 * `developer_instructions` could only be set in an argument or in the user's own configuration.
 */
export const instructionsOf = (text: string | null): string =>
  text === null ? '' : `<INSTRUCTIONS>\n${text}\n</INSTRUCTIONS>\n\n`;

/** Withdraws trust from the folder and from each one above: any of them may be the repository. */
export function distrust(cwd: string): string {
  const parts = cwd.split('/').filter((part) => part !== '');
  const folders = parts.map((_, index) => `/${parts.slice(0, index + 1).join('/')}`);
  const projects = folders.map((folder) => `${JSON.stringify(folder)}={trust_level="untrusted"}`);
  return `--config=projects={${projects.join(',')}}`;
}
