import { describe, expect, it } from 'vitest';
import { resolvedPrompt } from '../../../../scripts/offline-model/resolved-prompt.ts';
import { PermissionMode, type ResolvedPrompt } from '../../../../src/protocol/prompt.ts';
import type { BuiltInOptions } from '../../../../src/providers/built-in.ts';
import { createCursorProvider } from '../../../../src/providers/cursor/provider.ts';
import type { CommandContext } from '../../../../src/providers/provider.ts';
import { builtInOptions } from '../settings.ts';

interface Changed {
  readonly request?: Partial<ResolvedPrompt>;
  readonly context?: Partial<CommandContext>;
  readonly options?: Partial<BuiltInOptions>;
}

const command = ({ request = {}, context = {}, options = {} }: Changed = {}) =>
  createCursorProvider(builtInOptions(options)).command(resolvedPrompt(request), {
    nativeSessionId: null,
    trustedWorkspace: false,
    scratchDir: '/scratch',
    ...context,
  });

describe('the command line of cursor-agent', () => {
  it('prints a stream of JSON and reads only, with the prompt on stdin', () => {
    expect(command({ request: { prompt: 'What is this?' } })).toEqual({
      args: ['-p', '--output-format', 'stream-json', '--mode=ask'],
      stdin: 'What is this?',
      env: {},
    });
  });

  it.each([
    ['plan', ['--mode=plan']],
    ['acceptEdits', ['--force']],
    ['fullAccess', ['--force', '--sandbox', 'disabled']],
  ] as const)('says what %s allows', (permissionMode, args) => {
    expect(command({ request: { permissionMode } }).args.slice(3)).toEqual(args);
  });

  it('has the arguments of the settings first, and their arguments for a mode', () => {
    const options = { modes: { plan: ['--mode=other'] }, args: ['--approve-mcps'] };
    const { args } = command({ request: { permissionMode: 'plan' }, options });
    expect(args.slice(3)).toEqual(['--approve-mcps', '--mode=other']);
  });

  it('names the model and the session, joined to their flags', () => {
    const { args } = command({ request: { model: 'sonnet-4' }, context: { nativeSessionId: 'c0ffee-1' } });
    expect(args.slice(-2)).toEqual(['--model=sonnet-4', '--resume=c0ffee-1']);
  });

  it.each(['--evil', 'a b', ''])('refuses to resume session %j', (nativeSessionId) => {
    expect(() => command({ context: { nativeSessionId } })).toThrow(
      expect.objectContaining({ code: 'execution.invalid_request' }),
    );
  });

  it('trusts only a trusted workspace', () => {
    expect(command().args).not.toContain('--trust');
    expect(command({ context: { trustedWorkspace: true } }).args).toContain('--trust');
  });

  it.each(['/compress', '& do it in the cloud'])('takes %j as a prompt, not as a command', (prompt) => {
    expect(command({ request: { prompt } }).stdin).toBe(`\n${prompt}`);
  });
});

describe('the cursor-agent provider', () => {
  const provider = createCursorProvider(builtInOptions());

  it('is marked as experimental', () => {
    expect(provider.capabilities).toMatchObject({ experimental: true, resume: true, model: true });
  });

  it('refuses maxRetries in the settings, which the CLI does not have', () => {
    expect(() => createCursorProvider(builtInOptions({ maxRetries: 1 }))).toThrow(
      expect.objectContaining({ code: 'config.invalid' }),
    );
  });

  it('has every permission mode, but not fullAccess for root', () => {
    expect(provider.capabilities.permissionModes).toEqual(PermissionMode.enum);
    const root = createCursorProvider(builtInOptions({ runningAsRoot: true }));
    expect(root.capabilities.permissionModes).not.toContain('fullAccess');
    const refused = root.unsupported(resolvedPrompt({ permissionMode: 'fullAccess' }));
    expect(refused.map(({ option }) => option)).toEqual(['permissionMode']);
  });

  it.each<Partial<ResolvedPrompt>>([
    { effort: 'low' },
    { allowedTools: ['Read'] },
    { disallowedTools: ['Read'] },
    { onPermissionDenied: 'fail' },
    { appendSystemPrompt: 'x' },
    { outputSchema: {} },
    { maxTurns: 3 },
    { maxCostUsd: 1 },
  ])('refuses %j', (changed) => {
    const refused = provider.unsupported(resolvedPrompt(changed));
    expect(refused.map(({ option }) => option)).toEqual(Object.keys(changed));
  });

  it('refuses provider options and takes a model and a session', () => {
    const refused = provider.unsupported(resolvedPrompt({ providerOptions: { cloud: true } }));
    expect(refused.map(({ option }) => option)).toEqual(['providerOptions.cloud']);
    expect(provider.unsupported(resolvedPrompt({ model: 'm', sessionId: '01J' }))).toEqual([]);
  });
});
