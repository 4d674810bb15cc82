import type { WaitingProcessReport } from '../../protocol/server-info.ts';
import { stateOf } from './shape.ts';
import type { Place, Template } from './template.ts';
import { type WaitingProcess, waitingReport } from './waiting-process.ts';

/** One that does not get ready in this time will not. */
const BOOT_MS = 60_000;

/** A process of the pool, from before it is started until it has left. */
export interface Entry {
  readonly template: Template;
  readonly place: Place;
  /** `performance.now()` */
  readonly bornAt: number;
  /** Settles when it was started, or could not be: then `process` stays null. */
  started: Promise<void>;
  process: WaitingProcess | null;
  /** How what it has read stood before it was started. */
  state: string;
  /** It has left the pool. */
  over: boolean;
}

/** One that has left the pool for its job. */
export interface Taken {
  readonly process: WaitingProcess;
  readonly place: Place;
}

export const newEntry = (template: Template, place: Place): Entry => ({
  template,
  place,
  bornAt: performance.now(),
  started: Promise.resolve(),
  process: null,
  state: '',
  over: false,
});

export const keyOf = ({ shape }: Template): string => shape.key;

export const isReady = ({ process }: Entry): boolean => process?.ready === true;

/** Why a process should not wait on. */
export type Flaw = 'forgotten' | 'stopped' | 'never ready' | 'stale';

/** What is wrong with those that wait; asks the file system once per shape. */
export async function flawsOf(
  entries: readonly Entry[],
  idleMs: number,
): Promise<readonly (readonly [Entry, Flaw])[]> {
  const states = new Map<string, Promise<string>>();
  const flaws: (readonly [Entry, Flaw])[] = [];
  for (const entry of entries) {
    const { template, process, bornAt } = entry;
    const age = performance.now() - bornAt;
    if (process === null) continue;
    if (age > idleMs) flaws.push([entry, 'forgotten']);
    else if (!process.alive()) flaws.push([entry, 'stopped']);
    else if (!process.ready && age > BOOT_MS) flaws.push([entry, 'never ready']);
    else {
      const state = states.get(keyOf(template)) ?? stateOf(template.shape.reads);
      states.set(keyOf(template), state);
      if ((await state) !== entry.state) flaws.push([entry, 'stale']);
    }
  }
  return flaws;
}

/** Nothing while it is being started. */
export const reportOf = ({ template, process, bornAt }: Entry): readonly WaitingProcessReport[] =>
  process === null ? [] : [waitingReport(process, template, null, bornAt)];
