import { monotonicFactory } from 'ulid';

/** A new ULID and the time it holds, in milliseconds since the epoch. */
export interface NewId {
  readonly id: string;
  readonly createdAt: number;
}

/** Makes ULIDs that rise also within a millisecond. */
export function createIdFactory(): () => NewId {
  const ulid = monotonicFactory();
  return () => {
    const createdAt = Date.now();
    return { id: ulid(createdAt), createdAt };
  };
}
