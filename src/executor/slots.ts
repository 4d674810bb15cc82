import type { Logger } from 'pino';
import { isAlive } from '../processes/proc-entry.ts';
import type { CliProcess } from '../protocol/server-info.ts';
import type { Providers } from '../providers/registry.ts';
import type { Claim, LeaseState } from '../records/ports.ts';
import type { ResourceWatch } from './resources.ts';
import type { StopReason } from './stop-race.ts';

/** A claimed execution of this node. */
export interface Active {
  readonly claim: Claim;
  /** The provider whose slot it takes: the job's, or its fallback. */
  provider: string;
  readonly stop: AbortController;
  readonly force: AbortController;
  /** False once its CLI has ended and only the outcome is to be settled. */
  running: boolean;
  /** Speaks with its CLI; null while it has none. */
  talker: Talker | null;
  /** Whether there may be something to say, since before there was a CLI. */
  rang: boolean;
  /** Whether its CLI runs on another host: `pid` is one of that host. */
  elsewhere: boolean;
  /** Null until its CLI was started. Times are milliseconds since the epoch. */
  started: { readonly pid: number; readonly at: number; lastEventAt: number } | null;
}

/** Brings what people do to the CLI of an execution. */
export interface Talker {
  /** The records may have a decision or a message. */
  look(): void;
  /** The server stops: calls that wait for a person wait without the process. */
  parkAll(): void;
  /** Stops the turn. */
  interrupt(): void;
}

export const createActive = (claim: Claim): Active => ({
  claim,
  provider: claim.request.provider,
  stop: new AbortController(),
  force: new AbortController(),
  running: true,
  talker: null,
  rang: false,
  elsewhere: false,
  started: null,
});

/**
 * Stops an execution; the first reason counts. `force` skips the grace, including a grace that has
 * begun.
 */
export function stopActive(one: Active, reason: StopReason, force: boolean): void {
  if (force) one.force.abort();
  one.stop.abort(reason);
}

/** Does with an execution what its record says. */
export function obeyLease(one: Active, state: LeaseState): void {
  if (state === 'cancel' || state === 'cancel-force') stopActive(one, 'cancelled', state === 'cancel-force');
  if (state === 'lost' && one.running) stopActive(one, 'fenced', false);
  if (state === 'abandoned') stopActive(one, 'abandoned', false);
  if (state === 'interrupt-force') stopActive(one, 'interrupted', true);
  if (state !== 'interrupt') return;
  // One whose CLI has not begun is not started.
  if (one.talker === null) stopActive(one, 'interrupted', false);
  else one.talker.interrupt();
}

/** The CLI of an execution has begun. */
export function beginTalk(one: Active, talker: Talker): void {
  one.talker = talker;
  if (one.rang) talker.look();
}

/** Looks for decisions and messages, or lets the CLI do so when it begins. */
export function lookForNews(one: Active): void {
  one.rang = true;
  one.talker?.look();
}

/** Counts the executions that run, and how many more may. */
export interface Slots {
  /** Executions of one provider, or all, whose CLI may run. */
  running(provider?: string): number;
  free(): number;
  /** How many more may run, for each provider with a limit of its own. */
  freeOf(): Readonly<Record<string, number>>;
  /**
   * Whether a provider is at its own limit. Its jobs may wait then although there are free slots.
   */
  someFull(): boolean;
  /**
   * Moves an execution to another provider, its fallback. Resolves when that provider has a slot,
   * before anything new is claimed for it, or when the execution is stopped.
   */
  moveTo(one: Active, provider: string): Promise<void>;
  /** An execution has ended. */
  freed(): void;
  /** Logs every ten seconds what a stop waits for, at most `ms`. Returns what ends that. */
  logWhatRuns(ms: number, logger: Logger): () => void;
}

/** @param active all executions of the node; the map changes */
export function createSlots(
  active: ReadonlyMap<string, Active>,
  concurrency: number,
  providers: Providers,
): Slots {
  /** In order of arrival. */
  const waiting = new Map<Active, { readonly provider: string; go(): void }>();

  function left(name: string, limit: number): number {
    return Math.max(0, limit - slots.running(name));
  }

  const slots: Slots = {
    running(name) {
      let count = 0;
      for (const { running, provider } of active.values()) {
        if (running && (name === undefined || provider === name)) count += 1;
      }
      return count;
    },
    free: () => Math.max(0, concurrency - slots.running()),
    freeOf() {
      const free: Record<string, number> = {};
      for (const { provider, defaults } of providers.list()) {
        if (defaults.concurrency === null) continue;
        const ahead = [...waiting.values()].filter((one) => one.provider === provider.name).length;
        free[provider.name] = Math.max(0, left(provider.name, defaults.concurrency) - ahead);
      }
      return free;
    },
    someFull: () => Object.values(slots.freeOf()).some((free) => free === 0),
    moveTo(one, provider) {
      const { signal } = one.stop;
      const { promise, resolve } = Promise.withResolvers<void>();
      const go = (): void => {
        waiting.delete(one);
        one.provider = provider;
        signal.removeEventListener('abort', go);
        resolve();
      };
      waiting.set(one, { provider, go });
      if (signal.aborted) go();
      else signal.addEventListener('abort', go, { once: true });
      slots.freed();
      return promise;
    },
    freed() {
      for (const { provider, go } of [...waiting.values()]) {
        const limit = providers.get(provider).defaults.concurrency;
        if (limit === null || left(provider, limit) > 0) go();
      }
    },
    logWhatRuns(ms, logger) {
      const until = new Date(Date.now() + ms).toISOString();
      const log = (): void => {
        const jobs = [...active.values()].slice(0, 5).map(({ claim }) => claim.jobId);
        if (jobs.length > 0) logger.info({ running: active.size, jobs, until }, 'waiting for what runs');
      };
      log();
      const again = setInterval(log, 10_000);
      return () => clearInterval(again);
    },
  };
  return slots;
}

/** The processes that run a job on this node, with the last measurement of their resources. */
export function runningProcesses(
  active: Iterable<Active>,
  resources: Pick<ResourceWatch, 'last'>,
): readonly CliProcess[] {
  const now = Date.now();
  const listed: CliProcess[] = [];
  for (const { claim, provider, running, started, elsewhere } of active) {
    if (!running || started === null) continue;
    const use = elsewhere ? null : resources.last(started.pid);
    listed.push({
      id: claim.executionId,
      state: 'running',
      provider,
      pid: started.pid,
      alive: elsewhere || isAlive(started.pid), // its executor reports the end
      jobId: claim.jobId,
      attempt: claim.attempt,
      sessionId: claim.sessionId,
      cwd: claim.request.cwd,
      since: new Date(started.at).toISOString(),
      ageMs: Math.max(0, now - started.at),
      idleMs: Math.max(0, now - started.lastEventAt),
      memoryBytes: use?.memoryBytes ?? null,
      cpuSeconds: use?.cpuSeconds ?? null,
      openFiles: use?.openFiles ?? null,
      processes: use?.processes ?? null,
    });
  }
  return listed;
}
