import { describe, expect, it } from 'vitest';
import { createTypedKeys, parseDetachKey } from '../../../src/cli/typed-keys.ts';

const bytes = (text: string) => Buffer.from(text);
const key = parseDetachKey('ctrl-]');

/** What a program gets of these reads, and where the person left. */
function typed(reads: readonly (string | Buffer)[], detachKey = key): string {
  const keys = createTypedKeys(detachKey);
  let all = '';
  for (const read of reads) {
    const { text, detach } = keys.take(typeof read === 'string' ? bytes(read) : read);
    all += text + (detach ? '<left>' : '');
  }
  return all + keys.release();
}

describe('keys that are typed into an attached terminal', () => {
  it.each([
    ['ls -l\r'],
    ['\u0003'],
    ['\u001b'],
    ['\u001b[A\u001b[1;5C\u001bOP\u001b[3~'],
    ['\u001b[200~pasted\ntext\u001b[201~'],
    ['\u001b[<0;10;5M\u001b[I\u001b[O'],
    ['\u001b[97;5u'],
    ['ünï 😀'],
  ])('%j reaches the program as it is', (text) => {
    expect(typed([text])).toBe(text);
  });

  it('a character that is cut by a read is whole', () => {
    const whole = bytes('a😀b');
    for (let cut = 1; cut < whole.length; cut += 1)
      expect(typed([whole.subarray(0, cut), whole.subarray(cut)])).toBe('a😀b');
  });

  const ANSWERS = [
    '\u001b[24;80R',
    '\u001b[?24;80R',
    '\u001b[0n',
    '\u001b[?997;1n',
    '\u001b[?62;22c',
    '\u001b[>0;276;0c',
    '\u001b[?2026;2$y',
    '\u001b[?1u',
    '\u001b[8;24;80t',
    '\u001b]11;rgb:0000/0000/0000\u001b\\',
    '\u001b]10;rgb:ffff/ffff/ffff\u0007',
    '\u001bP>|xterm(390)\u001b\\',
    '\u001b_Gi=31;OK\u001b\\',
  ];

  it.each(ANSWERS.map((answer) => [answer]))(
    'the answer %j of the terminal does not, however it is cut',
    (answer) => {
      expect(typed([`a${answer}b`])).toBe('ab');
      for (let cut = 2; cut < answer.length; cut += 1)
        expect(typed([`a${answer.slice(0, cut)}`, `${answer.slice(cut)}b`]), `cut at ${cut}`).toBe('ab');
    },
  );

  it('what only began like an answer is typed when no more comes', () => {
    const keys = createTypedKeys(key);
    expect(keys.take(bytes('\u001b]'))).toEqual({ text: '', detach: false });
    expect(keys.holds).toBe(true);
    expect(keys.release()).toBe('\u001b]');
    expect(keys.holds).toBe(false);
  });

  it.each([['\u001d'], ['\u001b[93;5u'], ['\u001b[93;5:1u'], ['\u001b[93;133u'], ['\u001b[27;5;93~']])(
    'Ctrl-] as %j leaves, after what was typed before it',
    (code) => {
      expect(typed([`ls${code}`])).toBe('ls<left>');
    },
  );

  it('Ctrl-] in a paste is text, however it is cut, and leaves again after it', () => {
    const [paste, rest] = ['a\u001b[200~one\u001d\rtwo\u001b[93;5u\u001b[201~b', 'c\u001dd'];
    expect(typed([paste + rest])).toBe(`${paste}c<left>`);
    for (let cut = 1; cut < paste.length; cut += 1)
      expect(typed([paste.slice(0, cut), paste.slice(cut), rest]), `cut at ${cut}`).toBe(`${paste}c<left>`);
    expect(typed([...paste, rest])).toBe(`${paste}c<left>`);
  });

  it('Ctrl-] leaves a second after a paste whose end was lost', () => {
    let now = 0;
    const keys = createTypedKeys(key, () => now);
    keys.take(bytes('\u001b[200~text'));
    now = 900;
    expect(keys.take(bytes('\u001d'))).toEqual({ text: '\u001d', detach: false });
    now = 2000;
    expect(keys.take(bytes('\u001d'))).toEqual({ text: '', detach: true });
  });

  it('a paste whose marks come late in two parts is one, too', () => {
    const keys = createTypedKeys(key);
    keys.take(bytes('\u001b[200'));
    expect(keys.release()).toBe('\u001b[200');
    expect(keys.take(bytes('~\u001d\u001b[20')).detach).toBe(false);
    keys.release();
    expect(keys.take(bytes('1~\u001d'))).toEqual({ text: '1~', detach: true });
  });

  it('a key that is let go leaves nothing', () => {
    expect(typed(['\u001b[93;5:3u'])).toBe('\u001b[93;5:3u');
  });
});

describe('--detach-key', () => {
  it.each([
    ['ctrl-]', 'Ctrl-]', '\u001d'],
    ['CTRL-a', 'Ctrl-A', '\u0001'],
    ['^\\', 'Ctrl-\\', '\u001c'],
    ['ctrl-^', 'Ctrl-^', '\u001e'],
    ['ctrl-_', 'Ctrl-_', '\u001f'],
  ])('%s is %s', (text, name, code) => {
    const detachKey = parseDetachKey(text);
    expect(detachKey.name).toBe(name);
    expect(typed([`x${code}`], detachKey)).toBe('x<left>');
  });

  it.each([['ctrl-m'], ['ctrl-i'], ['ctrl-['], ['x'], [''], ['ctrl-ab']])('%s is refused', (text) => {
    expect(() => parseDetachKey(text)).toThrow('--detach-key takes ctrl-]');
  });
});
