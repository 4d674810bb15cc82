/**
 * A small program beside the benchmark, which starts CLIs: a fork takes longer the more memory a
 * process has, and the benchmark's own work would delay what is measured.
 */
import { fork } from 'node:child_process';
import type { Setting } from './setting.ts';

export interface Program<Answer> extends Disposable {
  readonly pid: number;
  /** Sends a message. Rejects when the program reports a failure, or has exited. */
  ask(message: Readonly<Record<string, unknown>>): Promise<Answer>;
}

/** @param file beside this one; what it answers is `Answer` */
export function startProgram<Answer>(
  file: string,
  { workspace: cwd, env }: Pick<Setting, 'workspace' | 'env'>,
): Program<Answer> {
  const child = fork(new URL(file, import.meta.url), { cwd, env: { ...env }, execArgv: [] });
  const waiting = new Map<number, PromiseWithResolvers<Answer>>();
  let lastId = 0;
  child.on('message', (message) => {
    const { id, failed, ...answer } = message as { id: number; failed?: string }; // from the program
    const waiter = waiting.get(id);
    waiting.delete(id);
    if (failed === undefined) waiter?.resolve(answer as Answer);
    else waiter?.reject(new Error(failed));
  });
  child.once('exit', () => {
    for (const { reject } of waiting.values()) reject(new Error(`${file} exited`));
  });
  return {
    pid: child.pid ?? 0,
    ask(message) {
      lastId += 1;
      const waiter = Promise.withResolvers<Answer>();
      waiting.set(lastId, waiter);
      child.send({ ...message, id: lastId });
      return waiter.promise;
    },
    [Symbol.dispose]: () => {
      child.kill();
    },
  };
}
