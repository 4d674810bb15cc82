import { execFileSync } from 'node:child_process';
import { constants, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { hasPrompt } from '../../../src/executor/earlier.ts';
import { createClaudeProvider } from '../../../src/providers/claude/provider.ts';
import { tempDir } from '../../helpers/temp.ts';
import { builtInOptions } from '../../unit/providers/settings.ts';

const claude = createClaudeProvider(builtInOptions());
const SESSION = '00000000-0000-4000-8000-000000000001';
const NAME = `${SESSION}.jsonl`;
const LINE = JSON.stringify({
  ...{ type: 'user', timestamp: '2026-11-29T05:00:00.000Z' },
  message: { role: 'user', content: 'Do it.' },
});

/** Puts something in the place of the transcript in the first folder of two. */
const PUT: readonly (readonly [string, (path: string) => void])[] = [
  ['a folder', (path) => mkdirSync(path)],
  ['a link to a file that was removed', (path) => symlinkSync(join(path, '../gone'), path)],
  ['a link that cannot be followed', (path) => symlinkSync(NAME, path)],
  ['a file that cannot be read', (path) => symlinkSync('/proc/self/mem', path)],
  [
    'a pipe',
    (path) => {
      execFileSync('mkfifo', [path]);
      // One who waits at its other end is let go.
      onTestFinished(() =>
        open(path, constants.O_WRONLY | constants.O_NONBLOCK).then(
          (file) => file.close(),
          () => undefined,
        ),
      );
    },
  ],
];

test.each(PUT)('%s in the place of a transcript is none, and hides no other one', async (_, put) => {
  const home = tempDir();
  const [first, second] = ['a', 'b'].map((name) => join(home, '.claude/projects', name)) as [string, string];
  mkdirSync(first, { recursive: true });
  mkdirSync(second);
  put(join(first, NAME));
  const asked = { nativeSessionId: SESSION, prompt: 'Do it.', since: 0 };
  expect(await hasPrompt(claude, { HOME: home }, asked)).toBeNull();
  writeFileSync(join(second, NAME), `${LINE}\n`);
  expect(await hasPrompt(claude, { HOME: home }, asked)).toBe(true);
});
