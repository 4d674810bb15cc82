import { closeSync, openSync } from 'node:fs';
import { PassThrough } from 'node:stream';
import { describe, expect, it, onTestFinished } from 'vitest';
import { MAX_PROMPT_BYTES } from '../../../src/cli/commands/run.ts';
import { readStdin } from '../../../src/cli/read-stdin.ts';
import { MAX_PROMPT_BYTES as OF_THE_SERVER } from '../../../src/protocol/prompt.ts';

const WHAT = { maxBytes: 10, what: 'stdin', optional: true };

/** A stream that stays open, as a program leaves it that has started a command. */
function inherited() {
  const fd = openSync('/dev/null', 'r'); // no pipe and no file, as a socket is none
  onTestFinished(() => closeSync(fd));
  return Object.assign(new PassThrough(), { fd });
}

describe('stdin', () => {
  it('that was only inherited is left when it is silent and not needed', async () => {
    const stdin = inherited();
    const silences: boolean[] = [];
    expect(await readStdin(stdin, WHAT, 5, (waits) => silences.push(waits))).toBeNull();
    expect([silences, stdin.destroyed]).toEqual([[false], true]);
  });

  it('is read to its end once it has begun, and always where the command needs it', async () => {
    const begun = inherited();
    begun.write('a');
    const text = readStdin(begun, WHAT, 60_000, () => begun.end('b'));
    begun.end('c');
    expect(await text).toBe('ac');
    const needed = inherited();
    expect(await readStdin(needed, { ...WHAT, optional: false }, 5, () => needed.end('late'))).toBe('late');
  });

  it('that is a pipe is waited for, however slow its writer is', async () => {
    const pipe = new PassThrough();
    expect(await readStdin(pipe, WHAT, 5, (waits) => pipe.end(`waits ${waits}`))).toBe('waits true');
  });

  it('is refused as soon as it is too long, also when it never ends', async () => {
    const endless = inherited();
    endless.write('x'.repeat(11));
    await expect(readStdin(endless, WHAT, 60_000, () => {})).rejects.toThrow('stdin is larger than 10 bytes');
    expect(endless.destroyed).toBe(true);
    expect(MAX_PROMPT_BYTES).toBe(OF_THE_SERVER);
  });

  it('is read without a byte order mark at its beginning', async () => {
    const marked = new PassThrough();
    marked.end('\ufeffa\ufeff');
    expect(await readStdin(marked, WHAT, 60_000, () => {})).toBe('a\ufeff');
  });

  it('that cannot be read is an error of the command line', async () => {
    const broken = new PassThrough();
    broken.destroy(new Error('EISDIR: illegal operation on a directory, read'));
    await expect(readStdin(broken, WHAT, 60_000, () => {})).rejects.toMatchObject({
      exitCode: 64,
      message: 'stdin cannot be read: EISDIR: illegal operation on a directory, read',
    });
  });
});
