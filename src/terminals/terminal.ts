/** One terminal: its program, and the way of its output to recording, screen and readers. */
import { uptime } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay, setImmediate as turnOfLoop } from 'node:timers/promises';
import type { Logger } from 'pino';
import { AppError, type ErrorCode, messageOf } from '../errors.ts';
import type { Failpoint } from '../failpoint.ts';
import type { LaunchedChild } from '../processes/launch.ts';
import type { ProcScanner } from '../processes/proc-scanner.ts';
import { terminate } from '../processes/terminate.ts';
import type { Exit } from '../protocol/cli.ts';
import type { CliProcess } from '../protocol/server-info.ts';
import type { TerminalAnswers } from '../protocol/terminal.ts';
import type { TerminalMove, TerminalRecords } from '../records/session-ports.ts';
import { pause, within } from '../timing.ts';
import { createHistory } from './history.ts';
import { onceEach, type TerminalAct } from './once-each.ts';
import type { NewTerminal } from './ports.ts';
import { createPublisher } from './publisher.ts';
import { createRecording } from './recording.ts';
import { createScreen } from './screen.ts';
import { createTerminalStatus } from './status.ts';

const RETRY_MS = 250;
/** How long the program's output may stay open after its exit. */
const DRAIN_MS = 2000;
/** How often its processes are looked for when that fails, and when again. */
const LOOKS = 60;
const LOOK_AGAIN_MS = 1000;
/** Of input that the program has not read. */
const MAX_UNREAD_INPUT = 1024 * 1024;
/** Of work with output, until requests get their turn: 64 KiB of short lines may take 50 ms. */
export const TURN_MS = 5;
/** Of output that a screen gets before the time is looked at. */
export const PART_BYTES = 4096;
/** How long the end of a terminal may wait for Redis when the server stops. */
const STOP_WITHIN_MS = 3000;

export interface Terminal {
  /** @throws AppError terminal.over, server.busy, idempotency.key_reused */
  act(ask: TerminalAct): Promise<TerminalAnswers['input']>;
  screen(format: 'text' | 'ansi'): string;
  /** Null: it ended before its output was appended. */
  snapshot(): Promise<TerminalAnswers['snapshot'] | null>;
  /** Closes it because it was asked to, or because the server stops. Resolves when it is over. */
  close(reason: 'closed' | 'stopped'): Promise<void>;
  process(): CliProcess;
  /** Its program is gone, and its end is in the session's record. Never rejects. */
  readonly settled: Promise<void>;
}

export interface TerminalOptions {
  readonly terminal: NewTerminal;
  readonly marker: string;
  readonly dir: string;
  readonly recordingBytes: number;
  readonly idleMs: number;
  readonly killGraceMs: number;
  start(): Promise<LaunchedChild>;
  readonly scanner: ProcScanner;
  readonly records: TerminalRecords;
  /** None of its processes is left. Its end is shown after that. */
  onGone(errorCode: string | null): Promise<void>;
  readonly logger: Logger;
  readonly failpoint: Failpoint;
}

type End =
  | { readonly kind: 'exit'; readonly exit: Exit }
  | { readonly kind: 'lost' | 'closed' | 'idle' | 'stopped' | 'gone' };

/** Milliseconds by a clock that cannot be set. */
const steadyNow = (): number => performance.now();

export const recordingOf = (dir: string, id: string): string => join(dir, `${id}.cast`);
export const historyOf = (dir: string, id: string): string => join(dir, `${id}.history`);
export const isOver = (): AppError => new AppError('terminal.over', 'the program of the terminal has ended');

