import { EventEmitter } from 'node:events';
import { describe, expect, it } from 'vitest';
import { EXIT } from '../../../src/cli/failures.ts';
import { createInterrupts, watchReaders } from '../../../src/cli/interrupts.ts';

it('each signal that asks a command to end is an interrupt, until the command listens no more', () => {
  const target = new EventEmitter();
  const counts: number[] = [];
  const interrupts = createInterrupts(target as unknown as NodeJS.Process); // all it uses of it
  {
    using _ = interrupts.listen((count) => counts.push(count));
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) target.emit(signal);
    expect(counts).toEqual([1, 2, 3]);
  }
  expect(target.eventNames()).toEqual([]);
});

/** A process whose streams can fail, and what became of it. */
function watched() {
  const written: string[] = [];
  const exits: unknown[] = [];
  const stdout = new EventEmitter();
  const stderr = Object.assign(new EventEmitter(), { write: (text: string) => written.push(text) });
  const process = { stdout, stderr, exit: (code: unknown) => exits.push(code) };
  const interrupts = createInterrupts(new EventEmitter() as unknown as NodeJS.Process);
  const readers = watchReaders(process as unknown as NodeJS.Process, interrupts); // all they use of it
  const fail = (stream: EventEmitter, code: string): void =>
    void stream.emit('error', Object.assign(new Error(`write ${code}`), { code }));
  return { stdout, stderr, written, exits, interrupts, readers, fail };
}

describe.each(['EPIPE', 'ENOSPC', 'EIO'])('a stream that fails with %s', (code) => {
  const plain = code === 'EPIPE';
  const why = plain ? [] : [`bullpen: stdout: write ${code}\n`];

  it('interrupts the command once if it is stdout, which then fails', () => {
    const { stdout, written, exits, interrupts, readers, fail } = watched();
    const counts: number[] = [];
    using _ = interrupts.listen((count) => counts.push(count));
    expect(readers.exitCode(EXIT.succeeded)).toBe(EXIT.succeeded);
    fail(stdout, code);
    fail(stdout, code);
    expect({ counts, exits, written }).toEqual({ counts: [1], exits: [], written: why });
    expect(readers.exitCode(EXIT.succeeded)).toBe(plain ? EXIT.succeeded : EXIT.failed);
    expect(readers.exitCode(EXIT.cancelled)).toBe(EXIT.cancelled);
  });

  it('ends a command that does not listen for interrupts', () => {
    const { stdout, written, exits, fail } = watched();
    fail(stdout, code);
    expect({ exits, written }).toEqual({ exits: [plain ? EXIT.readerGone : EXIT.failed], written: why });
  });

  it('is only a lost line of a log, and stderr is never more', () => {
    const { stdout, stderr, written, exits, interrupts, readers, fail } = watched();
    const counts: number[] = [];
    using _ = interrupts.listen((count) => counts.push(count));
    fail(stderr, code);
    readers.ignoreLoss();
    fail(stdout, code);
    expect({ counts, exits, written }).toEqual({ counts: [], exits: [], written: [] });
    expect(readers.exitCode(EXIT.succeeded)).toBe(EXIT.succeeded);
  });
});
