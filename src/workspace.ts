import { realpath, stat } from 'node:fs/promises';
import { isAbsolute, normalize, sep } from 'node:path';
import { AppError } from './errors.ts';

export interface WorkspaceSettings {
  /** Directories in which jobs may run. */
  readonly roots: readonly string[];
  /** Directories whose own CLI settings, hooks and MCP files may be used. */
  readonly trustedRoots: readonly string[];
}

export interface Workspace {
  /** Real path, without symbolic links. */
  readonly cwd: string;
  readonly trusted: boolean;
}

/**
 * Resolves the symbolic links of a job's directory, and checks that a job may run there.
 * @param nameRoots whether the error may name the allowed roots
 * @throws AppError cwd.not_allowed
 */
export async function resolveWorkspace(
  cwd: string,
  settings: WorkspaceSettings,
  nameRoots = false,
): Promise<Workspace> {
  if (!isAbsolute(cwd) || cwd.includes('\0')) throw refused('the working directory must be an absolute path');
  let real: string;
  try {
    real = await realpath(cwd);
    if (!(await stat(real)).isDirectory()) throw refused('the working directory is not a directory');
  } catch (error) {
    if (error instanceof AppError) throw error;
    throw refused('the working directory does not exist or cannot be read');
  }
  if (!(await isInside(real, settings.roots))) {
    const { roots } = settings;
    if (!nameRoots) throw refused('the working directory is not inside an allowed root (BULLPEN_ROOTS)');
    const all = [...roots, real].join(',');
    throw refused(
      `the working directory ${real} is not inside an allowed root (${roots.join(', ')}); to allow it, start the server with BULLPEN_ROOTS=${all}`,
    );
  }
  return { cwd: real, trusted: await isInside(real, settings.trustedRoots) };
}

/**
 * Checks the name of a directory on another host: as text, without its links. The executor there
 * checks the directory itself.
 * @param nameRoots whether the error may name the allowed roots
 * @throws AppError cwd.not_allowed
 */
export function namedWorkspace(cwd: string, settings: WorkspaceSettings, nameRoots = false): Workspace {
  if (!isAbsolute(cwd) || cwd.includes('\0')) throw refused('the working directory must be an absolute path');
  const named = cwd.length > 1 && cwd.endsWith(sep) ? cwd.slice(0, -1) : cwd;
  if (normalize(named) !== named)
    throw refused('the working directory must be written without empty parts, `.` and `..`');
  const { roots, trustedRoots } = settings;
  if (!roots.some((root) => liesBelow(named, root))) {
    const which = nameRoots ? `(${roots.join(', ')})` : '(BULLPEN_ROOTS)';
    throw refused(`the working directory is not inside an allowed root ${which}`);
  }
  return { cwd: named, trusted: trustedRoots.some((root) => liesBelow(named, root)) };
}

/** Settings with more roots, which are read again at each use. */
export function withRoots<T extends WorkspaceSettings>(
  settings: T,
  more: (() => readonly string[]) | null,
): T {
  if (more === null) return settings;
  return {
    ...settings,
    get roots() {
      return [...settings.roots, ...more()];
    },
  };
}

/**
 * Whether a real path is one of the roots or lies below one. `/work` does not contain `/work-evil`.
 */
export async function isInside(real: string, roots: readonly string[]): Promise<boolean> {
  // A real path that begins with a root proves that the root has no links: no need to resolve it.
  if (roots.some((root) => liesBelow(real, root))) return true;
  return (await realRoots(roots)).some((root) => liesBelow(real, root));
}

export const liesBelow = (path: string, root: string): boolean =>
  path === root || path.startsWith(root.endsWith(sep) ? root : root + sep);

/** The real paths of the roots, without those that do not exist. */
export async function realRoots(roots: readonly string[]): Promise<readonly string[]> {
  const real = await Promise.all(roots.map((root) => realpath(root).catch(() => null)));
  return real.filter((root) => root !== null);
}

const refused = (message: string): AppError =>
  new AppError('cwd.not_allowed', message, { problems: [{ path: '/cwd', message }] });
