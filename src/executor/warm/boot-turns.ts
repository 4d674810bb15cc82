/**
 * CLIs that boot take turns where the processors are busy. A boot is half a second of processor time: many at once only
 * slow each other down (claude, an instant model, 8 at once on 2 cores: 2.4 runs per second without turns, 3.5 with),
 * and the first answers come as late as the last.
 */

/** Of the processors' time, that nobody uses: enough for one more boot. */
export const SPARE_SHARE = 0.25;
/** How often it is looked whether boots that take long leave the processors idle. */
const LOOK_EVERY_MS = 500;
/** Who has waited for so long goes with the next look: nobody waits for more than two seconds. */
const LONGEST_WAIT_MS = 1500;
/** What has said nothing for so long does not boot any more. */
const LONGEST_BOOT_MS = 5000;

export interface BootTurns {
  /** How many boot now. */
  booting(): number;
  /** One boots from now on; the returned function says that it has booted, or ended. */
  begin(): () => void;
  /**
   * The same when it is its turn: at once while fewer boot than there are processors; else in order, when another one has
   * booted, when the processors have time to spare, or after two seconds. Null: `stop` was aborted before.
   */
  enter(stop: AbortSignal): Promise<(() => void) | null>;
}

interface Waiter {
  readonly since: number;
  go(): void;
}

/** @param idleShare how much of the processors' time nobody used lately, 0 to 1 */
export function createBootTurns(options: { readonly cores: number; idleShare(): number }): BootTurns {
  const { cores, idleShare } = options;
  const waiting: Waiter[] = [];
  let booting = 0;
  let looking = false;

  function begin(): () => void {
    booting += 1;
    let over = false;
    const leave = (): void => {
      if (over) return;
      over = true;
      clearTimeout(limit);
      booting -= 1;
      admit(cores);
    };
    const limit = setTimeout(leave, LONGEST_BOOT_MS).unref();
    return leave;
  }

  /** Lets those in who have waited longest, until so many boot. */
  function admit(upTo: number): void {
    while (booting < upTo && waiting.length > 0) waiting.shift()?.go();
  }

  function look(): void {
    if (looking) return;
    looking = true;
    setTimeout(() => {
      looking = false;
      if (idleShare() >= SPARE_SHARE) admit(booting + cores);
      const due = performance.now() - LONGEST_WAIT_MS;
      admit(booting + waiting.filter(({ since }) => since <= due).length);
      if (waiting.length > 0) look();
    }, LOOK_EVERY_MS).unref();
  }

  return {
    booting: () => booting,
    begin,
    enter(stop) {
      if (stop.aborted) return Promise.resolve(null);
      if (booting < cores && waiting.length === 0) return Promise.resolve(begin());
      idleShare(); // what it says next is about the time from now on
      const { promise, resolve } = Promise.withResolvers<(() => void) | null>();
      const leave = (): void => {
        waiting.splice(waiting.indexOf(waiter), 1);
        resolve(null);
      };
      const waiter: Waiter = {
        since: performance.now(),
        go() {
          stop.removeEventListener('abort', leave);
          resolve(begin());
        },
      };
      stop.addEventListener('abort', leave, { once: true });
      waiting.push(waiter);
      look();
      return promise;
    },
  };
}
