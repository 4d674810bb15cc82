/**
 * `npm test`: every project of the tests. Those of the real codex and gemini (`clis`) are left out
 * when nothing that they test has changed; `npm run contracts` always runs them.
 */
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
/** A push to main may have this many commits, all of which are looked at. */
const PUSHED_COMMITS = 50;
const WHAT_THEY_TEST = [
  'src/providers',
  'tests/fixtures/providers',
  'tests/clis',
  'tests/helpers/install-clis.ts',
  'tests/helpers/real-clis.ts',
  'scripts/offline-model',
];

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
 * Why the tests of the real codex and gemini have to run on the work tree in `root`; null when
 * nothing of theirs has changed. When git cannot tell, they run.
 */
export function whyRealClis(root: string, base?: string): string | null {
  const git: Git = (...args) => {
    const { status, stdout } = spawnSync('git', args, { cwd: root, encoding: 'utf8' });
    return status === 0 ? stdout.trim() : null;
  };
  const from = baseCommit(git, base);
  if (from === null) return 'git has no commit to compare with';
  const changed = git('diff', '--name-only', from, '--', ...WHAT_THEY_TEST);
  const added = git('ls-files', '--others', '--exclude-standard', '--', ...WHAT_THEY_TEST);
  if (changed === null || added === null) return 'git cannot compare';
  const [first] = `${changed}\n${added}`.trim().split('\n');
  return first === '' || first === undefined ? null : `${first} has changed since ${from.slice(0, 12)}`;
}

if (import.meta.main) {
  const args = process.argv.slice(2);
  if (!args.some((arg) => arg.startsWith('--project'))) {
    const why = whyRealClis(ROOT, process.env['TEST_BASE']);
    if (why === null) args.push('--project=!clis');
    process.stderr.write(`The real codex and gemini: ${why ?? 'left out, nothing of theirs has changed'}\n`);
  }
  const { status } = spawnSync('vitest', ['run', ...args], { cwd: ROOT, stdio: 'inherit' });
  process.exitCode = status ?? 1;
}
