/**
 * `npm test`: every project of the tests. Those of the real codex and gemini (`clis`) and of other
 * pinned packages are left out when nothing that they test has changed; `npm run contracts` always
 * runs them.
 */
import { spawnSync } from 'node:child_process';
import { readFileSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
/** A push to main may have this many commits, all of which are looked at. */
export const PUSHED_COMMITS = 120;
/** What the project `clis` tests. */
export const WHAT_CLIS_TEST = [
  'src/providers',
  'tests/fixtures/providers',
  'tests/clis',
  'tests/helpers/install-clis.ts',
  'tests/helpers/real-clis.ts',
  'scripts/offline-model',
];
/** Contract tests of what `package-lock.json` pins: claude, the SDK of Anthropic, BullMQ. */
const OF_PACKAGES = [
  'anthropic-sdk',
  'bullmq-sandbox',
  'claude-cli',
  'claude-control',
  'claude-workspace-canary',
  'prices',
].map((name) => `tests/contracts/${name}.test.ts`);

/**
 * The files below `root` on which a file depends, itself included: each path in quotes that begins
 * with a dot, whether it is imported or started. Paths are relative to `root`.
 */
export function dependenciesOf(root: string, file: string): readonly string[] {
  const found = new Set([file]);
  for (const path of found) {
    for (const [, named = ''] of readFileSync(join(root, path), 'utf8').matchAll(/'(\.[^'\n]+)'/g)) {
      const [to] = [named, `${named}.ts`]
        .map((one) => join(dirname(path), one))
        .filter((one) => statSync(join(root, one), { throwIfNoEntry: false })?.isFile() === true);
      if (to !== undefined && !to.startsWith('node_modules/')) found.add(to);
    }
  }
  return [...found];
}

/**
 * The commit to compare with, or null where one has to run all: the one in `TEST_BASE`, else where
 * the branch left origin/main, else some commits back on main.
 */
function baseCommit(git: Git, wanted: string | undefined): string | null {
  if (wanted !== undefined && wanted !== '') return git('rev-parse', '--verify', `${wanted}^{commit}`);
  const head = git('rev-parse', 'HEAD');
  const left = git('merge-base', 'HEAD', 'origin/main');
  if (left !== null && left !== head) return left;
  return git('rev-parse', '--verify', `HEAD~${PUSHED_COMMITS}`);
}

/** What a git command prints, trimmed; null when it fails. */
type Git = (...args: readonly string[]) => string | null;

/**
 * Why tests have to run on the work tree in `root`; null when none of the files and folders that
 * they test has changed. When git cannot tell, they run.
 */
export function whyToRun(root: string, tested: readonly string[], base?: string): string | null {
  const git: Git = (...args) => {
    const { status, stdout } = spawnSync('git', args, { cwd: root, encoding: 'utf8' });
    return status === 0 ? stdout.trim() : null;
  };
  const from = baseCommit(git, base);
  if (from === null) return 'git has no commit to compare with';
  const changed = git('diff', '--name-only', from, '--', ...tested);
  const added = git('ls-files', '--others', '--exclude-standard', '--', ...tested);
  if (changed === null || added === null) return 'git cannot compare';
  const [first] = `${changed}\n${added}`.trim().split('\n');
  return first === '' || first === undefined ? null : `${first} has changed since ${from.slice(0, 12)}`;
}

if (import.meta.main) {
  const args = process.argv.slice(2);
  if (!args.some((arg) => arg.startsWith('--project'))) {
    const leaveOut = (what: string, tested: readonly string[], option: string): void => {
      const why = whyToRun(ROOT, tested, process.env['TEST_BASE']);
      if (why === null) args.push(option);
      process.stderr.write(`${what}: ${why ?? 'left out, nothing of theirs has changed'}\n`);
    };
    const named = args.filter((arg) => !arg.startsWith('-'));
    leaveOut('The real codex and gemini', WHAT_CLIS_TEST, '--project=!clis');
    for (const file of OF_PACKAGES.filter((one) => !named.some((arg) => one.includes(arg))))
      leaveOut(file, ['package-lock.json', ...dependenciesOf(ROOT, file)], `--exclude=${file}`);
  }
  const { status } = spawnSync('vitest', ['run', ...args], { cwd: ROOT, stdio: 'inherit' });
  process.exitCode = status ?? 1;
}
