/** Where and how one run of the benchmarks measures. */
import type { Line, Row as ResultRow } from './results.ts';
import type { AgentSdk } from './sdk-install.ts';
import type { BenchServer, BenchServerOptions } from './server.ts';

/** One line of the list below a table. */
export type Row = ResultRow;

export interface Setting {
  /** Fewer repetitions: to see that it works, not to quote. */
  readonly quick: boolean;
  /** On the disk of the checkout: a temporary folder may live in memory, and then a write costs nothing. */
  readonly dataDir: string;
  readonly workspace: string;
  /** Of the server and of what is started by hand; the model is the offline one. */
  readonly env: Readonly<Record<string, string>>;
  /** Absolute path of the CLI that all sides run. */
  readonly claude: string;
  readonly sdk: AgentSdk;
  /** A new data folder. */
  newFolder(): string;
  /** A server with a data folder of its own, unless `home` names one. */
  server(
    options?: Partial<Pick<BenchServerOptions, 'env' | 'config' | 'nodeOptions' | 'home'>>,
  ): Promise<BenchServer>;
  /** A Redis that is up already. */
  redis(): Promise<{ readonly url: string; stop(): Promise<void> }>;
  log(line: string): void;
}

export interface Section {
  readonly title: string;
  /** Side by side. */
  readonly lines?: Line[];
  readonly rows: Row[];
  readonly notes?: string[];
  /** The measurements behind the rows, for the JSON. */
  readonly data: unknown;
}

/** Runs `task` `count` times, at most `concurrency` at once; the milliseconds of the whole. */
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
