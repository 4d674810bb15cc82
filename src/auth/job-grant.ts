/** What a job may do: the rights that its maker had then. They are kept in its record. */
import { Type } from '#typebox';
import { AppError } from '../errors.ts';
import { createChecker } from '../protocol/checker.ts';
import { type Grant, grantFields } from '../protocol/grant.ts';
import { nullable } from '../protocol/schema.ts';
import type { Principal } from './principal.ts';

export interface JobGrant extends Grant {
  readonly scopes: readonly string[];
  /** Id of the key that it was made with, also from inside a job of that key; null: none. */
  readonly key: string | null;
}

const storedGrant = createChecker(
  Type.Object({
    scopes: Type.Array(Type.String()),
    ...grantFields,
    depth: Type.Integer({ minimum: 0 }),
    key: nullable(Type.String()),
  }),
);

/** The grant of the jobs that a principal makes now. */
export const jobGrantOf = ({ scopes, grant, key }: Principal): JobGrant => ({
  scopes,
  ...grant,
  key: key?.id ?? null,
});

/** What a record holds; null: it is of an older version. @throws AppError record.damaged */
export function readJobGrant(text: string): JobGrant | null {
  if (text === '') return null;
  let found: unknown;
  try {
    found = JSON.parse(text);
  } catch {
    // The check below refuses it.
  }
  if (storedGrant.check(found)) return found;
  throw new AppError('record.damaged', 'what is stored cannot be read: its grant is none');
}
