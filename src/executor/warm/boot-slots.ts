/**
 * A semaphore for booting CLIs, with one slot per processor. A boot is half a second of CPU time,
 * and more boots than processors only slow each other down.
 */

/** A boot that takes longer mostly waits for something else, and gives its slot back. */
const LONGEST_BOOT_MS = 2000;

/** Gives the slot back. May be called twice. */
export type ReleaseBootSlot = () => void;

export interface BootSlots {
  /** Waits for a slot, first come first served. null when `stop` aborts before that. */
  acquire(stop: AbortSignal): Promise<ReleaseBootSlot | null>;
  /** A slot, or null when none is free. */
  tryAcquire(): ReleaseBootSlot | null;
}

export function createBootSlots(count: number): BootSlots {
  const waiting: (() => void)[] = [];
  let taken = 0;

  function take(): ReleaseBootSlot {
    taken += 1;
    let released = false;
    const release = (): void => {
      if (released) return;
      released = true;
      clearTimeout(limit);
      taken -= 1;
      waiting.shift()?.();
    };
    const limit = setTimeout(release, LONGEST_BOOT_MS).unref();
    return release;
  }

  return {
    acquire(stop) {
      if (stop.aborted) return Promise.resolve(null);
      if (taken < count) return Promise.resolve(take());
      const { promise, resolve } = Promise.withResolvers<ReleaseBootSlot | null>();
      const next = (): void => {
        stop.removeEventListener('abort', leave);
        resolve(take());
      };
      const leave = (): void => {
        waiting.splice(waiting.indexOf(next), 1);
        resolve(null);
      };
      stop.addEventListener('abort', leave, { once: true });
      waiting.push(next);
      return promise;
    },
    tryAcquire: () => (taken < count ? take() : null),
  };
}
