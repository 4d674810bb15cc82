/** What the screen of a terminal says about its program. */
import type { TerminalTrigger } from '../protocol/session.ts';
import type { ScreenPattern } from '../providers/interactive.ts';

export interface ScreenMatch {
  readonly status: ScreenPattern['status'];
  /** The line with the first matched character, without its frame. */
  readonly line: string;
}

/** The trigger of the session's table for each status that a screen can show. */
export const TRIGGER_OF: Readonly<Record<ScreenPattern['status'], TerminalTrigger>> = {
  awaiting_auth: 'auth_required',
  awaiting_input: 'asked',
  busy: 'started',
  ready: 'idle',
};

/** Lines and blocks that programs draw boxes with; `|` only at the ends of a line. */
const FRAME = /[\u2500-\u259f]|^\s*\|+|\|+\s*$/g;

/**
 * Returns a function for the screens of one terminal, in the order in which they were shown. It
 * returns what the first matching pattern says, or null: the program is as it was.
 * @param lines of the visible screen, from top to bottom; a line that the terminal has wrapped
 *   counts as one
 */
export function createScreenMatcher(
  patterns: readonly ScreenPattern[],
): (lines: readonly string[]) => ScreenMatch | null {
  let wasReady = false;
  const compiled = patterns.map(({ pattern, ...rest }) => ({
    ...rest,
    pattern: new RegExp(pattern.source, [...new Set(`${pattern.flags.replace(/[gy]/g, '')}i`)].join('')),
  }));

  return (lines) => {
    const cleaned = lines.map((line) => line.replace(FRAME, ' ').replace(/\s+/g, ' ').trim());
    const shown = cleaned.filter((line) => line !== '');
    const text = shown.join(' ');
    for (const { status, pattern, early } of compiled) {
      if (early === true && wasReady) continue;
      const found = pattern.exec(text);
      if (found === null) continue;
      wasReady ||= status === 'ready';
      return { status, line: lineAt(shown, found.index) };
    }
    return null;
  };
}

/** The line that has the character at `index` of the lines joined by single spaces. */
function lineAt(lines: readonly string[], index: number): string {
  let end = 0;
  for (const line of lines) {
    end += line.length + 1;
    if (index < end) return line;
  }
  return '';
}
