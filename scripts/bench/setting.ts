/** Where and how one run of the benchmarks measures. */
import type { BenchServer, BenchServerOptions } from './server.ts';

export interface Setting {
  /** Fewer repetitions: to see that it works, not to quote. */
  readonly quick: boolean;
  /** On the disk of the checkout: a temporary folder may live in memory, and then a write costs nothing. */
  readonly dataDir: string;
  readonly workspace: string;
  /** Of the server and of what is started by hand; the model is the offline one. */
  readonly env: Readonly<Record<string, string>>;
  /** A server with a data folder of its own. */
  server(options?: Partial<Pick<BenchServerOptions, 'env' | 'config' | 'nodeOptions'>>): Promise<BenchServer>;
  /** A Redis that is up already. */
  redis(): Promise<{ readonly url: string; stop(): Promise<void> }>;
  log(line: string): void;
}

/** One line of the table. */
export interface Row {
  readonly name: string;
  readonly value: number;
  readonly unit: string;
  /** `≤ 1.05`: what is wanted of it, if anything. */
  readonly goal?: { readonly relation: '≤' | '≥'; readonly value: number };
}

export interface Section {
  readonly title: string;
  readonly rows: readonly Row[];
  /** The measurements behind the rows, for the JSON. */
  readonly data: unknown;
}

export const isMet = ({ value, goal }: Row): boolean | null =>
  goal === undefined ? null : goal.relation === '≤' ? value <= goal.value : value >= goal.value;

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
