/** Parameters that several routes take. */
import type { FastifyRequest } from 'fastify';
import { Type } from '#typebox';
import { AppError } from '../errors.ts';
import { fingerprintOf } from '../fingerprint.ts';
import { invalid } from '../protocol/problem.ts';
import { closed, ULID } from '../protocol/schema.ts';
import type { Idempotency } from './ports.ts';

/** Items of one page, unless the caller asks for another number. */
export const DEFAULT_LIMIT = 20;

export const NoQuery = Type.Object({}, closed);

/** `:id` of a job. Any text passes: one that is no id is 404 job.not_found, not a bad request. */
export const JobParams = Type.Object({ id: Type.String({ description: 'ULID of a job' }) });
export const BatchParams = Type.Object({ id: Type.String({ description: 'ULID of a batch' }) });

/** The id of a job. @throws AppError job.not_found */
export function jobIdOf({ id }: { readonly id: string }): string {
  if (ULID.test(id)) return id;
  throw new AppError('job.not_found', 'there is no job with this id');
}

/** The id of a batch. @throws AppError batch.not_found */
export function batchIdOf({ id }: { readonly id: string }): string {
  if (ULID.test(id)) return id;
  throw new AppError('batch.not_found', 'there is no batch with this id');
}

export const SessionParams = Type.Object({ id: Type.String({ description: 'ULID of a session' }) });
export const ApprovalParams = Type.Object({ id: Type.String({ description: 'ULID of an approval' }) });

/** The id of a session. @throws AppError session.not_found */
export function sessionIdOf({ id }: { readonly id: string }): string {
  if (ULID.test(id)) return id;
  throw new AppError('session.not_found', 'there is no session with this id');
}

/** The id of an approval. @throws AppError approval.not_found */
export function approvalIdOf({ id }: { readonly id: string }): string {
  if (ULID.test(id)) return id;
  throw new AppError('approval.not_found', 'there is no approval with this id');
}

/** `?limit=` and `?cursor=` of a list. */
export const Page = {
  limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 100, default: DEFAULT_LIMIT })),
  cursor: Type.Optional(
    Type.String({ minLength: 1, maxLength: 512, description: '`nextCursor` of the page before' }),
  ),
};

/** `?wait=SECONDS`. */
export const Wait = Type.Optional(
  Type.Number({ minimum: 0, maximum: 300, description: 'seconds to wait for the end of the job' }),
);

export const waitMsOf = (query: { readonly wait?: number }): number => Math.round((query.wait ?? 0) * 1000);

export const CancelBody = Type.Object(
  { force: Type.Optional(Type.Boolean({ description: 'without the grace', default: false })) },
  { ...closed, examples: [{ force: true }] },
);

/** A body without options. */
export const EmptyBody = Type.Object({}, { ...closed, examples: [{}] });

/** A `preValidation` hook for bodies that hold only options: no body is an empty one. */
export async function optionalBody(request: { body: unknown }): Promise<void> {
  request.body ??= {};
}

export const IdempotencyHeaders = Type.Object({
  'idempotency-key': Type.Optional(Type.String({ description: '1 to 255 visible characters, kept 24 h' })),
});

const VISIBLE = /^[\x21-\x7e]{1,255}$/;

/**
 * The Idempotency-Key of a request with a fingerprint of its content; null: it has no key. Another
 * order of fields, other spaces, or options in the query instead of JSON give the same fingerprint.
 * `wait` is not part of it.
 * @throws AppError request.invalid
 */
export function idempotencyOf(request: FastifyRequest, content: unknown): Idempotency | null {
  const key = request.headers['idempotency-key'];
  if (key === undefined) return null;
  if (typeof key !== 'string' || !VISIBLE.test(key)) {
    const message = 'must be 1 to 255 visible ASCII characters';
    throw invalid([{ path: '/headers/idempotency-key', message }]);
  }
  const [path] = request.url.split('?', 1);
  return { key, fingerprint: fingerprintOf(`${request.method} ${path}`, content) };
}
