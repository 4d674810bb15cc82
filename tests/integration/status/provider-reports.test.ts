import { chmodSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { createCliProbe, createStateFolders } from '../../../src/executor/cli-probe.ts';
import type { CredentialReport, ProviderReport } from '../../../src/protocol/server-info.ts';
import type { Login } from '../../../src/providers/provider.ts';
import { createProviders, type Providers } from '../../../src/providers/registry.ts';
import { createCliReports } from '../../../src/status/cli-reports.ts';
import { createProviderReports } from '../../../src/status/provider-reports.ts';
import { eventually } from '../../helpers/eventually.ts';
import { isAlive } from '../../helpers/proc.ts';
import { tempDir } from '../../helpers/temp.ts';
import { PROVIDER_HOST, providerSettings } from '../../unit/providers/settings.ts';

const NOW = Date.parse('2026-01-01T00:00:00Z');
const KEY = 'sk-very-secret';
/** What a CLI that hangs costs a test; enough to have written its ids before. */
const HANG_MS = 700;
const LONG_MS = 60_000;

/** A machine with a CLI that keeps count of its runs, and what is reported of it. */
function machine(changed: Partial<Login> = {}, env: Record<string, string> = {}, timeoutMs = LONG_MS) {
  const dir = tempDir();
  const home = join(dir, 'home');
  mkdirSync(home);
  const binary = join(dir, 'claude');
  const runs = join(dir, 'runs');
  const script = (status: string): void => {
    const log = `echo "$*" >> '${runs}'`;
    writeFileSync(
      binary,
      `#!/bin/sh\nif [ "$1" = --version ]; then echo 1.2.3; exit; fi\n${log}\n${status}\n`,
    );
    chmodSync(binary, 0o755);
  };
  script('exit 0');
  const settings = providerSettings({
    claude: { binary, concurrency: 3, fallback: 'other' },
    custom: { other: { binary: '/missing/other' } },
  });
  const registered = createProviders(settings, PROVIDER_HOST);
  const { provider, ...rest } = registered.get('claude');
  const claude = { ...rest, provider: { ...provider, login: { ...provider.login, ...changed } } };
  const providers: Providers = { ...registered, list: () => [claude, registered.get('other')] };
  const credential = { name: 'claude:work', status: 'ok', limitedUntil: null } as CredentialReport;
  const login = { credential, succeededAt: null as number | null };
  const jobEnv = { PATH: process.env['PATH'] ?? '', HOME: home, ...env };
  const open = (platform: NodeJS.Platform = 'linux') => {
    const clis = createCliReports({
      probe: createCliProbe({
        searchPath: '',
        otherPlaces: async () => [],
        env: { PATH: jobEnv.PATH },
        timeoutMs,
      }),
      stateFolders: createStateFolders(),
      environment: () => jobEnv,
      platform,
    });
    return createProviderReports({
      providers,
      clis: async () => clis,
      credentials: {
        names: () => ({ claude: 'claude:work' }),
        reports: async () => new Map([['claude', [login.credential]]]),
        succeededAt: () => login.succeededAt,
      },
      executor: { runningOf: (name) => (name === 'claude' ? 2 : 0) },
    });
  };
  const reports = open();
  return {
    dir,
    home,
    script,
    open,
    reports,
    login,
    runs: () => readFileSync(runs, 'utf8').trim().split('\n'),
    async report(): Promise<ProviderReport> {
      const [first] = await reports();
      if (first === undefined) throw new Error('nothing was reported');
      return first;
    },
  };
}

const HINT = expect.stringContaining('/login');

describe('what is reported of a CLI', () => {
  it('has its path, version, slots, fallback and credentials', async () => {
    const one = machine();
    expect(await one.report()).toMatchObject({
      name: 'claude',
      available: true,
      version: '1.2.3',
      binary: join(one.dir, 'claude'),
      running: 2,
      concurrency: 3,
      fallback: 'other',
      credentials: [{ name: 'claude:work', status: 'ok', limitedUntil: null }],
      capabilities: { resume: true },
    });
  });

  it('that cannot write its session folder has this as its todo', async () => {
    const one = machine({}, { ANTHROPIC_API_KEY: KEY });
    writeFileSync(join(one.home, '.claude'), 'not a folder');
    expect(await one.report()).toMatchObject({
      available: true,
      todo: expect.stringContaining(`${one.home}/.claude/projects cannot be written (ENOTDIR)`),
    });
  });

  it('that is not installed has this as its todo', async () => {
    const [, other] = await machine().reports();
    expect(other).toMatchObject({
      name: 'other',
      available: false,
      version: null,
      authenticated: 'unknown',
      why: expect.stringContaining('/missing/other is not installed'),
      todo: expect.stringContaining('/missing/other'),
    });
  });
});

describe('a login', () => {
  it('without any sign is missing, with a todo', async () => {
    expect(await machine().report()).toMatchObject({ authenticated: 'no', todo: HINT });
  });

  it('may be in the keychain of a Mac', async () => {
    const [report] = await machine().open('darwin')();
    expect(report).toMatchObject({
      authenticated: 'unknown',
      todo: HINT,
      why: expect.stringContaining('keychain'),
    });
  });

  it('by a variable is unknown before the first job, and its value is never shown', async () => {
    const report = await machine({}, { ANTHROPIC_API_KEY: KEY }).report();
    expect(report).toMatchObject({
      authenticated: 'unknown',
      why: 'ANTHROPIC_API_KEY is set; the first job shows whether the vendor accepts it',
      todo: null,
    });
    expect(JSON.stringify(report)).not.toContain(KEY);
    expect(await machine({}, { ANTHROPIC_API_KEY: '' }).report()).toMatchObject({ authenticated: 'no' });
  });

  it('by a variable is known once a job succeeded or was refused', async () => {
    const one = machine({}, { ANTHROPIC_API_KEY: KEY });
    one.login.succeededAt = NOW;
    expect(await one.report()).toMatchObject({
      authenticated: 'yes',
      why: 'a job succeeded at 2026-01-01T00:00:00.000Z',
    });
    const refused = { ...one.login.credential, status: 'refused' as const };
    one.login.credential = refused;
    expect(await one.report()).toMatchObject({
      authenticated: 'no',
      why: 'the vendor refused the login',
      todo: HINT,
      credentials: [refused],
    });
  });

  it('by a file is unknown before the first job, in the folder of the CLI or where its variable says', async () => {
    const inHome = machine();
    mkdirSync(join(inHome.home, '.claude'));
    const file = join(inHome.home, '.claude', '.credentials.json');
    writeFileSync(file, '');
    expect((await inHome.report()).authenticated).toBe('no');
    writeFileSync(file, KEY, { mode: 0o000 });
    const report = await inHome.report();
    expect(report).toMatchObject({
      authenticated: 'unknown',
      why: expect.stringContaining(file),
      todo: null,
    });
    expect(JSON.stringify(report)).not.toContain(KEY);

    const elsewhere = tempDir();
    writeFileSync(join(elsewhere, '.credentials.json'), KEY);
    const moved = await machine({}, { CLAUDE_CONFIG_DIR: elsewhere }).report();
    expect(moved).toMatchObject({ authenticated: 'unknown', why: expect.stringContaining(elsewhere) });
  });

  it('is the answer of the CLI, asked for once a minute', async () => {
    const yes = machine({ statusArgs: ['login', 'status'] });
    expect(await yes.report()).toMatchObject({
      authenticated: 'yes',
      why: 'the CLI says so (`login status`)',
      todo: null,
    });
    expect(await yes.report()).toMatchObject({ authenticated: 'yes' });
    expect(yes.runs()).toEqual(['login status']);

    const no = machine({ statusArgs: ['login', 'status'] });
    no.script('exit 1');
    expect(await no.report()).toMatchObject({ authenticated: 'no', todo: HINT });
    const killed = machine({ statusArgs: ['login', 'status'] });
    killed.script('kill -9 $$');
    expect(await killed.report()).toMatchObject({ authenticated: 'unknown' });
  });

  it('is unknown when the CLI does not answer; it is killed with its children', async () => {
    const one = machine({ statusArgs: ['status'] }, {}, HANG_MS);
    const pids = join(one.dir, 'pids');
    one.script(`sleep 1000 & echo $$ $! > '${pids}'; wait`);
    expect(await one.report()).toMatchObject({
      authenticated: 'unknown',
      why: 'the CLI did not answer `status`',
    });
    const left = readFileSync(pids, 'utf8').trim().split(' ').map(Number);
    await eventually(() => expect(left.filter(isAlive)).toEqual([]));
    expect(left).toHaveLength(2);
  });

  it('is asked for with the environment of the jobs', async () => {
    const one = machine({ statusArgs: ['status'], variables: [] }, { CLAUDE_CONFIG_DIR: '/somewhere' });
    one.script('[ "$CLAUDE_CONFIG_DIR" = /somewhere ]');
    expect(await one.report()).toMatchObject({ authenticated: 'yes' });
  });

  it('of a command without one is shown by the first job', async () => {
    const one = machine({ variables: [], files: [] });
    expect(await one.report()).toMatchObject({
      authenticated: 'unknown',
      why: 'the first job will show it',
      todo: null,
    });
  });
});
