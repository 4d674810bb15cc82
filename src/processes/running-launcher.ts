import { type ChildProcess, fork } from 'node:child_process';
import { getCompileCacheDir } from 'node:module';
import { messageOf } from '../errors.ts';
import { umaskOfUser } from '../own-process.ts';
import { siblingModule } from '../sibling-module.ts';
import type { FromLauncher } from './launch-messages.ts';

const HEAP_FLAGS = ['--no-warnings', '--max-semi-space-size=1', '--max-old-space-size=64'];

/** One launcher process. */
export interface RunningLauncher {
  readonly process: ChildProcess;
  /** It takes messages. Rejects when it ended before. */
  readonly ready: Promise<void>;
  /** It is gone, and all it has written was read; resolves with how it ended. Never rejects. */
  readonly gone: Promise<string>;
  /** Takes one that was killed for gone. */
  giveUp(): void;
}

/** Never throws: one that cannot be forked is gone. */
export function startLauncher(
  socketPath: string,
  options: { onMessage(message: FromLauncher): void; onBegun(id: number): void },
): RunningLauncher {
  const compileCache = getCompileCacheDir();
  const umask = umaskOfUser();
  const args = umask === null ? [socketPath] : [socketPath, String(umask)];
  const child = fork(siblingModule(import.meta.url, './launcher-process'), args, {
    execArgv: HEAP_FLAGS,
    detached: true, // what kills the server's group leaves it alive, to end what the server was running
    env: compileCache === undefined ? {} : { NODE_COMPILE_CACHE: compileCache },
    stdio: ['ignore', 'pipe', 'inherit', 'ipc'],
  });
  const ready = Promise.withResolvers<void>();
  const gone = Promise.withResolvers<string>();
  ready.promise.catch(() => undefined); // the first one is not waited for
  const end = (how: string): void => {
    ready.reject(new Error(how));
    gone.resolve(how);
  };

  child.on('message', (message) => {
    const said = message as FromLauncher; // sent by launcher-process.ts alone
    if (said.type === 'ready') ready.resolve();
    options.onMessage(said);
  });
  let begun = '';
  child.stdout?.setEncoding('latin1').on('data', (text: string) => {
    const lines = (begun + text).split('\n');
    begun = lines.pop() ?? '';
    for (const line of lines) options.onBegun(Number(line));
  });
  // Of a fork that failed, or a message that cannot be sent any more: then 'exit' follows.
  child.on('error', (error) => {
    if (child.pid === undefined) end(`it could not be started: ${messageOf(error)}`);
  });
  // 'close' does not come after a disconnect of ours.
  child.once('exit', (code, signal) => {
    const how = `it ended with ${signal ?? `code ${code}`}`;
    if (child.stdout?.closed === false) child.stdout.once('close', () => end(how));
    else end(how);
  });
  return {
    process: child,
    ready: ready.promise,
    gone: gone.promise,
    giveUp: () => end('it was killed and did not end'),
  };
}
