/** Small Node programs that start what is compared: forking takes longer the more memory a process has. */
import { fork } from 'node:child_process';

export interface Program extends Disposable {
  readonly pid: number;
  /** Sends a question; resolves with the answer that carries the same `id`. Rejects when the program fails at it or ends. */
  ask(question: Readonly<Record<string, unknown>>): Promise<Readonly<Record<string, unknown>>>;
}

interface Answer {
  readonly id: number;
  readonly failed?: string;
  readonly [field: string]: unknown;
}

/**
 * @param file beside this one
 * @param env its whole environment
 */
export function startProgram(
  file: string,
  options: { readonly cwd: string; readonly env: Readonly<Record<string, string>> },
): Program {
  const { cwd, env } = options;
  const child = fork(new URL(file, import.meta.url), { cwd, env: { ...env }, execArgv: [] });
  const waiting = new Map<number, PromiseWithResolvers<Answer>>();
  let asked = 0;
  child.on('message', (message) => {
    const answer = message as Answer; // what these programs send
    const waiter = waiting.get(answer.id);
    waiting.delete(answer.id);
    if (answer.failed === undefined) waiter?.resolve(answer);
    else waiter?.reject(new Error(answer.failed));
  });
  child.once('exit', () => {
    for (const { reject } of waiting.values()) reject(new Error(`${file} ended by itself`));
  });
  return {
    pid: child.pid ?? 0,
    ask(question) {
      asked += 1;
      const waiter = Promise.withResolvers<Answer>();
      waiting.set(asked, waiter);
      child.send({ ...question, id: asked });
      return waiter.promise;
    },
    [Symbol.dispose]: () => {
      child.kill();
    },
  };
}
