import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import type { Principal } from '../../../src/auth/principal.ts';
import { AppError } from '../../../src/errors.ts';
import type { Grant } from '../../../src/protocol/grant.ts';
import type { SessionRequest } from '../../../src/protocol/session.ts';
import type { Interactive, InteractiveOptions } from '../../../src/providers/interactive.ts';
import { createProviders } from '../../../src/providers/registry.ts';
import { createTerminalPreparer, type TerminalPrepareOptions } from '../../../src/terminals/prepare.ts';
import { callerOf } from '../../fakes/principals.ts';
import { tempDir } from '../../helpers/temp.ts';
import { PROVIDER_HOST, providerSettings } from '../providers/settings.ts';

const EXECUTION = '01K9ZV4Q4S9V0M0X2T6D8Y3B7C';

function setUp(changed: Partial<TerminalPrepareOptions['settings']> = {}, trusted = true) {
  const dir = tempDir();
  const root = join(dir, 'work');
  mkdirSync(join(root, 'sub'), { recursive: true });
  const asked: InteractiveOptions[] = [];
  const interactive: Interactive = {
    unsupported: ({ effort }) => (effort === 'max' ? [{ option: 'effort', reason: 'it has none' }] : []),
    command(options) {
      asked.push(options);
      return { args: ['--chat'], env: { CLI_MODE: 'chat' }, files: { 'settings.json': '{}' } };
    },
    screens: [{ status: 'ready', pattern: /ready/, source: 'seen' }],
  };
  const real = createProviders(providerSettings({}), PROVIDER_HOST);
  const prepare = createTerminalPreparer({
    settings: {
      ...{ roots: [root], trustedRoots: trusted ? [root] : [], allowFullAccess: false },
      ...{ maxTimeoutMs: 1, provider: 'claude', model: null, cwd: root, passEnv: ['PASSED'] },
      terminals: {
        enabled: true,
        commands: { bash: { binary: '/bin/bash', args: ['-i'], env: ['FOR_BASH', 'LD_PRELOAD'] } },
      },
      ...changed,
    },
    env: {
      ...{ PATH: '/usr/bin', HOME: '/home/me', TERM: 'dumb', SECRET: 's', BULLPEN_TOKEN: 't' },
      ...{ FOR_BASH: '1', PASSED: '2', LD_PRELOAD: 'x.so' },
    },
    providers: {
      get(name) {
        const found = real.get(name);
        return name === 'anthropic-sdk' ? found : { ...found, provider: { ...found.provider, interactive } };
      },
    },
    probe: {
      async find({ binaries: [name = ''] }) {
        if (name === 'missing') throw new AppError('execution.cli_missing', 'not installed');
        return { binary: name.startsWith('/') ? name : `/opt/${name}`, identity: '', extraFolder: null };
      },
    },
    environment: (_name, set) => ({ HOME: '/home/me', LANG: 'de_DE.UTF-8', ...set }),
    untrusted: Object.assign(
      async (_cwd: string, env: Readonly<Record<string, string>>) => ({ ...env, GIT_CONFIG_COUNT: '1' }),
      { readAhead: () => undefined },
    ),
    privatePaths: async () => [{ real: '/home/me/.bullpen', written: [], exists: true }],
    scratchDir: join(dir, 'tmp'),
    newExecutionId: () => EXECUTION,
  });
  const as = (grant: Partial<Grant> = {}): Principal => {
    const caller = callerOf('key:1', 'web', ['sessions:write', 'terminals']);
    return { ...caller, grant: { ...caller.grant, ...grant } };
  };
  const refusal = (request: SessionRequest, by = as()) =>
    prepare(by, request).then(
      () => null,
      (error: unknown) => (error instanceof AppError ? error.code : error),
    );
  return { prepare, refusal, as, root, dir, asked };
}

test('a command runs with its arguments and the environment that the settings let through', async () => {
  const { prepare, as, root, dir } = setUp();
  const prepared = await prepare(as(), { command: 'bash', cwd: join(root, 'sub'), cols: 120 });
  const cwd = join(root, 'sub');
  expect(prepared).toMatchObject({
    options: { provider: 'bash', command: 'bash', cwd },
    size: { cols: 120, rows: 24 },
  });
  const scratch = join(dir, 'tmp', EXECUTION);
  expect(existsSync(scratch)).toBe(false); // a terminal that is refused later leaves nothing
  expect(await prepared.start('S')).toEqual({
    ...{ sessionId: 'S', executionId: EXECUTION, provider: 'bash', size: prepared.size, screens: [] },
    scratch,
    launch: {
      ...{ binary: '/bin/bash', args: ['-i'], cwd },
      env: {
        ...{ PATH: '/usr/bin', HOME: '/home/me', FOR_BASH: '1', PASSED: '2' },
        ...{ TERM: 'xterm-256color', COLORTERM: 'truecolor', LANG: 'C.UTF-8', TMPDIR: scratch },
      },
    },
  });
  expect(existsSync(scratch)).toBe(true);
});

