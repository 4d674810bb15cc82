/** A third of a minute of `npm run storm`. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { expect, it, onTestFinished } from 'vitest';

const STORM = fileURLToPath(new URL('../../scripts/live-storm.ts', import.meta.url));

it('gives every client every event once while connections break and a server restarts', async () => {
  const args = ['--no-warnings', STORM, '--minutes', String(1 / 3), '--seed', '7'];
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  onTestFinished(() => void child.kill('SIGTERM'));
  let output = '';
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (chunk: Buffer) => {
      output += chunk.toString();
    });
  const [code] = await once(child, 'close');
  expect(code, output).toBe(0);
  expect(output).toMatch(/\| violations \| 0 \|/);
  expect(Number(/\| starts of the second server \| (\d+) \|/.exec(output)?.[1]), output).toBeGreaterThan(1);
}, 600_000);
