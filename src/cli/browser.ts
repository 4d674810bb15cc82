/** Opens an address in the browser of the user. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';

/**
 * Starts the program that opens addresses on this system, which goes on alone. Resolves with
 * whether it could be started.
 */
export async function openBrowser(url: string, platform: string = process.platform): Promise<boolean> {
  const program = platform === 'darwin' ? 'open' : 'xdg-open';
  const child = spawn(program, [url], { detached: true, stdio: 'ignore' });
  try {
    await once(child, 'spawn');
  } catch {
    return false; // it is not installed
  }
  child.unref();
  return true;
}
