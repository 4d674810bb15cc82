/** Lists of tools as a file of the CLI's policy engine. https://geminicli.com/docs/core/policy-engine */

const SHELL = 'run_shell_command';
const PLAIN = /^[A-Za-z_][\w-]*$/;
/** The shell with the beginning of a command line; a `*` at its end means the same, and elsewhere nothing. */
const WITH_COMMAND =
  /^run_shell_command\(([\x20-\x29\x2b-\x7e]*[\x21-\x29\x2b-\x39\x3b-\x7e])(?:\s*:?\*)?\)$/;

/** Built-in tools that change or start something: which of them the model is offered depends on the mode. */
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
/** `plan` stays read-only, whatever is allowed beside it. */
const ALLOWED_IN = 'modes = ["default", "autoEdit", "yolo"]';

/** Whether the CLI can tell this tool from others. */
export const isToolRule = (tool: string): boolean => PLAIN.test(tool) || WITH_COMMAND.test(tool);

/** Tools by name; `*` among the allowed: all. */
export interface ToolRules {
  readonly allowed: readonly string[];
  readonly denied: readonly string[];
}

/** The rules as TOML; null when there are none. Each tool but `*` must satisfy {@link isToolRule}. */
export function toolPolicy({ allowed, denied }: ToolRules): string | null {
  const rules = [
    ...allowed.map((tool) => [
      ...match(tool),
      'decision = "allow"',
      `priority = ${ALLOW_PRIORITY}`,
      ALLOWED_IN,
    ]),
    ...denied.map((tool) => [...match(tool), 'decision = "deny"', `priority = ${DENY_PRIORITY}`]),
  ];
  return rules.length === 0 ? null : rules.map((lines) => `[[rule]]\n${lines.join('\n')}\n`).join('\n');
}

/** A JSON string of printable ASCII is a TOML string too. */
function match(tool: string): readonly string[] {
  if (tool === '*') return ['toolName = "*"', 'allowRedirection = true'];
  const command = WITH_COMMAND.exec(tool)?.[1];
  return command === undefined
    ? [`toolName = ${JSON.stringify(tool)}`]
    : [`toolName = "${SHELL}"`, `commandPrefix = ${JSON.stringify(command)}`];
}
