/**
 * Reads that many readers ask for at the same moment, done once: whoever asks while the same read is under way gets
 * its result, the very same object.
 */
export interface SharedReads {
  run<T>(name: string, read: () => Promise<T>): Promise<T>;
}

export function createSharedReads(): SharedReads {
  const underway = new Map<string, Promise<unknown>>();
  return {
    run<T>(name: string, read: () => Promise<T>): Promise<T> {
      const known = underway.get(name);
      if (known !== undefined) return known as Promise<T>; // a name stands for one kind of read
      const reading = read().finally(() => underway.delete(name));
      underway.set(name, reading);
      return reading;
    },
  };
}
