import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { dependenciesOf, PUSHED_COMMITS, WHAT_CLIS_TEST, whyToRun } from '../../../scripts/test.ts';
import { tempDir } from '../../helpers/temp.ts';

const whyRealClis = (root: string, base?: string) => whyToRun(root, WHAT_CLIS_TEST, base);

/** A repository of its own, with more commits on main than one push has. */
function repository(history = PUSHED_COMMITS + 1) {
  const root = tempDir();
  const git = (...args: readonly string[]): string =>
    execFileSync('git', ['-c', 'user.name=t', '-c', 'user.email=t@localhost', ...args], {
      cwd: root,
      encoding: 'utf8',
      env: { PATH: process.env['PATH'], GIT_CONFIG_GLOBAL: '/dev/null', GIT_CONFIG_SYSTEM: '/dev/null' },
    }).trim();
  const write = (path: string): void => {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), `${Math.random()}`);
  };
  const commit = (path: string): string => {
    write(path);
    git('add', '.');
    git('commit', '-qm', path);
    return git('rev-parse', 'HEAD');
  };
  git('init', '-qb', 'main');
  commit('src/providers/old.ts');
  const line = `commit refs/heads/main\ncommitter t <t@localhost> 1700000000 +0000\ndata 1\nx\n`;
  execFileSync('git', ['fast-import', '--quiet'], {
    cwd: root,
    input: Array.from({ length: history }, (_, index) =>
      index === 0 ? `${line}from refs/heads/main^0\n` : line,
    ).join('\n'),
  });
  return { root, git, write, commit };
}

it('the real CLIs run when what decides how they are used changed in the last push, committed or not', () => {
  const { root, write, commit } = repository();
  expect(whyRealClis(root)).toBeNull();
  commit('src/http/server.ts');
  write('docs/api.md');
  expect(whyRealClis(root)).toBeNull();
  write('tests/fixtures/providers/codex/new/stdout.jsonl');
  expect(whyRealClis(root)).toMatch(/^tests\/fixtures\/providers\/codex\/new\/stdout.jsonl has changed/);
  commit('src/providers/codex/command.ts');
  commit('src/http/server.ts');
  expect(whyRealClis(root)).toMatch(/^src\/providers\/codex\/command.ts has changed/);
});

it('a branch is compared with the place where it left origin/main, a job of CI with the commit it names', () => {
  const { root, git, commit } = repository();
  const before = git('rev-parse', 'HEAD');
  git('update-ref', 'refs/remotes/origin/main', commit('tests/clis/package-lock.json'));
  expect(whyRealClis(root)).not.toBeNull(); // main itself
  const left = commit('src/http/server.ts');
  expect(whyRealClis(root)).toBeNull();
  expect(whyRealClis(root, before)).not.toBeNull();
  expect(whyRealClis(root, left)).toBeNull();
});

it('they run when git cannot tell: a short history, an unknown commit, no repository', () => {
  expect(whyRealClis(repository(5).root)).not.toBeNull();
  expect(whyRealClis(repository().root, 'a'.repeat(40))).not.toBeNull();
  expect(whyRealClis(tempDir())).not.toBeNull();
});

it('a test of a package depends on what its files import or start, and on nothing else', () => {
  const root = fileURLToPath(new URL('../../..', import.meta.url));
  const of = (name: string) => dependenciesOf(root, `tests/contracts/${name}.test.ts`);
  expect(of('anthropic-sdk')).toEqual(
    expect.arrayContaining([
      'tests/contracts/anthropic-sdk.test.ts',
      'src/anthropic-runner/main.ts', // started, not imported
      'src/anthropic-runner/answer.ts',
      'src/providers/anthropic-sdk/translator.ts',
      'tests/unit/providers/settings.ts',
      'src/protocol/prompt.ts', // imported by others
    ]),
  );
  expect(of('claude-workspace-canary')).toContain('src/processes/launcher-process.ts');
  expect(of('prices')).toContain('src/usage/price-table.ts');
  expect(
    of('claude-cli').filter((path) => !/^(scripts\/offline-model|tests\/contracts)\//.test(path)),
  ).toEqual([]);
});
