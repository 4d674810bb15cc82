/**
 * One minute of `npm run nemesis`, with a plan that never changes. That of this seed has every kind
 * of fault except `starve.cpu`, most of them twice or more. That one would slow the tests beside
 * this one, and long runs have it.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { expect, it, onTestFinished } from 'vitest';

const NEMESIS = fileURLToPath(new URL('../../scripts/nemesis.ts', import.meta.url));

it('keeps every promise of docs/reliability.md under a minute of random faults', async () => {
  const args = ['--no-warnings', NEMESIS, '--minutes', '1', '--seed', '228'];
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
}, 600_000);
