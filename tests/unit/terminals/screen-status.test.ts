import { describe, expect, it } from 'vitest';
import type { ScreenPattern } from '../../../src/providers/interactive.ts';
import { createScreenMatcher } from '../../../src/terminals/screen-status.ts';

const PATTERNS: readonly ScreenPattern[] = [
  { status: 'awaiting_input', pattern: /do you trust the files/, source: 'seen' },
  { status: 'awaiting_auth', pattern: /api key/g, early: true, source: 'documented' },
  { status: 'busy', pattern: /esc to interrupt/, source: 'seen' },
  { status: 'ready', pattern: /^> |\? for shortcuts/, source: 'seen' },
];

describe('what a screen says', () => {
  it('is what the first matching pattern says, with its line', () => {
    const look = createScreenMatcher(PATTERNS);
    expect(look(['Welcome', '', 'Do you trust the files here?', 'Set an API key'])).toEqual({
      status: 'awaiting_input',
      line: 'Do you trust the files here?',
    });
  });

  it('is nothing when no pattern matches', () => {
    expect(createScreenMatcher(PATTERNS)(['Loading', ''])).toBeNull();
    expect(createScreenMatcher([])(['> '])).toBeNull();
  });

  it('does not depend on case, frames, blanks and the ends of lines', () => {
    const look = createScreenMatcher(PATTERNS);
    const screen = [
      '╭──────────────╮',
      '│  DO YOU      │',
      '│ Trust   the  │',
      '│ files in it? │',
      '╰──────────────╯',
    ];
    expect(look(screen)).toEqual({ status: 'awaiting_input', line: 'DO YOU' });
    expect(look(['| Esc to    interrupt |'])).toEqual({ status: 'busy', line: 'Esc to interrupt' });
  });

  it('keeps a pipe inside of a line', () => {
    const look = createScreenMatcher([{ status: 'ready', pattern: /a \| b/, source: 'seen' }]);
    expect(look(['| a | b |'])?.line).toBe('a | b');
  });

  it('leaves out early patterns from the first readiness on', () => {
    const look = createScreenMatcher(PATTERNS);
    const screen = ['Your API key is missing', 'esc to interrupt'];
    expect(look(screen)?.status).toBe('awaiting_auth');
    expect(look(screen)?.status).toBe('awaiting_auth');
    expect(look(['? for shortcuts'])?.status).toBe('ready');
    expect(look(screen)).toEqual({ status: 'busy', line: 'esc to interrupt' });
  });

  it('names the line in which the match begins', () => {
    const look = createScreenMatcher([{ status: 'ready', pattern: /two three/, source: 'seen' }]);
    expect(look(['one', 'two', 'three'])?.line).toBe('two');
    expect(look(['', 'two three', 'four'])?.line).toBe('two three');
  });
});
