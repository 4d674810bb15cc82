/**
 * How much of the copy of a long line each of its objects, arrays and texts may take. On the upper levels one value gets
 * at most half of the room that is left, so that what comes behind a long value has room too.
 */
export const MAX_DEPTH = 500;
/** Levels that share their room. On a deeper one an object or array takes what it needs. */
const SHARING_LEVELS = 3;
/** An object or array that has less room takes nothing more. */
const MIN_ROOM = 64;

export interface Frame {
  readonly isObject: boolean;
  /** The length of the copy at which this object or array is full. */
  readonly limit: number;
  /** The length of the copy before the current member and its comma. */
  memberAt: number;
  seen: number;
  kept: number;
}

/** The length of the copy at which half of the room is used. */
export const halfOfRoom = (limit: number, length: number): number =>
  length + Math.floor((limit - length) / 2);

/** An object or array that begins in another one, whose limit is given. @param level 0: it is the line's own */
export const nestedFrame = (isObject: boolean, level: number, limit: number, length: number): Frame => ({
  isObject,
  limit: level > 0 && level <= SHARING_LEVELS ? halfOfRoom(limit, length) : limit,
  memberAt: length,
  seen: 0,
  kept: 0,
});

export const isFull = ({ limit }: Frame, length: number): boolean => limit - length < MIN_ROOM;
