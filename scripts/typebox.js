/**
 * Writes dist/typebox, which `#typebox` in package.json names: TypeBox in a few files. The package
 * has 683; to load them takes 0.3 s of CPU time in each process and each thread that checks data.
 * JavaScript, because any Node may run it.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const OUTPUT = fileURLToPath(new URL('../dist/typebox', import.meta.url));
const BANNER = '/* TypeBox, a dependency of this package; its licence is beside it. */';
const PARTS = { typebox: 'typebox', compile: 'typebox/compile', value: 'typebox/value' };

/** With devDependencies: TypeBox itself. */
export async function bundleTypebox() {
  const { rolldown } = await import('rolldown');
  const built = await rolldown({ input: PARTS, platform: 'node', logLevel: 'warn' });
  await built.write({
    dir: OUTPUT,
    entryFileNames: '[name].js',
    chunkFileNames: 'shared-[hash].js',
    banner: BANNER,
  });
  await built.close();
}

/** Without them: names of the package's own files. The server starts more slowly. */
export function nameTypebox() {
  mkdirSync(OUTPUT, { recursive: true });
  for (const [name, part] of Object.entries(PARTS))
    writeFileSync(join(OUTPUT, `${name}.js`), `export * from '${part}';\n`);
}
