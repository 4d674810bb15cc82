import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { expect, it, onTestFinished } from 'vitest';

const LOGGER = new URL('../../../src/logger.ts', import.meta.url).href;
/** Says two things when its stdin ends, and leaves at once. */
const PROGRAM = `
  const { createLogger } = await import('${LOGGER}');
  const logger = createLogger('info');
  process.stdin.on('end', () => {
    logger.warn('nobody reads this');
    logger.warn('nor that');
    process.exit(0);
  }).resume();
`;

it('keeps no process from ending when nobody reads its log any more', async () => {
  const child = spawn(process.execPath, ['--input-type=module', '--no-warnings', '--eval', PROGRAM], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  onTestFinished(() => void child.kill('SIGKILL'));
  const ended = once(child, 'exit');
  child.stdout.destroy();
  await once(child.stdout, 'close');
  child.stdin.end();
  expect(await ended).toEqual([0, null]);
});
