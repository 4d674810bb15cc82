import { homedir } from 'node:os';
import { join } from 'node:path';

/**
 * Where fetched Redis servers are kept: `${XDG_CACHE_HOME:-~/.cache}/bullpen/redis`.
 *
 * @param xdgCacheHome the value of `XDG_CACHE_HOME`; empty and relative values are ignored, as the XDG
 * base directory specification demands
 */
export function redisCacheDir(xdgCacheHome: string | undefined): string {
  const base = xdgCacheHome?.startsWith('/') ? xdgCacheHome : join(homedir(), '.cache');
  return join(base, 'bullpen', 'redis');
}
