import { AppError } from '../../errors.ts';
import type { PermissionMode, ResolvedPrompt } from '../../protocol/prompt.ts';
import type { BuiltInSettings } from '../../protocol/provider-settings.ts';
import { withoutDialect } from '../output-schema.ts';
import type { Command, CommandContext } from '../provider.ts';
import { LATER_TOOLS } from './background.ts';
import { readClaudeOptions } from './options.ts';

const SESSION_ID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;

/**
 * What every run begins with. The prompt comes as a message, so that a process can be started before there is one:
 * for plain text on stdin the CLI waits three seconds.
 */
const BASE_ARGS = [
  '-p',
  '--input-format=stream-json',
  '--output-format=stream-json',
  '--verbose',
  '--include-partial-messages',
];

/**
 * Only the user's own settings (their login helper may be there), and no MCP server but those the server's
 * settings name: what the workspace brings along does not run. `--bare` would also forget the login;
 * `--safe-mode` still runs the workspace's `apiKeyHelper`.
 */
const UNTRUSTED_ARGS = ['--setting-sources=user', '--strict-mcp-config'];

/** Always named: without a flag the user's own `permissions.defaultMode` would decide. */
const PERMISSION_ARGS: Readonly<Record<PermissionMode, string>> = {
  default: '--permission-mode=default',
  plan: '--permission-mode=plan',
  acceptEdits: '--permission-mode=acceptEdits',
  fullAccess: '--dangerously-skip-permissions',
};

export interface ClaudeCommandOptions extends Pick<BuiltInSettings, 'args' | 'modes' | 'maxRetries'> {
  /** Whether to tell the CLI that root may skip permissions here. */
  readonly allowRootFullAccess: boolean;
}

/**
 * The command line for a request. Pure. Every value is joined to its flag by `=`, so that no value can be
 * read as a flag and no list can swallow what follows.
 *
 * @throws AppError execution.invalid_request when the session id to resume is not one of claude's
 */
export function claudeCommand(
  request: ResolvedPrompt,
  context: CommandContext,
  options: ClaudeCommandOptions,
): Command {
  const args = [
    ...BASE_ARGS,
    '--disable-slash-commands',
    ...(request.background === 'wait' ? [] : LATER_TOOLS.map((tool) => `--disallowed-tools=${tool}`)),
    ...(context.trustedWorkspace ? [] : UNTRUSTED_ARGS),
    ...options.args,
    ...(options.modes[request.permissionMode] ?? [PERMISSION_ARGS[request.permissionMode]]),
    ...flag('--model', request.model),
    ...flag('--effort', request.effort),
    ...request.allowedTools.map((tool) => `--allowedTools=${tool}`),
    ...request.disallowedTools.map((tool) => `--disallowedTools=${tool}`),
    ...snapshotArgs(request.appendSystemPrompt, context.nativeSessionId),
    ...flag('--max-turns', request.maxTurns),
    ...flag('--max-budget-usd', request.maxCostUsd === null ? null : plainDecimal(request.maxCostUsd)),
    ...providerArgs(request),
    ...flag('--resume', checkedSessionId(context.nativeSessionId)),
  ];
  return {
    args,
    opening: hello(request),
    stdin: userMessage(asPlainText(request.prompt), context.promptId),
    env: commandEnv(request, context, options),
  };
}

const flag = (name: string, value: string | number | null): readonly string[] =>
  value === null ? [] : [`${name}=${value}`];

/** A resumed session repeats the system prompt it recorded, whatever is appended now, unless told not to. */
const snapshotArgs = (text: string | null, resumed: string | null): readonly string[] =>
  text === null || resumed === null ? [] : ['--system-prompt-snapshot=off'];

/**
 * The vendor's own SDK says it first: the CLI then has its commands, agents and settings ready before the prompt. The
 * caller's texts are in it: `--append-system-prompt` and `--json-schema` would show them to every user of the machine.
 */
const hello = ({ appendSystemPrompt, outputSchema }: ResolvedPrompt): string => {
  const request = {
    subtype: 'initialize',
    ...(appendSystemPrompt === null ? {} : { appendSystemPrompt }),
    ...(outputSchema === null ? {} : { jsonSchema: withoutDialect(outputSchema) }),
  };
  return `${JSON.stringify({ type: 'control_request', request_id: 'hello', request })}\n`;
};

/** Never with an exponent. */
const plainDecimal = (value: number): string =>
  value.toLocaleString('en-US', { useGrouping: false, maximumFractionDigits: 12 });

function providerArgs(request: ResolvedPrompt): readonly string[] {
  const read = readClaudeOptions(request.providerOptions);
  if ('options' in read) return flag('--fallback-model', read.options.fallbackModel ?? null);
  const [problem] = read.problems;
  throw new AppError('provider.unsupported_option', `${problem?.option}: ${problem?.reason}`);
}

function checkedSessionId(id: string | null): string | null {
  if (id === null || SESSION_ID.test(id)) return id;
  throw new AppError('execution.invalid_request', 'the session to resume has no valid claude session id');
}

/**
 * `--disable-slash-commands` only makes the CLI answer `/cost` with a refusal; behind a newline the same
 * text reaches the model as it is.
 */
const asPlainText = (prompt: string): string => (prompt.startsWith('/') ? `\n${prompt}` : prompt);

/** By the `uuid` the CLI says which of its turns answers the message. */
function userMessage(content: string, uuid: string | undefined): string {
  return `${JSON.stringify({ type: 'user', uuid, message: { role: 'user', content } })}\n`;
}

/** For a prompt that an earlier attempt had answered when its outcome was lost. */
export const ASK_AGAIN = userMessage('Your answer to my last message was lost. Give it again.', undefined);

/**
 * Goes on with the turn that is unfinished in the session, whichever job's it is: so only where the earlier attempt has
 * begun its own. A prompt whose uuid the session has already is not asked again (observed with 2.1.329).
 */
const RESUME_TURN = { CLAUDE_CODE_RESUME_INTERRUPTED_TURN: '1' };

function commandEnv(
  request: ResolvedPrompt,
  context: CommandContext,
  options: ClaudeCommandOptions,
): Record<string, string> {
  return {
    ...(context.earlierAttempt === 'asked' ? RESUME_TURN : {}),
    ...(options.maxRetries === null ? {} : { CLAUDE_CODE_MAX_RETRIES: String(options.maxRetries) }),
    // `@/etc/passwd` in a prompt would read the file without asking for any permission.
    ...(request.prompt.includes('@') ? { CLAUDE_CODE_DISABLE_ATTACHMENTS: '1' } : {}),
    ...(request.permissionMode === 'fullAccess' && options.allowRootFullAccess ? { IS_SANDBOX: '1' } : {}),
  };
}
