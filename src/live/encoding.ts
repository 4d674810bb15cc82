/** Messages of the server as text. */
import { ulid } from 'ulid';
import { AppError } from '../errors.ts';
import { type EventFilter, sentJobEvent, sentSessionEvent } from '../events/sent-events.ts';
import type { Change } from '../protocol/change.ts';
import type { SessionStoredEvent, StoredEvent } from '../protocol/event.ts';
import type { LiveMessage } from '../protocol/live.ts';
import { problemOf } from '../protocol/problem.ts';

/** What a message is about. */
export type Target = Pick<LiveMessage, 'session_id' | 'job_id'>;

type Written = Pick<LiveMessage, 'type' | 'data'> & Partial<LiveMessage>;

/** A message with its time and id. */
export function encode(message: Written): Buffer {
  const { type, data, ...rest } = message;
  const stamped = { type, ...rest, message_id: ulid(), timestamp: new Date().toISOString(), data };
  return Buffer.from(JSON.stringify(stamped));
}

/** Each event is encoded once for all its readers on this node. */
const texts = new WeakMap<object, Buffer>();

function once(event: object, message: () => LiveMessage): Buffer {
  const known = texts.get(event) ?? Buffer.from(JSON.stringify(message()));
  texts.set(event, known);
  return known;
}

/** An event of a job as `output`; null: the reader has not asked for it. */
export function jobOutput(event: StoredEvent, filter: EventFilter): Buffer | null {
  const sent = sentJobEvent(event, filter);
  return sent && once(event, () => output({ job_id: event.jobId }, event.jobId, event, sent.data));
}

/** The same of a session's event. */
export function sessionOutput(event: SessionStoredEvent, filter: EventFilter): Buffer | null {
  const { sessionId } = event;
  const sent = sentSessionEvent(event, filter);
  return sent && once(event, () => output({ session_id: sessionId }, sessionId, event, sent.data));
}

/** A change as `output`. Readers resume by the cursor in its data. */
export function changeOutput(change: Change, { kinds }: EventFilter): Buffer | null {
  if (kinds !== null && change.kind !== 'cursor' && !kinds.has(change.kind)) return null;
  return once(change, () => ({
    ...{ type: 'output', message_id: change.cursor, timestamp: change.at, data: change },
  }));
}

const output = (
  target: Target,
  id: string,
  { seq, at }: { readonly seq: number; readonly at: string },
  data: object,
): LiveMessage => ({ type: 'output', ...target, seq, message_id: `${id}-${seq}`, timestamp: at, data });

/** Anything thrown as an AppError, without the details of unknown errors. */
export function toAppError(error: unknown): AppError {
  if (error instanceof AppError) return error;
  return new AppError('internal.error', 'an unexpected error; the server log has it', { cause: error });
}

/** The data of an `error`: a problem as over HTTP, with what HTTP has in `Retry-After`. */
export const problemData = (error: AppError, requestId: string): object => ({
  ...problemOf(error, requestId),
  ...(error.retryAfterSeconds === undefined ? {} : { retryAfterSeconds: error.retryAfterSeconds }),
});
