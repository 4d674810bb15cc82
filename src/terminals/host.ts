/** The terminals of this node. */
import { mkdir, readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { setImmediate as turnOfLoop } from 'node:timers/promises';
import { LRUCache } from 'lru-cache';
import type { Logger } from 'pino';
import { AppError, type ErrorCode, isRedisTrouble, messageOf } from '../errors.ts';
import { type Failpoint, noFailpoint } from '../failpoint.ts';
import { type Launch, systemCode } from '../processes/launch.ts';
import { MARKER_VARIABLE } from '../processes/proc-entry.ts';
import type { ProcScanner } from '../processes/proc-scanner.ts';
import { spawnError } from '../processes/spawn.ts';
import type { TerminalAnswers, TerminalAsk, TerminalSize } from '../protocol/terminal.ts';
import type { TerminalRecords } from '../records/session-ports.ts';
import { createPeriodic, pause, within } from '../timing.ts';
import { readHistory } from './history.ts';
import type { NewTerminal, TerminalHost, TerminalLedger } from './ports.ts';
import { playRecording, readRecording } from './recording.ts';
import { createScreen } from './screen.ts';
import {
  historyOf,
  isOver,
  openTerminal,
  PART_BYTES,
  recordingOf,
  type Terminal,
  TURN_MS,
} from './terminal.ts';

const SWEEP_EVERY_MS = 3_600_000;
const RETRY_MS = 250;
/** How long a close, a failed start, and the start of the server, wait for Redis. */
const WAIT_MS = 5000;
/** Screens of terminals that are over: some megabytes where a screen is large and colourful. */
const MAX_KEPT = 4;
const ULID = /^[0-9A-HJKMNP-TV-Z]{26}$/;

export interface TerminalHostOptions {
  readonly nodeId: string;
  readonly launch: Launch;
  readonly scanner: ProcScanner;
  readonly records: TerminalRecords;
  readonly ledger: TerminalLedger;
  /** The seq of the last event of a session. */
  lastSeq(sessionId: string): Promise<number>;
  /** Of recordings and histories; it need not exist. */
  readonly dir: string;
  readonly recordingBytes: number;
  readonly terminalIdleMs: number;
  readonly killGraceMs: number;
  /** How long recordings and histories are kept after their last change. */
  readonly keepMs: number;
  readonly logger: Logger;
  readonly failpoint?: Failpoint;
}

/** The screen at the end of a terminal that is over. */
interface LastScreen {
  readonly size: TerminalSize;
  readonly text: string;
  readonly ansi: string;
  readonly copy: Buffer;
  /** How many bytes its program had written. */
  readonly offset: number;
}

export function createTerminalHost(options: TerminalHostOptions): TerminalHost {
  const { nodeId, dir, records, ledger, logger, failpoint = noFailpoint } = options;
  const running = new Map<string, Terminal>();
  /** Starts under way. What is asked of such a terminal waits for its start. */
  const starting = new Map<string, Promise<void>>();
  const stopping = new AbortController();
  const periodic = createPeriodic(logger);

  async function withRedis(task: () => Promise<unknown>): Promise<void> {
    while (!stopping.signal.aborted) {
      try {
        await task();
        return;
      } catch (error) {
        if (!isRedisTrouble(error)) throw error;
      }
      await pause(RETRY_MS, stopping.signal);
    }
  }
  const failed = (sessionId: string, reason: ErrorCode): Promise<unknown> =>
    records.move(sessionId, { trigger: 'failed', reason, matchedLine: null, exitCode: null });

  /** The executor has killed their processes: they have the marker of this node. */
  async function settleEarlier(): Promise<void> {
    for (const { executionId } of await ledger.open())
      await ledger.ended(executionId, { errorCode: 'execution.lost' });
    await withRedis(async () => {
      for (const sessionId of await records.open()) await failed(sessionId, 'execution.lost');
    });
  }

  async function startProgram({ launch }: NewTerminal, size: NewTerminal['size'], marker: string) {
    const env = { ...launch.env, [MARKER_VARIABLE]: marker };
    try {
      const child = await options.launch({ ...launch, env, pty: size }, stopping.signal);
      await failpoint('terminal.spawned');
      return child;
    } catch (error) {
      throw error instanceof AppError ? error : spawnError(error, launch.binary, launch.cwd);
    }
  }

  /** Frees what the terminal had. Its end is on disk before it is in the session's record. */
  async function forget(terminal: NewTerminal, errorCode: string | null): Promise<void> {
    const { executionId, scratch, sessionId } = terminal;
    try {
      await ledger.ended(executionId, { errorCode });
      await rm(scratch, { recursive: true, force: true });
    } catch (error) {
      logger.error({ sessionId, reason: messageOf(error) }, 'the end of a terminal could not be written');
    }
  }

  async function start(sessionId: string, prepare: () => Promise<NewTerminal>): Promise<void> {
    let terminal: NewTerminal | null = null;
    try {
      terminal = await prepare();
      await run(terminal);
    } catch (error) {
      const code = error instanceof AppError ? error.code : 'internal.error';
      if (terminal !== null) await forget(terminal, code);
      await within(
        WAIT_MS,
        withRedis(() => failed(sessionId, code)),
      ); // it goes on behind that
      throw error;
    }
  }

  async function run(terminal: NewTerminal): Promise<void> {
    const { sessionId, executionId, provider } = terminal;
    const marker = `${nodeId}/${executionId}`;
    await failpoint('terminal.recorded');
    await ledger.intend({ executionId, sessionId, provider });
    await failpoint('terminal.intended');
    const opened = await openTerminal({
      ...{ terminal, marker, dir, records, logger, failpoint },
      ...{ scanner: options.scanner, killGraceMs: options.killGraceMs },
      ...{ recordingBytes: options.recordingBytes, idleMs: options.terminalIdleMs },
      start: () => startProgram(terminal, terminal.size, marker),
      onGone: (errorCode) => forget(terminal, errorCode),
    });
    running.set(sessionId, opened);
    void opened.settled.then(() => running.delete(sessionId));
    // The ledger has the intent, and that is enough to settle it.
    await ledger.started(executionId, opened.process().pid).catch((error: unknown) => {
      logger.error({ sessionId, reason: messageOf(error) }, 'the pid of a terminal could not be written');
    });
  }

  async function stopAll(): Promise<void> {
    await Promise.all([...running.values()].map((terminal) => terminal.close('stopped')));
  }

  async function removeOld(): Promise<void> {
    const names = await readdir(dir).catch(() => []);
    for (const name of names) {
      const file = join(dir, name);
      const found = await stat(file).catch(() => null); // it may have just been removed
      const [id = ''] = name.split('.');
      if (!found || running.has(id) || found.mtimeMs >= Date.now() - options.keepMs) continue;
      await rm(file, { force: true });
      lastScreens.delete(id);
    }
  }

  async function played(sessionId: string): Promise<LastScreen> {
    const quiet = { onAnswer: () => {}, onLineFeed: () => {}, onShellMark: () => {} };
    const screen = await createScreen({ cols: 80, rows: 24 }, quiet);
    let offset = 0;
    let until = performance.now() + TURN_MS;
    for await (const one of playRecording(recordingOf(dir, sessionId))) {
      if (one.kind === 'size') {
        screen.resize(one.size);
        continue;
      }
      const bytes = Buffer.from(one.data);
      offset += bytes.length;
      for (let from = 0; from < bytes.length; from += PART_BYTES) {
        screen.write(bytes.subarray(from, from + PART_BYTES));
        if (performance.now() < until) continue;
        await turnOfLoop();
        until = performance.now() + TURN_MS;
      }
    }
    return { size: screen.size, text: screen.text(), ansi: screen.ansi(), copy: screen.copy(), offset };
  }
  /** A long recording plays for half a minute: all who ask meanwhile, and soon after, share it. */
  const lastScreens = new LRUCache<string, LastScreen>({
    max: MAX_KEPT,
    fetchMethod: played,
    ignoreFetchAbort: true, // one whose place another has taken has callers, too
  });

  async function snapshotOfEnded(sessionId: string): Promise<TerminalAnswers['snapshot']> {
    // The last event says how it ended: it follows the screen.
    const seq = Math.max(0, (await options.lastSeq(sessionId)) - 1);
    const { size, copy, offset } = await lastScreens.forceFetch(sessionId);
    return { seq, kind: 'terminal.screen', offset, ...size, data: copy.toString('base64') };
  }

  const answers: {
    [Kind in TerminalAsk['kind']]: (
      id: string,
      ask: Extract<TerminalAsk, { kind: Kind }>,
    ) => Promise<TerminalAnswers[Kind]>;
  } = {
    input: (id, ask) => running.get(id)?.act(ask) ?? Promise.reject(isOver()),
    resize: (id, ask) => running.get(id)?.act(ask) ?? Promise.reject(isOver()),
    signal: (id, ask) => running.get(id)?.act(ask) ?? Promise.reject(isOver()),
    async screen(id, { format }) {
      const live = running.get(id);
      if (live !== undefined) return { text: live.screen(format) };
      return { text: (await lastScreens.forceFetch(id))[format] };
    },
    snapshot: async (id) => (await running.get(id)?.snapshot()) ?? snapshotOfEnded(id),
    recording: (id, { from }) => readRecording(recordingOf(dir, id), from),
    history: (id, { cursor, limit }) => readHistory(historyOf(dir, id), cursor, limit),
    async close(id) {
      const live = running.get(id);
      if (live !== undefined) await within(WAIT_MS + options.killGraceMs, live.close('closed'));
      else await records.move(id, { trigger: 'closed', reason: null, matchedLine: null });
      return null;
    },
    async remove(id) {
      await running.get(id)?.close('closed');
      for (const file of [recordingOf(dir, id), historyOf(dir, id)]) await rm(file, { force: true });
      lastScreens.delete(id);
      return null;
    },
  };

  return {
    async start() {
      await mkdir(dir, { recursive: true, mode: 0o700 });
      await removeOld();
      periodic.every(SWEEP_EVERY_MS, 'old recordings', removeOld);
      await within(WAIT_MS, settleEarlier());
    },

    async stop() {
      periodic.stop();
      await stopAll();
      stopping.abort();
      await Promise.allSettled(starting.values());
      await stopAll();
    },

    open(sessionId, prepare) {
      const done = start(sessionId, prepare).finally(() => starting.delete(sessionId));
      starting.set(sessionId, done); // before anything else can ask for it
      return done;
    },

    async ask(sessionId, ask) {
      const notFound = () => new AppError('session.not_found', `this server has no terminal ${sessionId}`);
      await starting.get(sessionId)?.catch(() => undefined); // its error is for who has started it
      if (!ULID.test(sessionId) || !(running.has(sessionId) || (await exists(recordingOf(dir, sessionId)))))
        throw notFound();
      // `as`: the table has an answer of this type for each kind
      const answer = answers[ask.kind] as (id: string, ask: TerminalAsk) => Promise<never>;
      try {
        return await answer(sessionId, ask);
      } catch (error) {
        throw systemCode(error) === 'ENOENT' ? notFound() : error; // its files have just been removed
      }
    },

    processes: () => [...running.values()].map((terminal) => terminal.process()),
  };
}

const exists = (file: string): Promise<boolean> =>
  stat(file).then(
    () => true,
    () => false,
  );
