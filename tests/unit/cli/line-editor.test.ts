import { describe, expect, it, onTestFinished } from 'vitest';
import { createLineEditor } from '../../../src/cli/line-editor.ts';
import { createOutput } from '../../../src/cli/output.ts';
import { eventually } from '../../helpers/eventually.ts';
import { keyboard, screen } from './harness.ts';

const [CTRL_C, CTRL_D, CTRL_U] = ['\u0003', '\u0004', '\u0015'];
const PASTE = { begin: '\u001b[200~', end: '\u001b[201~' };

function open() {
  const { keys, type } = keyboard();
  const stdout = screen(true);
  const stderr = screen(true);
  const output = createOutput({ stdout, stderr, env: {} });
  let interrupts = 0;
  const onCtrlC = (): void => {
    interrupts += 1;
  };
  const editor = createLineEditor({ input: keys, screen: stderr, output, prompt: '> ', onCtrlC });
  onTestFinished(() => editor[Symbol.dispose]());
  return { editor, output, type, stdout, stderr, interrupts: () => interrupts };
}

describe('lines that a person types', () => {
  it('come one by one, with a prompt while one is waited for', async () => {
    const { editor, type, stderr } = open();
    editor.show(true);
    const next = editor.next();
    expect(stderr.written).toContain('> ');
    type('hello\r');
    expect(await next).toBe('hello');
    type('again\r');
    expect(await editor.next()).toBe('again');
  });

  it('show themselves at the first key, and hold the output until they are sent', async () => {
    const { editor, output, type, stdout, stderr } = open();
    const next = editor.next();
    expect(stderr.written).not.toContain('> ');
    output.text('before ');
    type('st');
    await eventually(() => stderr.written.includes('> ') && stderr.written.includes('t'));
    output.text('after');
    expect(stdout.written).toBe('before \n');
    type('eer\r');
    expect(await next).toBe('steer');
    expect(stdout.written).toBe('before \nafter');
  });

  it('may be pasted with line breaks, and are sent by Enter only', async () => {
    const { editor, type } = open();
    editor.show(true);
    const next = editor.next();
    type(`${PASTE.begin}one\ntwo${PASTE.end}`);
    type(' and three\r');
    expect(await next).toBe('one\ntwo and three');
  });

  it('keep the text of a paste whose control characters would be keys', async () => {
    const { editor, type, interrupts } = open();
    editor.show(true);
    const next = editor.next();
    type(`${PASTE.begin}one\n${CTRL_D}${CTRL_C}${CTRL_U}\u001a\u001e\u001ftwo${PASTE.end}\r`);
    expect(await next).toBe('one\ntwo');
    expect(interrupts()).toBe(0);
  });

  it('are cleared by Ctrl-C; an empty one is an interrupt, and Ctrl-D the end', async () => {
    const { editor, type, interrupts } = open();
    editor.show(true);
    const next = editor.next();
    type('wrong');
    type(CTRL_C);
    expect(interrupts()).toBe(0);
    type('right\r');
    expect(await next).toBe('right');
    const last = editor.next();
    type(CTRL_C);
    await eventually(() => interrupts() === 1);
    type(CTRL_D);
    expect(await last).toBeUndefined();
  });
});

describe('questions', () => {
  it('take the line before the conversation does, one after the other', async () => {
    const { editor, type, stderr } = open();
    editor.show(true);
    const next = editor.next();
    const answers = [editor.ask('first? '), editor.ask('second? ')];
    expect(stderr.written).toContain('first? ');
    expect(stderr.written).not.toContain('second? ');
    type('1\r');
    expect(await answers[0]).toBe('1');
    type('2\r');
    expect(await answers[1]).toBe('2');
    type('a message\r');
    expect(await next).toBe('a message');
  });

  it('are not answered by keys that came before them', async () => {
    const { editor, type } = open();
    type('y');
    const answer = editor.ask('allow it? ');
    type('n\r');
    expect(await answer).toBe('n');
  });

  it('are not answered by what was pasted before them', async () => {
    const { editor, type } = open();
    type(`${PASTE.begin}y\n${PASTE.end}`);
    const answer = editor.ask('allow it? ');
    type('\r');
    expect(await answer).toBe('');
  });

  it('wait for the line that is being typed', async () => {
    const { editor, type, stderr } = open();
    const next = editor.next();
    type('half');
    await eventually(() => stderr.written.includes('half'));
    const answer = editor.ask('allow it? ');
    expect(stderr.written).not.toContain('allow it?');
    type(' a line\r');
    expect(await next).toBe('half a line');
    expect(stderr.written).toContain('allow it? ');
    type('y\r');
    expect(await answer).toBe('y');
  });

  it('end when they are answered elsewhere, without what was typed', async () => {
    const { editor, output, type, stdout } = open();
    const stop = new AbortController();
    const answer = editor.ask('allow it? ', { signal: stop.signal });
    type(`${PASTE.begin}y\n${PASTE.end}ye`);
    output.text('later');
    stop.abort(new Error('decided elsewhere'));
    await expect(answer).rejects.toThrow('decided elsewhere');
    expect(stdout.written).toBe('later');
    const again = editor.ask('and this? ');
    type('no\r');
    expect(await again).toBe('no');
  });

  it('are left open by Ctrl-D, and can begin with a text to change', async () => {
    const { editor, type } = open();
    const left = editor.ask('allow it? ');
    type(`${PASTE.begin}y\n${PASTE.end}`);
    type(CTRL_D);
    expect(await left).toBeNull();
    const edited = editor.ask('run: ', { begin: 'git push' });
    type(' --dry-run\r');
    expect(await edited).toBe('git push --dry-run');
    const other = editor.ask('run: ', { begin: 'git push' });
    type(`${CTRL_U}ls\r`);
    expect(await other).toBe('ls');
  });
});
