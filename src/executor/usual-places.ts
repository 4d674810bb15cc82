/** Folders into which installers of CLIs put them. The PATH of a service often has none of these. */
import { readdir, realpath } from 'node:fs/promises';
import { isAbsolute, join } from 'node:path';
import { liesBelow, realRoots } from '../workspace.ts';

/** Below the home folder: claude's own installers, npm, Bun, Volta, pnpm, Yarn. */
const IN_HOME = [
  '.local/bin',
  '.claude/local',
  '.npm-global/bin',
  '.bun/bin',
  '.volta/bin',
  '.local/share/pnpm',
  '.yarn/bin',
];
const NODE_VERSIONS = '.nvm/versions/node';
const OF_THE_MACHINE = ['/opt/homebrew/bin', '/home/linuxbrew/.linuxbrew/bin', '/usr/local/bin'];

/**
 * Absolute paths, in the order in which they are searched. None that a job may write to: a folder inside a root is left
 * out, unless that root has the whole home folder in it, where the files of every login are.
 * @param home an absolute path; else only the folders of the machine count
 */
export async function usualPlaces(home: string, roots: readonly string[]): Promise<readonly string[]> {
  const hasHome = isAbsolute(home);
  const places = [
    ...(hasHome ? [...IN_HOME.map((place) => join(home, place)), ...(await nodeVersions(home))] : []),
  ];
  const dangerous = await rootsWithout(home, roots);
  const found = await Promise.all(
    [...places, ...OF_THE_MACHINE].map(async (place) => {
      const real = await realpath(place).catch(() => place);
      return dangerous.some((root) => liesBelow(real, root)) ? null : place;
    }),
  );
  return found.filter((place) => place !== null);
}

/** nvm has a folder per version of Node.js; the newest comes first. */
async function nodeVersions(home: string): Promise<readonly string[]> {
  const folder = join(home, NODE_VERSIONS);
  const versions = await readdir(folder).catch(() => []);
  return versions
    .sort((a, b) => b.localeCompare(a, 'en', { numeric: true }))
    .map((version) => join(folder, version, 'bin'));
}

async function rootsWithout(home: string, roots: readonly string[]): Promise<readonly string[]> {
  const real = await realpath(home).catch(() => home);
  return (await realRoots(roots)).filter((root) => !liesBelow(real, root));
}
