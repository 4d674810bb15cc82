/** What becomes of the jobs and processes of a server that has gone. */
import { mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { findOwnCgroup, mayUseCgroups } from '../../src/processes/cgroups.ts';
import { createNames } from '../../src/redis/names.ts';
import { eventually } from '../helpers/eventually.ts';
import { fakePrompt } from '../helpers/fake-cli.ts';
import { commandLine, descendants, isAlive } from '../helpers/proc.ts';
import { expectWhole, PATIENCE, reached, sharedFakeSystem } from './fake-system.ts';

const shared = sharedFakeSystem({ env: { BULLPEN_ALLOW_FULL_ACCESS: 'true', IS_SANDBOX: '1' } });

describe('what has no marker and left its session', () => {
  const own = findOwnCgroup();
  const allowed = mayUseCgroups(own);

  it.each([
    ['is killed by the launcher when the server is killed', false],
    ['is killed by the next start when the launcher is killed too', true],
  ])('%s, where there are cgroups', async (_what, launcherToo) => {
    const system = shared();
    const node = readFileSync(join(system.server.home, 'node-id'), 'utf8').trim();
    const cgroups = (): string[] =>
      own === null ? [] : readdirSync(own).filter((name) => name.startsWith(`bullpen.${node}.`));
    const ready = system.newFile('ready');
    const spawn = { setsid: true, double: true, cleanEnv: true };
    const prompt = fakePrompt([{ spawn }, { touch: ready }, { hang: true }]);
    await system.submit({ prompt, autoContinue: false });
    await reached(ready);
    const daemon = system.children().at(-1) ?? expect.unreachable();
    expect(isAlive(daemon)).toBe(true);
    expect(cgroups()).toHaveLength(allowed ? 1 : 0);
    const launcher = descendants(system.server.pid).find((pid) =>
      commandLine(pid)?.includes('launcher-process'),
    );
    if (launcherToo) process.kill(launcher ?? expect.unreachable(), 'SIGKILL');
    await system.server.kill('SIGKILL');
    if (launcherToo) await system.restart();
    await eventually(() => expect(system.marked()).toEqual([]), PATIENCE);
    if (allowed) await eventually(() => expect(isAlive(daemon)).toBe(false), PATIENCE);
    else process.kill(daemon, 'SIGKILL');
    await eventually(() => expect(cgroups()).toEqual([]), PATIENCE);
    if (!launcherToo) await system.restart();
  });
});

describe('a job that was made and has not started', () => {
  it('is refused by what its server allows now, and no CLI is started', async () => {
    const system = shared();
    const before = system.spawns();
    const inner = join(system.server.workspace, 'inner');
    mkdirSync(inner);
    system.failpoints.hold('rpc.listening');
    const ids = [
      await system.submit({ prompt: 'x', permissionMode: 'fullAccess', cwd: inner }),
      await system.submit({ prompt: 'x' }),
    ];
    await system.failpoints.reached('rpc.listening');
    await system.server.kill('SIGKILL');
    const strict = { BULLPEN_ALLOW_FULL_ACCESS: 'false', BULLPEN_ROOTS: inner, BULLPEN_CWD: inner };
    const server = await system.restart(strict);
    const ended = await Promise.all(ids.map((id) => server.finished(id)));
    expect(ended.map(({ outcome }) => outcome?.error)).toMatchObject([
      { code: 'permission_mode.denied', retryable: false },
      { code: 'cwd.not_allowed', retryable: false },
    ]);
    expect(ended[0]?.outcome?.error?.message).toContain('BULLPEN_ALLOW_FULL_ACCESS');
    expect(system.spawns()).toEqual(before);
    await expectWhole(system);
  });

  it('is refused when its record was changed to what its server would not have taken', async () => {
    const system = shared();
    const before = system.spawns();
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
      await forge({ timeoutMs: 999_999_999_999 }),
      await forge({ limits: { memoryBytes: -1 } }),
      await forge({ prompt: ' ' }),
      await forge({ allowedTools: ['Bash(*)'] }, 'raw'),
      await forge({ cwd: '/' }),
    ];
    system.failpoints.release('rpc.listening');
    const ended = await Promise.all(ids.map((id) => system.server.finished(id)));
    expect(ended.map(({ outcome }) => outcome?.error?.code)).toEqual([
      'execution.invalid_request',
      'execution.invalid_request',
      'execution.invalid_request',
      'tools.denied',
      'cwd.not_allowed',
    ]);
    expect(system.spawns()).toEqual(before);
    await expectWhole(system);
  });
});
