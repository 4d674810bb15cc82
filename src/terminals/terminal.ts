/** One terminal: its program, and the way of its output to recording, screen and readers. */
import { uptime } from 'node:os';
import { join } from 'node:path';
import type { Logger } from 'pino';
import { AppError, type ErrorCode, messageOf } from '../errors.ts';
import type { Failpoint } from '../failpoint.ts';
import type { LaunchedChild } from '../processes/launch.ts';
import type { ProcScanner } from '../processes/proc-scanner.ts';
import { terminate } from '../processes/terminate.ts';
import type { Exit } from '../protocol/cli.ts';
import type { CliProcess } from '../protocol/server-info.ts';
import type { TerminalAnswers, TerminalAsk } from '../protocol/terminal.ts';
import type { TerminalMove, TerminalRecords } from '../records/session-ports.ts';
import { pause, within } from '../timing.ts';
import { createHistory } from './history.ts';
import type { NewTerminal } from './ports.ts';
import { createPublisher } from './publisher.ts';
import { createRecording } from './recording.ts';
import { createScreen } from './screen.ts';
import { createTerminalStatus } from './status.ts';

const RETRY_MS = 250;
/** How long the program's output may stay open after its exit. */
const DRAIN_MS = 2000;
/** Of input that the program has not read. */
const MAX_UNREAD_INPUT = 1024 * 1024;
const REMEMBERED_MESSAGES = 1000;
/** How long the end of a terminal may wait for Redis when the server stops. */
const STOP_WITHIN_MS = 3000;

export interface Terminal {
  /** @throws AppError terminal.over, server.busy */
  act(ask: Extract<TerminalAsk, { kind: 'input' | 'resize' | 'signal' }>): Promise<TerminalAnswers['input']>;
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
    onAnswer: (data) => child.stdin.write(data),
    onLineFeed: () => history.onLineFeed(),
    onShellMark(mark) {
      history.onShellMark(mark);
      status.shellMark(mark);
    },
  });
  const child = await options.start();
  const startedAt = Date.now();
  let activeAt = startedAt;
  let offset = 0;
  let end: End | null = null;
  let exitedAtUptimeS: number | null = null;
  let isGivenUp = false;

  const recording = createRecording({
    ...{ file: recordingOf(dir, sessionId), size, maxBytes: options.recordingBytes },
    ...{ now: Date.now, onFailure, onDrain: flow },
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

  function flow(): void {
    if (publisher.isFull || recording.isFull) child.stdout.pause();
    else child.stdout.resume();
  }
  child.stdout.on('data', (bytes: Buffer) => {
    activeAt = Date.now();
    recording.output(bytes);
    screen.write(bytes);
    offset += bytes.length;
    publisher.output(bytes);
    if (publisher.isFull || recording.isFull) flow();
    status.output();
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
    if (Date.now() - activeAt < options.idleMs) return;
    const readers = await records.readers(sessionId).catch(() => 1); // not known: nothing is closed
    if (readers > 0) activeAt = Date.now();
    else if (Date.now() - activeAt >= options.idleMs) void finish({ kind: 'idle' });
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
    const { survivors } = await terminate(target, { graceMs: options.killGraceMs, scanner });
    if (survivors.length > 0)
      logger.error({ sessionId, pids: survivors }, 'processes survived their terminal');
    await within(DRAIN_MS, drained);
    for (const stream of [child.stdin, child.stdout, child.stderr]) stream.destroy();
    await Promise.all([recording.close(), history.close()]);
    await options.onGone(moveOf(reason).reason);
    if (reason.kind === 'gone') giveUp(); // there is no session to show its end in
    const shown = publisher.flush().then(() => status.end(moveOf(reason)));
    if (reason.kind === 'stopped' && !(await within(STOP_WITHIN_MS, shown))) giveUp();
    await shown;
  }
  function giveUp(): void {
    isGivenUp = true;
    status.giveUp();
    publisher.stop();
  }

  const messages = new Map<string, Promise<void>>();
  function once(messageId: string | null, task: () => Promise<void>): Promise<{ repeated: boolean }> {
    const known = messageId === null ? undefined : messages.get(messageId);
    if (known !== undefined) return known.then(() => ({ repeated: true }));
    const done = task();
    if (messageId !== null) messages.set(messageId, done);
    const [oldest] = messages.keys();
    if (messages.size > REMEMBERED_MESSAGES && oldest !== undefined) messages.delete(oldest);
    return done.then(() => ({ repeated: false }));
  }
  function write(data: string): Promise<void> {
    if (child.stdin.writableLength > MAX_UNREAD_INPUT)
      throw new AppError('server.busy', 'the program of the terminal does not read its input');
    history.typed(data);
    if (data.includes('\x03')) status.interrupted();
    return new Promise((resolve, reject) => {
      child.stdin.write(data, (error) => (error ? reject(isOver()) : resolve()));
    });
  }
  async function perform(ask: Parameters<Terminal['act']>[0]): Promise<void> {
    if (end !== null) throw isOver();
    activeAt = Date.now();
    if (ask.kind === 'input') await write(ask.data);
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

  return {
    settled,
    async act(ask) {
      const { repeated } = await once(ask.messageId, () => perform(ask));
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
      since: new Date(startedAt).toISOString(),
      ageMs: Date.now() - startedAt,
      idleMs: Date.now() - activeAt,
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
