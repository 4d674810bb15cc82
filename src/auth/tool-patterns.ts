/**
 * Whether one pattern of tools covers another: `Bash(git *)` covers `Bash(git log *)`. When in
 * doubt it does not.
 */

/** Tools whose rule is a command line. */
const SHELLS = new Set(['Bash', 'PowerShell', 'Shell', 'ShellTool', 'run_shell_command', 'shell']);
/** A wildcard of a command line does not match a second command. */
const SECOND_COMMAND = /[;&|<>$`]/;

export const covers = (granted: readonly string[], asked: string): boolean =>
  granted.some((pattern) => coversOne(pattern, asked));

function coversOne(granted: string, asked: string): boolean {
  if (granted === asked) return true;
  const [allowed, wanted] = [partsOf(granted), partsOf(asked)];
  if (!matches(allowed.tool, wanted.tool, () => true)) return false;
  if (allowed.rule === null) return true;
  if (wanted.rule === null || wanted.rule.split(/[/\\\s]/).includes('..')) return false;
  // In a path, one star is a part of a name, and two are folders, too.
  const inPath = (character: string, stars: number): boolean => character !== '/' || stars > 1;
  const inCommand = (character: string): boolean => !SECOND_COMMAND.test(character);
  return matches(allowed.rule, wanted.rule, SHELLS.has(wanted.tool) ? inCommand : inPath);
}

/** `Bash(git *)` as `Bash` and `git *`. */
function partsOf(pattern: string): { readonly tool: string; readonly rule: string | null } {
  const [, tool = pattern, rule = null] = /^([^(]*)\((.*)\)$/s.exec(pattern) ?? [];
  return { tool, rule };
}

/**
 * Whether a pattern matches a text, in which a star is no more than a character.
 * @param isFor whether so many stars in a row may match a character
 */
function matches(
  pattern: string,
  text: string,
  isFor: (character: string, stars: number) => boolean,
): boolean {
  const parts = pattern.match(/\*+|[^*]/g) ?? [];
  /** How much of the text the parts so far match: each possible length. */
  let reached = new Set([0]);
  for (const part of parts) {
    const next = new Set<number>();
    for (const at of reached) {
      if (!part.startsWith('*')) {
        if (text[at] === part) next.add(at + 1);
        continue;
      }
      next.add(at);
      for (let to = at; to < text.length && isFor(text[to] ?? '', part.length); to += 1) {
        if (next.has(to + 1)) break;
        next.add(to + 1);
      }
    }
    reached = next;
  }
  return reached.has(text.length);
}
