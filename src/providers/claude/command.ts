import { type Static, Type } from '#typebox';
import { AppError } from '../../errors.ts';
import { createChecker } from '../../protocol/checker.ts';
import type { PermissionMode, ResolvedPrompt } from '../../protocol/prompt.ts';
import type { BuiltInSettings } from '../../protocol/provider-settings.ts';
import { closed, MODEL_PATTERN } from '../../protocol/schema.ts';
import { asPlainText, checkedSessionId, type Unsupported } from '../built-in.ts';
import { withoutDialect } from '../output-schema.ts';
import type { Command, CommandContext, DeadCall, PrivatePath } from '../provider.ts';

/**
 * Arguments of every run. The prompt comes as a JSON message, so that a process can start before
 * there is a prompt: with plain text on stdin the CLI waits three seconds.
 */
const BASE_ARGS = [
  '-p',
  '--input-format=stream-json',
  '--output-format=stream-json',
  '--verbose',
  '--include-partial-messages',
];

/**
 * Tools that only make sense in a process that stays after its answer. A job that does not wait is
 * not offered them. `Monitor` and background tasks stay: the agent may use them while it works on
 * the prompt.
 */
export const LATER_TOOLS: readonly string[] = ['ScheduleWakeup', 'CronCreate', 'CronDelete', 'CronList'];

/**
 * Only the user's own settings (they may hold a login helper), and only the MCP servers that the
 * server's settings name: nothing that the workspace brings along runs. `--bare` would drop the
 * login as well, and `--safe-mode` still runs the workspace's `apiKeyHelper`.
 */
const UNTRUSTED_ARGS = ['--setting-sources=user', '--strict-mcp-config'];

/** The id of the first message. */
export const HELLO_ID = 'hello';
/** The hook that sees every call before the CLI's rules. It may wait for a week (in seconds). */
const HOOKS = { PreToolUse: [{ matcher: '*', hookCallbackIds: ['call'], timeout: 7 * 86_400 }] };

/** Always passed: without a flag the user's own `permissions.defaultMode` would decide. */
const PERMISSION_ARGS: Readonly<Record<PermissionMode, string>> = {
  default: '--permission-mode=default',
  plan: '--permission-mode=plan',
  acceptEdits: '--permission-mode=acceptEdits',
  fullAccess: '--dangerously-skip-permissions',
};

export interface ClaudeCommandOptions extends Pick<BuiltInSettings, 'args' | 'modes' | 'maxRetries'> {
  /** Whether the CLI learns that root may skip permissions here. */
  readonly allowRootFullAccess: boolean;
}

/**
 * The command line for a request. Pure. Every value is joined to its flag by `=`: no value can be
 * read as a flag, and no list can swallow the next argument.
 *
 * @throws AppError execution.invalid_request when the session id to resume is not one of claude's
 */
export function claudeCommand(
  request: ResolvedPrompt,
  context: CommandContext,
  options: ClaudeCommandOptions,
): Command {
  // Also where nothing is asked: without it, a resumed question makes the CLI refuse each turn.
  const { deadCalls = [] } = context;
  const watches = request.onPermissionDenied === 'ask' || deadCalls.length > 0;
  const args = [
    ...BASE_ARGS,
    ...(watches ? ['--permission-prompt-tool=stdio'] : []),
    '--disable-slash-commands',
    ...(request.background === 'wait' ? [] : LATER_TOOLS.map((tool) => `--disallowed-tools=${tool}`)),
    ...sharedArgs(request, context.trustedWorkspace, options),
    ...[...request.allowedTools, ...rulesAtStart(context)].map((tool) => `--allowedTools=${tool}`),
    ...request.disallowedTools.map((tool) => `--disallowedTools=${tool}`),
    ...(context.privatePaths ?? []).flatMap(denial),
    ...deadCallArgs(deadCalls, options.args),
    ...snapshotArgs(request.appendSystemPrompt, context.nativeSessionId),
    ...flag('--max-turns', request.maxTurns),
    ...flag('--max-budget-usd', request.maxCostUsd === null ? null : plainDecimal(request.maxCostUsd)),
    ...flag('--fallback-model', fallbackModelOf(request)),
    ...flag('--resume', checkedSessionId('claude', context.nativeSessionId)),
    ...(context.fork === true && context.nativeSessionId !== null ? ['--fork-session'] : []),
  ];
  return {
    args,
    opening: hello(request, watches),
    // A message would be a turn of its own, after the one that the waiting call goes on with.
    stdin: context.resumesCall === true ? '' : userMessage(asPlainText(request.prompt), context.promptId),
    env: commandEnv(request, options),
  };
}

/** What a job and a terminal have in common. */
export const sharedArgs = (
  asked: Pick<ResolvedPrompt, 'model' | 'effort' | 'permissionMode'>,
  trustedWorkspace: boolean,
  { args, modes }: Pick<ClaudeCommandOptions, 'args' | 'modes'>,
): readonly string[] => [
  ...(trustedWorkspace ? [] : UNTRUSTED_ARGS),
  ...args,
  ...(modes[asked.permissionMode] ?? [PERMISSION_ARGS[asked.permissionMode]]),
  ...flag('--model', asked.model),
  ...flag('--effort', asked.effort),
];

/**
 * Rules that hold in every mode, for the CLI's own tools and for the commands of `Bash` whose files
 * it knows (`cat`, `cp`, `>`; observed with 2.1.329). `//` begins an absolute path, and the rest is
 * a pattern as in .gitignore: a folder's content counts, too.
 */