test('a CLI runs in its interactive mode, by the options and the state of the folder', async () => {
  const { prepare, as, root, dir, asked } = setUp({}, false);
  const prepared = await prepare(as(), { model: 'opus', permissionMode: 'plan', rows: 50 });
  expect(prepared.options).toEqual({ provider: 'claude', cwd: root, model: 'opus', permissionMode: 'plan' });
  expect(asked).toEqual([
    {
      ...{ model: 'opus', effort: null, permissionMode: 'plan', appendSystemPrompt: null, cwd: root },
      ...{ trustedWorkspace: false, scratchDir: join(dir, 'tmp', EXECUTION) },
      privatePaths: [{ real: '/home/me/.bullpen', written: [], exists: true }],
    },
  ]);
  const { launch, screens, scratch } = await prepared.start('S');
  expect([launch.binary, launch.args, screens.length]).toEqual(['/opt/claude', ['--chat'], 1]);
  expect(launch.env).toMatchObject({
    ...{ CLI_MODE: 'chat', GIT_CONFIG_COUNT: '1', LANG: 'de_DE.UTF-8', TERM: 'xterm-256color' },
  });
  expect(readFileSync(join(scratch, 'settings.json'), 'utf8')).toBe('{}');
});

test('what the settings, the CLI or the caller cannot have is refused', async () => {
  const { refusal, as } = setUp();
  expect(await refusal({}, callerOf('key:1', 'web', ['sessions:write']))).toBe('auth.forbidden');
  expect(await setUp({ terminals: { enabled: false, commands: {} } }).refusal({})).toBe('terminal.disabled');
  expect(await refusal({ command: 'zsh' })).toBe('terminal.command_unknown');
  expect(await refusal({ command: 'constructor' })).toBe('terminal.command_unknown');
  expect(await refusal({ provider: 'none' })).toBe('provider.unknown');
  expect(await refusal({ provider: 'anthropic-sdk' })).toBe('provider.unsupported_option');
  expect(await refusal({ effort: 'max' })).toBe('provider.unsupported_option');
  expect(await refusal({ permissionMode: 'fullAccess' })).toBe('permission_mode.denied');
  expect(await setUp({ allowFullAccess: true }).refusal({ permissionMode: 'fullAccess' })).toBeNull();
  expect(await refusal({ cwd: '/' })).toBe('cwd.not_allowed');
  const commands = { gone: { binary: 'missing', args: [], env: [] } };
  expect(await setUp({ terminals: { enabled: true, commands } }).refusal({ command: 'gone' })).toBe(
    'execution.cli_missing',
  );
  expect(await refusal({}, as({ tools: ['Bash(git:*)'] }))).toBe('tools.denied');
});

test('the limits of a key hold, and one that is limited to providers or modes has no command', async () => {
  const { refusal, as, root } = setUp();
  expect(await refusal({ provider: 'codex' }, as({ providers: ['claude'] }))).toBe('provider.denied');
  expect(await refusal({}, as({ providers: ['claude'] }))).toBeNull();
  expect(await refusal({ command: 'bash' }, as({ providers: ['bash', 'claude'] }))).toBe('provider.denied');
  expect(await refusal({}, as({ permissionModes: ['plan'] }))).toBe('permission_mode.denied');
  expect(await refusal({ permissionMode: 'plan' }, as({ permissionModes: ['plan'] }))).toBeNull();
  expect(await refusal({ command: 'bash' }, as({ permissionModes: ['plan'] }))).toBe(
    'permission_mode.denied',
  );
  expect(await refusal({ command: 'bash' }, as({ permissionModes: ['fullAccess'] }))).toBeNull();
  expect(await refusal({ command: 'bash' }, as({ roots: [join(root, 'sub')] }))).toBe('cwd.not_allowed');
  expect(await refusal({ command: 'bash', cwd: join(root, 'sub') }, as({ roots: [root] }))).toBeNull();
});