/** @throws what `start` throws */
export async function openTerminal(options: TerminalOptions): Promise<Terminal> {
  const { terminal, marker, dir, records, scanner, logger, failpoint } = options;
  const { sessionId, executionId, provider, size } = terminal;
  const onFailure = (error: unknown): void =>
    logger.error({ sessionId, reason: messageOf(error) }, 'a file of a terminal cannot be written');
  const screen = await createScreen(size, {
    onAnswer(data) {
      // A program that asks and does not read would fill the memory.
      if (child.stdin.writableLength <= MAX_UNREAD_INPUT) child.stdin.write(data);
    },
    onLineFeed: () => history.onLineFeed(),
    onShellMark(mark) {
      history.onShellMark(mark);
      status.shellMark(mark);
    },
  });
  const child = await options.start();
  const since = new Date().toISOString();
  const startedAt = steadyNow();
  let activeAt = startedAt;
  let offset = 0;
  let end: End | null = null;
  let exitedAtUptimeS: number | null = null;
  let isGivenUp = false;

  const recording = createRecording({
    ...{ file: recordingOf(dir, sessionId), size, maxBytes: options.recordingBytes },
    ...{ now: steadyNow, startedAt: Date.now(), onFailure, onDrain: flow },
  });
  const history = createHistory({ file: historyOf(dir, sessionId), screen, now: Date.now, onFailure });
  const publisher = createPublisher({
    ...{ sessionId, records, now: Date.now, pause, onDrain: flow, failpoint },
    screen: () => ({ size: screen.size, data: screen.copy() }),
    onGone: () => void finish({ kind: 'gone' }),
  });
  const status = createTerminalStatus({
    ...{ sessionId, records, patterns: terminal.screens },
    lines: screen.lines,
  });

  /** Output that the screen does not have yet. */
  let unshown: Buffer[] = [];
  /** Goes on with the output after everything else that waits in this process. */
  let nextTurn: NodeJS.Immediate | null = null;

  function flow(): void {
    if (nextTurn !== null || publisher.isFull || recording.isFull) child.stdout.pause();
    else child.stdout.resume();
  }
  function show(): void {
    nextTurn = null;
    const until = steadyNow() + TURN_MS;
    while (unshown.length > 0 && steadyNow() < until) {
      const [bytes = Buffer.alloc(0), ...later] = unshown;
      const part = bytes.subarray(0, PART_BYTES);
      unshown = part.length === bytes.length ? later : [bytes.subarray(PART_BYTES), ...later];
      screen.write(part);
      offset += part.length;
      publisher.output(part);
    }
    if (steadyNow() >= until) nextTurn = setImmediate(show);
    flow();
    status.output();
  }
  child.stdout.on('data', (bytes: Buffer) => {
    activeAt = steadyNow();
    recording.output(bytes);
    unshown.push(bytes);
    if (nextTurn === null) show();
  });
  child.stderr.resume();
  for (const stream of [child.stdin, child.stdout, child.stderr]) stream.on('error', () => {});
  const exited = new Promise<Exit>((resolve) => {
    child.onExit((exit) => {
      exitedAtUptimeS = uptime();
      resolve(exit);
    });
  });
  const drained = new Promise<void>((resolve) => child.onClose(resolve));
  void exited.then((exit) => finish(child.lost ? { kind: 'lost' } : { kind: 'exit', exit }));
  const idle = setInterval(() => void checkIdle(), Math.min(options.idleMs / 2, 15_000)).unref();

  async function checkIdle(): Promise<void> {
    if (steadyNow() - activeAt < options.idleMs) return;
    const readers = await records.readers(sessionId).catch(() => 1); // not known: nothing is closed
    if (readers > 0) activeAt = steadyNow();
    else if (steadyNow() - activeAt >= options.idleMs) void finish({ kind: 'idle' });
  }

  const { promise: settled, resolve: onSettled } = Promise.withResolvers<void>();
  /** The first reason counts. */
  async function finish(reason: End): Promise<void> {
    if (end !== null) return;
    end = reason;
    clearInterval(idle);
    try {
      await finishAs(reason);
    } catch (error) {
      logger.error({ sessionId, err: error }, 'the end of a terminal failed');
    }
    screen.dispose();
    onSettled();
  }
  async function finishAs(reason: End): Promise<void> {
    child.stdout.resume();
    if (reason.kind !== 'exit') child.signalGroup('SIGHUP');
    else await within(DRAIN_MS, drained);
    const target = {
      ...{ pid: child.pid, marker, exited },
      get exitedAtUptimeS() {
        return exitedAtUptimeS;
      },
      signalGroup: (signal: NodeJS.Signals) => child.signalGroup(signal),
    };
    await terminateAll(target);
    await within(DRAIN_MS, drained);
    for (const stream of [child.stdin, child.stdout, child.stderr]) stream.destroy();
    while (unshown.length > 0) await turnOfLoop();
    await Promise.all([recording.close(), history.close()]);
    await options.onGone(moveOf(reason).reason);
    if (reason.kind === 'gone') giveUp(); // there is no session to show its end in
    const shown = publisher.flush().then(() => status.end(moveOf(reason)));
    if (reason.kind === 'stopped' && !(await within(STOP_WITHIN_MS, shown))) giveUp();
    await shown;
  }
  /** Without a free descriptor or memory nothing is known of its processes: it looks again. */
  async function terminateAll(target: Parameters<typeof terminate>[0]): Promise<void> {
    for (let tries = 1; ; tries += 1) {
      try {
        const { survivors } = await terminate(target, { graceMs: options.killGraceMs, scanner });
        if (survivors.length > 0)
          logger.error({ sessionId, pids: survivors }, 'processes survived their terminal');
        return;
      } catch (error) {
        const seen = { sessionId, reason: messageOf(error) };
        logger[tries < LOOKS ? 'warn' : 'error'](seen, 'the processes of a terminal cannot be looked for');
        if (tries === LOOKS) return;
      }
      await delay(LOOK_AGAIN_MS);
    }
  }
  function giveUp(): void {
    isGivenUp = true;
    status.giveUp();
    publisher.stop();
  }

  /** Done once it waits to be read: a program may read much later, or never. */
  function write(data: string): void {
    if (child.stdin.destroyed) throw isOver();
    if (child.stdin.writableLength > MAX_UNREAD_INPUT)
      throw new AppError('server.busy', 'the program of the terminal does not read its input');
    history.typed(data);
    if (data.includes('\x03')) status.interrupted();
    child.stdin.write(data);
  }
  async function perform(ask: TerminalAct): Promise<void> {
    if (end !== null) throw isOver();
    activeAt = steadyNow();
    if (ask.kind === 'input') write(ask.data);
    else if (ask.kind === 'signal') {
      child.signalForeground(`SIG${ask.signal}`);
      if (ask.signal === 'INT' || ask.signal === 'QUIT') status.interrupted();
    } else {
      const { cols, rows } = ask;
      if (cols === screen.size.cols && rows === screen.size.rows) return;
      recording.resized({ cols, rows });
      screen.resize({ cols, rows });
      publisher.resized({ cols, rows });
      child.resize({ cols, rows });
    }
  }

  const once = onceEach(perform);
  return {
    settled,
    async act(ask) {
      const { repeated } = await once(ask);
      return { clientSeq: ask.kind === 'input' ? ask.clientSeq : null, repeated };
    },
    screen: (format) => (format === 'text' ? screen.text() : screen.ansi()),
    async snapshot() {
      while (!isGivenUp) {
        const state = { offset, ...screen.size, data: screen.copy().toString('base64') };
        const seq = await publisher.cut();
        if (seq !== null) return { seq, kind: 'terminal.screen', ...state };
        if (await within(RETRY_MS, settled)) break;
      }
      return null;
    },
    async close(reason) {
      void finish({ kind: reason });
      if (reason === 'stopped') setTimeout(giveUp, STOP_WITHIN_MS + options.killGraceMs).unref();
      await settled;
    },
    process: () => ({
      ...{ id: executionId, state: 'running', provider, pid: child.pid, alive: child.exit === null },
      ...{ jobId: null, attempt: null, sessionId, cwd: terminal.launch.cwd },
      since,
      ageMs: Math.round(steadyNow() - startedAt),
      idleMs: Math.round(steadyNow() - activeAt),
      ...{ memoryBytes: null, cpuSeconds: null, openFiles: null, processes: null },
    }),
  };
}

function moveOf(end: End): TerminalMove {
  const failed = (reason: ErrorCode, exitCode: number | null): TerminalMove => ({
    ...{ trigger: 'failed', reason, matchedLine: null, exitCode },
  });
  if (end.kind === 'lost' || end.kind === 'stopped') return failed('execution.lost', null);
  const exitCode = end.kind === 'exit' ? end.exit.code : null;
  if (end.kind === 'exit' && exitCode !== 0) return failed('execution.crashed', exitCode);
  return { trigger: 'closed', reason: null, matchedLine: null, exitCode };
}