export const denial = ({ real, written }: PrivatePath): readonly string[] =>
  [real, ...written]
    .filter((path) => path.startsWith('/'))
    .map((path) => path.replace(/[\\*?[\]!#(), ]/g, '\\$&'))
    .flatMap((path) => ['Read', 'Edit'].map((tool) => `--disallowedTools=${tool}(/${path})`));

/** A rule must not decide about the call that waits: a person has. The control gives them later. */
const rulesAtStart = ({ resumesCall, sessionRules = [] }: CommandContext): readonly string[] =>
  resumesCall === true ? [] : sessionRules;

const CALL_ID = /^[\w-]{1,128}$/;
const OVER = 'The approval of this call is over. Do not make it again.';

/**
 * A resumed process runs a call that waits in its session before it has read which hooks we have
 * (seen with `--setting-sources=user`), so a mode or a rule of this request could allow it. A hook
 * of the settings is there from the start. Where those are the operator's, the tool is denied.
 */
function deadCallArgs(calls: readonly DeadCall[], args: readonly string[]): readonly string[] {
  if (calls.length === 0) return [];
  const hasSettings = args.some((arg) => arg === '--settings' || arg.startsWith('--settings='));
  if (hasSettings || !calls.every(({ callId }) => CALL_ID.test(callId)))
    return calls.map(({ tool }) => `--disallowedTools=${tool}`);
  const answer = JSON.stringify({
    hookSpecificOutput: {
      hookEventName: 'PreToolUse',
      permissionDecision: 'deny',
      permissionDecisionReason: OVER,
    },
  });
  const ids = calls.map(({ callId }) => `*${callId}*`).join('|');
  const command = `case "$(cat)" in ${ids}) printf %s '${answer}';; esac`;
  const hooks = { PreToolUse: [{ matcher: '*', hooks: [{ type: 'command', command, timeout: 60 }] }] };
  return [`--settings=${JSON.stringify({ hooks })}`];
}

const flag = (name: string, value: string | number | null): readonly string[] =>
  value === null ? [] : [`${name}=${value}`];

/**
 * Without this a resumed session repeats the system prompt it recorded and ignores what is
 * appended now.
 */
const snapshotArgs = (text: string | null, resumed: string | null): readonly string[] =>
  text === null || resumed === null ? [] : ['--system-prompt-snapshot=off'];

/**
 * The first message, as the vendor's own SDK sends it. The CLI loads its commands, agents and
 * settings then, before the prompt. It carries the caller's texts: as `--append-system-prompt` and
 * `--json-schema` they would be visible to every user of the machine.
 */
const hello = ({ appendSystemPrompt, outputSchema }: ResolvedPrompt, watches: boolean): string => {
  const request = {
    subtype: 'initialize',
    ...(watches ? { hooks: HOOKS } : {}),
    ...(appendSystemPrompt === null ? {} : { appendSystemPrompt }),
    ...(outputSchema === null ? {} : { jsonSchema: withoutDialect(outputSchema) }),
  };
  return `${JSON.stringify({ type: 'control_request', request_id: HELLO_ID, request })}\n`;
};

/** Never with an exponent. */
const plainDecimal = (value: number): string =>
  value.toLocaleString('en-US', { useGrouping: false, maximumFractionDigits: 12 });

/** The CLI names the message by its `uuid` when it reports which turn answers it. */
function userMessage(content: string, uuid: string | undefined): string {
  return `${JSON.stringify({ type: 'user', uuid, message: { role: 'user', content } })}\n`;
}

function commandEnv(request: ResolvedPrompt, options: ClaudeCommandOptions): Record<string, string> {
  return {
    ...sharedEnv(request.permissionMode, options),
    // `@/etc/passwd` in a prompt would read the file without asking for any permission.
    ...(request.prompt.includes('@') ? { CLAUDE_CODE_DISABLE_ATTACHMENTS: '1' } : {}),
  };
}

/** What a job and a terminal have in common. */
export const sharedEnv = (
  mode: PermissionMode,
  { maxRetries, allowRootFullAccess }: Pick<ClaudeCommandOptions, 'maxRetries' | 'allowRootFullAccess'>,
): Record<string, string> => ({
  ...(maxRetries === null ? {} : { CLAUDE_CODE_MAX_RETRIES: String(maxRetries) }),
  ...(mode === 'fullAccess' && allowRootFullAccess ? { IS_SANDBOX: '1' } : {}),
});

/** `providerOptions` of a job for claude. */
const ClaudeOptions = Type.Object(
  {
    fallbackModel: Type.Optional(
      Type.String({
        pattern: `^${MODEL_PATTERN}(,${MODEL_PATTERN}){0,4}$`,
        description: 'models to use when the main one is overloaded, comma-separated, in order',
      }),
    ),
  },
  closed,
);
type ClaudeOptions = Static<typeof ClaudeOptions>;

const checker = createChecker(ClaudeOptions);

/** The options, or the problems with them. */
export function readClaudeOptions(
  value: Readonly<Record<string, unknown>>,
): { readonly options: ClaudeOptions } | { readonly problems: readonly Unsupported[] } {
  const options: unknown = value;
  if (checker.check(options)) return { options };
  const known = Object.keys(ClaudeOptions.properties);
  const problems = Object.keys(value)
    .filter((name) => !known.includes(name))
    .map((name) => ({ option: `providerOptions.${name}`, reason: `claude has only ${known.join(', ')}` }));
  if (problems.length > 0) return { problems };
  return {
    problems: [...checker.errors(options)].map((error) => ({
      option: `providerOptions${error.instancePath.replaceAll('/', '.')}`,
      reason: error.message,
    })),
  };
}

function fallbackModelOf(request: ResolvedPrompt): string | null {
  const read = readClaudeOptions(request.providerOptions);
  if ('options' in read) return read.options.fallbackModel ?? null;
  const [problem] = read.problems;
  throw new AppError('provider.unsupported_option', `${problem?.option}: ${problem?.reason}`);
}
