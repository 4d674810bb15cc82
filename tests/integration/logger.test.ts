import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { expect, it, onTestFinished } from 'vitest';

const LOGGER = new URL('../../src/logger.ts', import.meta.url).href;
/** Logs two lines when its stdin ends, and exits at once. */
const PROGRAM = `
  const { createLogger } = await import('${LOGGER}');
  const logger = createLogger('info');
  process.stdin.on('end', () => {
    logger.warn('a first line');
    logger.warn('a second line');
    process.exit(0);
  }).resume();
`;

it('a process exits also when its log has no reader', async () => {
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
