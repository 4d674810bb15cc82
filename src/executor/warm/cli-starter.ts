/** Starts the CLI of an execution in the fastest way: in an idle process, else in a new one. */
import { availableParallelism } from 'node:os';
import type { Logger } from 'pino';
import { AppError } from '../../errors.ts';
import { createOutage } from '../../outage.ts';
import type { Launch } from '../../processes/launch.ts';
import { resourceUse, workingDirectoryOf } from '../../processes/proc-entry.ts';
import type { ProcScanner } from '../../processes/proc-scanner.ts';
import { supportsSweep } from '../../processes/sweep.ts';
import type { CliProcess } from '../../protocol/server-info.ts';
import type { PreparedExecution } from '../prepare.ts';
import type { Reaper } from '../reaper.ts';
import {
  createColdStarts,
  refuseIfStopped,
  removeScratch,
  type Start,
  type StartCli,
  type StartedCli,
} from '../start-cli.ts';
import { createBootSlots } from './boot-slots.ts';
import { createIdlePool } from './idle-pool.ts';
import { type IdleProcess, memoryAllowsOneMore, type WhichIdle } from './idle-process.ts';
import { bootSpecOf } from './process-shape.ts';
import { createSessionProcesses } from './session-processes.ts';

export interface WarmSettings {
  /** Most idle processes that wait for a first prompt, and as many that wait for a next turn. */
  readonly maxProcesses: number;
  readonly idleMs: number;
  /** 0: no process waits for the next turn of its session. */
  readonly sessionIdleMs: number;
}

/** From the server's settings. */
export const warmSettings = (settings: {
  readonly warmProcesses: number | null;
  readonly warmIdleMs: number;
  readonly sessionIdleMs: number;
  readonly concurrency: number;
}): WarmSettings => ({
  maxProcesses: settings.warmProcesses ?? settings.concurrency,
  idleMs: settings.warmIdleMs,
  sessionIdleMs: settings.sessionIdleMs,
});

/** How many executions were started in which way, and how many processes are idle. */
export interface StartCounts {
  readonly started: Readonly<Record<Start, number>>;
  readonly waiting: number;
  readonly sessions: number;
}

export interface CliStarter {
  readonly start: StartCli;
  /** An execution has ended. */
  jobEnded(): void;
  /** The jobs that wait for a slot, in their order. */
  setQueued(prepared: readonly PreparedExecution[]): void;
  counts(): StartCounts;
  /** The idle processes. */
  idle(): readonly CliProcess[];
  /** Ends some idle processes. Resolves with their number once they are gone. */
  endIdle(which: WhichIdle, force: boolean): Promise<number>;
  /** Why no process can be started now, or null. */
  problem(): string | null;
  stop(): Promise<void>;
}

