import { existsSync, readdirSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { describe, expect, test } from 'vitest';
import { findRedisServer, provisionRedisServer } from '../../../src/redis/private/find-server.ts';
import { runRedisCli } from '../../helpers/redis-private.ts';
import { tempDir } from '../../helpers/temp.ts';

const SYSTEM_PATH = '/usr/sbin:/usr/bin:/sbin:/bin';
const hasApt = existsSync('/usr/bin/apt-get') && existsSync('/usr/bin/dpkg-deb');

/** What a fetch left, without its lock file. */
const contentOf = (cacheDir: string) => readdirSync(cacheDir).filter((name) => name !== 'fetch.lock');

describe.runIf(hasApt)('on Debian and Ubuntu', () => {
  test('several processes on a cold cache share one fetch, which leaves only the server', async () => {
    const cacheDir = tempDir();
    const lists = statSync('/var/lib/apt/lists').mtimeMs;
    const progress: string[] = [];
    const provision = () =>
      provisionRedisServer({ cacheDir, path: SYSTEM_PATH, onProgress: (line) => progress.push(line) });

    const [first, second] = await Promise.all([provision(), provision()]);

    expect(second).toEqual(first);
    expect(progress.filter((line) => line.startsWith('downloading'))).toHaveLength(1);
    expect(contentOf(cacheDir)).toHaveLength(1);
    expect(statSync('/var/lib/apt/lists').mtimeMs).toBe(lists);
    expect(await runRedisCli(first, ['--version'])).toContain(first.version);
    // The next search finds it without a fetch.
    expect(await findRedisServer({ cacheDir, path: '/missing' })).toEqual(first);
    expect(dirname(first.path)).toContain(cacheDir);
  });

  test('a cancelled fetch leaves nothing and rejects with the reason', async () => {
    const cacheDir = tempDir();
    const cancel = new AbortController();
    const reason = new Error('cancelled by the test');

    const provisioning = provisionRedisServer({
      cacheDir,
      path: SYSTEM_PATH,
      signal: cancel.signal,
      onProgress: () => cancel.abort(reason),
    });

    await expect(provisioning).rejects.toBe(reason);
    expect(contentOf(cacheDir)).toEqual([]);
  });
});

test('the error on a machine where nothing can be fetched says what to install', async () => {
  const cancelled = AbortSignal.timeout(60_000);
  const blocked = '/dev/null/no-cache-here';
  await expect(
    provisionRedisServer({ cacheDir: blocked, path: '/missing', signal: cancelled }),
  ).rejects.toMatchObject({
    code: 'redis.unavailable',
    message: expect.stringMatching(/Install redis-server or valkey-server .* or set REDIS_URL/),
  });
});
