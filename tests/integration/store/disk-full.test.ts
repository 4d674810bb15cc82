import { execFile, execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';
import { tempDir } from '../../helpers/temp.ts';

const SCRIPT = fileURLToPath(new URL('./fill-disk.ts', import.meta.url));

/** Whether this machine lets us mount a small disk in a namespace of our own. */
const canMount = (() => {
  try {
    execFileSync('unshare', ['-Urm', 'mount', '-t', 'tmpfs', 'tmpfs', '/mnt'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
})();

it.skipIf(!canMount)(
  'a full disk fails what does not fit, keeps what was committed, and passes',
  async () => {
    const dir = tempDir();
    const command = `mount -t tmpfs -o size=2m tmpfs "$1" && exec "$2" "$3" "$1"`;
    const args = ['-Urm', 'sh', '-c', command, 'sh', dir, process.execPath, SCRIPT];
    const { stdout } = await promisify(execFile)('unshare', args);
    expect(JSON.parse(stdout)).toEqual({
      before: 'ok',
      whileFull: ['store.unavailable', 'store.unavailable'],
      reads: 'ok',
      after: ['ok', 'ok'],
      kept: ['after-1', 'after-2', 'before'],
    });
  },
);
