/** Where and how one run of the benchmark measures. */
import type { BenchProgram, BenchServer, BenchServerOptions } from './server.ts';

export interface Setting {
  /** Fewer repetitions: shows that the benchmark works; its figures are not for quoting. */
  readonly quick: boolean;
  readonly workspace: string;
  /** Environment of the server and of what is started by hand. The model is the offline one. */
  readonly env: Readonly<Record<string, string>>;
  /** Absolute path of the claude CLI, the same for all ways. */
  readonly claude: string;
  /**
   * A new folder on the disk of the checkout. A temporary folder may be in memory, where a write
   * costs nothing.
   */
  newFolder(): string;
  /** Starts a server, by default with a new data folder. */
  server(options?: Partial<Pick<BenchServerOptions, 'env' | 'config' | 'home'>>): Promise<BenchServer>;
  /** Starts an executor for a server, with a new data folder. */
  executor(options: Pick<BenchServerOptions, 'env' | 'config'>): Promise<BenchProgram>;
  log(line: string): void;
}

/**
 * Runs `task` `count` times, at most `concurrency` at once. Returns the milliseconds of the whole.
 */
export async function repeat(
  count: number,
  concurrency: number,
  task: (index: number) => Promise<void>,
): Promise<number> {
  let next = 0;
  const startedAt = performance.now();
  const loop = async (): Promise<void> => {
    while (next < count) {
      next += 1;
      await task(next - 1);
    }
  };
  await Promise.all(Array.from({ length: concurrency }, loop));
  return performance.now() - startedAt;
}

/** Milliseconds of one call. */
export const timed = (task: () => Promise<void>): Promise<number> => repeat(1, 1, task);
