/** `npm run build`: the publishable package's JavaScript, from nothing, into dist/. */
import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** Files that compiled modules read beside them and the compiler does not copy. */
const COPIED = ['src/records/scripts'];

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

function build(): string | null {
  rmSync(DIST, { recursive: true, force: true });
  const tsc = join(ROOT, 'node_modules/.bin/tsc');
  const { status, error } = spawnSync(tsc, ['-p', 'tsconfig.build.json'], { cwd: ROOT, stdio: 'inherit' });
  if (error !== undefined) return `the compiler cannot be started: ${error.message}`;
  if (status !== 0) return 'the compiler refused the source';
  for (const path of COPIED) cpSync(join(ROOT, path), join(DIST, path), { recursive: true });
  const missing = [join(DIST, 'src/main.js'), ...runByPath()].filter((file) => !existsSync(file));
  if (missing.length > 0) return `the compiler left out ${missing.join(', ')}`;
  return null;
}

const problem = build();
if (problem !== null) {
  console.error(`The build failed: ${problem}`);
  process.exitCode = 1;
}
