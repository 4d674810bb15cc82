/**
 * Idle processes that wait for their first prompt. The pool starts them ahead of their jobs: one
 * for each queued job, else one like the last job. Each process runs one job.
 */
import { join } from 'node:path';
import type { Logger } from 'pino';
import { messageOf } from '../../errors.ts';
import { createIdFactory } from '../../ids.ts';
import type { Launch } from '../../processes/launch.ts';
import type { CliProcess } from '../../protocol/server-info.ts';
import { within } from '../../timing.ts';
import type { PreparedExecution } from '../prepare.ts';
import type { Reaper } from '../reaper.ts';
import { refusal, removeScratch } from '../start-cli.ts';
import type { BootSlots } from './boot-slots.ts';
import { type IdleProcess, idleIdOf, reportIdleProcess, type WhichIdle } from './idle-process.ts';
import { type BootSpec, bootIdleProcess, createShapeFailures, fingerprintOf } from './process-shape.ts';

/** A process like the last job starts when that job has ended, or after this time. */
const NEXT_START_MS = 1000;
/** Lets the outcome of an ended job go out first. */
const SETTLE_MS = 20;
const CHECK_EVERY_MS = 1000;
/** A process that is not ready after this time never will be. */
const BOOT_MS = 60_000;
/** How long `discard` and `stop` wait for killed processes. */
const GONE_WITHIN_MS = 5000;

export interface IdlePoolOptions {
  readonly maxProcesses: number;
  readonly idleMs: number;
  /** Whether the memory allows one more idle process. */
  memoryAllowsOneMore(): boolean;
  readonly bootSlots: Pick<BootSlots, 'tryAcquire'>;
  readonly launch: Launch;
  readonly reaper: Pick<Reaper, 'add'>;
  readonly nodeId: string;
  readonly scratchDir: string;
  /** How many executions run now. */
  running(): number;
  /** While so many executions run, no process is started ahead. */
  readonly processors: number;
  readonly logger: Logger;
}

export interface IdlePool {
  /** A process that can run this job, or null. It leaves the pool. Rejects when `stop` aborts. */
  take(prepared: Pick<PreparedExecution, 'shape'>, stop: AbortSignal): Promise<IdleProcess | null>;
  /** A job has started. Another one like it may follow. */
  jobStarted(spec: BootSpec): void;
  jobEnded(): void;
  /** The jobs that wait for a slot, in their order. */
  setQueued(specs: readonly BootSpec[]): void;
  /** Kills a process that was taken and runs no job. Resolves when it is gone, or after 5 s. */
  discard(process: IdleProcess): Promise<void>;
  size(): number;
  /** null: the process still boots. */
  pids(): readonly (number | null)[];
  list(): readonly CliProcess[];
  /** Kills some of the processes. Resolves with their number when they are gone, or after 5 s. */
  endIdle(which: WhichIdle): Promise<number>;
  stop(): Promise<void>;
}

interface Member {
  readonly spec: BootSpec;
  /** `<nodeId>/<own id>`, because it does not belong to an execution yet. */
  readonly marker: string;
  readonly scratch: string;
  /** `performance.now()` */
  readonly createdAt: number;
  /** Settles when the process was started or could not be started. */
  started: Promise<void>;
  process: IdleProcess | null;
  /** Of the files it reads, from before its start. */
  fingerprint: string;
  removed: boolean;
}

const keyOf = (spec: BootSpec): string => spec.shape.key;

