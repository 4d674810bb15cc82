import { Type } from 'typebox';
import { AppError } from '../errors.ts';
import { ULID } from '../protocol/schema.ts';

/** Whether a text can be the id of anything here. */
export const isUlid = (text: string): boolean => ULID.test(text);

/** `:id` in paths. Any text: what is not an id is a job that is not there, not a bad request. */
export const JobParams = Type.Object({ id: Type.String({ description: 'ULID of a job' }) });

/**
 * The id in a path.
 * @throws AppError job.not_found for what cannot be one
 */
export function jobIdOf(params: { readonly id: string }): string {
  if (isUlid(params.id)) return params.id;
  throw new AppError('job.not_found', 'there is no job with this id');
}
