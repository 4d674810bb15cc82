/** The real git in a stranger's repository: no program that its settings name is run. */
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import {
  appendFileSync,
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createUntrustedEnvironment } from '../../../src/executor/untrusted-environment.ts';
import type { Launch } from '../../../src/processes/launch.ts';
import { eventually } from '../../helpers/eventually.ts';
import { launch } from '../../helpers/launcher.ts';
import { startServer } from '../../helpers/server.ts';
import { makeTempDir, removeDir, tempDir } from '../../helpers/temp.ts';

/** The folder of one case: the repository, the user's home, and the program that must not run. */
interface Place {
  readonly dir: string;
  readonly repo: string;
  readonly evil: string;
  /** Runs git, without any protection. */
  git(...args: readonly string[]): string;
  config(key: string, value: string): void;
}

let template: string;
beforeAll(() => {
  template = makeTempDir();
  const git = (...args: readonly string[]): string =>
    execFileSync('git', args, { cwd: template, env: userEnv(template), encoding: 'utf8' });
  git('init', '-q', '-b', 'main');
  git('config', 'user.email', 'a@example.org');
  git('config', 'user.name', 'a');
  writeFileSync(join(template, 'f'), 'one\n');
  writeFileSync(join(template, '.gitattributes'), 'f diff=evil filter=evil merge=evil\n');
  git('add', '.');
  git('commit', '-qm', 'first');
  writeFileSync(join(template, 'f'), 'two\n');
  git('commit', '-qam', 'second');
  writeFileSync(join(template, 'f'), 'six\n'); // of the same size: only its content differs
});
afterAll(() => removeDir(template));

const userEnv = (home: string): Record<string, string> => ({
  PATH: process.env['PATH'] ?? '',
  HOME: home,
  GIT_CONFIG_NOSYSTEM: '1', // ignores the settings of this machine
  GIT_TERMINAL_PROMPT: '0', // and asks no person
});

function newPlace(): Place {
  const dir = tempDir();
  const repo = join(dir, 'repo');
  cpSync(template, repo, { recursive: true });
  mkdirSync(join(dir, 'home'));
  const evil = join(dir, 'evil');
  // Where git wants the text of a file it gets it, and goes on.
  writeFileSync(evil, `#!/bin/sh\necho "$0 $*" >> '${dir}/ran'\n[ -f "$1" ] && cat "$1"\n`);
  chmodSync(evil, 0o755);
  const git = (...args: readonly string[]): string =>
    execFileSync('git', args, { cwd: repo, env: userEnv(dir), encoding: 'utf8', stdio: 'pipe' });
  return { dir, repo, evil, git, config: (key, value) => git('config', key, value) };
}

/** @returns whether the stranger's program has run */
async function canaryOf(place: Place, args: readonly string[], isProtected: boolean): Promise<boolean> {
  const plain = userEnv(join(place.dir, 'home'));
  const env = isProtected ? await createUntrustedEnvironment({ launch })(place.repo, plain) : plain;
  spawnSync('git', args, { cwd: place.repo, env: { ...env }, timeout: 20_000, input: '' });
  return existsSync(join(place.dir, 'ran'));
}

const AS_A = ['-c', 'user.name=a', '-c', 'user.email=a@example.org'];
const hook = ({ repo, evil }: Place, name: string): void => cpSync(evil, join(repo, '.git/hooks', name));

/** A repository with the stranger's monitor in a folder of the first one. */
function nested({ evil, git }: Place): void {
  git('init', '-q', 'below');
  git('-C', 'below', 'config', 'core.fsmonitor', evil);
}

function signed({ git }: Place): void {
  const tree = git('rev-parse', 'HEAD^{tree}').trim();
  const person = 'a <a@example.org> 1700000000 +0000';
  const seal = 'gpgsig -----BEGIN PGP SIGNATURE-----\n \n eA==\n -----END PGP SIGNATURE-----';
  const commit = `tree ${tree}\nauthor ${person}\ncommitter ${person}\n${seal}\n\nsigned\n`;
  const id = execFileSync('git', ['hash-object', '-t', 'commit', '-w', '--stdin'], {
    cwd: git('rev-parse', '--show-toplevel').trim(),
    input: commit,
    encoding: 'utf8',
  }).trim();
  git('reset', '-q', '--soft', id);
}

type Case = readonly [name: string, prepare: (place: Place) => void, ...commands: (readonly string[])[]];

const setting =
  (...keys: readonly string[]) =>
  ({ config, evil }: Place): void => {
    for (const key of keys) config(key, evil);
  };

