import { describe, expect, it } from 'vitest';
import { resolvedPrompt } from '../../../scripts/offline-model/resolved-prompt.ts';
import { checkRequest } from '../../../src/executor/permit.ts';

describe('a request as a record holds it', () => {
  it('is valid as it was made', () => {
    expect(() => checkRequest(JSON.parse(JSON.stringify(resolvedPrompt())))).not.toThrow();
  });

  it.each([
    ['prompt', ''],
    ['prompt', ' \n'],
    ['prompt', 'a\0b'],
    ['provider', '../claude'],
    ['model', '--model'],
    ['effort', 'ludicrous'],
    ['cwd', ''],
    ['sessionId', '../../etc'],
    ['permissionMode', 'bypassPermissions'],
    ['allowedTools', ['--dangerously-skip-permissions']],
    ['disallowedTools', Array.from({ length: 65 }, () => 'Read')],
    ['onPermissionDenied', 'ignore'],
    ['appendSystemPrompt', 'x'.repeat(65_537)],
    ['outputSchema', []],
    ['maxTurns', 0],
    ['maxCostUsd', -1],
    ['providerOptions', 'x'],
    ['limits', { memoryBytes: 0 }],
    ['limits', { threads: 1 }],
    ['timeoutMs', 999_999_999_999],
    ['timeoutMs', 0],
    ['idleTimeoutMs', 1.5],
    ['ttlMs', -1],
    ['priority', 11],
    ['delayMs', 2_592_000_001],
    ['maxAttempts', 21],
    ['concurrencyKey', ''],
    ['tags', ['a', 'a']],
    ['metadata', { k: 'x'.repeat(1025) }],
    ['extraArgs', ['--x']],
  ])('has the bounds of what a caller may say: %s %j', (name, value) => {
    expect(() => checkRequest({ ...resolvedPrompt(), [name]: value })).toThrow(
      expect.objectContaining({
        code: 'request.invalid',
        problems: expect.arrayContaining([
          expect.objectContaining({ path: expect.stringContaining(`/${name}`) }),
        ]),
      }),
    );
  });

  it('misses no field', () => {
    for (const name of Object.keys(resolvedPrompt())) {
      const { [name as 'tags']: _left, ...rest } = resolvedPrompt();
      expect(() => checkRequest(rest), name).toThrow(expect.objectContaining({ code: 'request.invalid' }));
    }
  });
});
