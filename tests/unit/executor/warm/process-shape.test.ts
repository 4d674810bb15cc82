import { mkdirSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { createShapeFailures, fingerprintOf, shapeOf } from '../../../../src/executor/warm/process-shape.ts';
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

  it('is missing for a CLI that cannot be idle, or whose command needs its own files', () => {
    expect(keyOf({ provider: createGeminiProvider(builtInOptions()) })).toBeUndefined();
    expect(keyOf({ command: { args: [], stdin: '', env: {}, files: { schema: '{}' } } })).toBeUndefined();
  });

  it('names the files that the CLI reads while it boots, where it looks for them', () => {
    const files = shapeOf(execution(), LINE)?.files ?? [];
    expect(files[0]).toBe('/bin/claude');
    expect(files).toContain('/work/CLAUDE.md');
    expect(files).toContain('/home/me/.claude/.credentials.json');
    const moved = shapeOf(execution({ env: { HOME: '/home/me', CLAUDE_CONFIG_DIR: '/etc/claude' } }), LINE);
    expect(moved?.files).toContain('/etc/claude/settings.json');
  });
});

describe('the fingerprint of files', () => {
  it('changes only when a file appears, changes, is touched or disappears', async () => {
    const dir = tempDir();
    const [file, folder] = [join(dir, 'CLAUDE.md'), join(dir, 'folder')];
    mkdirSync(folder);
    const paths = [file, folder];
    const seen: string[] = [];
    const look = async () => {
      const fingerprint = await fingerprintOf(paths);
      expect(await fingerprintOf(paths)).toBe(fingerprint);
      expect(seen).not.toContain(fingerprint);
      seen.push(fingerprint);
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

describe('a shape whose processes are useless', () => {
  it('is paused for a minute after three in a row', () => {
    let now = 0;
    const failures = createShapeFailures(() => now);
    for (const paused of [false, false, true]) {
      failures.add('a');
      expect(failures.isPaused('a')).toBe(paused);
    }
    expect(failures.isPaused('b')).toBe(false);
    now = 59_999;
    expect(failures.isPaused('a')).toBe(true);
    now = 60_000;
    expect(failures.isPaused('a')).toBe(false);
    failures.add('a');
    expect(failures.isPaused('a'), 'the count begins again').toBe(false);
  });

  it('is not paused when one of them got its job in between', () => {
    const failures = createShapeFailures(() => 0);
    failures.add('a');
    failures.add('a');
    failures.clear('a');
    failures.add('a');
    expect(failures.isPaused('a')).toBe(false);
  });
});
