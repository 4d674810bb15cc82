import { describe, expect, it } from 'vitest';
import { resolvedPrompt } from '../../../../scripts/offline-model/resolved-prompt.ts';
import type { ResolvedPrompt } from '../../../../src/protocol/prompt.ts';
import { createClaudeProvider } from '../../../../src/providers/claude/provider.ts';
import { builtInOptions } from '../settings.ts';

const user = createClaudeProvider(builtInOptions());
const root = createClaudeProvider(builtInOptions({ runningAsRoot: true, sandboxMarker: false }));
const sandboxedRoot = createClaudeProvider(builtInOptions({ runningAsRoot: true, sandboxMarker: true }));
const context = { nativeSessionId: null, trustedWorkspace: false, scratchDir: '/scratch' };
const fullAccess = resolvedPrompt({ permissionMode: 'fullAccess' });

const refused = (changed: Partial<ResolvedPrompt>): string[] =>
  user.unsupported(resolvedPrompt(changed)).map(({ option }) => option);

describe('the claude provider', () => {
  it('supports a request that asks for everything', () => {
    const everything = resolvedPrompt({
      model: 'opus',
      effort: 'max',
      permissionMode: 'fullAccess',
      allowedTools: ['Read'],
      disallowedTools: ['Bash'],
      onPermissionDenied: 'fail',
      appendSystemPrompt: 'Be brief.',
      outputSchema: { type: 'object' },
      maxTurns: 3,
      maxCostUsd: 1,
      providerOptions: { fallbackModel: 'sonnet' },
    });
    expect(user.unsupported(everything)).toEqual([]);
  });

  it('refuses provider options it does not know', () => {
    expect(refused({ providerOptions: { settings: '{}', fallbackModel: 'haiku' } })).toEqual([
      'providerOptions.settings',
    ]);
  });

  it.each(['--model', 'a b', 'a,,b', '', 7])('refuses %j as a fallback model', (fallbackModel) => {
    expect(refused({ providerOptions: { fallbackModel } })).toEqual(['providerOptions.fallbackModel']);
    expect(() => user.command(resolvedPrompt({ providerOptions: { fallbackModel } }), context)).toThrow(
      expect.objectContaining({ code: 'provider.unsupported_option' }),
    );
  });

  it('refuses to allow tools for later to a job that does not wait for them', () => {
    const allowedTools = ['Read', 'ScheduleWakeup', 'CronCreate(*)'];
    expect(refused({ allowedTools })).toEqual(['allowedTools']);
    expect(refused({ allowedTools, background: 'stop' })).toEqual(['allowedTools']);
    expect(refused({ allowedTools, background: 'wait' })).toEqual([]);
  });

  it('refuses to ask in a job whose stdin is closed while it waits', () => {
    expect(refused({ onPermissionDenied: 'ask', background: 'wait' })).toEqual(['onPermissionDenied']);
    expect(refused({ onPermissionDenied: 'ask' })).toEqual([]);
  });

  it('refuses full access as root', () => {
    expect(root.unsupported(fullAccess).map(({ option }) => option)).toEqual(['permissionMode']);
    expect(root.capabilities.permissionModes).toEqual(['default', 'plan', 'acceptEdits']);
  });

  it('allows full access as root in a sandbox, and sets IS_SANDBOX for the CLI', () => {
    expect(sandboxedRoot.unsupported(fullAccess)).toEqual([]);
    expect(sandboxedRoot.command(fullAccess, context).env).toEqual({ IS_SANDBOX: '1' });
    expect(sandboxedRoot.command(resolvedPrompt(), context).env).toEqual({});
    expect(user.command(fullAccess, context).env).toEqual({});
  });
});
