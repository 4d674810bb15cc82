import { describe, expect, it } from 'vitest';
import { blocksOf } from '../../../src/page/transcript/blocks.ts';
import { colouredText, visibleText } from '../../../src/page/transcript/hostile.ts';
import { changesOf, summaryOf, todosOf } from '../../../src/page/transcript/tool-calls.ts';

const PATCH = `*** Begin Patch
*** Update File: src/a.ts
@@ function a
 keep
-old
+new
*** Add File: src/b.ts
+first
*** End Patch
`;

describe('the line of a tool call', () => {
  it.each([
    ['Bash', { command: 'npm test\n&& echo done', description: 'Run' }, 'npm test && echo done'],
    ['shell', { command: ['bash', '-lc', 'ls'] }, 'bash -lc ls'],
    ['Read', { file_path: '/srv/a.ts', limit: 10 }, '/srv/a.ts'],
    ['Grep', { pattern: 'foo', path: 'src' }, 'foo in src'],
    ['WebFetch', { url: 'https://example.org', prompt: 'x' }, 'https://example.org'],
    ['mcp__x__y', { first: 1, second: 'words' }, 'words'],
    ['apply_patch', { input: PATCH }, 'src/a.ts, src/b.ts'],
    ['Odd', null, ''],
    ['Odd', 7, ''],
  ])('of %s %o says %s', (name, input, line) => {
    expect(summaryOf(name, input)).toBe(line);
  });

  it('is short, and obeys nothing', () => {
    expect(summaryOf('Bash', { command: 'x'.repeat(1e6) }).length).toBeLessThan(310);
    expect(summaryOf('Bash', { command: '\x1b[2J\x1b]0;title\x07echo \u202egpj.exe' })).toBe(
      'echo ⟨U+202E⟩gpj.exe',
    );
  });
});

describe('the changes of a tool call', () => {
  it('are the lines that differ', () => {
    expect(changesOf('Edit', { file_path: 'a', old_string: 'x\ny', new_string: 'x\nz' })).toEqual([
      {
        path: 'a',
        lines: [
          { kind: 'same', text: 'x' },
          { kind: 'removed', text: 'y' },
          { kind: 'added', text: 'z' },
        ],
      },
    ]);
  });

  it('are every edit of several, and every line of a new file', () => {
    const edits = [
      { old_string: 'a', new_string: 'b' },
      { old_string: 'c', new_string: 'd' },
    ];
    const kinds = changesOf('MultiEdit', { file_path: 'a', edits })?.[0]?.lines.map(({ kind }) => kind);
    expect(kinds).toEqual(['removed', 'added', 'removed', 'added']);
    expect(changesOf('Write', { file_path: 'a', content: '1\n2\n' })?.[0]?.lines).toEqual([
      { kind: 'added', text: '1' },
      { kind: 'added', text: '2' },
    ]);
  });

  it('are those of each file of a patch', () => {
    expect(changesOf('apply_patch', { input: PATCH })).toEqual([
      {
        path: 'src/a.ts',
        lines: [
          { kind: 'place', text: '@@ function a' },
          { kind: 'same', text: 'keep' },
          { kind: 'removed', text: 'old' },
          { kind: 'added', text: 'new' },
        ],
      },
      { path: 'src/b.ts', what: 'add', lines: [{ kind: 'added', text: 'first' }] },
    ]);
  });

  it('are those of codex: a diff, or the content of a file that is new or goes', () => {
    const change = (kind: unknown, diff: string) =>
      changesOf('file_change', { changes: [{ path: 'a', kind, diff }] })?.[0];
    expect(change({ type: 'add' }, 'hi\n')).toEqual({
      ...{ path: 'a', what: 'add', lines: [{ kind: 'added', text: 'hi' }] },
    });
    expect(change({ type: 'delete' }, '-- x')).toEqual({
      ...{ path: 'a', what: 'delete', lines: [{ kind: 'removed', text: '-- x' }] },
    });
    const diff = '--- a/x\n+++ b/x\n@@ -1,2 +1,2 @@\n--- drop\n+++ more\n kept\nodd';
    expect(change({ type: 'update', move_path: 'b' }, diff)).toEqual({
      path: 'a',
      what: 'move to b',
      lines: [
        { kind: 'place', text: '@@ -1,2 +1,2 @@' },
        { kind: 'removed', text: '-- drop' },
        { kind: 'added', text: '++ more' },
        { kind: 'same', text: 'kept' },
        { kind: 'same', text: 'odd' },
      ],
    });
    const moved = '*** Begin Patch\n*** Update File: a\n*** Move to: b\n@@\n-x\n*** End Patch';
    expect(changesOf('apply_patch', moved)?.[0]).toMatchObject({ path: 'a', what: 'move to b' });
  });

  it('are found in bounded time for texts that have nothing in common', () => {
    const lines = (word: string) => Array.from({ length: 20_000 }, (_, i) => `${word} ${i}`).join('\n');
    const [change] =
      changesOf('Edit', { file_path: 'a', old_string: lines('x'), new_string: lines('y') }) ?? [];
    expect(change?.lines).toHaveLength(40_000);
  });

  it('are none for another call', () => {
    expect(changesOf('Read', { file_path: 'a' })).toBeNull();
    expect(changesOf('Bash', { command: 'ls' })).toBeNull();
    expect(changesOf('Write', null)).toBeNull();
  });
});

it('things to do have a text and a state', () => {
  const todos = [
    { content: 'one', status: 'completed' },
    { content: 'two', status: 'in_progress' },
    { content: 'three', status: 'pending' },
  ];
  expect(todosOf('TodoWrite', { todos })?.map(({ status }) => status)).toEqual(['done', 'running', 'open']);
  expect(summaryOf('TodoWrite', { todos })).toBe('1 of 3 done');
});

describe('text of programs', () => {
  it('keeps its colours only', () => {
    expect(colouredText('\x1b[31mred\x1b[0m\x1b[2J\x1b[H\x1b]8;;http://x\x07link\x1b]8;;\x07\x1bc\x07')).toBe(
      '\x1b[31mred\x1b[0mlink',
    );
    expect(visibleText('\x1b[31mred\x1b[0m \x9b2Jx\0')).toBe('red x');
  });

  it('shows what a progress bar has left', () => {
    expect(colouredText('10 %\r50 %\r100 %\r\nnext')).toBe('100 %\nnext');
  });
});

it('a Markdown text is cut between its blocks', () => {
  const text = '# A\n\none\n\n```\na\n\nb\n```\n\n- x\n\n- y\n\ntwo';
  const { blocks } = blocksOf(text);
  expect(blocks).toEqual(['# A', 'one', '```\na\n\nb\n```', '- x\n\n- y', 'two']);
  // However it comes, the blocks are those of the whole text.
  let grown = blocksOf('');
  for (let length = 1; length <= text.length; length += 1) {
    grown = blocksOf(text.slice(0, length), grown);
    expect(grown.blocks).toEqual(blocksOf(text.slice(0, length)).blocks);
  }
  expect(blocksOf('another text', grown).blocks).toEqual(['another text']);
});
