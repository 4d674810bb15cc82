/** One server as a service manager keeps it: started again after each end. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { isAlive, processesWithMarker } from '../../tests/helpers/proc.ts';
import { PROGRAM } from '../../tests/helpers/program.ts';
import { childrenOf } from '../bench/proc.ts';

/** Between a start that failed by itself and the next one. */
const RESTART_MS = 300;

const running = new Set<ChildProcess>();

/** Kills every server at once. Their launchers kill the CLIs. For a run that is interrupted. */
export function killAllServers(): void {
  for (const child of running) child.kill('SIGKILL');
}

export interface SupervisedServer {
  readonly index: number;
  /** Its data folder. */
  readonly home: string;
  readonly logFile: string;
  readonly url: string;
  readonly token: string;
  /** Accepts requests now, as far as its supervisor knows. */
  readonly isUp: boolean;
  /** Of the process that runs or starts; null: there is none. */
  readonly pid: number | null;
  readonly nodeId: string;
  /** How often it was ready. */
  readonly starts: number;
  /** Ends that no fault and no stop explains. */
  readonly unexplained: readonly string[];
  launcher(): number | null;
  workers(): readonly number[];
  /** Living processes with the marker of this server's executions, idle ones included. */
  marked(): readonly number[];
  /** Sends the signal, waits for the end, and has it started again `downMs` later. */
  end(signal: 'SIGKILL' | 'SIGTERM', downMs: number): Promise<void>;
  untilUp(): Promise<void>;
  /** Each start that begins from now on must succeed. */
  expectStarts(): void;
  /** SIGTERM, and no start after it. Resolves with the exit code. */
  stop(): Promise<number | null>;
}

export function superviseServer(options: {
  readonly index: number;
  readonly dir: string;
  readonly env: Readonly<Record<string, string>>;
  readonly cwd: string;
  /** Called when it becomes ready and when it ends. */
  onChange(): void;
}): SupervisedServer {
  const { index, dir, env, cwd, onChange } = options;
  const home = join(dir, 'data');
  const logFile = join(dir, 'server.log');
  const unexplained: string[] = [];
  let child: ChildProcess | null = null;
  let url = '';
  let isUp = false;
  let starts = 0;
  let startsMayFail = true;
  /** Why the process may end now, and when it is started again. */
  let ending: { readonly downMs: number; readonly signal: NodeJS.Signals } | null = null;
  let stopping = false;
  let up = Promise.withResolvers<void>();

  async function runOnce(): Promise<void> {
    const mayFail = startsMayFail;
    const log = openSync(logFile, 'a');
    const started = spawn(process.execPath, ['--no-warnings', PROGRAM, 'serve'], {
      cwd,
      env: { ...env, BULLPEN_HOME: home },
      stdio: ['ignore', log, log, 'ipc'],
    });
    closeSync(log);
    child = started;
    running.add(started);
    started.once('message', (message) => {
      url = (message as { url: string }).url; // sent by serve.ts
      started.disconnect();
      isUp = true;
      starts += 1;
      up.resolve();
      onChange();
    });
    const [code, signal] = (await once(started, 'exit')) as [number | null, NodeJS.Signals | null]; // the event's arguments
    running.delete(started);
    const wasUp = isUp;
    isUp = false;
    child = null;
    up = Promise.withResolvers();
    onChange();
    judge({ wasUp, mayFail, code, signal });
  }

  function judge({
    wasUp,
    mayFail,
    code,
    signal,
  }: {
    readonly wasUp: boolean;
    readonly mayFail: boolean;
    readonly code: number | null;
    readonly signal: NodeJS.Signals | null;
  }): void {
    const how = `ended with ${signal ?? `code ${code}`}`;
    if (ending?.signal === 'SIGKILL') return;
    if (ending !== null) {
      // A start that is interrupted by SIGTERM exits with 130.
      if (code !== 0 && wasUp) unexplained.push(`${how} after SIGTERM`);
    } else if (wasUp) unexplained.push(`${how} by itself`);
    else if (!mayFail || code !== 1) unexplained.push(`${how} while it started`);
  }

  async function supervise(): Promise<void> {
    while (!stopping) {
      await runOnce();
      const { downMs } = ending ?? { downMs: RESTART_MS };
      ending = null;
      if (!stopping) await delay(downMs);
    }
  }
  const supervision = supervise();

  /** Its direct children: launcher and workers. */
  const below = (): { readonly pid: number; readonly command: string }[] => {
    try {
      return child?.pid === undefined ? [] : childrenOf(child.pid);
    } catch {
      return []; // it has just ended
    }
  };

  return {
    index,
    home,
    logFile,
    get url() {
      return url;
    },
    get token() {
      return readFileSync(join(home, 'token'), 'utf8').trim();
    },
    get isUp() {
      return isUp;
    },
    get pid() {
      return child?.pid ?? null;
    },
    get nodeId() {
      return readFileSync(join(home, 'node-id'), 'utf8').trim();
    },
    get starts() {
      return starts;
    },
    unexplained,
    launcher: () => below().find(({ command }) => command.includes('launcher-process'))?.pid ?? null,
    workers: () => below().flatMap(({ pid, command }) => (/bullmq|\bworker/.test(command) ? [pid] : [])),
    marked: () =>
      processesWithMarker(`BULLPEN_EXECUTION_ID=${readFileSync(join(home, 'node-id'), 'utf8').trim()}/`),
    async end(signal, downMs) {
      const target = child;
      if (target === null || ending !== null) return;
      ending = { downMs, signal };
      const exited = once(target, 'exit');
      if (isAlive(target.pid ?? 0)) target.kill(signal);
      await exited;
    },
    async untilUp() {
      while (!isUp) await up.promise;
    },
    expectStarts() {
      startsMayFail = false;
    },
    async stop() {
      stopping = true;
      const target = child;
      if (target === null) {
        await supervision;
        return null;
      }
      ending = { downMs: 0, signal: 'SIGTERM' };
      target.kill('SIGTERM');
      await supervision;
      return target.exitCode;
    },
  };
}
