import { readdirSync, readFileSync, readlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { createHistory, readHistory } from '../../../src/terminals/history.ts';
import { createScreen } from '../../../src/terminals/screen.ts';
import { tempDir } from '../../helpers/temp.ts';

/** A history with a screen, on which the test writes what a program would. */
async function setup() {
  const file = join(tempDir(), 'a.history');
  const clock = { at: Date.parse('2026-11-30T12:00:00Z') };
  const failures: unknown[] = [];
  const screen = await createScreen(
    { cols: 40, rows: 5 },
    {
      onAnswer: () => {},
      onLineFeed: () => history.onLineFeed(),
      onShellMark: (mark) => history.onShellMark(mark),
    },
  );
  const onFailure = (error: unknown): void => void failures.push(error);
  const history = createHistory({ file, screen, now: () => clock.at, onFailure });
  const shows = (text: string): void => screen.write(Buffer.from(text));
  /** Types a line that the program echoes. */
  const echoed = (line: string): void => {
    for (const key of line) {
      history.typed(key);
      shows(key === '\r' ? '\r\n' : key);
    }
  };
  const commands = async () => {
    await history.close();
    expect(failures).toEqual([]);
    return (await readHistory(file, null, 100)).data;
  };
  const texts = async () => (await commands()).map(({ text }) => text);
  return { file, clock, history, shows, echoed, commands, texts };
}

describe('the history of a shell that marks nothing', () => {
  it('has each line that was typed, with its time', async () => {
    const { shows, echoed, clock, commands } = await setup();
    shows('$ ');
    echoed('ls -l\r');
    clock.at += 2000;
    shows('file\r\n$ ');
    echoed('echo hi\r');
    const common = { exitCode: null, finishedAt: null };
    expect(await commands()).toEqual([
      { at: '2026-11-30T12:00:00.000Z', text: 'ls -l', ...common },
      { at: '2026-11-30T12:00:02.000Z', text: 'echo hi', ...common },
    ]);
  });

  it('has a line that came as one input, before its echo', async () => {
    const { history, shows, texts } = await setup();
    shows('$ ');
    history.typed('make test\r');
    shows('make test\r\nall passed\r\n$ ');
    expect(await texts()).toEqual(['make test']);
  });

  it('does not have the text of a password, which the screen does not show', async () => {
    const { history, shows, echoed, texts } = await setup();
    shows('$ ');
    echoed('sudo id\r');
    shows('Password: ');
    for (const key of 'hunter2') history.typed(key);
    history.typed('\r');
    shows('\r\nuid=0\r\n$ ');
    expect(await texts()).toEqual(['sudo id', null]);
  });

  it('does not take a password for the prompt in front of it', async () => {
    const { history, shows, texts } = await setup();
    shows('Password: ');
    history.typed('Pass\r');
    shows('\r\n');
    expect(await texts()).toEqual([null]);
  });

  it('has what the screen shows after keys that edit', async () => {
    const { history, shows, texts } = await setup();
    shows('$ ');
    history.typed('\x1b[A');
    shows('git status');
    history.typed('\r');
    shows('\r\nclean\r\n$ ');
    history.typed('cat RE\t');
    shows('cat README.md ');
    history.typed('\r');
    shows('\r\n');
    expect(await texts()).toEqual(['git status', 'cat README.md']);
  });

  it('takes no Enter in what is pasted for the end of a line, however many inputs that comes in', async () => {
    const { history, shows, texts } = await setup();
    shows('$ ');
    history.typed('\x1b[200~echo one\recho ');
    shows('echo one\r\necho ');
    history.typed('two\r\x1b[201~');
    shows('two\r\n');
    history.typed('\r');
    shows('one\r\ntwo\r\n$ ');
    expect(await texts()).toHaveLength(1);
  });

  it('counts each of thousands of lines that came as one input', async () => {
    const { history, commands } = await setup();
    history.typed(`${'\x1b[200~'.repeat(5000)}\x1b[201~${'a\r'.repeat(5000)}`);
    await history.close();
    expect(await commands()).toHaveLength(100);
  });

  it('leaves out empty lines and lines that were given up', async () => {
    const { history, shows, echoed, texts } = await setup();
    shows('$ ');
    echoed('\r');
    shows('$ ');
    echoed('rm -rf');
    history.typed('\x03');
    shows('^C\r\n$ ');
    echoed('\r');
    expect(await texts()).toEqual([]);
  });

  it('follows backspaces, wide characters and lines that wrap', async () => {
    const { history, shows, echoed, texts } = await setup();
    shows('$ ');
    echoed('lz');
    history.typed('\x7f');
    shows('\b \b');
    echoed('s 漢\r');
    shows('$ ');
    const long = `echo ${'x'.repeat(60)}`;
    echoed(`${long}\r`);
    expect(await texts()).toEqual(['ls 漢', long]);
  });

  it('has nothing of a program on the alternate screen but that a line was typed', async () => {
    const { history, shows, texts } = await setup();
    shows('\x1b[?1049h~\r\n');
    history.typed('isecret\r');
    shows('secret\r\n');
    expect(await texts()).toEqual([null]);
  });
});

describe('the history of a shell that marks its prompts', () => {
  it('is exact, with exit codes and ends', async () => {
    const { history, shows, clock, commands } = await setup();
    shows('\x1b]133;A\x07$ \x1b]133;B\x07');
    history.typed('false | x\r');
    shows('false | x\r\n\x1b]133;C\x07');
    clock.at += 1500;
    shows('no\r\n\x1b]133;D;127\x07\x1b]133;A\x07$ \x1b]133;B\x07');
    history.typed('\r');
    shows('\r\n\x1b]133;C\x07\x1b]133;D;0\x07\x1b]133;A\x07$ \x1b]133;B\x07');
    shows('for x in 1\r\n> do true; done\r\n\x1b]133;C\x07\x1b]133;D\x07');
    expect(await commands()).toEqual([
      {
        at: '2026-11-30T12:00:00.000Z',
        ...{ text: 'false | x', exitCode: 127, finishedAt: '2026-11-30T12:00:01.500Z' },
      },
      {
        at: '2026-11-30T12:00:01.500Z',
        ...{ text: 'for x in 1\n> do true; done', exitCode: null, finishedAt: '2026-11-30T12:00:01.500Z' },
      },
    ]);
  });
});

describe('a page of the history', () => {
  it('has a limit, and goes on at its cursor', async () => {
    const { file, shows, echoed, history } = await setup();
    for (const line of ['one', 'two', 'three']) {
      shows('$ ');
      echoed(`${line}\r`);
    }
    await history.close();
    const first = await readHistory(file, null, 2);
    expect(first.data.map(({ text }) => text)).toEqual(['one', 'two']);
    const second = await readHistory(file, first.nextCursor, 2);
    expect(second.data.map(({ text }) => text)).toEqual(['three']);
    expect(second.nextCursor).toBeNull();
    expect(readFileSync(file, 'utf8').trim().split('\n')).toHaveLength(3);
  });

  it('leaves no file open, however much follows', async () => {
    const { file } = await setup();
    const line = `${JSON.stringify({ at: '2026-11-30T12:00:00.000Z', text: 'x' })}\n`;
    writeFileSync(file, line.repeat(5000));
    const opened = (): number =>
      readdirSync('/proc/self/fd').filter((fd) => linkOf(`/proc/self/fd/${fd}`) === file).length;
    await readHistory(file, null, 1);
    expect(opened()).toBe(0);
  });

  it.each(['abc', '-1', '1.5', ''])('refuses the cursor %j', async (cursor) => {
    const { file } = await setup();
    await expect(readHistory(file, cursor, 1)).rejects.toMatchObject({ code: 'request.invalid' });
  });
});

const linkOf = (path: string): string | null => {
  try {
    return readlinkSync(path);
  } catch {
    return null; // it has just been closed
  }
};
