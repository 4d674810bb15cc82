import { readFileSync, statSync, truncateSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { createRecording, playRecording, readRecording } from '../../../src/terminals/recording.ts';
import { tempDir } from '../../helpers/temp.ts';

function setup(maxBytes = 1_000_000) {
  const file = join(tempDir(), 'a.cast');
  const clock = { at: 5 };
  const failures: Error[] = [];
  const recording = createRecording({
    ...{ file, size: { cols: 80, rows: 24 }, maxBytes, onDrain: () => {} },
    ...{ now: () => clock.at, startedAt: 1_700_000_000_000 },
    onFailure: (error) => failures.push(error),
  });
  const lines = (): unknown[] =>
    readFileSync(file, 'utf8')
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));
  return { file, clock, recording, lines, failures };
}

async function playedOf(file: string): Promise<string> {
  let text = '';
  for await (const one of playRecording(file)) {
    text += one.kind === 'output' ? one.data : `[${one.size.cols}x${one.size.rows}]`;
  }
  return text;
}

describe('a recording', () => {
  it('is asciicast v2, and only its user may read it', async () => {
    const { file, clock, recording, lines } = setup();
    clock.at += 1250;
    recording.output(Buffer.from('a\r\n'));
    recording.resized({ cols: 100, rows: 30 });
    await recording.close();
    expect(lines()).toEqual([
      { version: 2, width: 80, height: 24, timestamp: 1_700_000_000 },
      [1.25, 'o', 'a\r\n'],
      [1.25, 'r', '100x30'],
    ]);
    expect(statSync(file).mode & 0o777).toBe(0o600);
    expect(await playedOf(file)).toBe('[80x24]a\r\n[100x30]');
  });

  it('keeps characters whole, wherever the output is cut', async () => {
    const { file, recording } = setup();
    const bytes = Buffer.from('aä漢👍!');
    for (const byte of bytes) recording.output(Buffer.from([byte]));
    await recording.close();
    expect(await playedOf(file)).toBe('[80x24]aä漢👍!');
  });

  it('ends with a mark when it has reached its maximum', async () => {
    const { file, recording, lines } = setup(2000);
    for (let n = 0; n < 100; n += 1) recording.output(Buffer.alloc(100, 'x'));
    await recording.close();
    expect(lines().at(-1)).toMatchObject([0, 'm', expect.stringContaining('maximum')]);
    expect(statSync(file).size).toBeLessThan(2200);
    expect(statSync(file).size).toBeGreaterThan(1500);
  });

  it('is read in parts of whole lines', async () => {
    const { file, recording } = setup();
    for (let n = 0; n < 30; n += 1) recording.output(Buffer.alloc(20_000, 'x'));
    recording.output(Buffer.alloc(300_000, 'y'));
    await recording.close();
    let text = '';
    let parts = 0;
    for (let from: number | null = 0; from !== null; parts += 1) {
      const part: Awaited<ReturnType<typeof readRecording>> = await readRecording(file, from);
      expect(part.text.endsWith('\n')).toBe(true);
      text += part.text;
      from = part.next;
    }
    expect(parts).toBeGreaterThan(2);
    expect(text).toBe(readFileSync(file, 'utf8'));
    expect(await readRecording(file, 10_000_000)).toEqual({ text: '', next: null });
  });

  it('is read without a last line that was cut', async () => {
    const { file, recording } = setup();
    recording.output(Buffer.from('one'));
    recording.output(Buffer.from('two'));
    await recording.close();
    truncateSync(file, statSync(file).size - 4);
    expect(await playedOf(file)).toBe('[80x24]one');
    expect((await readRecording(file, 0)).text.trim().split('\n')).toHaveLength(2);
  });

  it('reports a file that cannot be written, and records nothing more', async () => {
    const failures: Error[] = [];
    const recording = createRecording({
      file: join(tempDir(), 'missing', 'a.cast'),
      ...{ size: { cols: 80, rows: 24 }, maxBytes: 1000, startedAt: 0, now: () => 0, onDrain: () => {} },
      onFailure: (error) => failures.push(error),
    });
    recording.output(Buffer.from('a'));
    await recording.close();
    expect(failures).toHaveLength(1);
    expect(recording.isFull).toBe(false);
  });
});
