import { startProgram } from './program.ts';

export interface BareLoop extends Disposable {
  readonly pid: number;
  /** Spawns `cat` `count` times, at most `concurrency` at once. Milliseconds: of each run, and of all. */
  run(count: number, concurrency: number, prompt: string): Promise<{ times: number[]; totalMs: number }>;
}

/** `cat` spawned by a program that does nothing else. */
export function startBareLoop(cwd: string, env: Readonly<Record<string, string>>): BareLoop {
  const program = startProgram('./bare-loop.js', { cwd, env });
  return {
    pid: program.pid,
    async run(count, concurrency, prompt) {
      const answer = await program.ask({ count, concurrency, prompt });
      return answer as unknown as { times: number[]; totalMs: number }; // sent by bare-loop.js
    },
    [Symbol.dispose]: () => program[Symbol.dispose](),
  };
}