const CASES: readonly Case[] = [
  ['core.fsmonitor', setting('core.fsmonitor'), ['status'], ['diff']],
  [
    'core.fsmonitor of an included file',
    ({ dir, evil, config }) => {
      writeFileSync(join(dir, 'more'), `[core]\n\tfsmonitor = ${evil}\n[diff]\n\texternal = ${evil}\n`);
      config('include.path', '../../more');
    },
    ['status'],
    ['diff'],
  ],
  ['a hook of `git status`', (place) => hook(place, 'post-index-change'), ['status']],
  ['a hook of `git commit`', (place) => hook(place, 'pre-commit'), ['commit', '-qam', 'x']],
  [
    'core.hooksPath',
    (place) => {
      hook(place, 'pre-commit');
      place.config('core.hooksPath', '.git/hooks');
    },
    ['commit', '-qam', 'x'],
  ],
  ['diff.external', setting('diff.external'), ['diff'], ['log', '-p', '--ext-diff']],
  ['diff.<name>.command', setting('diff.evil.command'), ['diff']],
  [
    'diff.<name>.textconv',
    setting('diff.evil.textconv'),
    ['diff'],
    ['log', '-p'],
    ['show'],
    ['blame', 'f'],
    ['grep', '--textconv', 'six'],
  ],
  [
    'filter.<name>.clean',
    setting('filter.evil.clean'),
    ['status'],
    ['diff'],
    ['add', 'f'],
    ['commit', '-qam', 'x'],
  ],
  ['filter.<name>.process', setting('filter.evil.process'), ['status'], ['checkout', 'f']],
  ['filter.<name>.smudge', setting('filter.evil.smudge'), ['checkout', 'f']],
  [
    'core.editor',
    setting('core.editor', 'sequence.editor'),
    ['commit', '-qa'],
    ['-c', 'core.bare=false', 'rebase', '--autostash', '-i', 'HEAD~1'],
  ],
  [
    'gpg.program',
    (place) => {
      signed(place);
      place.config('log.showSignature', 'true');
      place.config('gpg.program', place.evil);
    },
    ['log'],
    ['show'],
  ],
  [
    'gpg.openpgp.program',
    ({ config, evil }) => {
      config('commit.gpgSign', 'true');
      config('gpg.openpgp.program', evil);
    },
    ['commit', '-qam', 'x'],
  ],
  ['alias.<name>', ({ config, evil }) => config('alias.st', `!${evil}`), ['st']],
  [
    'core.sshCommand',
    ({ config, evil }) => {
      config('remote.o.url', 'ssh://127.0.0.1:1/x');
      config('core.sshCommand', evil);
    },
    ['fetch', 'o'],
  ],
  [
    'core.gitProxy',
    ({ config, evil }) => {
      config('remote.o.url', 'git://127.0.0.1:1/x');
      config('core.gitProxy', evil);
    },
    ['fetch', 'o'],
  ],
  [
    'remote.<name>.uploadpack',
    ({ config, evil, repo }) => {
      config('remote.o.url', repo);
      config('remote.o.uploadpack', evil);
    },
    ['fetch', 'o'],
  ],
  [
    'a promised object, which is fetched when a command misses it',
    ({ config, evil, repo, git }) => {
      config('remote.o.url', repo);
      config('remote.o.uploadpack', evil);
      config('remote.o.promisor', 'true');
      config('extensions.partialClone', 'o');
      const id = git('rev-parse', 'HEAD:f').trim();
      rmSync(join(repo, '.git/objects', id.slice(0, 2), id.slice(2)), { force: true });
    },
    ['diff'],
    ['log', '-p'],
  ],
  [
    'protocol.ext.allow',
    ({ config, evil }) => {
      config('remote.o.url', `ext::${evil}`);
      config('protocol.ext.allow', 'always');
      config('protocol.allow', 'always');
    },
    ['fetch', 'o'],
  ],
  [
    'core.alternateRefsCommand',
    ({ config, evil, repo, dir, git }) => {
      cpSync(join(repo, '.git'), join(dir, 'other.git'), { recursive: true });
      writeFileSync(join(repo, '.git/objects/info/alternates'), `${dir}/other.git/objects\n`);
      git('update-ref', '-d', 'refs/heads/main');
      config('remote.o.url', template);
      config('core.alternateRefsCommand', evil);
    },
    ['fetch', 'o', 'main'],
  ],
  ['a filter whose name is empty', unnamed('filter', 'clean'), ['status'], ['diff']],
  ['a diff driver whose name is empty', unnamed('diff', 'textconv'), ['diff'], ['log', '-p']],
  ['merge.<name>.driver', mergeWithDriver, ['merge', 'side']],
  ['a repository below', nested, ['-C', 'below', 'status']],
  [
    'a bare one that lies there as files',
    ({ repo, config, evil }) => {
      config('diff.external', evil);
      config('core.worktree', repo);
      cpSync(join(repo, '.git'), join(repo, 'files'), { recursive: true });
      rmSync(join(repo, '.git'), { recursive: true });
    },
    ['-C', 'files', 'diff'],
  ],
  ['a submodule', submodule, ['status']],
  [
    'submodule.<name>.update',
    (place) => {
      submodule(place);
      place.config('submodule.below.update', `!${place.evil}`);
      place.config('submodule.below.url', './below');
      place.git('-C', 'below', 'config', '--unset', 'core.fsmonitor');
      place.git('-C', 'below', ...AS_A, 'commit', '-q', '--allow-empty', '-m', 'y');
      rmSync(join(place.dir, 'ran'), { force: true });
    },
    ['submodule', 'update'],
  ],
];

