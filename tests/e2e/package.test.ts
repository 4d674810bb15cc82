import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  accessSync,
  constants,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  writeFileSync,
} from 'node:fs';
import { delimiter, dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { stringify } from 'yaml';
import type { Job } from '../../src/protocol/job.ts';
import { installFakeCli } from '../helpers/fake-cli.ts';
import { CACHE_DIR } from '../helpers/redis-private.ts';
import { makeTempDir, removeDir, tempDir } from '../helpers/temp.ts';

const run = promisify(execFile);
const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const NPM_DEADLINE_MS = 240_000;
const MINIMUM_NODE = 24;

/**
 * The environment of npm as a user starts it, without the variables of the npm that runs these
 * tests.
 */
const npmEnv = Object.fromEntries(
  Object.entries(process.env).filter(
    ([name]) => !/^(npm_(package|lifecycle|config_local_prefix)|INIT_CWD)/i.test(name),
  ),
);
const npm = (cwd: string, ...args: string[]) =>
  run('npm', args, { cwd, env: npmEnv, timeout: NPM_DEADLINE_MS });

/**
 * Everything the published package may hold: the program, and what its help and errors refer to.
 */
const ALLOWED = [
  /^package\.json$/,
  /^README\.md$/,
  /^LICENSE$/,
  /^\.env\.example$/,
  /^docs\/[\w./-]+\.(md|svg)$/,
  /^docs\/monitoring\/(dashboard\.json|alerts\.yaml)$/,
  /^src\/bin\.js$/,
  /^dist\/(src|workers)\/[\w./-]+\.(js|js\.map|d\.ts)$/,
  /^dist\/src\/records\/scripts\/[\w-]+\.lua$/,
];
const NEEDED = [
  'package.json',
  'README.md',
  'LICENSE',
  '.env.example',
  'docs/cli.md',
  'src/bin.js',
  'dist/src/main.js',
  'dist/workers/bootstrap.js',
  'dist/workers/prompt.worker.js',
  'dist/src/records/scripts/prelude.lua',
];

/** A specifier in compiled code: after `from`, of a bare import at a line's start, or of a call. */
const IMPORT = /(?:^(?:import|export|\})[^;'"`]*\bfrom\s*|^import\s*|\bimport\()['"]([^'"]+)['"]/gm;

let dir: string;
let packed: string[];
let installed: string;

beforeAll(async () => {
  dir = makeTempDir();
  await run(process.execPath, [join(ROOT, 'scripts/build.ts')], { cwd: ROOT, timeout: NPM_DEADLINE_MS });
  const { stdout } = await npm(ROOT, 'pack', '--json', '--ignore-scripts', '--pack-destination', dir);
  const [pack]: { filename: string; files: { path: string }[] }[] = [JSON.parse(stdout)].flat();
  packed = pack?.files.map(({ path }) => path) ?? [];

  const target = join(dir, 'somewhere-else');
  mkdirSync(target);
  writeFileSync(join(target, 'package.json'), '{"private":true}');
  const tarball = join(dir, pack?.filename ?? '');
  await npm(target, 'install', '--no-audit', '--no-fund', '--omit=dev', tarball);
  installed = join(target, 'node_modules');
}, 2 * NPM_DEADLINE_MS);
afterAll(() => removeDir(dir));

describe('the package', () => {
  it('holds the built program, its documents and LICENSE, and nothing else', () => {
    expect(packed.filter((file) => !ALLOWED.some((pattern) => pattern.test(file)))).toEqual([]);
    expect(NEEDED.filter((file) => !packed.includes(file))).toEqual([]);
  });

  it('imports no TypeScript and nothing outside itself but its dependencies', () => {
    const root = join(installed, 'agent-bullpen');
    const manifest: { dependencies: Record<string, string> } = JSON.parse(
      readFileSync(join(root, 'package.json'), 'utf8'),
    );
    const files = readdirSync(join(root, 'dist'), { recursive: true, encoding: 'utf8' }).filter((name) =>
      name.endsWith('.js'),
    );
    const imports = files.flatMap((name) => {
      const file = join(root, 'dist', name);
      const found = readFileSync(file, 'utf8').matchAll(IMPORT);
      return [...found].map(([, specifier = '']) => ({ file, specifier }));
    });
    expect(imports.length).toBeGreaterThan(100);
    const isThere = ({ file, specifier }: { file: string; specifier: string }): boolean =>
      specifier.startsWith('.')
        ? existsSync(join(dirname(file), specifier))
        : specifier.startsWith('node:') || isDependency(specifier);
    const isDependency = (specifier: string): boolean =>
      Object.keys(manifest.dependencies).some(
        (name) => specifier === name || specifier.startsWith(`${name}/`),
      );
    expect(imports.filter((one) => !isThere(one))).toEqual([]);
  });

  it('serves a job once installed, and stops in order', async () => {
    const bullpen = join(installed, '.bin/bullpen');
    accessSync(bullpen, constants.X_OK);
    const place = tempDir();
    const workspace = join(place, 'workspace');
    mkdirSync(workspace);
    const config = join(place, 'bullpen.config.yaml');
    const claude = await installFakeCli(join(place, 'bin'));
    writeFileSync(config, stringify({ providers: { claude: { binary: claude } } }));

    const server = spawn(bullpen, ['serve'], {
      cwd: workspace,
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
      env: {
        // The shebang's Node is the one that runs the tests.
        PATH: [dirname(process.execPath), process.env['PATH']].join(delimiter),
        HOME: join(place, 'home'),
        BULLPEN_HOME: join(place, 'data'),
        BULLPEN_CACHE: CACHE_DIR,
        BULLPEN_CONFIG: config,
        BULLPEN_PORT: '0',
      },
    });
    let log = '';
    for (const stream of [server.stdout, server.stderr])
      stream?.on('data', (chunk: Buffer) => (log += chunk));
    onTestFinished(() => {
      server.kill('SIGKILL');
    });
    const exited = once(server, 'exit');
    const failed = exited.then(([code]) =>
      Promise.reject(new Error(`the server ended with ${code}:\n${log}`)),
    );
    failed.catch(() => undefined); // only while we wait for it to be ready
    const [ready] = await Promise.race([once(server, 'message'), failed]);
    server.disconnect();
    const { url } = ready as { url: string }; // sent by main.ts

    const response = await fetch(`${url}/v1/jobs?wait=60`, {
      method: 'POST',
      headers: {
        authorization: `Bearer ${readFileSync(join(place, 'data/token'), 'utf8').trim()}`,
        'content-type': 'application/json',
      },
      body: JSON.stringify({ prompt: 'from a package' }),
    });
    const job = (await response.json()) as Job; // the documented answer
    expect(job, log).toMatchObject({ status: 'succeeded', outcome: { text: 'fake: from a package' } });

    server.kill('SIGTERM');
    expect(await exited).toEqual([0, null]);
  });
});

describe('a clone', () => {
  it('is installed by npm install -g . and runs its sources', async () => {
    const prefix = tempDir();
    await npm(ROOT, 'install', '--global', '--prefix', prefix, '--no-audit', '--no-fund', '.');
    const { stdout } = await run(join(prefix, 'bin/bullpen'), ['--version'], {
      cwd: '/',
      env: { PATH: dirname(process.execPath), HOME: prefix },
    });
    expect(stdout).toBe(`${JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')).version}\n`);
  });
});

describe('on a Node that is too old', () => {
  /** Runs a command that must fail; what it said and how it ended. */
  async function refused(command: string, args: readonly string[]) {
    return run(command, [...args], { env: { PATH: process.env['PATH'] } }).then(
      ({ stdout }) => ({ code: 0, stdout, stderr: '' }),
      ({ code, stdout, stderr }: { code: number; stdout: string; stderr: string }) => ({
        code,
        stdout,
        stderr,
      }),
    );
  }

  /** A Node that calls itself 20.1.0, and every one on PATH that is too old in truth. */
  async function oldNodes(): Promise<{ version: string; command: (bin: string) => [string, string[]] }[]> {
    const pretend = `Object.defineProperty(process, 'versions', { value: { ...process.versions, node: '20.1.0' } });`;
    const importing = (bin: string): string =>
      `${pretend} import(${JSON.stringify(pathToFileURL(bin).href)})`;
    const nodes = [
      {
        version: '20.1.0',
        command: (bin: string): [string, string[]] => [process.execPath, ['-e', importing(bin)]],
      },
    ];
    for (const folder of new Set((process.env['PATH'] ?? '').split(delimiter))) {
      const node = join(folder, 'node');
      const version = await run(node, ['-v']).then(
        ({ stdout }) => stdout.trim().slice(1),
        () => null, // no Node in this folder
      );
      if (version === null || Number.parseInt(version, 10) >= MINIMUM_NODE) continue;
      nodes.push({ version, command: (bin) => [node, [bin]] });
    }
    return nodes;
  }

  it('says so in one line and ends with code 1, in source and installed', async () => {
    for (const { version, command } of await oldNodes()) {
      for (const bin of [join(ROOT, 'src/bin.js'), join(installed, 'agent-bullpen/src/bin.js')]) {
        expect(await refused(...command(bin)), `${version} ${bin}`).toEqual({
          code: 1,
          stdout: '',
          stderr: `bullpen needs Node 24 or newer; this is Node ${version}\n`,
        });
      }
    }
  });
});
