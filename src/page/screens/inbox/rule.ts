/** The rule that allows calls like one that a person allows. */
import type { Approval } from '../../../protocol/approval.ts';

/** The tools of claude and codex that run a command. */
const SHELLS = ['Bash', 'shell'];
/** A command of one program, whose second word may be what it does. */
const SIMPLE = /^([\w.+-]+)(?: ([a-z][a-z-]*)(?= |$))?(?: [^;&|<>$`()\n\\]*)?$/;

/**
 * `Bash(git push *)`, or the tool's name. Empty: no rule covers such calls without covering much
 * else.
 */
export function ruleLike({ tool, input }: Pick<Approval, 'tool' | 'input'>): string {
  const command = commandOf(input);
  if (command === null || !SHELLS.includes(tool)) return tool;
  const [, program, action] = SIMPLE.exec(command.trim()) ?? [];
  if (program === undefined) return '';
  return action === undefined ? `${tool}(${program} *)` : `${tool}(${program} ${action} *)`;
}

/** The command of a call; null: it runs none. */
export function commandOf(input: unknown): string | null {
  if (typeof input !== 'object' || input === null || !('command' in input)) return null;
  return typeof input.command === 'string' ? input.command : null;
}
