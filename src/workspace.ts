import { realpath, stat } from 'node:fs/promises';
import { isAbsolute, sep } from 'node:path';
import { AppError } from './errors.ts';

export interface WorkspaceSettings {
  /** Directories inside which a job may run. */
  readonly roots: readonly string[];
  /** Those whose own CLI settings, hooks and MCP files may run. */
  readonly trustedRoots: readonly string[];
}

export interface Workspace {
  /** Real path, without links. */
  readonly cwd: string;
  readonly trusted: boolean;
}

/**
 * The directory a job may run in, with every link resolved.
 * @param tellRoots whether the error may name the allowed roots
 * @throws AppError cwd.not_allowed
 */
export async function resolveWorkspace(
  cwd: string,
  settings: WorkspaceSettings,
  tellRoots = false,
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
    if (!tellRoots) throw refused('the working directory is not inside an allowed root (BULLPEN_ROOTS)');
    const all = [...roots, real].join(',');
    throw refused(
      `the working directory ${real} is not inside an allowed root (${roots.join(', ')}); to allow it, start the server with BULLPEN_ROOTS=${all}`,
    );
  }
  return { cwd: real, trusted: await isInside(real, settings.trustedRoots) };
}

/** Settings with further roots, which are asked for anew at each look. */
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

/** Whether a real path is one of the roots or lies below one. `/work` does not contain `/work-evil`. */
export async function isInside(real: string, roots: readonly string[]): Promise<boolean> {
  // A real path that reads as lying below a root proves that this root has no links: no need to look.
  if (roots.some((root) => liesBelow(real, root))) return true;
  return (await realRoots(roots)).some((root) => liesBelow(real, root));
}

export const liesBelow = (path: string, root: string): boolean =>
  path === root || path.startsWith(root.endsWith(sep) ? root : root + sep);

/** The roots' real paths; one that is not there is left out. */
export async function realRoots(roots: readonly string[]): Promise<readonly string[]> {
  const real = await Promise.all(roots.map((root) => realpath(root).catch(() => null)));
  return real.filter((root) => root !== null);
}

const refused = (message: string): AppError =>
  new AppError('cwd.not_allowed', message, { problems: [{ path: '/cwd', message }] });
