import { extname } from 'node:path';

/**
 * URL of a module beside the importing one, for threads, child processes and BullMQ's sandbox. Its extension
 * is the importer's, because the compiler rewrites import specifiers but not strings: `.ts` in source, `.js`
 * once built.
 *
 * @param importerUrl `import.meta.url` of the caller
 * @param name relative path without extension: `./writer-thread`
 */
export function siblingModule(importerUrl: string, name: string): URL {
  return new URL(name + extname(new URL(importerUrl).pathname), importerUrl);
}
