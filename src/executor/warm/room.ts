/** How many processes may be there without running anything: a number, and a quarter of the memory that is free. */
import { resourceUse } from '../../processes/proc-entry.ts';
import { supportsSweep } from '../../processes/sweep.ts';

/** What one takes until it was looked at; a CLI that waits was seen to hold 155 to 170 MB. */
const GUESS_BYTES = 200 * 1024 * 1024;
const SHARE = 0.25;

/** The memory that all of them may take together, whatever they wait for. */
export interface IdleMemory {
  /** Whether one more fits. */
  free(): boolean;
  add(holder: object): void;
  /** From now on it counts with what it really holds. */
  measure(holder: object, pid: number): void;
  remove(holder: object): void;
}

/** @param availableMemory in bytes, as the system or the container has it left */
export function createIdleMemory(availableMemory: () => number): IdleMemory {
  const holders = new Map<object, number | null>();

  function held(): number {
    let bytes = 0;
    for (const pid of holders.values()) {
      const seen = pid === null || !supportsSweep() ? 0 : resourceUse([pid]).memoryBytes;
      bytes += Math.max(seen, pid === null || seen === 0 ? GUESS_BYTES : 0);
    }
    return bytes;
  }

  return {
    free() {
      const bytes = held();
      return bytes + GUESS_BYTES <= (availableMemory() + bytes) * SHARE;
    },
    add: (holder) => void holders.set(holder, null),
    measure: (holder, pid) => {
      if (holders.has(holder)) holders.set(holder, pid);
    },
    remove: (holder) => void holders.delete(holder),
  };
}

/** Places for processes that wait for the same kind of thing. */
export interface Room extends IdleMemory {
  size(): number;
}

export function createRoom(max: number, memory: IdleMemory): Room {
  const holders = new Set<object>();
  return {
    free: () => holders.size < max && memory.free(),
    add(holder) {
      holders.add(holder);
      memory.add(holder);
    },
    measure: memory.measure,
    remove(holder) {
      holders.delete(holder);
      memory.remove(holder);
    },
    size: () => holders.size,
  };
}
