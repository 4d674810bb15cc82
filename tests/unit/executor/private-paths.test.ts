import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { loadSettings } from '../../../src/config/load.ts';
import { onThisHost } from '../../../src/executor/open-prepare.ts';
import { createPrivatePaths } from '../../../src/executor/private-paths.ts';
import type { PrivatePath } from '../../../src/providers/provider.ts';
import { createProviders } from '../../../src/providers/registry.ts';
import { tempDir } from '../../helpers/temp.ts';
import { PROVIDER_HOST, providerSettings } from '../providers/settings.ts';

const providers = createProviders(providerSettings(), PROVIDER_HOST);

interface Machine {
  readonly dir: string;
  readonly data: string;
  make(...files: readonly string[]): void;
  /** Real paths, without the machine's folder. */
  find(provider: string, cwd?: string): Promise<readonly string[]>;
  details(provider: string, cwd?: string): Promise<readonly PrivatePath[]>;
}

/** The home is `home`, the data folder `data`, unless they are named otherwise. */
function machine(home = 'home', env: Readonly<Record<string, string>> = {}): Machine {
  const dir = tempDir();
  const data = join(dir, 'data');
  const privatePaths = createPrivatePaths({
    dataFolder: data,
    scratchDir: join(data, 'tmp'),
    others: [join(dir, 'cache'), join(dir, 'absent')],
    providers,
    environment: () => ({ HOME: join(dir, home), ...env }),
  });
  const details = (name: string, cwd = 'work') => privatePaths(providers.get(name).provider, join(dir, cwd));
  return {
    ...{ dir, data, details },
    make(...files) {
      for (const file of files) {
        mkdirSync(dirname(join(dir, file)), { recursive: true });
        writeFileSync(join(dir, file), '');
      }
    },
    async find(name, cwd) {
      const found = await details(name, cwd);
      return found.flatMap(({ real, exists }) => (exists ? [real.slice(dir.length + 1)] : [])).sort();
    },
  };
}

describe('private paths', () => {
  it('are the files that the settings name: of the settings, of the ledger, with the secret of the executor', async () => {
    const dir = tempDir();
    const [config, secret, database] = ['config.yaml', 'secret', 'jobs.db'].map((name) => join(dir, name));
    mkdirSync(join(dir, 'work'));
    writeFileSync(config ?? '', '{}');
    writeFileSync(secret ?? '', '0123456789abcdef0123456789abcdef', { mode: 0o600 });
    const env = { HOME: join(dir, 'home'), BULLPEN_CONFIG: config, CLAUDE_SERVICE_SECRET_FILE: secret };
    const settings = loadSettings({ ...env, BULLPEN_HOME: join(dir, 'data') }, join(dir, 'work'));
    const { privatePaths } = onThisHost({
      ...{ settings, env, nodeId: 'node', providers, databaseFile: database ?? '' },
      environment: () => ({ HOME: env.HOME }),
      launcher: { launch: () => expect.unreachable() },
    });
    const found = await privatePaths(providers.get('claude').provider, join(dir, 'work'));
    expect(found.map(({ real }) => real)).toEqual(expect.arrayContaining([config, secret, database]));
  });

  it('are the entries of the data folder without the scratch folders, and more of the server', async () => {
    const { make, find } = machine();
    make('data/token', 'data/redis/password', 'data/tmp/one/file', 'cache/redis-server', 'work/file');
    expect(await find('claude')).toEqual(['cache', 'data/redis', 'data/token']);
  });

  it('are the files of the own login and the folders of the other CLIs', async () => {
    const { make, find } = machine();
    make('home/.claude/.credentials.json', 'home/.claude/CLAUDE.md', 'home/.claude.json');
    make('home/.codex/auth.json', 'home/.gemini/oauth_creds.json', 'home/.gemini/.env');
    make('home/.config/cursor/auth.json', 'home/.ssh/id_ed25519');
    expect(await find('claude')).toEqual([
      ...['home/.claude.json', 'home/.claude/.credentials.json', 'home/.codex', 'home/.config/cursor'],
      'home/.gemini',
    ]);
    expect(await find('gemini')).toEqual([
      ...['home/.claude', 'home/.claude.json', 'home/.codex', 'home/.config/cursor'],
      ...['home/.gemini/.env', 'home/.gemini/oauth_creds.json'],
    ]);
  });

  it('lie where the variables of the CLIs say', async () => {
    const { dir, make, details } = machine('home', { CODEX_HOME: '/nowhere' });
    make('home/.codex/auth.json', 'elsewhere/auth.json');
    expect((await details('claude')).filter(({ exists }) => exists)).toEqual([]);
    const moved = machine('home', { CODEX_HOME: join(dir, 'elsewhere') });
    const found = (await moved.details('codex')).filter(({ exists }) => exists);
    expect(found.map(({ real }) => real)).toEqual([join(dir, 'elsewhere/auth.json')]);
  });

  it('leave out a folder in which the job works, or in which the home is, but no login in it', async () => {
    const { make, find } = machine('data/home');
    make('data/token', 'data/home/.codex/auth.json', 'data/home/.codex/work/file');
    expect(await find('claude')).toEqual(['data/home/.codex', 'data/token']);
    expect(await find('claude', 'data/home/.codex/work')).toEqual([
      'data/home/.codex/auth.json',
      'data/token',
    ]);
  });

  it('have their real path, and the other ways to write it', async () => {
    const { dir, make, details } = machine();
    make('disk/codex/auth.json', 'home/work/file');
    symlinkSync(join(dir, 'disk/codex'), join(dir, 'home/.codex'));
    const found = (await details('claude', 'home')).filter(({ exists }) => exists);
    expect(found).toEqual([
      {
        exists: true,
        real: join(dir, 'disk/codex'),
        written: [
          ...[join(dir, 'home/.codex'), '~/.codex', '$HOME/.codex', `$${'{HOME}'}/.codex`],
          ...['.codex', './.codex'],
        ],
      },
    ]);
  });

  it('are the same before a login and after it, except that it exists', async () => {
    const { make, details } = machine();
    make('data/token');
    const before = await details('claude');
    make('home/.claude.json', 'home/.codex/auth.json');
    const after = await details('claude');
    expect(after.map(({ real, written }) => [real, written])).toEqual(
      before.map(({ real, written }) => [real, written]),
    );
    expect(after.filter(({ exists }) => exists)).toHaveLength(3);
  });

  it('are in the same order each time', async () => {
    const { make, details } = machine();
    make(...Array.from({ length: 30 }, (_, index) => `data/file-${index}`));
    expect(await details('claude')).toEqual(await details('claude'));
  });
});
