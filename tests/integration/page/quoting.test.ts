import { spawnSync } from 'node:child_process';
import { describe, expect, it } from 'vitest';
import { quoted } from '../../../src/page/screens/job/how.ts';

describe('a word of a command that the page shows', () => {
  it.each(['', 'plain', "it's", '$HOME `id` "x" \\', 'a\nb', '-n', '!x', 'é 💥', "\x1b[2J'\\ \u202e"])(
    'a shell reads %j as it is',
    (text) => {
      const { stdout } = spawnSync('bash', ['-c', `printf %s ${quoted(text)}`], {
        encoding: 'utf8',
        env: { LC_ALL: 'C.UTF-8' },
      });
      expect(stdout).toBe(text);
    },
  );
});
