import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  accessSync,
  constants,
  copyFileSync,
  cpSync,
  existsSync,
  globSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { delimiter, dirname, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { stringify } from 'yaml';
import type { Job } from '../../src/protocol/job.ts';
import type { Session } from '../../src/protocol/session.ts';
import { ofStage, ROOT } from '../helpers/containers.ts';
import { eventually } from '../helpers/eventually.ts';
import { installFakeCli } from '../helpers/fake-cli.ts';
import { CACHE_DIR } from '../helpers/redis-private.ts';
import { shared, whenOver } from '../helpers/shared.ts';
import { makeTempDir, removeDir, tempDir } from '../helpers/temp.ts';

const run = promisify(execFile);
const NPM_DEADLINE_MS = 240_000;
const MINIMUM_NODE = 24;
/** What a user installs who wants a client made from the OpenAPI document. */
const OF_USERS = ['openapi-typescript@7.13.0', 'openapi-fetch@0.17.0', 'typescript@5.9.3'];

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
  /^dist\/(src|workers)\/[\w./-]+\.(js|d\.ts)$/,
  /^dist\/src\/records\/scripts\/[\w-]+\.lua$/,
  /^dist\/page\/(index\.html|licences\.md|assets\/[\w.-]+\.(js|css|svg)(\.gz)?)$/,
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
  'dist/page/index.html',
  'dist/page/licences.md',
  'dist/page/assets/icon.svg.gz',
];

