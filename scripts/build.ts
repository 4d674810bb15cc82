/** `npm run build`: the publishable package's JavaScript and the page, from nothing, into dist/. */
import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Plugin, rolldown } from 'rolldown';
import { build as buildPage } from 'vite';
import { bundleTypebox } from './typebox.js';

/** Files that compiled modules read beside them and the compiler does not copy. */
const COPIED = ['src/records/scripts'];
/**
 * What runs in each sandboxed process. As one file each, with the packages, they take a third less
 * CPU time to start.
 */
const BUNDLED = ['workers/bootstrap', 'workers/prompt.worker'];
const BANNER = '/* Contains packages that are dependencies of this one; their licences are beside them. */';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const DIST = join(ROOT, 'dist');
/** How a module is named that is run and not imported: see src/sibling-module.ts. */
const SIBLING = /\bsiblingModule\(import\.meta\.url, ['"]([^'"]+)['"]\)/g;

/** Forked processes and threads: the compiler does not follow their names. */
function runByPath(): string[] {
  const modules = readdirSync(DIST, { recursive: true, encoding: 'utf8' }).filter((name) =>
    name.endsWith('.js'),
  );
  return modules.flatMap((name) => {
    const file = join(DIST, name);
    return [...readFileSync(file, 'utf8').matchAll(SIBLING)].map(([, path]) =>
      join(dirname(file), `${path}.js`),
    );
  });
}

/** `import.meta.url` of a bundled module of src is the place that it has in dist/. */
const placed: Plugin = {
  name: 'placed',
  transform(code, id) {
    if (!id.startsWith(join(ROOT, 'src'))) return null;
    const place = relative(join(DIST, 'workers'), join(DIST, relative(ROOT, id)));
    return code.replaceAll('import.meta.url', `new URL('${place}', import.meta.url).href`);
  },
};

async function bundle(): Promise<void> {
  for (const name of BUNDLED) {
    const built = await rolldown({ input: join(ROOT, `${name}.ts`), platform: 'node', plugins: [placed] });
    await built.write({ file: join(DIST, `${name}.js`), codeSplitting: false, banner: BANNER });
    await built.close();
  }
}

async function build(): Promise<string | null> {
  rmSync(DIST, { recursive: true, force: true });
  await bundleTypebox();
  const tsc = join(ROOT, 'node_modules/.bin/tsc');
  const { status, error } = spawnSync(tsc, ['-p', 'tsconfig.build.json'], { cwd: ROOT, stdio: 'inherit' });
  if (error !== undefined) return `the compiler cannot be started: ${error.message}`;
  if (status !== 0) return 'the compiler refused the source';
  await bundle();
  await buildPage({ configFile: join(ROOT, 'src/page/vite.config.ts'), logLevel: 'warn' });
  for (const path of COPIED) cpSync(join(ROOT, path), join(DIST, path), { recursive: true });
  const missing = [join(DIST, 'src/main.js'), join(DIST, 'page/index.html'), ...runByPath()].filter(
    (file) => !existsSync(file),
  );
  if (missing.length > 0) return `the compiler left out ${missing.join(', ')}`;
  return null;
}

const problem = await build();
if (problem !== null) {
  console.error(`The build failed: ${problem}`);
  process.exitCode = 1;
}
