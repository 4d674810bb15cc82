import { execFile } from 'node:child_process';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { probeServerBinary, type RedisServerBinary } from './server-binary.ts';

const execFileAsync = promisify(execFile);

const FORMULAE = [
  { formula: 'redis', server: 'redis-server' },
  { formula: 'valkey', server: 'valkey-server' },
];

/**
 * The server of an installed Homebrew formula, for a shell whose PATH lacks Homebrew's folder. Homebrew
 * itself installs for the whole machine, so nothing is installed here.
 *
 * @throws when Homebrew has neither Redis nor Valkey
 */
export async function findWithHomebrew({
  path,
  signal,
}: {
  readonly path: string;
  readonly signal: AbortSignal;
}): Promise<RedisServerBinary> {
  // Homebrew's own folders come last: on Apple silicon /opt/homebrew/bin is not on the default PATH.
  // `/`: an entry of PATH that is relative must not mean the folder where the server was started.
  const env = { HOME: homedir(), PATH: `${path}:/opt/homebrew/bin:/usr/local/bin` };
  for (const { formula, server } of FORMULAE) {
    const prefix = await execFileAsync('brew', ['--prefix', formula], { env, cwd: '/', signal }).then(
      ({ stdout }) => stdout.trim(),
      () => null,
    );
    const binary = prefix === null ? null : await probeServerBinary(join(prefix, 'bin', server), null);
    if (binary) return binary;
  }
  throw new Error('Homebrew has no redis or valkey (brew install redis)');
}