export function createIdlePool(options: IdlePoolOptions): IdlePool {
  const { maxProcesses, idleMs, memoryAllowsOneMore, bootSlots, launch, reaper, logger } = options;
  const { running, processors } = options;
  const members = new Set<Member>();
  const starts = new Set<Promise<void>>();
  const failures = createShapeFailures();
  const newId = createIdFactory();
  let lastStarted: BootSpec | null = null;
  let queued: readonly BootSpec[] = [];
  let fillTimer: NodeJS.Timeout | null = null;
  let checkTimer: NodeJS.Timeout | null = null;
  let stopped = false;

  /** Starts the first process that is missing, then the next one when that is ready. */
  function fill(): void {
    if (stopped) return;
    const wanted = queued.length > 0 || lastStarted === null ? queued : [lastStarted];
    const unused = Map.groupBy(members, ({ spec }) => keyOf(spec));
    for (const spec of wanted) {
      const key = keyOf(spec);
      if (unused.get(key)?.pop() !== undefined || failures.isPaused(key)) continue;
      // While an execution runs on each processor, a boot would only take its time from them.
      const release = running() < processors ? bootSlots.tryAcquire() : null;
      if (release === null) {
        fillLater();
        return;
      }
      if (!makeRoom(new Set(wanted.map(keyOf)))) {
        release();
        return;
      }
      boot(spec, release);
    }
  }

  function fillLater(ms = NEXT_START_MS): void {
    if (stopped) return;
    if (fillTimer !== null) clearTimeout(fillTimer);
    fillTimer = setTimeout(fill, ms).unref();
  }

  const hasRoom = (): boolean => members.size < maxProcesses && memoryAllowsOneMore();

  /** Removes a process that no job wants if there is no room. */
  function makeRoom(wantedKeys: ReadonlySet<string>): boolean {
    if (hasRoom()) return true;
    const unwanted = members.values().find(({ spec }) => !wantedKeys.has(keyOf(spec)));
    if (unwanted === undefined) return false;
    remove(unwanted);
    return hasRoom();
  }

  function boot(spec: BootSpec, releaseBootSlot: () => void): void {
    const { id } = newId();
    const member: Member = {
      spec,
      marker: `${options.nodeId}/${id}`,
      scratch: join(options.scratchDir, id),
      createdAt: performance.now(),
      started: Promise.resolve(),
      process: null,
      fingerprint: '',
      removed: false,
    };
    members.add(member);
    member.started = bootIdleProcess(spec, member, launch).then(
      ({ process, fingerprint }) => {
        Object.assign(member, { process, fingerprint });
        process.onReady(() => {
          releaseBootSlot();
          fill();
        });
        void process.child.exited.then(() => {
          releaseBootSlot();
          if (members.has(member)) fail(member, 'it exited while it was idle');
        });
        if (member.removed) kill(member);
      },
      (error: unknown) => {
        releaseBootSlot();
        if (!member.removed) fail(member, messageOf(error));
        kill(member);
      },
    );
    starts.add(member.started);
    void member.started.finally(() => starts.delete(member.started));
    checkLater();
  }

  function fail(member: Member, reason: string): void {
    logger.info({ provider: member.spec.provider.name, reason }, 'an idle process is replaced');
    failures.add(keyOf(member.spec));
    remove(member);
    fillLater();
  }

  function remove(member: Member): void {
    if (member.removed) return;
    member.removed = true;
    members.delete(member);
    if (member.process !== null) kill(member); // else once it was started
  }

  function kill({ process, marker, scratch }: Pick<Member, 'process' | 'marker' | 'scratch'>): void {
    process?.child.signalGroup('SIGKILL'); // without a prompt, it has nothing to lose
    reaper.add(marker, () => removeScratch(scratch, logger));
  }

  const gone = (killed: readonly (IdleProcess | null)[]): Promise<boolean> =>
    within(GONE_WITHIN_MS, Promise.all(killed.map((process) => process?.child.exited)));

  /** Checks all processes once a second, while there are any. */
  function checkLater(): void {
    checkTimer ??= setTimeout(() => {
      check()
        .catch((error: unknown) =>
          logger.warn({ reason: messageOf(error) }, 'checking idle processes failed'),
        )
        .finally(() => {
          checkTimer = null;
          if (members.size > 0) checkLater();
        });
    }, CHECK_EVERY_MS).unref();
  }

  /** Removes processes that are unused for long, do not work, or have read files that changed. */
  async function check(): Promise<void> {
    const fingerprints = new Map<string, Promise<string>>();
    for (const member of [...members]) {
      const { spec, process, createdAt } = member;
      const key = keyOf(spec);
      const ageMs = performance.now() - createdAt;
      if (process === null || !members.has(member)) continue;
      if (ageMs > idleMs) {
        if (lastStarted?.shape.key === key) lastStarted = null;
        remove(member);
      } else if (!process.isAlive()) fail(member, 'it is stopped');
      else if (!process.ready && ageMs > BOOT_MS) fail(member, 'it did not get ready');
      else {
        const now = fingerprints.get(key) ?? fingerprintOf(spec.shape.files);
        fingerprints.set(key, now);
        if ((await now) === member.fingerprint || !members.has(member)) continue;
        failures.add(key);
        remove(member);
        if (running() === 0) fillLater(); // a running job would soon change the files again
      }
    }
  }

  async function endIdle(which: WhichIdle): Promise<number> {
    const ended = [...members].filter(({ marker, spec }) =>
      which({ id: idleIdOf(marker), provider: spec.provider.name, sessionId: null }),
    );
    for (const member of ended) {
      if (lastStarted?.shape.key === keyOf(member.spec)) lastStarted = null; // start no other one
      remove(member);
    }
    await Promise.all(ended.map(({ started }) => started));
    await gone(ended.map(({ process }) => process));
    return ended.length;
  }

  return {
    async take({ shape }, stop) {
      if (shape === null) return null;
      const candidates = [...members].filter(({ spec }) => keyOf(spec) === shape.key);
      const member = candidates.find(({ process }) => process?.ready) ?? candidates[0];
      if (member === undefined) return null;
      members.delete(member); // before the first await, so that no other job takes it
      const looks = Promise.all([fingerprintOf(shape.files), member.started]);
      const stopped = refusal(stop).finally(() => remove(member));
      const [fingerprint] = await Promise.race([looks, stopped]);
      member.removed = true;
      const { process } = member;
      if (process === null) return null;
      if (member.fingerprint !== fingerprint) failures.add(shape.key);
      else if (process.isAlive()) {
        failures.clear(shape.key);
        return process;
      }
      kill(member);
      return null;
    },

    jobStarted(spec) {
      lastStarted = spec;
      fillLater();
    },

    jobEnded: () => fillLater(SETTLE_MS),

    setQueued(specs) {
      queued = specs;
      if (specs.length > 0) fill();
    },

    async discard(process) {
      kill({ process, marker: process.child.marker, scratch: process.scratch });
      await gone([process]);
    },

    size: () => members.size,
    pids: () => [...members].map(({ process }) => (process?.ready ? process.child.pid : null)),

    list: () =>
      [...members].flatMap(({ spec, process, createdAt }) =>
        process === null ? [] : [reportIdleProcess(process, spec, null, createdAt)],
      ),

    endIdle,

    async stop() {
      stopped = true;
      for (const timer of [fillTimer, checkTimer]) if (timer !== null) clearTimeout(timer);
      await endIdle(() => true);
      await Promise.all(starts);
    },
  };
}
