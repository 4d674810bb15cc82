import { EventEmitter } from 'node:events';
import { expect, it } from 'vitest';
import { createInterrupts } from '../../../src/cli/interrupts.ts';

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
