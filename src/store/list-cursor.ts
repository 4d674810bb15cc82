import { AppError } from '../errors.ts';
import { ULID } from '../protocol/schema.ts';

/** The last id of a page, as callers see it. Opaque, so that what it holds may change. */
export const encodeListCursor = (lastId: string): string => Buffer.from(lastId).toString('base64url');

/** The id a cursor stands for. Throws request.invalid for one that this server cannot have made. */
export function decodeListCursor(cursor: string): string {
  const id = Buffer.from(cursor, 'base64url').toString();
  if (ULID.test(id) && encodeListCursor(id) === cursor) return id;
  const message = 'is not a nextCursor of an earlier answer';
  throw new AppError('request.invalid', `cursor ${message}`, { problems: [{ path: '/cursor', message }] });
}
