import { messageOf } from '../../errors.ts';
import type { WaitingProcessReport } from '../../protocol/server-info.ts';
import { within } from '../../timing.ts';
import type { PreparedExecution } from '../prepare.ts';
import { removeScratch } from '../start-cli.ts';
import { SPARE_SHARE } from './boot-turns.ts';
import { createDemand } from './demand.ts';
import { type Entry, flawsOf, isReady, keyOf, newEntry, reportOf, type Taken } from './entry.ts';
import { stateOf } from './shape.ts';
import { bootProcess, placeOf, type Template } from './template.ts';
import { createTroubles } from './troubles.ts';
import type { WarmPoolOptions } from './warm-pool-options.ts';

/** A first successor competes with the run it follows: it begins when that has ended, or after this. */
const SUCCESSOR_MS = 1000;
/** For the outcome of the run that has ended to be told first. */
const SETTLE_MS = 20;
const LOOK_EVERY_MS = 1000;
/** For killed processes to be gone. */
const GONE_WITHIN_MS = 5000;

export interface WarmPool {
  /** A process that waits for just this job; null: there is none. */
  take(prepared: PreparedExecution): Promise<Taken | null>;
  /** A run of this shape has begun: another may follow. */
  served(template: Template): void;
  /** A run has ended. */
  ended(): void;
  /** What waits for a slot, first come first; empty when nothing does. */
  expect(templates: readonly Template[]): void;
  /** Ends a process that was taken and has not served; resolves when it is gone, or will not go. */
  discard(taken: Taken): Promise<void>;
  list(): readonly WaitingProcessReport[];
  stop(): Promise<void>;
}