export function createCliStarter({
  settings,
  launch,
  scanner,
  reaper,
  nodeId,
  scratchDir,
  running,
  logger,
}: {
  readonly settings: WarmSettings;
  readonly launch: Launch;
  readonly scanner: ProcScanner;
  readonly reaper: Reaper;
  readonly nodeId: string;
  readonly scratchDir: string;
  /** How many executions run now. */
  running(): number;
  readonly logger: Logger;
}): CliStarter {
  const { maxProcesses } = settings;
  const stopping = new AbortController();
  const cold = createColdStarts(launch, createOutage('starts of CLIs', logger));
  const processors = availableParallelism();
  const bootSlots = createBootSlots(processors);
  const memoryAllows = (): boolean =>
    memoryAllowsOneMore([...pool.pids(), ...sessions.pids()], process.availableMemory());
  const sessions = createSessionProcesses({
    maxProcesses,
    idleMs: settings.sessionIdleMs,
    memoryAllowsOneMore: memoryAllows,
    scanner,
    reaper,
    logger,
  });
  const pool = createIdlePool({
    maxProcesses,
    idleMs: settings.idleMs,
    memoryAllowsOneMore: memoryAllows,
    bootSlots,
    launch: (request) => launch(request, stopping.signal), // must not delay the stop of the server
    reaper,
    nodeId,
    scratchDir,
    running,
    processors,
    logger,
  });
  const started = { cold: 0, warm: 0, session: 0 };

  /**
   * Gives the prompt to an idle process. null when there is none, or it did not read the prompt.
   * @throws AppError when the start was stopped before
   */
  async function startWarm(prepared: PreparedExecution, stop: AbortSignal): Promise<StartedCli | null> {
    const ofSession = await sessions.take(prepared);
    const idle = ofSession ?? (await pool.take(prepared, stop));
    if (idle === null) return null;
    // The folder of the process may have been moved since, with another one at its path.
    if (supportsSweep() && workingDirectoryOf(idle.child.pid) !== prepared.cwd) {
      await pool.discard(idle);
      return null;
    }
    const since = performance.now();
    let cpuSecondsBefore = 0;
    let read = false;
    try {
      const reading = sendPrompt(idle, prepared, stop);
      if (supportsSweep()) cpuSecondsBefore = resourceUse(idle.child.pid).cpuSeconds;
      read = await reading;
    } catch (error) {
      await pool.discard(idle);
      throw error;
    }
    if (!read) {
      logger.warn(
        { executionId: prepared.executionId, provider: prepared.provider.name },
        'an idle process did not read its prompt, so another one is started',
      );
      await pool.discard(idle);
      return null;
    }
    const { child, scratch, earlyLines } = idle;
    const start = ofSession === null ? 'warm' : 'session';
    return startedCli(prepared, scratch, { child, start, since, cpuSecondsBefore, earlyLines });
  }

  async function startCold(prepared: PreparedExecution, stop: AbortSignal): Promise<StartedCli> {
    const { marker, scratch, provider } = prepared;
    const releaseBootSlot = provider.announcesBoot === true ? await bootSlots.acquire(stop) : null;
    try {
      refuseIfStopped(stop);
      const child = await cold.spawn(prepared, stop);
      void child.spoke.then(() => releaseBootSlot?.());
      const since = child.startedAt;
      return startedCli(prepared, scratch, {
        child,
        start: 'cold',
        since,
        cpuSecondsBefore: 0,
        earlyLines: [],
      });
    } catch (error) {
      releaseBootSlot?.();
      const clean = (): Promise<void> => removeScratch(scratch, logger);
      // The process may have been started. If not, a fallback may use the marker and the folder
      // now.
      if (stop.aborted || (error instanceof AppError && error.code === 'execution.lost'))
        reaper.add(marker, clean);
      else await clean();
      throw error;
    }
  }

  function startedCli(
    prepared: PreparedExecution,
    scratch: string,
    cli: Omit<StartedCli, 'cleanUp' | 'keep'>,
  ): StartedCli {
    started[cli.start] += 1;
    return {
      ...cli,
      cleanUp: () => reaper.add(cli.child.marker, () => removeScratch(scratch, logger)),
      keep: () => sessions.keep(prepared, cli.child, scratch),
    };
  }

  return {
    async start(prepared, stop) {
      if (maxProcesses === 0) return startCold(prepared, stop);
      const cli = (await startWarm(prepared, stop)) ?? (await startCold(prepared, stop));
      const spec = bootSpecOf(prepared);
      // The next turn of a session uses the session's own process.
      if (spec !== null && prepared.request.sessionId === null) pool.jobStarted(spec);
      return cli;
    },
    jobEnded: pool.jobEnded,
    setQueued(prepared) {
      const specs = prepared.map(bootSpecOf).filter((spec) => spec !== null);
      pool.setQueued(specs.slice(0, maxProcesses));
    },
    counts: () => ({ started: { ...started }, waiting: pool.size(), sessions: sessions.size() }),
    idle: () => [...pool.list(), ...sessions.list()],
    async endIdle(which, force) {
      const [waiting, ofSessions] = await Promise.all([pool.endIdle(which), sessions.endIdle(which, force)]);
      return waiting + ofSessions;
    },
    problem: cold.problem,
    async stop() {
      stopping.abort();
      await Promise.all([pool.stop(), sessions.stop()]);
    },
  };
}

const sendPrompt = (
  idle: IdleProcess,
  { command, holdsStdin, provider, request }: PreparedExecution,
  stop: AbortSignal,
): Promise<boolean> =>
  idle.sendPrompt({
    stdin: command.stdin,
    hold: holdsStdin,
    speaksFirst: provider.warmStart?.speaksFirst === true,
    limitMs: Math.min(request.timeoutMs, request.idleTimeoutMs),
    stop,
  });
