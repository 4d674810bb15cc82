import { getCompileCacheDir } from 'node:module';
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

/**
 * The variable that names the folder of what Node has compiled; empty when there is none. Threads
 * and child processes have that folder only with this variable in their environment.
 */
export function compileCacheVariable(): Readonly<Record<string, string>> {
  const folder = getCompileCacheDir();
  return folder === undefined ? {} : { NODE_COMPILE_CACHE: folder };
}
