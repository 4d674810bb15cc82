/**
 * The command line, the rules for tools, and what a workspace's own files may do (gemini 0.61.0).
 */
import type { PermissionMode, ResolvedPrompt } from '../../protocol/prompt.ts';
import { asPlainText, type BuiltInOptions, checkedSessionId } from '../built-in.ts';
import type { Command, CommandContext, PrivatePath } from '../provider.ts';

const POLICY_FILE = 'tools.toml';

/** Always passed: without a flag the user's own `general.defaultApprovalMode` would decide. */
const PERMISSION_ARGS: Readonly<Record<PermissionMode, string>> = {
  default: '--approval-mode=default',
  plan: '--approval-mode=plan',
  acceptEdits: '--approval-mode=auto_edit',
  fullAccess: '--approval-mode=yolo',
};

/**
 * The command line for a request. Pure. Every value is joined to its flag by `=`: no value can be
 * read as a flag. A session can be resumed only in the folder where it was begun.
 *
 * @throws AppError execution.invalid_request when the session id to resume is not one of gemini's
 */
export function geminiCommand(
  request: ResolvedPrompt,
  context: CommandContext,
  options: Pick<BuiltInOptions, 'args' | 'modes'>,
): Command {
  const shared = sharedCommand(request, context, options);
  const sessionId = checkedSessionId('gemini', context.nativeSessionId);
  return {
    ...shared,
    args: [
      '--output-format=stream-json',
      ...shared.args,
      ...(sessionId === null ? [] : [`--resume=${sessionId}`]),
    ],
    stdin: asPlainText(request.prompt),
    env: {
      // Without it the CLI runs itself as a child, and signals to the started process do not reach
      // the child.
      GEMINI_CLI_NO_RELAUNCH: 'true',
      NO_COLOR: '1',
      ...shared.env,
    },
  };
}

/** What a job and a terminal have in common. */
export function sharedCommand(
  {
    model,
    permissionMode: mode,
    allowedTools: allowed,
    disallowedTools: denied,
  }: Pick<ResolvedPrompt, 'model' | 'permissionMode' | 'allowedTools' | 'disallowedTools'>,
  {
    trustedWorkspace: trusted,
    privatePaths = [],
    scratchDir,
  }: Pick<CommandContext, 'trustedWorkspace' | 'privatePaths' | 'scratchDir'>,
  options: Pick<BuiltInOptions, 'args' | 'modes'>,
): Pick<Command, 'args' | 'env' | 'files'> {
  const own = options.modes[mode];
  const listed = { allowed, denied, privatePaths };
  const policy = toolPolicy(trusted || own !== undefined ? listed : modeRules(mode, listed));
  return {
    args: [
      ...(trusted ? ['--skip-trust'] : []),
      ...options.args,
      ...(own ?? [PERMISSION_ARGS[trusted ? mode : 'default']]),
      // A policy on the command line replaces the user's own policies, so they are named too.
      ...(policy === null ? [] : [`--policy=${scratchDir}/${POLICY_FILE}`, '--policy=~/.gemini/policies']),
      ...(model === null ? [] : [`--model=${model}`]),
    ],
    env: { GEMINI_CLI_TRUST_WORKSPACE: String(trusted) },
    ...(policy === null ? {} : { files: { [POLICY_FILE]: policy } }),
  };
}

/**
 * Each mode as rules, for a workspace that is not trusted. `plan` stays read-only for every list
 * of tools.
 *
 * Only with GEMINI_CLI_TRUST_WORKSPACE=false does the CLI ignore all files of a workspace:
 * settings with their hooks, MCP servers and commands, `.gemini/.env`, agents, GEMINI.md. With
 * `--skip-trust` it trusts the workspace before it looks for a login, and reads `.gemini/.env`:
 * that file can send the key elsewhere (GOOGLE_GEMINI_BASE_URL) or load code into child processes
 * (LD_PRELOAD).
 *
 * Consequences:
 * - The CLI exits with 55 unless its user has `security.folderTrust.enabled: false` in
 *   ~/.gemini/settings.json. There is no flag and no variable for that.
 * - It has only the default mode there. The other modes are rules of its policy engine.
 * - From a plain `.env` it still reads the names of a login that the server does not set
 *   (GEMINI_API_KEY, GOOGLE_API_KEY, GOOGLE_CLOUD_PROJECT, GOOGLE_CLOUD_LOCATION), unless its user
 *   has `advanced.ignoreLocalEnv: true`.
 */
