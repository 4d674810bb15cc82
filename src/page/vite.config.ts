/** How the page is built: `npm run page`, and `npm ci` in a clone. The output is dist/page. */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { defineConfig, type Plugin } from 'vite';

const here = (path: string): string => fileURLToPath(new URL(path, import.meta.url));

/** Writes a compressed copy beside each file, which the server sends instead. */
const compressed: Plugin = {
  name: 'compressed',
  writeBundle({ dir = '' }) {
    const folder = join(dir, 'assets');
    for (const name of readdirSync(folder).filter((name) => /\.(js|css|svg)$/.test(name)))
      writeFileSync(join(folder, `${name}.gz`), gzipSync(readFileSync(join(folder, name)), { level: 9 }));
  },
};

/** What a strict policy refuses in xterm.js, how often it is there, and what is allowed. */
const XTERM = [
  // terminal-style.ts is this element.
  { old: /\.createElement\("style"\)/g, count: 3, allowed: '.createElement("terminal-style")' },
  {
    old: /(\w+)\.setAttribute\("style",/g,
    count: 1,
    allowed: 'Reflect.set($1.style,"cssText",',
  },
];

/**
 * xterm.js writes its colours and sizes into style elements and attributes. Here it writes them
 * through the CSSOM, so that no document of the page has to allow inline styles.
 */
const strictXterm: Plugin = {
  name: 'strict-xterm',
  transform: {
    filter: { id: /@xterm\/xterm\/lib\/xterm\.mjs$/ },
    handler(code) {
      let strict = code;
      for (const { old, count, allowed } of XTERM) {
        const found = code.match(old)?.length ?? 0;
        if (found !== count) this.error(`xterm.js has ${found} of ${old}, not ${count}: look at its styles`);
        strict = strict.replace(old, allowed);
      }
      return { code: strict, map: null };
    },
  },
};

export default defineConfig({
  root: here('.'),
  base: '/',
  oxc: { jsx: { runtime: 'automatic', importSource: 'preact' } },
  plugins: [compressed, strictXterm],
  optimizeDeps: { exclude: ['@xterm/xterm'] },
  build: {
    outDir: here('../../dist/page'),
    emptyOutDir: true,
    target: 'es2022',
    assetsInlineLimit: 0, // the policy of the page allows no `data:`
    modulePreload: { polyfill: false },
    sourcemap: false,
    license: { fileName: 'licences.md' },
  },
  // `npx vite src/page` beside a running server: changes are seen at once.
  server: {
    proxy: Object.fromEntries(
      ['/v1', '/ready', '/login', '/logout', '/openapi.json', '/metrics'].map((path) => [
        path,
        { target: 'http://127.0.0.1:3000', ws: path === '/v1' },
      ]),
    ),
  },
});
