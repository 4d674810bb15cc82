/** What the tests of one file share: it is built with its first use and stopped after the file. */
import { AsyncLocalStorage } from 'node:async_hooks';
import { afterAll, beforeAll, onTestFinished } from 'vitest';

type CleanUp = () => Promise<void> | void;

const ofTheFile = new AsyncLocalStorage<CleanUp[]>();

/** Runs `cleanUp` after the running test; inside the `build` of {@link shared}, after the file. */
export function whenOver(cleanUp: CleanUp): void {
  const cleanUps = ofTheFile.getStore();
  if (cleanUps === undefined) onTestFinished(cleanUp);
  else cleanUps.push(cleanUp);
}

/**
 * A function that gives what `build` made at its first call. Call `shared` where tests are defined,
 * and what it returns inside of them.
 */
export function shared<T>(build: () => Promise<T>): () => Promise<T> {
  const cleanUps: CleanUp[] = [];
  let built: Promise<T> | null = null;
  afterAll(() => runAll(cleanUps));
  return () => {
    built ??= ofTheFile.run(cleanUps, build);
    return built;
  };
}

/** Ends what helpers have built for the file: see {@link sharedByHelper}. */
const ends: CleanUp[] = [];

/**
 * The same for a module that test files import. It is built anew for each of them: the files of a
 * process share one instance of a module.
 */
export function sharedByHelper<T>(build: () => Promise<T>): () => Promise<T> {
  let built: Promise<T> | null = null;
  return () => {
    if (built === null) {
      const cleanUps: CleanUp[] = [];
      ends.push(async () => {
        built = null;
        await runAll(cleanUps);
      });
      built = ofTheFile.run(cleanUps, build);
    }
    return built;
  };
}

/** Called after each file: see after-file.ts. */
export const endFile = (): Promise<void> => runAll(ends.splice(0));

/** All of them, the last first. */
async function runAll(cleanUps: CleanUp[]): Promise<void> {
  const failures: unknown[] = [];
  for (const cleanUp of cleanUps.reverse()) {
    try {
      await cleanUp();
    } catch (failure) {
      failures.push(failure);
    }
  }
  if (failures.length > 0) throw failures.length === 1 ? failures[0] : new AggregateError(failures);
}

/** The same, built before the first test of the block, so that tests need not wait for it. */
export function sharedFromStart<T>(build: () => Promise<T>): () => T {
  const get = shared(build);
  let made: { readonly value: T } | null = null;
  beforeAll(async () => {
    made = { value: await get() };
  });
  return () => {
    if (made === null) throw new Error('what the tests share could not be built');
    return made.value;
  };
}