/** A specifier in compiled code: after `from`, of a bare import at a line's start, or of a call. */
const IMPORT = /(?:^(?:import|export|\})[^;'"`]*\bfrom\s*|^import\s*|\bimport\()['"]([^'"]+)['"]/gm;

/** What the package takes from a clone, beside what is built. */
const DOCUMENTS = ['docs', '.env.example', 'LICENSE', 'README.md'];

let dir: string;
/** A clone of its own, because other tests use what is built in ours. */
let clone: string;
let packed: string[];
let installed: string;

/** Builds in a new folder with what the Dockerfile takes from the tree, by its commands. */
async function build(folder: string): Promise<void> {
  for (const line of ofStage('build', 'COPY')) {
    const [target = '', ...sources] = line.split(/\s+/).reverse();
    for (const source of globSync(sources, { cwd: ROOT })) {
      const into = target === './' ? join(folder, source) : join(folder, target);
      cpSync(join(ROOT, source), into, { recursive: true });
    }
  }
  symlinkSync(join(ROOT, 'node_modules'), join(folder, 'node_modules'));
  const [install, ...commands] = ofStage('build', 'RUN');
  expect(install).toBe('npm ci --ignore-scripts');
  const env = { PATH: [dirname(process.execPath), process.env['PATH']].join(delimiter), HOME: folder };
  for (const command of commands)
    await run('sh', ['-c', command], { cwd: folder, env, timeout: NPM_DEADLINE_MS });
}

beforeAll(async () => {
  dir = makeTempDir();
  clone = join(dir, 'clone');
  await build(clone);
  for (const name of DOCUMENTS) cpSync(join(ROOT, name), join(clone, name), { recursive: true });
  const { stdout } = await npm(clone, 'pack', '--json', '--ignore-scripts', '--pack-destination', dir);
  const [pack]: { filename: string; files: { path: string }[] }[] = [JSON.parse(stdout)].flat();
  packed = pack?.files.map(({ path }) => path) ?? [];

  const target = join(dir, 'somewhere-else');
  mkdirSync(target);
  writeFileSync(join(target, 'package.json'), '{"private":true,"type":"module"}');
  const tarball = join(dir, pack?.filename ?? '');
  await npm(target, 'install', '--no-audit', '--no-fund', '--omit=dev', tarball, ...OF_USERS);
  installed = join(target, 'node_modules');
}, 2 * NPM_DEADLINE_MS);
afterAll(() => removeDir(dir));

/** The server of a `bullpen` command, with the scripted CLI; killed after the test, or the file. */
async function start(bullpen: string) {
  accessSync(bullpen, constants.X_OK);
  const place = tempDir();
  const workspace = join(place, 'workspace');
  mkdirSync(workspace);
  const config = join(place, 'bullpen.config.yaml');
  const claude = await installFakeCli(join(place, 'bin'));
  const terminals = { enabled: true, commands: { size: { binary: 'sh', args: ['-c', 'stty size'] } } };
  writeFileSync(config, stringify({ providers: { claude: { binary: claude } }, terminals }));

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
  for (const stream of [server.stdout, server.stderr]) stream?.on('data', (chunk: Buffer) => (log += chunk));
  const exited = once(server, 'exit');
  whenOver(async () => {
    server.kill('SIGKILL');
    await exited;
  });
  const failed = exited.then(([code]) => Promise.reject(new Error(`the server ended with ${code}:\n${log}`)));
  failed.catch(() => undefined); // only while we wait for it to be ready
  const [ready] = await Promise.race([once(server, 'message'), failed]);
  server.disconnect();
  const { url } = ready as { url: string }; // sent by main.ts
  const token = readFileSync(join(place, 'data/token'), 'utf8').trim();
  return {
    url,
    token,
    server,
    async runs(prompt: string): Promise<void> {
      const response = await fetch(`${url}/v1/jobs?wait=60`, {
        method: 'POST',
        headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
        body: JSON.stringify({ prompt }),
      });
      const job = (await response.json()) as Job; // the documented answer
      expect(job, log).toMatchObject({ status: 'succeeded', outcome: { text: `fake: ${prompt}` } });
    },
  };
}

describe('the package', { timeout: NPM_DEADLINE_MS }, () => {
  const system = shared(() => start(join(installed, '.bin/bullpen')));

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
    expect(imports.length).toBeGreaterThan(50);
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

  it('serves a job and the page once installed', async () => {
    const { url, runs } = await system();
    await runs('from a package');

    const document = await (await fetch(url, { headers: { accept: 'text/html' } })).text();
    const scripts = [...document.matchAll(/src="(\/assets\/[^"]+\.js)"/g)].map(([, path]) => path);
    expect(scripts).not.toEqual([]);
    for (const path of scripts) expect((await fetch(`${url}${path}`)).status, path).toBe(200);
  });

  it('brings a typed client, and its OpenAPI document makes another one', async () => {
    const { url, token } = await system();
    const project = dirname(installed);
    for (const name of ['package-client.ts', 'generated-client.ts'])
      copyFileSync(join(ROOT, 'tests/fixtures/programs', name), join(project, name));
    const headers = { authorization: `Bearer ${token}` };
    const document = await (await fetch(`${url}/openapi.json`, { headers })).text();
    writeFileSync(join(project, 'openapi.json'), document);
    const tool = (modules: string, name: string, ...args: string[]) =>
      run(join(modules, '.bin', name), args, { cwd: project, timeout: NPM_DEADLINE_MS });
    await tool(installed, 'openapi-typescript', 'openapi.json', '--output', 'api.d.ts');
    const strict = ['--strict', '--exactOptionalPropertyTypes', '--noUncheckedIndexedAccess'];
    const modules = ['--module', 'nodenext', '--allowImportingTsExtensions', '--lib', 'es2024,dom'];
    const files = ['package-client.ts', 'generated-client.ts'];
    await tool(join(ROOT, 'node_modules'), 'tsc', '--noEmit', ...strict, ...modules, ...files);

    const program = async (name: string): Promise<unknown> => {
      const args = ['--no-warnings', join(project, name), url, token];
      return JSON.parse((await run(process.execPath, args, { timeout: 60_000 })).stdout);
    };
    expect(await program('package-client.ts')).toEqual({
      ...{ text: 'fake: from the client', last: 'job.finished', code: 'job.not_found' },
    });
    expect(await program('generated-client.ts')).toEqual({
      ...{ text: 'fake: from types', hasUsage: true, listed: [true], code: 'job.not_found' },
    });
  });

  it('opens a terminal, whose binary is installed with it', async () => {
    const { url, token } = await system();
    const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' };
    const body = JSON.stringify({ kind: 'terminal', command: 'size', cols: 91, rows: 19 });
    const made = await fetch(`${url}/v1/sessions`, { method: 'POST', headers, body });
    const { id } = (await made.json()) as Session; // the documented answer
    const recording = async (): Promise<string> =>
      (await fetch(`${url}/v1/sessions/${id}/recording`, { headers })).text();
    await eventually(async () => expect(await recording()).toContain('19 91'));
  });

  it('stops in order', async () => {
    const { server } = await system();
    const exited = once(server, 'exit');
    server.kill('SIGTERM');
    expect(await exited).toEqual([0, null]);
  });
});

describe('a clone', { timeout: NPM_DEADLINE_MS + 60_000 }, () => {
  it('says in one line that it is not prepared; npm install -g . prepares it, and it runs its sources', async () => {
    rmSync(join(clone, 'dist'), { recursive: true });
    const refused = run(process.execPath, [join(clone, 'src/bin.js'), '--version']);
    await expect(refused).rejects.toMatchObject({
      ...{ code: 1, stdout: '' },
      stderr: 'bullpen: this clone is not prepared: run npm ci, or npm run prepare\n',
    });
    const prefix = tempDir();
    await npm(clone, 'install', '--global', '--prefix', prefix, '--no-audit', '--no-fund', '.');
    const { stdout } = await run(join(prefix, 'bin/bullpen'), ['--version'], {
      cwd: '/',
      env: { PATH: dirname(process.execPath), HOME: prefix },
    });
    expect(stdout).toBe(`${JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')).version}\n`);
    const { runs } = await start(join(prefix, 'bin/bullpen'));
    await runs('from a clone');
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
