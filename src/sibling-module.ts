import { extname } from 'node:path';

/**
 * URL of a module for threads, child processes and BullMQ's sandbox. It gets the extension of the
 * caller: `.ts` in source, `.js` in a build. `scripts/build.ts` looks for calls of this function,
 * and checks that what they name is built.
 *
 * @param importerUrl `import.meta.url` of the caller
 * @param name path relative to the caller, without extension: `./writer-thread`
 */
export function siblingModule(importerUrl: string, name: string): URL {
  return new URL(name + extname(new URL(importerUrl).pathname), importerUrl);
}
