/** Settings that were written for another server of this kind. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { stringify } from 'yaml';
import { type Environment, loadSettings } from '../../../src/config/load.ts';
import { tempDir } from '../../helpers/temp.ts';

const load = (content: object, env: Environment = {}) => {
  const dir = tempDir();
  mkdirSync(join(dir, 'bullpen'));
  writeFileSync(join(dir, 'bullpen', 'config.yaml'), stringify(content));
  return loadSettings({ HOME: '/home/u', XDG_CONFIG_HOME: dir, ...env }, dir);
};

describe('providers', () => {
  it('have their former names, with `_` or `-`, and a mode of another meaning', () => {
    const { providers } = load({
      providers: {
        claude_cli: { mode: 'cli', binary: '/opt/claude', args: ['--x'] },
        'codex-cli': { mode: 'interactive', binary: 'codex' },
        cursor_cli: { binary: 'cursor-agent' },
        gemini: { mode: 'cli' },
        anthropic_sdk: { mode: 'plan' },
      },
    });
    expect(providers).toMatchObject({
      claude: { binary: '/opt/claude', args: ['--x'], mode: 'default' },
      codex: { binary: 'codex', mode: 'default' },
      'cursor-agent': { binary: 'cursor-agent' },
      gemini: { binary: null, mode: 'default' },
      'anthropic-sdk': { mode: 'plan' },
      custom: {},
    });
  });

  it('of another command become commands of their own', () => {
    const { custom } = load({
      providers: {
        aider_cli: { mode: 'cli', binary: 'aider', args: ['--yes'] },
        custom: { mine: { binary: 'cat' } },
      },
    }).providers;
    expect(custom).toMatchObject({
      'aider-cli': { binary: 'aider', args: ['--yes'], stdin: true },
      mine: { binary: 'cat' },
    });
  });

  it.each([
    [{ claude_cli: {}, claude: {} }, 'providers.claude: claude is there already'],
    [
      { a_b: { mode: 'cli', binary: 'x' }, custom: { 'a-b': { binary: 'y' } } },
      'providers.a_b: a-b is there',
    ],
    [{ claud: { binary: 'x' } }, 'providers.claud: is not a setting'],
    [{ claude_cli: { mode: 'yolo' } }, 'providers.claude.mode'],
    [{ aider_cli: { mode: 'cli' } }, 'providers.custom.aider-cli'],
    [{ claude_cli: 'cli' }, 'providers.claude'],
  ])('%j are refused: %s', (providers, problem) => {
    expect(() => load({ providers })).toThrow(problem);
  });
});

describe('the limits of processes in one block', () => {
  it('have the values of the block, and for those it leaves out its own defaults', () => {
    const ofBlock = {
      concurrency: 20,
      idleTimeoutMs: 300_000,
      warmIdleMs: 300_000,
      sessionIdleMs: 300_000,
      maxMemoryBytes: 2_147_483_648,
      maxCpuPercent: 80,
      cpuWindowMs: 60_000,
      maxOpenFiles: 1024,
      timeoutMs: 300_000,
    };
    expect(load({ processLimits: {} })).toMatchObject(ofBlock);
    expect(load({ processLimits: { max_processes: 7, idle_timeout: 30, maxCpuPercent: 200 } })).toMatchObject(
      {
        ...ofBlock,
        ...{ concurrency: 7, maxCpuPercent: 200 },
        ...{ idleTimeoutMs: 30_000, warmIdleMs: 30_000, sessionIdleMs: 30_000 },
      },
    );
  });

  it('change nothing without the block', () => {
    for (const content of [{}, { processLimits: null }])
      expect(load(content)).toMatchObject({
        concurrency: 5,
        maxMemoryBytes: null,
        maxCpuPercent: null,
        maxOpenFiles: 50_000,
        timeoutMs: 3_600_000,
      });
  });

  it('give way to a setting of its own, in the file or in a variable', () => {
    const content = { processLimits: { timeoutMs: 1000 }, timeoutMs: 2000, maxMemoryBytes: null };
    expect(load(content, { BULLPEN_CONCURRENCY: '3' })).toMatchObject({
      timeoutMs: 2000,
      maxMemoryBytes: null,
      concurrency: 3,
      maxOpenFiles: 1024,
    });
  });

  it.each([
    [{ maxProcesses: 0 }, 'processLimits.maxProcesses'],
    [{ max_processes: 'many' }, 'processLimits.maxProcesses'],
    [{ max_memory: 1 }, 'processLimits.max_memory: is not a setting'],
    [[1], 'processLimits'],
    ['on', 'processLimits'],
  ])('%j is refused: %s', (processLimits, problem) => {
    expect(() => load({ processLimits })).toThrow(problem);
  });
});

describe('DATABASE_PATH', () => {
  it('is the file of the ledger, below where the server was started, unless BULLPEN_DATABASE_PATH is set', () => {
    const { databasePath, cwd } = load({}, { DATABASE_PATH: 'data/jobs.db' });
    expect(databasePath).toBe(join(cwd, 'data/jobs.db'));
    expect(load({}, { DATABASE_PATH: '/a', BULLPEN_DATABASE_PATH: '/b' }).databasePath).toBe('/b');
    expect(load({}).databasePath).toBeNull();
  });
});

describe('ARCH_MODE', () => {
  const CLAUDE_SERVICE_SECRET = '0123456789abcdef0123456789abcdef';
  const executorOf = (env: Environment) => load({}, { CLAUDE_SERVICE_SECRET, ...env }).executor;

  it('says where CLIs run: in a service of its own, or in the server', () => {
    expect(executorOf({ ARCH_MODE: 'modular' })).toBe('http');
    expect(executorOf({ ARCH_MODE: 'monolithic' })).toBe('local');
    expect(executorOf({ ARCH_MODE: '' })).toBe('local');
  });

  it('is asked only where BULLPEN_EXECUTOR is not set', () => {
    expect(executorOf({ ARCH_MODE: 'modular', BULLPEN_EXECUTOR: 'local' })).toBe('local');
    expect(executorOf({ ARCH_MODE: 'monolithic', BULLPEN_EXECUTOR: 'http' })).toBe('http');
    expect(executorOf({ ARCH_MODE: 'modular', BULLPEN_EXECUTOR: '' })).toBe('http');
    expect(executorOf({ ARCH_MODE: 'micro', BULLPEN_EXECUTOR: 'http' })).toBe('http');
  });

  it.each(['Modular', 'micro', 'http', 'local', 'constructor', '1'])('%s is none of its values', (value) => {
    expect(() => executorOf({ ARCH_MODE: value })).toThrow(
      'executor (ARCH_MODE): must be modular (BULLPEN_EXECUTOR=http) or monolithic (BULLPEN_EXECUTOR=local)',
    );
  });
});

describe('REDIS_PASSWORD', () => {
  const urlOf = (REDIS_URL: string, REDIS_PASSWORD: string) =>
    load({}, { REDIS_URL, REDIS_PASSWORD, BULLPEN_ALLOW_INSECURE_REDIS: 'on' }).redisUrl;

  it('is the password of a REDIS_URL that has none', () => {
    expect(urlOf('redis://h:6380/2', 'p@ss/w:rd')).toBe('redis://:p%40ss%2Fw%3Ard@h:6380/2');
    expect(urlOf('rediss://user@h', 'other-word')).toBe('rediss://user:other-word@h');
    expect(urlOf('redis://:in-the-url@h', 'other-word')).toBe('redis://:in-the-url@h');
    expect(load({}, { REDIS_PASSWORD: 'other-word' }).redisUrl).toBeNull();
  });
});