function modeRules(mode: PermissionMode, listed: ToolRules): ToolRules {
  switch (mode) {
    case 'default':
      return listed;
    case 'plan':
      return { ...listed, allowed: [], denied: [...CHANGING_TOOLS, ...listed.denied] };
    case 'acceptEdits':
      return { ...listed, allowed: ['write_file', 'replace', 'web_fetch', ...listed.allowed] };
    case 'fullAccess':
      return { ...listed, allowed: ['*'] };
  }
}

const SHELL = 'run_shell_command';
const PLAIN = /^[A-Za-z_][\w-]*$/;
/**
 * The shell with the beginning of a command line. A `*` at its end means the same; elsewhere it is
 * refused.
 */
const WITH_COMMAND =
  /^run_shell_command\(([\x20-\x29\x2b-\x7e]*[\x21-\x29\x2b-\x39\x3b-\x7e])(?:\s*:?\*)?\)$/;

/**
 * Built-in tools that change or start something. The mode decides which of them the model is
 * offered.
 */
export const CHANGING_TOOLS: readonly string[] = [
  SHELL,
  'write_file',
  'replace',
  'web_fetch',
  'activate_skill',
];

/** Above every rule of the user's own. */
const DENY_PRIORITY = 999;
/** Below them: what the user's own settings deny stays denied. */
const ALLOW_PRIORITY = 1;
/** Not in `plan`, which stays read-only. */
const ALLOWED_IN = 'modes = ["default", "autoEdit", "yolo"]';

/** Whether the CLI can have a rule for this tool. */
export const isToolRule = (tool: string): boolean => PLAIN.test(tool) || WITH_COMMAND.test(tool);

/** Tools by name; `*` among the allowed: all. */
interface ToolRules {
  readonly allowed: readonly string[];
  readonly denied: readonly string[];
  readonly privatePaths: readonly PrivatePath[];
}

/**
 * The rules as a TOML file of the CLI's policy engine; null when there are none. Each tool but `*`
 * must satisfy {@link isToolRule}. https://geminicli.com/docs/core/policy-engine
 */
function toolPolicy({ allowed, denied, privatePaths }: ToolRules): string | null {
  const rules = [
    ...allowed.map((tool) => [
      ...match(tool),
      'decision = "allow"',
      `priority = ${ALLOW_PRIORITY}`,
      ALLOWED_IN,
    ]),
    ...denied.map((tool) => [...match(tool), 'decision = "deny"', `priority = ${DENY_PRIORITY}`]),
    ...privatePaths.map((path) => [
      'toolName = "*"',
      `argsPattern = ${JSON.stringify(mention(path))}`,
      'decision = "deny"',
      `priority = ${DENY_PRIORITY}`,
    ]),
  ];
  return rules.length === 0 ? null : rules.map((lines) => `[[rule]]\n${lines.join('\n')}\n`).join('\n');
}

/**
 * A regular expression for a tool's arguments as JSON that name a private path. The CLI's own tools
 * do not leave the workspace; this is for its shell, and for what lies in the workspace. A command
 * can name a file in more ways than these.
 */
function mention({ real, written }: PrivatePath): string {
  const ways = [real, ...written].map((path) => {
    const text = JSON.stringify(path).slice(1, -1);
    const escaped = text.replace(/[\\^$.*+?()[\]{}|/]/g, '\\$&');
    return /^[/~$]/.test(path) ? escaped : `(?<![\\w/.-])${escaped}`;
  });
  return `(?:${ways.join('|')})(?![\\w-])`;
}

/** A JSON string of printable ASCII is a TOML string, too. */
function match(tool: string): readonly string[] {
  if (tool === '*') return ['toolName = "*"', 'allowRedirection = true'];
  const command = WITH_COMMAND.exec(tool)?.[1];
  return command === undefined
    ? [`toolName = ${JSON.stringify(tool)}`]
    : [`toolName = "${SHELL}"`, `commandPrefix = ${JSON.stringify(command)}`];
}
