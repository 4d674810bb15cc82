import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { expect, onTestFinished, test } from 'vitest';
import { startPrivateRedis } from '../../../src/redis/private/private-server.ts';
import { eventually } from '../../helpers/eventually.ts';
import { isAlive } from '../../helpers/proc.ts';
import { findTestServer } from '../../helpers/redis-private.ts';
import { tempDir } from '../../helpers/temp.ts';

const SCRIPT = fileURLToPath(new URL('./start-server-and-wait.ts', import.meta.url));

async function startInChild(dir: string): Promise<{ child: ChildProcess; pid: number; port: number }> {
  const child = spawn(process.execPath, [SCRIPT, dir], { stdio: ['ignore', 'pipe', 'inherit'] });
  onTestFinished(() => {
    child.kill('SIGKILL');
  });
  const [line] = await once(createInterface({ input: child.stdout }), 'line');
  return { child, ...JSON.parse(line) };
}

async function start(dir: string) {
  const channels = { requestChannel: 'requests', responseChannel: 'responses' };
  const server = await startPrivateRedis({ dir, binary: await findTestServer(), ...channels });
  onTestFinished(() => server.stop());
  return server;
}

test('the server dies with a parent that is killed', async () => {
  const { child, pid } = await startInChild(tempDir());
  expect(isAlive(pid)).toBe(true);

  child.kill('SIGKILL');

  await eventually(() => !isAlive(pid));
});

test('a server that outlived its parent is stopped by the next start, which takes its port and data', async () => {
  const dir = tempDir();
  const { child, pid, port } = await startInChild(dir);
  // A stopped process does not see the signal of its parent's death until it is continued.
  process.kill(pid, 'SIGSTOP');
  onTestFinished(() => {
    if (isAlive(pid)) process.kill(pid, 'SIGKILL');
  });
  child.kill('SIGKILL');
  await once(child, 'exit');
  expect(isAlive(pid)).toBe(true);

  const server = await start(dir);

  expect(isAlive(pid)).toBe(false);
  expect(server.port).toBe(port);
});

test('a pid file that names another program does no harm', async () => {
  const dir = tempDir();
  const first = await start(dir);
  await first.stop();
  await writeFile(`${dir}/redis.pid`, `${process.pid}\n`);

  const second = await start(dir);

  expect(isAlive(second.pid)).toBe(true);
});

test('a living parent is not taken for a killed one', async () => {
  const dir = tempDir();
  const { pid } = await startInChild(dir);

  await expect(start(dir)).rejects.toMatchObject({ code: 'config.locked' });

  expect(isAlive(pid)).toBe(true);
});
