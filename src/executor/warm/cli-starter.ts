/** Finds the fastest process that may run an execution: its session's own, one that waits, or a new one. */
import { availableParallelism } from 'node:os';
import type { Logger } from 'pino';
import { monotonicFactory } from 'ulid';
import { AppError } from '../../errors.ts';
import { createOutage } from '../../outage.ts';
import type { Launch } from '../../processes/launch.ts';
import { resourceUse, workingDirectoryOf } from '../../processes/proc-entry.ts';
import type { ProcScanner } from '../../processes/proc-scanner.ts';
import { supportsSweep } from '../../processes/sweep.ts';
import type { WaitingProcessReport } from '../../protocol/server-info.ts';
import type { PreparedExecution, PrepareOptions } from '../prepare.ts';
import type { Reaper } from '../reaper.ts';
import {
  createColdStarts,
  refuseIfStopped,
  removeScratch,
  type Start,
  type StartCli,
  type StartedCli,
} from '../start-cli.ts';
import { createBootTurns } from './boot-turns.ts';
import type { Taken } from './entry.ts';
import { createIdleShare } from './idle-share.ts';
import { createIdleMemory, createRoom } from './room.ts';
import { createSessionProcesses } from './session-processes.ts';
import { type Place, type Template, templateOf } from './template.ts';
import { createWarmPool } from './warm-pool.ts';
import type { WarmSettings } from './warm-settings.ts';

export interface CliStarterOptions {
  readonly warm: WarmSettings;
  readonly launch: Launch;
  readonly scanner: ProcScanner;
  readonly reaper: Reaper;
  readonly prepare: Pick<PrepareOptions, 'nodeId' | 'scratchDir'>;
  /** Executions that run now. */
  running(): number;
  /** How much of the processors' time nobody uses, 0 to 1; as the system says, when left out. */
  idleShare?(): number;
  readonly logger: Logger;
}

/** How many runs began in which way, and what waits now. */
export interface StartCounts {
  readonly started: Readonly<Record<Start, number>>;
  readonly waiting: number;
  readonly sessions: number;
}

export interface CliStarter {
  readonly start: StartCli;
  ended(): void;
  expect(prepared: readonly PreparedExecution[]): void;
  counts(): StartCounts;
  waiting(): readonly WaitingProcessReport[];
  /** Why no process can be started now, or null. */
  problem(): string | null;
  stop(): Promise<void>;
}

export function createCliStarter(options: CliStarterOptions): CliStarter {
  const { warm: settings, launch, reaper, logger } = options;
  const stopping = new AbortController();
  const cold = createColdStarts(launch, createOutage('starts of CLIs', logger));
  const memory = createIdleMemory(() => process.availableMemory());
  // Each kind has places of its own: a conversation goes on while prompts of their own come and go.
  const room = createRoom(settings.maxProcesses, memory);
  const sessions = createSessionProcesses({
    ...options,
    idleMs: settings.sessionIdleMs,
    room: createRoom(settings.maxProcesses, memory),
  });
  const load = { cores: availableParallelism(), idleShare: options.idleShare ?? createIdleShare() };
  const turns = createBootTurns(load);
  const pool = createWarmPool({
    ...options,
    ...options.prepare,
    ...load,
    // What is started ahead must not keep the server from stopping.
    launch: (request) => launch(request, stopping.signal),
    turns,
    idleMs: settings.idleMs,
    room,
    newId: monotonicFactory(),
  });
  const started = { cold: 0, warm: 0, session: 0 };

  async function take(prepared: PreparedExecution): Promise<(Taken & { start: Start }) | null> {
    const own = await sessions.take(prepared);
    if (own !== null) return { ...own, start: 'session' };
    const waiting = await pool.take(prepared);
    return waiting && { ...waiting, start: 'warm' };
  }

  /** The waiting process with its prompt; null when it did not take it. */
  async function hand(prepared: PreparedExecution, stop: AbortSignal): Promise<StartedCli | null> {
    const taken = await take(prepared);
    if (taken === null) return null;
    const { process, place, start } = taken;
    // It was started in the folder that had this path then: that may have been moved since.
    if (supportsSweep() && workingDirectoryOf(process.child.pid) !== prepared.cwd) {
      await pool.discard(taken);
      return null;
    }
    const since = performance.now();
    const { command, provider, request } = prepared;
    let cpuSecondsBefore = 0;
    let handed = false;
    try {
      if (supportsSweep()) cpuSecondsBefore = resourceUse([process.child.pid]).cpuSeconds;
      handed = await process.hand({
        stdin: command.stdin,
        hold: prepared.holdsStdin,
        speaksFirst: provider.warmStart?.speaksFirst === true,
        limitMs: Math.min(request.timeoutMs, request.idleTimeoutMs),
        stop,
      });
    } catch (error) {
      await pool.discard(taken);
      throw error;
    }
    if (!handed) {
      logger.warn(
        { executionId: prepared.executionId, provider: prepared.provider.name },
        'a process that waited for its prompt did not take it: another one is started',
      );
      await pool.discard(taken);
      return null;
    }
    return finished(prepared, place, {
      child: process.child,
      start,
      since,
      cpuSecondsBefore,
      heard: process.heard,
    });
  }

  async function startCold(prepared: PreparedExecution, stop: AbortSignal): Promise<StartedCli> {
    const { marker, scratch, provider } = prepared;
    const booted = provider.announcesBoot === true ? await turns.enter(stop) : null;
    try {
      refuseIfStopped(stop);
      const child = await cold.spawn(prepared, stop);
      void child.spoke.then(() => booted?.());
      const place = { marker, scratch };
      return finished(prepared, place, {
        child,
        start: 'cold',
        since: child.startedAt,
        cpuSecondsBefore: 0,
        heard: [],
      });
    } catch (error) {
      booted?.();
      const clean = (): Promise<void> => removeScratch(scratch, logger);
      // It may have been started after all. Else its marker and folder are a fallback's now.
      if (stop.aborted || (error instanceof AppError && error.code === 'execution.lost'))
        reaper.add(marker, clean);
      else await clean();
      throw error;
    }
  }

  function finished(
    prepared: PreparedExecution,
    place: Place,
    cli: Omit<StartedCli, 'over' | 'keep'>,
  ): StartedCli {
    started[cli.start] += 1;
    return {
      ...cli,
      over: () => reaper.add(place.marker, () => removeScratch(place.scratch, logger)),
      keep: () => sessions.keep(prepared, cli.child, place),
    };
  }

  const templates = (prepared: readonly PreparedExecution[]): readonly Template[] =>
    prepared.map(templateOf).filter((template) => template !== null);

  return {
    async start(prepared, stop) {
      if (settings.maxProcesses === 0) return startCold(prepared, stop);
      const found = (await hand(prepared, stop)) ?? (await startCold(prepared, stop));
      const template = templateOf(prepared);
      // The next turn of a session has a process of its own.
      if (template !== null && prepared.request.sessionId === null) pool.served(template);
      return found;
    },
    ended: () => pool.ended(),
    expect: (prepared) => pool.expect(templates(prepared).slice(0, settings.maxProcesses)),
    counts: () => ({
      started: { ...started },
      waiting: room.size(),
      sessions: sessions.size(),
    }),
    waiting: () => [...pool.list(), ...sessions.list()],
    problem: cold.problem,
    async stop() {
      stopping.abort();
      await Promise.all([pool.stop(), sessions.stop()]);
    },
  };
}
