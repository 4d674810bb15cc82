import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { RAW_PRINCIPAL } from '../../../src/auth/principal.ts';
import { OPEN_GRANT } from '../../../src/protocol/grant.ts';
import { MAX_PROMPT_BYTES, promptOptions } from '../../../src/protocol/prompt.ts';
import { callerOf } from '../../fakes/principals.ts';
import { setUp } from './resolver.ts';

const USER = callerOf('user');

describe('a request', () => {
  it('with a prompt only gets the defaults', async () => {
    const { resolve, root } = setUp();
    expect(await resolve({ prompt: 'Hello' })).toEqual({
      prompt: 'Hello',
      provider: 'claude',
      model: null,
      effort: null,
      cwd: root,
      sessionId: null,
      permissionMode: 'default',
      allowedTools: [],
      disallowedTools: [],
      onPermissionDenied: 'report',
      appendSystemPrompt: null,
      outputSchema: null,
      maxTurns: null,
      maxCostUsd: null,
      providerOptions: {},
      limits: {},
      timeoutMs: 3_600_000,
      idleTimeoutMs: 900_000,
      ttlMs: null,
      priority: 0,
      delayMs: 0,
      maxAttempts: 1,
      concurrencyKey: null,
      tags: [],
      metadata: {},
    });
  });

  it('keeps how long an approval may be open', async () => {
    expect(await setUp().resolve({ prompt: 'x', approvalTimeoutMs: 5000 })).toMatchObject({
      approvalTimeoutMs: 5000,
    });
  });

  it('gets the defaults of its provider before those of the server, and keeps what it names itself', async () => {
    const claude = {
      model: 'its-own',
      mode: 'plan',
      timeoutMs: 1000,
      idleTimeoutMs: 500,
      limits: { processes: 5, openFiles: 50 },
    };
    const { resolve } = setUp({ model: 'of-the-server' }, { claude });
    const { mode, ...defaults } = claude;
    expect(await resolve({ prompt: 'x' })).toMatchObject({ ...defaults, permissionMode: mode });
    const named = { model: 'named', permissionMode: 'default', timeoutMs: 9, idleTimeoutMs: 8 };
    expect(await resolve({ prompt: 'x', ...named, limits: { processes: 2 } })).toMatchObject({
      ...named,
      limits: { processes: 2, openFiles: 50 },
    });
    expect(await setUp({ model: 'of-the-server' }).resolve({ prompt: 'x' })).toMatchObject({
      model: 'of-the-server',
    });
  });

  it('gets no limit of its provider that the server does not allow', async () => {
    const { resolve, refusal } = setUp({}, { claude: { limits: { processes: 5000, openFiles: 50 } } });
    expect(await resolve({ prompt: 'x' })).toMatchObject({ limits: { processes: 2000, openFiles: 50 } });
    expect(await refusal({ prompt: 'x', limits: { processes: 2001 } })).toMatchObject({
      ...{ code: 'request.invalid', problems: [{ path: '/limits/processes' }] },
    });
  });

  it('keeps all its fields', async () => {
    const { resolve, root } = setUp({ model: 'sonnet' });
    const said = {
      prompt: 'Hello',
      provider: 'claude',
      model: 'opus',
      effort: 'high',
      cwd: join(root, 'sub'),
      permissionMode: 'plan',
      allowedTools: ['Read', 'Bash(git log)'],
      disallowedTools: ['Write'],
      onPermissionDenied: 'ask',
      approvalTimeoutMs: 7000,
      background: 'stop',
      appendSystemPrompt: 'Be short.',
      outputSchema: { type: 'object' },
      maxTurns: 3,
      maxCostUsd: 2,
      providerOptions: { fallbackModel: 'haiku' },
      sessionId: '01K0000000000000000000000A',
      limits: {},
      onQuota: 'wait',
      quotaTimeoutMs: 8000,
      continuePrompt: 'Go on.',
      autoContinue: false,
      timeoutMs: 5000,
      idleTimeoutMs: 4000,
      ttlMs: 6000,
      priority: -3,
      delayMs: 10,
      concurrencyKey: 'k',
      tags: ['a'],
      metadata: { k: 'v' },
    };
    const { retry, ...rest } = { ...said, retry: { maxAttempts: 4 } };
    expect(await resolve({ ...rest, retry })).toMatchObject({ ...said, maxAttempts: 4 });
    const all = Object.keys(promptOptions).filter((name) => name !== 'runAt'); // instead of delayMs
    expect(Object.keys(said).sort()).toEqual([...all.filter((name) => name !== 'retry'), 'prompt'].sort());
    expect(await resolve({ prompt: 'x' })).toMatchObject({ model: 'sonnet' });
  });

  it.each(['', ' ', ' \t\n\r '])('without any text in its prompt (%j) is refused', async (prompt) => {
    expect(await setUp().refusal({ prompt })).toMatchObject({
      code: 'request.invalid',
      status: 400,
      problems: [{ path: '/prompt' }],
    });
  });

  it('with a NUL in its prompt is refused', async () => {
    expect(await setUp().refusal({ prompt: 'a\0b' })).toMatchObject({ code: 'request.invalid', status: 400 });
  });

  it('may be as large as allowed, in bytes, and no larger', async () => {
    const { resolve, refusal } = setUp();
    const whole = 'é'.repeat(MAX_PROMPT_BYTES / 2);
    expect((await resolve({ prompt: whole })).prompt).toBe(whole);
    expect(await refusal({ prompt: `${whole}x` })).toMatchObject({ code: 'request.too_large', status: 413 });
    expect(await refusal({ prompt: 'x'.repeat(10_000_000) })).toMatchObject({ code: 'request.too_large' });
  });

  it.each([
    '\u0001\u0002\u001b[31m',
    '\u202eright to left',
    '\u200b\u200d',
    'a\r\nb',
    ' padded ',
    '/help',
    '-p',
    '\ud83d',
  ])('keeps a prompt like %j as it is', async (prompt) => {
    expect((await setUp().resolve({ prompt })).prompt).toBe(prompt);
  });

  it.each([
    'nope',
    'Claude',
    'claude ',
    ' claude',
    '../claude',
    '/bin/sh',
    '',
    'claude\n',
    'constructor',
    '__proto__',
  ])('for the provider %j is refused', async (provider) => {
    const error = await setUp().refusal({ prompt: 'x', provider });
    expect(['provider.unknown', 'request.invalid']).toContain(error.code);
    expect(error.status).toBe(400);
  });

  it.each([
    '',
    ' ',
    'a b',
    '-x',
    '--dangerously-skip-permissions',
    '=x',
    'a=b',
    'a\nb',
    'a\0',
    '../x',
    '/etc/passwd',
    'x'.repeat(200),
  ])('for the model %j is refused', async (model) => {
    expect(await setUp().refusal({ prompt: 'x', model })).toMatchObject({
      code: 'request.invalid',
      problems: [{ path: '/model' }],
    });
  });

  it.each(['banana', '', '--help', 'HIGH', null, 3])('for the effort %j is refused', async (effort) => {
    expect(await setUp().refusal({ prompt: 'x', effort })).toMatchObject({ code: 'request.invalid' });
  });

  it.each([0, -1, Number.NaN, Number.POSITIVE_INFINITY, 1e12, 1.5, '5', null, 7_200_001])(
    'with a time of %s is refused',
    async (value) => {
      for (const name of ['timeoutMs', 'idleTimeoutMs']) {
        const error = await setUp().refusal({ prompt: 'x', [name]: value });
        expect(error, name).toMatchObject({ code: 'request.invalid', status: 400 });
        expect(error.problems[0]?.path).toBe(`/${name}`);
      }
    },
  );

  it('without a time limit gets one that the server allows', async () => {
    const { resolve } = setUp({ timeoutMs: 10_000, idleTimeoutMs: 10_000, maxTimeoutMs: 500 });
    expect(await resolve({ prompt: 'x' })).toMatchObject({ timeoutMs: 500, idleTimeoutMs: 500 });
    expect(await resolve({ prompt: 'x', timeoutMs: 500 })).toMatchObject({ timeoutMs: 500 });
  });

  it.each([
    ['extraArgs', ['--x']],
    ['args', ['--x']],
    ['shell', true],
    ['env', { PATH: '/tmp' }],
    ['executable', '/bin/sh'],
    ['binary', '/bin/sh'],
    ['maxAttempts', 3],
    ['constructor', 1],
  ])('with a field there is not (%s) is refused', async (name, value) => {
    expect(await setUp().refusal({ prompt: 'x', [name]: value })).toMatchObject({
      code: 'request.invalid',
      status: 400,
    });
  });

  it.each(['mcpConfig', 'mcp-config', 'settings', 'pluginDir', 'addDir', 'c', 'config'])(
    'whose provider options hold %s is refused: no flag comes from a job',
    async (name) => {
      const error = await setUp().refusal({ prompt: 'x', providerOptions: { [name]: '/tmp/x' } });
      expect(error).toMatchObject({ code: 'provider.unsupported_option', status: 422 });
    },
  );

  it('may ask for full access only where the server allows it', async () => {
    const request = { prompt: 'x', permissionMode: 'fullAccess' };
    expect(await setUp().refusal(request)).toMatchObject({ code: 'permission_mode.denied', status: 403 });
    const allowed = setUp({ allowFullAccess: true });
    expect(await allowed.resolve(request)).toMatchObject({ permissionMode: 'fullAccess' });
    for (const permissionMode of ['bypassPermissions', 'FULLACCESS', '', null]) {
      expect(await allowed.refusal({ prompt: 'x', permissionMode })).toMatchObject({
        code: 'request.invalid',
      });
    }
  });

  it('of the requests channel may allow no tools, but may forbid some', async () => {
    const { resolve, refusal } = setUp();
    expect(await refusal({ prompt: 'x', allowedTools: ['Read'] }, RAW_PRINCIPAL)).toMatchObject({
      code: 'tools.denied',
      status: 403,
    });
    expect(
      await resolve({ prompt: 'x', allowedTools: [], disallowedTools: ['Bash'] }, RAW_PRINCIPAL),
    ).toMatchObject({
      disallowedTools: ['Bash'],
    });
    expect(await resolve({ prompt: 'x', allowedTools: ['Read'] }, USER)).toMatchObject({
      allowedTools: ['Read'],
    });
  });

  it('may be only what the grant of its caller allows', async () => {
    const { root, dir, resolve, refusal } = setUp({ allowFullAccess: true });
    symlinkSync(join(dir, 'work-evil'), join(root, 'sub', 'out'));
    const grant = {
      ...{ ...OPEN_GRANT, providers: ['claude'], roots: [join(root, 'sub')], tools: ['Bash(git *)'] },
      permissionModes: ['default' as const, 'plan' as const, 'fullAccess' as const],
    };
    const caller = { ...USER, grant };
    const fits = { prompt: 'x', cwd: join(root, 'sub'), allowedTools: ['Bash(git log *)'] };
    expect(await resolve(fits, caller)).toMatchObject(fits);
    const refused = async (change: object) => refusal({ ...fits, ...change }, caller);
    expect(await refused({ allowedTools: ['Bash(git log *)', 'Read'] })).toMatchObject({
      ...{ code: 'tools.denied', status: 403, message: 'Read is not allowed here; allowed: Bash(git *)' },
      problems: [{ path: '/allowedTools/1' }],
    });
    expect(await refused({ permissionMode: 'acceptEdits' })).toMatchObject({
      ...{ code: 'permission_mode.denied', status: 403, problems: [{ path: '/permissionMode' }] },
      message: 'acceptEdits is not allowed here; allowed: default, plan, fullAccess',
    });
    // It allows more tools than these.
    expect(await refused({ permissionMode: 'fullAccess' })).toMatchObject({ code: 'permission_mode.denied' });
    expect(await refused({ provider: 'codex', allowedTools: [] })).toMatchObject({
      ...{ code: 'provider.denied', status: 403, problems: [{ path: '/provider' }] },
      message: 'codex is not allowed here; allowed: claude',
    });
    for (const cwd of [root, join(root, 'sub', 'out')])
      expect(await refused({ cwd })).toMatchObject({ code: 'cwd.not_allowed', status: 400 });
    expect(await refusal({ ...fits, cwd: undefined }, caller)).toMatchObject({ code: 'cwd.not_allowed' });
    const none = { ...USER, grant: { ...OPEN_GRANT, tools: [] } };
    expect(await refusal({ prompt: 'x', allowedTools: ['Read'] }, none)).toMatchObject({
      message: 'Read is not allowed here; allowed: no tool',
    });
    expect(await resolve({ prompt: 'x' }, none)).toMatchObject({ allowedTools: [] });
  });

  it('gets the real path of its folder', async () => {
    const { resolve, root } = setUp();
    symlinkSync(join(root, 'sub'), join(root, 'link'));
    expect(await resolve({ prompt: 'x', cwd: join(root, 'link') })).toMatchObject({ cwd: join(root, 'sub') });
  });

  it('in a folder that is not allowed is refused', async () => {
    const { dir, root, refusal } = setUp();
    writeFileSync(join(root, 'file'), '');
    symlinkSync(join(dir, 'work-evil'), join(root, 'out'));
    mkdirSync(join(dir, 'work-evil', 'inner'));
    const outside = ['/', '/etc', '..', 'a/../../b', '~', join(dir, 'work-evil'), `${root}/..`];
    const links = [join(root, 'out'), join(root, 'out', 'inner')];
    const others = [join(root, 'file'), join(root, 'none'), `${root} `, `${root}\0`];
    for (const cwd of [...outside, ...links, ...others]) {
      expect(await refusal({ prompt: 'x', cwd }), JSON.stringify(cwd)).toMatchObject({
        code: 'cwd.not_allowed',
        status: 400,
        problems: [{ path: '/cwd' }],
      });
    }
    for (const cwd of ['', `${root}/${'x'.repeat(5000)}`, 5, null]) {
      expect(await refusal({ prompt: 'x', cwd })).toMatchObject({
        status: 400,
        problems: [{ path: '/cwd' }],
      });
    }
  });

  it('names every option the provider cannot honour', async () => {
    const error = await setUp().refusal({ prompt: 'x', providerOptions: { a: 1, b: 2 } });
    expect(error).toMatchObject({ code: 'provider.unsupported_option' });
    expect(error.problems.length).toBeGreaterThan(0);
  });

  it('lets only claude wait for work behind the answer', async () => {
    const { resolve, refusal } = setUp();
    const wait = { prompt: 'x', background: 'wait' };
    expect(await resolve({ ...wait, provider: 'claude' })).toMatchObject({ background: 'wait' });
    for (const provider of ['codex', 'gemini', 'cursor-agent', 'anthropic-sdk']) {
      expect(await refusal({ ...wait, provider })).toMatchObject({ problems: [{ path: '/background' }] });
      expect(await resolve({ ...wait, background: 'stop', provider })).toMatchObject({ background: 'stop' });
    }
    expect(await refusal({ ...wait, background: 'later' })).toMatchObject({ status: 400 });
  });
});

describe('a cap of cost', () => {
  const capped = { prompt: 'x', maxCostUsd: 1 };

  it('is kept by claude itself, for any model', async () => {
    const { resolve } = setUp();
    expect(await resolve({ ...capped, provider: 'claude', model: 'unknown' })).toMatchObject({
      maxCostUsd: 1,
    });
  });

  it('is kept from the stream where the model has a price', async () => {
    const { resolve, refusal } = setUp();
    const sdk = { ...capped, provider: 'anthropic-sdk' };
    expect(await resolve({ ...sdk, model: 'claude-sonnet-4-5' })).toMatchObject({ maxCostUsd: 1 });
    for (const request of [{ ...sdk, model: 'unknown' }, sdk]) {
      expect(await refusal(request)).toMatchObject({
        code: 'provider.unsupported_option',
        problems: [{ path: '/maxCostUsd' }],
      });
    }
  });

  it.each(['codex', 'gemini', 'cursor-agent'])(
    'is refused for %s, which reports its tokens at the end only',
    async (provider) => {
      expect(await setUp().refusal({ ...capped, provider, model: 'gpt-5' })).toMatchObject({
        code: 'provider.unsupported_option',
        problems: [{ path: '/maxCostUsd' }],
      });
    },
  );
});
