import { mkdirSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { shapeOf, stateOf } from '../../../../src/executor/warm/shape.ts';
import { createClaudeProvider } from '../../../../src/providers/claude/provider.ts';
import { createGeminiProvider } from '../../../../src/providers/gemini/provider.ts';
import { tempDir } from '../../../helpers/temp.ts';
import { builtInOptions } from '../../providers/settings.ts';

const LINE = 1000;
const execution = (changed: Partial<Parameters<typeof shapeOf>[0]> = {}) => ({
  provider: createClaudeProvider(builtInOptions()),
  cli: { binary: '/bin/claude', identity: '1' },
  command: { args: ['-p'], stdin: 'prompt', env: {} },
  env: { HOME: '/home/me', PATH: '/bin' },
  cwd: '/work',
  ...changed,
});
const keyOf = (changed: Partial<Parameters<typeof shapeOf>[0]> = {}, line = LINE) =>
  shapeOf(execution(changed), line)?.key;

describe('the shape of an execution', () => {
  it('does not depend on its prompt, nor on the order of its environment', () => {
    expect(keyOf({ command: { args: ['-p'], stdin: 'another', env: {} } })).toBe(keyOf());
    expect(keyOf({ env: { PATH: '/bin', HOME: '/home/me' } })).toBe(keyOf());
  });

  it.each([
    ['binary', { cli: { binary: '/bin/other', identity: '1' } }],
    ['version', { cli: { binary: '/bin/claude', identity: '2' } }],
    ['arguments', { command: { args: ['-p', '--model=x'], stdin: 'prompt', env: {} } }],
    ['environment', { env: { HOME: '/home/me', PATH: '/bin', ANTHROPIC_API_KEY: 'k' } }],
    ['working directory', { cwd: '/other' }],
  ])('depends on its %s', (_what, changed) => {
    expect(keyOf(changed)).not.toBe(keyOf());
  });

  it('depends on how long a line may be', () => {
    expect(keyOf({}, LINE + 1)).not.toBe(keyOf());
  });

  it('there is none for a CLI that cannot wait, or whose command needs files of its own', () => {
    expect(keyOf({ provider: createGeminiProvider(builtInOptions()) })).toBeUndefined();
    expect(keyOf({ command: { args: [], stdin: '', env: {}, files: { schema: '{}' } } })).toBeUndefined();
  });

  it('names what the CLI reads while it boots, where it looks for it', () => {
    const reads = shapeOf(execution(), LINE)?.reads ?? [];
    expect(reads[0]).toBe('/bin/claude');
    expect(reads).toContain('/work/CLAUDE.md');
    expect(reads).toContain('/home/me/.claude/.credentials.json');
    const moved = shapeOf(execution({ env: { HOME: '/home/me', CLAUDE_CONFIG_DIR: '/etc/claude' } }), LINE);
    expect(moved?.reads).toContain('/etc/claude/settings.json');
  });
});

describe('the state of files', () => {
  it('is another one once a file has come, changed, been touched or gone, and else the same', async () => {
    const dir = tempDir();
    const [file, folder] = [join(dir, 'CLAUDE.md'), join(dir, 'folder')];
    mkdirSync(folder);
    const paths = [file, folder];
    const seen: string[] = [];
    const look = async () => {
      const state = await stateOf(paths);
      expect(await stateOf(paths)).toBe(state);
      expect(seen).not.toContain(state);
      seen.push(state);
    };
    await look();
    writeFileSync(file, 'a');
    await look();
    writeFileSync(file, 'ab');
    await look();
    utimesSync(file, 1, 1);
    await look();
    writeFileSync(join(folder, 'new'), '');
    await look();
    rmSync(file);
    await look();
  });
});
