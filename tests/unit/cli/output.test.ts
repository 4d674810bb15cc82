import { describe, expect, it } from 'vitest';
import { oneLine, renderTable, visible } from '../../../src/cli/format.ts';
import { createOutput } from '../../../src/cli/output.ts';
import { screen } from './harness.ts';

const ESCAPE = '\u001b';
const HOSTILE = `a${ESCAPE}]52;c;cm0gLXJm\u0007b\rc\bd\u009b2Je\u202ef`;

function outputOn(kind: { terminal: boolean; env?: Record<string, string> }) {
  const stdout = screen(kind.terminal);
  const stderr = screen(kind.terminal);
  return { stdout, stderr, output: createOutput({ stdout, stderr, env: kind.env ?? {} }) };
}

describe('text on a terminal', () => {
  it('cannot command it: what it would obey is spelled out', () => {
    expect(visible(HOSTILE)).toBe('a\\u001b]52;c;cm0gLXJm\\u0007b\\u000dc\\u0008d\\u009b2Je\\u202ef');
  });

  it('keeps newlines, tabs and every other script and sign', () => {
    const text = 'naïve 日本語 🐂\ttab\n\nend\u200d';
    expect(visible(text)).toBe(text);
    expect(visible('dos\r\nfile')).toBe('dos\nfile');
  });

  it('is made harmless there, and left as it is in a file', () => {
    const terminal = outputOn({ terminal: true });
    terminal.output.text(HOSTILE);
    expect(terminal.stdout.written).not.toContain(ESCAPE);
    const file = outputOn({ terminal: false });
    file.output.text(HOSTILE);
    expect(file.stdout.written).toBe(HOSTILE);
  });

  it('is made harmless in JSON without breaking it', () => {
    const { output, stdout } = outputOn({ terminal: true });
    output.json({ text: HOSTILE });
    expect(stdout.written).not.toMatch(/[\u0007\u001b\u009b\u202e]/);
    expect(JSON.parse(stdout.written)).toEqual({ text: HOSTILE });
  });
});

describe('notes', () => {
  it('are one harmless line on stderr, wherever that goes', () => {
    const { output, stdout, stderr } = outputOn({ terminal: false });
    output.note(`tool ${HOSTILE}\nsecond`, 'dim');
    expect(stdout.written).toBe('');
    expect(stderr.written.split('\n')).toHaveLength(2);
    expect(stderr.written).not.toMatch(/[\u0007\u001b\r]/);
  });

  it('begin a new line on a terminal that shows half a line of text, and never put one into a file', () => {
    const both = outputOn({ terminal: true });
    both.output.text('half');
    both.output.note('tool');
    both.output.text('more');
    expect(both.stdout.written).toBe('half\nmore');
    const file = outputOn({ terminal: false });
    file.output.text('half');
    file.output.note('tool');
    file.output.text(' more');
    expect(file.stdout.written).toBe('half more');
  });

  it.each([
    ['a terminal', true, {}, true],
    ['a terminal with NO_COLOR', true, { NO_COLOR: '1' }, false],
    ['a terminal with an empty NO_COLOR', true, { NO_COLOR: '' }, true],
    ['a dumb terminal', true, { TERM: 'dumb' }, false],
    ['a file', false, {}, false],
    ['a file with FORCE_COLOR', false, { FORCE_COLOR: '1' }, false],
  ])('on %s', (_where, terminal, env, coloured) => {
    const { output, stderr } = outputOn({ terminal, env });
    output.note('hello', 'red');
    expect(stderr.written.includes(ESCAPE)).toBe(coloured);
    expect(output.paint('red', 'x').includes(ESCAPE)).toBe(coloured);
  });
});

describe('one line', () => {
  it('has its white space folded and is cut at whole characters', () => {
    expect(oneLine('  a\n\n b\t c ')).toBe('a b c');
    expect(oneLine('🐂🐂🐂🐂', 3)).toBe('🐂🐂…');
    expect(oneLine('abc', 3)).toBe('abc');
  });
});

describe('a table', () => {
  interface Row {
    readonly name: string;
    readonly count: number;
  }
  const columns = [
    { title: 'NAME', cell: ({ name }: Row) => name },
    { title: 'N', cell: ({ count }: Row) => String(count), right: true },
    { title: 'LAST', cell: ({ name }: Row) => name.repeat(3), maxWidth: 8 },
  ];
  const rows = [
    { name: 'a', count: 1 },
    { name: 'long\nname', count: 1000 },
  ];

  it('is aligned, one line for each row', () => {
    expect(renderTable(columns, rows, null)).toEqual([
      'NAME          N  LAST',
      'a             1  aaa',
      'long name  1000  long na…',
    ]);
  });

  it('is no wider than the terminal, and escapes what a cell holds', () => {
    const lines = renderTable(columns, [{ name: `x${ESCAPE}[2J`, count: 1 }], 15);
    expect(lines.every((line) => line.length <= 15)).toBe(true);
    expect(lines[1]).toMatch(/^x\\u001b\[2J /);
  });
});
