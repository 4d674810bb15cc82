import { closeSync, openSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { markerMatches, resourceUse } from '../../../src/processes/proc-entry.ts';

describe('a marker', () => {
  it('matches itself alone', () => {
    expect(markerMatches('node-1/a', 'node-1/a')).toBe(true);
    expect(markerMatches('node-1/ab', 'node-1/a')).toBe(false);
  });

  it('matches its node when the wanted value ends in a slash', () => {
    expect(markerMatches('node-1/a', 'node-1/')).toBe(true);
    expect(markerMatches('node-10/a', 'node-1/')).toBe(false);
    expect(markerMatches('node-1', 'node-1/')).toBe(false);
  });
});

it.runIf(process.platform === 'linux')('the open files of a process are counted', () => {
  const before = resourceUse(process.pid).openFiles;
  const opened = Array.from({ length: 10 }, () => openSync('/dev/null', 'r'));
  expect(resourceUse(process.pid).openFiles).toBe(before + 10);
  for (const file of opened) closeSync(file);
});