function unnamed(kind: string, key: string): (place: Place) => void {
  return ({ config, evil, repo }) => {
    config(`${kind}..${key}`, evil);
    writeFileSync(join(repo, '.git/info/attributes'), `f ${kind}=\n`);
  };
}

function mergeWithDriver({ git, config, repo, evil }: Place): void {
  git('commit', '-qam', 'third');
  git('checkout', '-qb', 'side', 'HEAD~1');
  writeFileSync(join(repo, 'f'), 'four\n');
  git('commit', '-qam', 'fourth');
  git('checkout', '-q', 'main');
  config('merge.evil.driver', `${evil} %A`);
}

function submodule(place: Place): void {
  const { git } = place;
  nested(place);
  git('-C', 'below', '-c', 'core.fsmonitor=false', ...AS_A, 'commit', '-q', '--allow-empty', '-m', 'x');
  git('-c', 'core.fsmonitor=false', 'add', 'below');
  git('config', '-f', '.gitmodules', 'submodule.below.path', 'below');
  git('config', '-f', '.gitmodules', 'submodule.below.url', './below');
}

const ROWS = CASES.flatMap(([name, prepare, ...commands]) =>
  commands.map((command) => [name, command.join(' '), prepare, command] as const),
);

describe('a repository of a stranger', () => {
  it.each(ROWS)('runs no program by %s with `git %s`', async (_name, _text, prepare, command) => {
    const open = newPlace();
    prepare(open);
    expect(await canaryOf(open, command, false), 'the case itself does nothing').toBe(true);
    const guarded = newPlace();
    prepare(guarded);
    rmSync(join(guarded.dir, 'ran'), { force: true });
    expect(await canaryOf(guarded, command, true)).toBe(false);
  });

  it('asks neither its password helpers nor its askpass for a login', async () => {
    const server = createServer((_request, response) => {
      response.writeHead(401, { 'www-authenticate': 'Basic realm="x"' }).end();
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    try {
      const { port } = server.address() as AddressInfo; // it listens on a port
      const url = `http://127.0.0.1:${port}`;
      for (const key of ['credential.helper', `credential.${url}.helper`, 'core.askPass']) {
        const place = newPlace();
        place.config('remote.o.url', `${url}/x`);
        place.config(key, key === 'core.askPass' ? place.evil : `!${place.evil}`);
        const env = await createUntrustedEnvironment({ launch })(place.repo, userEnv(place.dir));
        const fetched = async (of: Readonly<Record<string, string>>): Promise<void> => {
          const child = spawn('git', ['fetch', 'o'], { cwd: place.repo, env: { ...of }, stdio: 'ignore' });
          await once(child, 'close');
        };
        await fetched(env);
        expect(existsSync(join(place.dir, 'ran')), key).toBe(false);
        await fetched(userEnv(place.dir));
        expect(existsSync(join(place.dir, 'ran')), `${key}: the case itself does nothing`).toBe(true);
      }
    } finally {
      server.close();
    }
  });
});

it('that was killed while it listed its settings lets nothing start as if there were none', async () => {
  const folder = tempDir();
  writeFileSync(join(folder, 'git'), '#!/bin/sh\nkill -9 $$\n', { mode: 0o755 });
  const asked = createUntrustedEnvironment({ launch })(folder, { PATH: folder });
  await expect(asked).rejects.toMatchObject({ code: 'execution.lost' });
});

it('that gets another setting is protected from it within seconds, although the listing is cached', async () => {
  const { repo, evil, config } = newPlace();
  const untrusted = createUntrustedEnvironment({ launch });
  const names = async (): Promise<readonly string[]> => Object.values(await untrusted(repo, userEnv(repo)));
  expect(await names()).not.toContain('filter.later.clean');
  config('filter.later.clean', evil);
  await eventually(async () => expect(await names()).toContain('filter.later.clean'), { timeoutMs: 10_000 });
});

it('has its settings read ahead of the next job, once they are no longer new', async () => {
  const { repo, evil, config } = newPlace();
  let nowMs = 1000; // at 0 the cache counts no time
  let looks = 0;
  const counting: Launch = (request, stop) => {
    looks += 1;
    return launch(request, stop);
  };
  const untrusted = createUntrustedEnvironment({ launch: counting, now: () => nowMs });
  const names = async (): Promise<readonly string[]> => Object.values(await untrusted(repo, userEnv(repo)));
  untrusted.readAhead(repo);
  expect(looks).toBe(0); // no job has run here, so its environment is not known
  await names();
  untrusted.readAhead(repo);
  expect(looks).toBe(1);
  config('filter.later.clean', evil);
  nowMs += 1500;
  untrusted.readAhead(repo);
  expect(await names()).toContain('filter.later.clean');
  expect(looks).toBe(2);
  nowMs += 2001;
  await names();
  expect(looks).toBe(3);
});

it('is not worked in when its settings are too long to be read', async () => {
  const { repo, evil, config } = newPlace();
  config('diff.evil.textconv', evil);
  appendFileSync(join(repo, '.git/config'), `[x]\n${`\ty = ${'z'.repeat(1000)}\n`.repeat(1100)}`);
  const asked = createUntrustedEnvironment({ launch })(repo, userEnv(repo));
  await expect(asked).rejects.toMatchObject({ code: 'cwd.not_allowed' });
});

describe('what the user has set up', () => {
  it('goes on: helpers, filters and hooks of his own, and settings of the environment', async () => {
    const place = newPlace();
    const home = join(place.dir, 'home');
    const mine = join(place.dir, 'mine');
    cpSync(place.evil, mine);
    const global = (key: string, value: string): void => {
      execFileSync('git', ['config', '--global', key, value], { env: userEnv(home) });
    };
    global('credential.helper', mine);
    global('filter.evil.clean', `${mine} %f`);
    global('core.sshCommand', mine);
    global('user.email', 'me@example.org');
    for (const key of ['credential.helper', 'filter.evil.clean', 'core.sshCommand']) {
      place.config(key, place.evil);
    }
    place.git('config', '--unset', 'user.email');
    const own = { GIT_CONFIG_COUNT: '1', GIT_CONFIG_KEY_0: 'x.y', GIT_CONFIG_VALUE_0: 'z' };
    const env = await createUntrustedEnvironment({ launch })(place.repo, {
      ...userEnv(home),
      ...own,
      PATH: `.:${process.env['PATH']}:`,
    });
    expect(env['PATH']).toBe(process.env['PATH']);
    const git = (...args: readonly string[]): string =>
      execFileSync('git', args, { cwd: place.repo, env: { ...env }, encoding: 'utf8', stdio: 'pipe' }).trim();
    expect(git('config', 'x.y')).toBe('z');
    expect(git('config', 'core.sshCommand')).toBe(mine);
    expect(git('config', 'user.email')).toBe('me@example.org');
    expect(git('config', '--get-all', 'credential.helper').split('\n').slice(-2)).toEqual(['', mine]);
    expect(git('diff')).toContain('+six');
    expect(readFileSync(join(place.dir, 'ran'), 'utf8')).toMatch(/^(\S+mine f\n)+$/);
  });
});

describe('a job', () => {
  it('runs no program of the repository it works in, unless its root is trusted', async () => {
    const places = [newPlace(), newPlace()] as const;
    for (const place of places) place.config('core.fsmonitor', place.evil);
    const server = await startServer({
      env: {
        BULLPEN_ROOTS: places.map(({ repo }) => repo).join(),
        BULLPEN_TRUSTED_ROOTS: places[1].repo,
      },
      config: { providers: { custom: { status: { binary: 'git', args: ['status', '--short'] } } } },
    });
    for (const { repo } of places) {
      const job = await server.run({ prompt: 'x', provider: 'status', cwd: repo });
      expect(job.outcome?.text).toBe(' M f');
    }
    expect(places.map(({ dir }) => existsSync(join(dir, 'ran')))).toEqual([false, true]);
  });
});