export function createWarmPool(options: WarmPoolOptions): WarmPool {
  const { room, turns, logger } = options;
  const waiting = new Set<Entry>();
  const starts = new Set<Promise<void>>();
  const troubles = createTroubles();
  const demand = createDemand();
  let successor: NodeJS.Timeout | null = null;
  let looking: NodeJS.Timeout | null = null;
  let stopped = false;

  const ofKey = (key: string): Entry[] => [...waiting].filter(({ template }) => keyOf(template) === key);

  function boot(template: Template): void {
    const place = placeOf(options.nodeId, options.scratchDir, options.newId());
    const entry = newEntry(template, place);
    const booted = turns.begin();
    waiting.add(entry);
    room.add(entry);
    entry.started = bootProcess(template, place, options.launch).then(
      ({ process, state }) => {
        Object.assign(entry, { process, state });
        process.onReady(() => {
          booted();
          balance();
        });
        void process.child.exited.then(() => {
          booted();
          onExit(entry);
        });
        if (entry.over) finish(entry);
      },
      (error: unknown) => {
        booted();
        if (!entry.over) trouble(entry, messageOf(error));
        finish(entry);
      },
    );
    starts.add(entry.started);
    void entry.started.finally(() => starts.delete(entry.started));
    look();
  }

  /** It has died while it waited. */
  function onExit(entry: Entry): void {
    if (waiting.has(entry)) trouble(entry, 'it ended while it waited');
  }

  function trouble(entry: Entry, reason: string): void {
    const { template } = entry;
    logger.info(
      { provider: template.provider.name, reason },
      'a process that waited for a prompt is replaced',
    );
    troubles.add(keyOf(template));
    drop(entry);
    later();
  }

  /** It is not to serve any more. */
  function drop(entry: Entry): void {
    if (entry.over) return;
    entry.over = true;
    waiting.delete(entry);
    room.remove(entry);
    if (entry.process !== null) finish(entry); // else as soon as it was started
  }

  function finish({ process, place }: Pick<Entry, 'process' | 'place'>): void {
    process?.child.signalGroup('SIGKILL'); // it has nothing to lose
    options.reaper.add(place.marker, () => removeScratch(place.scratch, logger));
  }

  async function gone(killed: readonly Pick<Entry, 'process'>[]): Promise<void> {
    await within(GONE_WITHIN_MS, Promise.all(killed.map(({ process }) => process?.child.exited)));
  }

  function balance(): void {
    if (stopped) return;
    const wanted = demand.wanted();
    const kept = new Set(wanted.map(keyOf));
    const have = new Map<string, number>();
    for (const { template } of waiting) have.set(keyOf(template), (have.get(keyOf(template)) ?? 0) + 1);
    for (const template of wanted) {
      const key = keyOf(template);
      const left = have.get(key) ?? 0;
      have.set(key, left - 1);
      if (left > 0 || troubles.isPaused(key)) continue;
      if (turns.booting() >= options.cores || !hasSpareTime()) {
        later();
        return;
      }
      if (!makeRoom(kept)) return;
      boot(template);
    }
  }

  const bootingAhead = (): number => [...waiting].filter((one) => !isReady(one)).length;

  /** A boot takes half a second of a processor: where all are busy, those that run would pay for it. */
  const hasSpareTime = (): boolean =>
    options.running() + bootingAhead() < options.cores || options.idleShare() >= SPARE_SHARE;

  /** Whether one more fits, if need be in the place of one that nobody waits for. */
  function makeRoom(kept: ReadonlySet<string>): boolean {
    if (room.free()) return true;
    const [unwanted] = [...waiting].filter(({ template }) => !kept.has(keyOf(template)));
    if (unwanted === undefined) return false;
    drop(unwanted);
    return room.free();
  }

  function later(ms = SUCCESSOR_MS): void {
    if (stopped) return;
    if (successor !== null) clearTimeout(successor);
    successor = setTimeout(balance, ms).unref();
  }

  /** Once a second, while anything waits: what has been forgotten, has stopped, or knows old files goes. */
  function look(): void {
    looking ??= setTimeout(() => {
      lookAtAll()
        .catch((error: unknown) =>
          logger.warn({ reason: messageOf(error) }, 'looking at waiting processes failed'),
        )
        .finally(() => {
          looking = null;
          if (waiting.size > 0) look();
        });
    }, LOOK_EVERY_MS).unref();
  }

  async function lookAtAll(): Promise<void> {
    for (const entry of waiting) if (entry.process?.ready) room.measure(entry, entry.process.child.pid);
    for (const [entry, flaw] of await flawsOf([...waiting], options.idleMs)) {
      if (!waiting.has(entry)) continue; // it has found its job meanwhile
      if (flaw === 'forgotten') demand.forget(entry.template);
      else if (flaw !== 'stale') trouble(entry, flaw);
      else {
        troubles.add(keyOf(entry.template));
        if (options.running() === 0) later(); // else it would be stale again before the run has ended
      }
      drop(entry);
    }
  }

  return {
    async take(prepared) {
      const { shape } = prepared;
      if (shape === null) return null;
      const candidates = ofKey(shape.key);
      const mine = candidates.find(isReady) ?? candidates[0];
      if (mine === undefined) return null;
      waiting.delete(mine); // nobody else may take it while we look at the files
      const [state] = await Promise.all([stateOf(shape.reads), mine.started]);
      const { process, place } = mine;
      room.remove(mine);
      mine.over = true;
      if (process === null) return null;
      if (mine.state !== state || !process.alive()) {
        finish(mine);
        if (mine.state !== state) troubles.add(shape.key);
        return null;
      }
      troubles.over(shape.key);
      return { process, place };
    },

    served(template) {
      demand.served(template);
      later();
    },

    ended() {
      later(SETTLE_MS);
    },

    expect(templates) {
      demand.expect(templates);
      if (templates.length > 0) balance();
    },

    discard(taken) {
      finish(taken);
      return gone([taken]);
    },

    list: () => [...waiting].flatMap(reportOf),

    async stop() {
      stopped = true;
      for (const timer of [successor, looking]) if (timer !== null) clearTimeout(timer);
      const dropped = [...waiting];
      for (const entry of dropped) drop(entry);
      await Promise.all(starts);
      await gone(dropped);
    },
  };
}
