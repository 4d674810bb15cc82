/** The machine lacks something while the server looks at the files of a CLI. */
import fs, { mkdirSync, writeFileSync } from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { createStateFolders } from '../../../src/executor/cli-probe.ts';
import { hasPrompt } from '../../../src/executor/earlier.ts';
import { isShortage } from '../../../src/processes/spawn.ts';
import { createClaudeProvider } from '../../../src/providers/claude/provider.ts';
import { tempDir } from '../../helpers/temp.ts';
import { builtInOptions } from '../providers/settings.ts';

const claude = createClaudeProvider(builtInOptions());
const SESSION = '00000000-0000-4000-8000-000000000001';
const SHORTAGES = ['EMFILE', 'ENFILE', 'ENOMEM'];

/** A function of the file system fails until the returned function is called. */
function failing(name: 'open' | 'writeFile', code: string): () => void {
  const real = fs.promises[name];
  const put = (value: unknown): void => {
    Object.defineProperty(fs.promises, name, { value, configurable: true, writable: true });
    syncBuiltinESMExports();
  };
  put(() => Promise.reject(Object.assign(new Error(code), { code })));
  const restore = (): void => put(real);
  onTestFinished(restore);
  return restore;
}

/** The error, when it is a shortage. */
const shortageOf = (task: Promise<unknown>): Promise<unknown> =>
  task.catch((error: unknown) => (isShortage(error) ? 'a shortage' : error));

describe('a shortage', () => {
  it.each(SHORTAGES)('is no folder that cannot be written, and is not remembered: %s', async (code) => {
    const folders = createStateFolders();
    const env = { HOME: tempDir() };
    const worksAgain = failing('writeFile', code);
    expect(await shortageOf(folders.trouble(claude, env))).toBe('a shortage');
    worksAgain();
    expect(await folders.trouble(claude, env)).toBeNull();
  });

  it.each(SHORTAGES)('is no missing transcript: %s', async (code) => {
    const home = tempDir();
    const project = join(home, '.claude/projects/a');
    const look = () =>
      shortageOf(hasPrompt(claude, { HOME: home }, { nativeSessionId: SESSION, prompt: 'Do it.', since: 0 }));
    const worksAgain = failing('open', code);
    expect(await look(), 'the folders could not be read').toBe('a shortage');
    mkdirSync(project, { recursive: true });
    writeFileSync(join(project, `${SESSION}.jsonl`), '');
    expect(await look(), 'the file could not be opened').toBe('a shortage');
    worksAgain();
    expect(await look()).toBe(false);
  });
});
