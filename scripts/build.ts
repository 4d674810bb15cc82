/**
 * `npm run build`: the publishable package's JavaScript, its types and the page, from nothing, into
 * dist/. With the path of a new folder: the programs and the page into that folder.
 */
import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, rmSync } from 'node:fs';
import { basename, dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Plugin, rolldown } from 'rolldown';
import { build as buildPage } from 'vite';
import { bundleTypebox } from './typebox.js';

/** The server and the command line. What a command does not need is in files it does not load. */
const MAIN = 'src/main';
/** What runs in a process or a thread of its own: one file each. */
const ALONE = [
  'src/anthropic-runner/main',
  'src/processes/launcher-process',
  'src/store/reader-thread',
  'src/store/writer-thread',
  'workers/bootstrap',
  'workers/prompt.worker',
];
/** Runs in browsers, too. */
const CLIENT = 'src/client/client';
/** Files that modules read beside them; their places stay the same in dist/. */
const COPIED = ['src/records/scripts'];
/**
 * Packages that are installed beside this one and not bundled: they look for files of their own, or
 * are loaded only when something needs them.
 */
const INSTALLED = [
  '@anthropic-ai/sdk',
  '@bull-board/',
  '@fastify/static',
  '@fastify/swagger',
  '@lydell/',
  '@xterm/',
  'bullmq',
  'eventsource-parser',
  'ioredis',
  'jose',
  'pino',
  'prom-client',
  'socket.io',
  'yaml',
];
/** A worker has its share of these in its file: it starts with three quarters of the CPU time. */
const IN_WORKERS = ['bullmq', 'ioredis'];
const BANNER = '/* Contains packages that are dependencies of this one; their licences are beside them. */';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
/** How a module is named that is run and not imported: see src/sibling-module.ts. */
const SIBLING = /\bsiblingModule\(\s*import\.meta\.url,\s*['"]([^'"]+)['"]/g;

/**
 * Writes the programs and the page to the folder `out`, which holds no other build.
 *
 * @throws Error what a bundler or the check of the output found
 */
async function buildPrograms(out: string): Promise<void> {
  const runByPath = new Set<string>();

  /** `import.meta.url` of a module is its place in `out`, as if it were not bundled. */
  const placed = (folder: string): Plugin => ({
    name: 'placed',
    transform(code, id) {
      if (!id.startsWith(join(ROOT, 'src'))) return null;
      const place = join(out, relative(ROOT, id).replace(/\.ts$/, '.js'));
      for (const [, path] of code.matchAll(SIBLING)) runByPath.add(join(dirname(place), `${path}.js`));
      const url = `new URL('${relative(folder, place)}', import.meta.url).href`;
      return code.replaceAll('import.meta.url', url);
    },
  });

  async function bundle(name: string, { codeSplitting }: { readonly codeSplitting: boolean }): Promise<void> {
    const folder = dirname(join(out, name));
    const bundled = name.startsWith('workers/') ? IN_WORKERS : [];
    const installed = INSTALLED.filter((start) => !bundled.includes(start));
    const built = await rolldown({
      input: { [basename(name)]: join(ROOT, `${name}.ts`) },
      platform: name === CLIENT ? 'neutral' : 'node',
      external: (id) => installed.some((start) => id.startsWith(start)),
      plugins: [placed(folder)],
      logLevel: 'warn',
    });
    const comments = { legal: true, annotation: false, jsdoc: false };
    await built.write({ dir: folder, entryFileNames: '[name].js', codeSplitting, banner: BANNER, comments });
    await built.close();
  }

  await bundle(MAIN, { codeSplitting: true });
  for (const name of [...ALONE, CLIENT]) await bundle(name, { codeSplitting: false });
  for (const path of COPIED) cpSync(join(ROOT, path), join(out, path), { recursive: true });
  await buildPage({
    configFile: join(ROOT, 'src/page/vite.config.ts'),
    build: { outDir: join(out, 'page') },
    logLevel: 'warn',
  });
  const missing = [...runByPath].filter((file) => !existsSync(file));
  if (missing.length > 0)
    throw new Error(`${missing.join(', ')} is run by its path and not built: see ALONE`);
}

/** The types of the client, for those who import it. */
function writeTypes(): void {
  const tsc = join(ROOT, 'node_modules/.bin/tsc');
  const { status, error } = spawnSync(tsc, ['-p', 'tsconfig.build.json'], { cwd: ROOT, stdio: 'inherit' });
  if (error !== undefined) throw error;
  if (status !== 0) throw new Error('the compiler refused the source of the client');
}

const [folder] = process.argv.slice(2);
if (folder !== undefined) {
  await buildPrograms(resolve(folder));
} else {
  const dist = join(ROOT, 'dist');
  // dist/typebox stays: what runs from the source of this clone needs it.
  for (const name of ['page', 'src', 'workers']) rmSync(join(dist, name), { recursive: true, force: true });
  await bundleTypebox();
  await buildPrograms(dist);
  writeTypes();
}
