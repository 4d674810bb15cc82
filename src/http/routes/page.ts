/** The page for people: its documents, and the files that Vite has built from src/page. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import fastifyStatic from '@fastify/static';
import type { FastifyReply } from 'fastify';
import { systemCode } from '../../processes/launch.ts';
import { sendPage } from '../html.ts';
import type { HttpApp } from '../http-app.ts';

/** Beside src/ in a clone; in the package, the compiled file lies in dist/src/http/routes. */
const FOLDERS = ['../../../dist/page', '../../../page'];

/** Where the page was built; null: it was not. */
export function builtPage(): string | null {
  const folders = FOLDERS.map((path) => fileURLToPath(new URL(path, import.meta.url)));
  return folders.find((folder) => existsSync(join(folder, 'index.html'))) ?? null;
}

/**
 * Scripts and styles are files of this server. The page writes no script, no style and no HTML from
 * text, so a prompt or an output cannot become one.
 */
const POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self'",
  "font-src 'self'",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'self'",
  "frame-ancestors 'none'",
  "require-trusted-types-for 'script'",
].join('; ');

const DOCUMENTS = ['/jobs', '/batches', '/sessions', '/terminals', '/usage', '/system'];

/**
 * Answers with the document of the page. Its address says what it shows.
 * @param folder as `builtPage` finds it
 */
export function sendDocument(reply: FastifyReply, folder: string | null): FastifyReply {
  const document = folder === null ? null : readDocument(folder);
  if (document === null) {
    const what = 'The page is not built. In a clone, <code>npm run page</code> builds it.';
    return sendPage(reply.code(503), 'No page', `<h1>No page</h1><p>${what}</p>`);
  }
  return reply.type('text/html; charset=utf-8').header('content-security-policy', POLICY).send(document);
}

/** Null: it is not there, for example because the page is being built again. */
function readDocument(folder: string): Buffer | null {
  try {
    return readFileSync(join(folder, 'index.html'));
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return null;
    throw error;
  }
}

/** The documents hold no data: each asks the API, with the login of the browser. */
export async function pageRoutes(app: HttpApp, folder: string | null): Promise<void> {
  const config = { access: 'public', produces: ['text/html'] } as const;
  for (const place of DOCUMENTS)
    for (const url of [place, `${place}/*`])
      app.get(url, { config, schema: { hide: true } }, async (_, reply) => sendDocument(reply, folder));
  if (folder !== null) await app.register((files: HttpApp) => assets(files, join(folder, 'assets')));
}

/** A file that has a compressed copy beside it is sent as that. */
async function assets(app: HttpApp, root: string): Promise<void> {
  app.addHook('onRoute', (route) => {
    route.config = { ...route.config, access: 'public', produces: ['*'] };
    route.schema = { ...route.schema, hide: true };
  });
  await app.register(fastifyStatic, {
    root,
    prefix: '/assets/',
    index: false,
    decorateReply: false,
    preCompressed: true,
    cacheControl: false,
    // Names of files change with their content, but for the icon.
    setHeaders: (reply, path) =>
      reply.header(
        'cache-control',
        /icon\.svg(\.gz)?$/.test(path) ? 'public, max-age=3600' : 'public, max-age=31536000, immutable',
      ),
  });
}
