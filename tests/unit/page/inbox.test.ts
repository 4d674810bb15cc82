import { expect, test } from 'vitest';
import { commandOf, ruleLike } from '../../../src/page/screens/inbox/rule.ts';

test.each([
  ['Bash', { command: 'git push origin main' }, 'Bash(git push *)'],
  ['Bash', { command: 'ls -la' }, 'Bash(ls *)'],
  ['Bash', { command: 'a && b' }, ''],
  ['Edit', { file_path: 'a' }, 'Edit'],
])('%s of %j has the rule %s', (tool, input, rule) => {
  expect(ruleLike({ tool, input })).toBe(rule);
});

test('only a text is a command', () => {
  expect([commandOf({ command: 'ls' }), commandOf({ command: ['ls'] }), commandOf(null)]).toEqual([
    'ls',
    null,
    null,
  ]);
});
