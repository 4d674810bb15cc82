/**
 * What becomes of the jobs of a server that has gone: what its workers had taken, and what it had
 * allowed.
 */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { createNames } from '../../src/redis/names.ts';
import { expectWhole, startFakeSystem } from './fake-system.ts';

describe('a server that is started again', () => {
  it('delivers at once what a worker had taken and not submitted, without waiting for BullMQ’s lock', async () => {
    const system = await startFakeSystem({ env: { BULLPEN_LOCK_MS: '600000' } });
    system.failpoints.hold('rpc.listening');
    const id = await system.submit({ prompt: 'hello' });
    await system.failpoints.reached('rpc.listening');
    await system.server.kill('SIGKILL');
    system.failpoints.release('rpc.listening');
    const server = await system.restart();
    const job = await server.finished(id, 30_000);
    expect(job).toMatchObject({ status: 'succeeded', attempts: 1, outcome: { text: 'fake: hello' } });
    await expectWhole(system);
  });
});

describe('a job that was made and has not started', () => {
  it('is refused by what its server allows now, and no CLI is started', async () => {
    const env = { BULLPEN_ALLOW_FULL_ACCESS: 'true', IS_SANDBOX: '1' };
    const system = await startFakeSystem({ env });
    const inner = join(system.server.workspace, 'inner');
    mkdirSync(inner);
    const ids = [
      await system.submit({ prompt: 'x', delayMs: 2000, permissionMode: 'fullAccess', cwd: inner }),
      await system.submit({ prompt: 'x', delayMs: 2000 }),
    ];
    await system.server.stop();
    const strict = { BULLPEN_ALLOW_FULL_ACCESS: 'false', BULLPEN_ROOTS: inner, BULLPEN_CWD: inner };
    const server = await system.restart(strict);
    const ended = await Promise.all(ids.map((id) => server.finished(id)));
    expect(ended.map(({ outcome }) => outcome?.error)).toMatchObject([
      { code: 'permission_mode.denied', retryable: false },
      { code: 'cwd.not_allowed', retryable: false },
    ]);
    expect(ended[0]?.outcome?.error?.message).toContain('BULLPEN_ALLOW_FULL_ACCESS');
    expect(system.spawns()).toEqual([]);
    await expectWhole(system);
  });

  it('is refused when its record was changed to what its server would not have taken', async () => {
    const system = await startFakeSystem();
    const names = createNames({ prefix: 'bullpen', requestChannel: 'q', responseChannel: 'a' });
    const redis = system.redis();
    system.failpoints.hold('rpc.listening');
    const forge = async (change: object, principal = 'admin') => {
      const id = await system.submit({ prompt: 'x', timeoutMs: 60_000 });
      const request = JSON.parse((await redis.hget(names.job(id), 'request')) ?? '');
      await redis.hset(names.job(id), { principal, request: JSON.stringify({ ...request, ...change }) });
      return id;
    };
    const ids = [
      await forge({ permissionMode: 'fullAccess' }),
      await forge({ timeoutMs: 999_999_999_999 }),
      await forge({ limits: { memoryBytes: -1 } }),
      await forge({ prompt: ' ' }),
      await forge({ allowedTools: ['Bash(*)'] }, 'raw'),
      await forge({ cwd: '/' }),
    ];
    system.failpoints.release('rpc.listening');
    const ended = await Promise.all(ids.map((id) => system.server.finished(id)));
    expect(ended.map(({ outcome }) => outcome?.error?.code)).toEqual([
      'permission_mode.denied',
      'execution.invalid_request',
      'execution.invalid_request',
      'execution.invalid_request',
      'tools.denied',
      'cwd.not_allowed',
    ]);
    expect(system.spawns()).toEqual([]);
    await expectWhole(system);
  });
});
