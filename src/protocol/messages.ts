/**
 * What travels on the two channels. A message is a doorbell: it carries ids and states, never content, and
 * whoever hears it reads the record. Losing one costs a poll interval. Raw requests and their answers are the
 * exception: they are the debugging surface (`redis-cli publish`), at-most-once by nature.
 */

import { type Static, Type } from 'typebox';
import { Compile } from 'typebox/compile';
import { ProviderName } from './prompt.ts';
import { closed } from './schema.ts';

/** Bytes of the largest message Bullpen publishes. */
export const MAX_MESSAGE_BYTES = 64 * 1024;

const Id = Type.String({ minLength: 1, maxLength: 64 });

/** On the requests channel: something to claim, or a cancel flag to look at. */
export const RequestBell = Type.Object({
  v: Type.Literal(1),
  type: Type.Enum(['run', 'cancel']),
  jobId: Id,
});
export type RequestBell = Static<typeof RequestBell>;

/** On the responses channel: a job's record has come this far. */
export const ResponseBell = Type.Object({
  v: Type.Literal(1),
  type: Type.Enum(['finished', 'scheduled']),
  jobId: Id,
  status: Type.String(),
});
export type ResponseBell = Static<typeof ResponseBell>;

/** `redis-cli PUBLISH claude:cli:requests '{"id":"test","prompt":"Hello","args":["--print"]}'` */
export const RawRequest = Type.Object(
  {
    id: Type.Union([Type.String({ maxLength: 256 }), Type.Number()]),
    prompt: Type.String({ minLength: 1 }),
    args: Type.Optional(Type.Array(Type.String({ maxLength: 4096 }), { maxItems: 64 })),
    provider: Type.Optional(ProviderName),
    cwd: Type.Optional(Type.String({ minLength: 1, maxLength: 4096 })),
    timeoutMs: Type.Optional(Type.Integer({ minimum: 1, maximum: 86_400_000 })),
  },
  closed,
);
export type RawRequest = Static<typeof RawRequest>;

/** The answer to a raw request; `id` is the caller's, only echoed. */
export type RawAnswer =
  | { readonly id: string | number | null; readonly success: true; readonly result: string }
  | { readonly id: string | number | null; readonly success: false; readonly error: string };

const requestBell = Compile(RequestBell);
const responseBell = Compile(ResponseBell);
const rawRequest = Compile(RawRequest);

export type Heard =
  | { readonly kind: 'bell'; readonly bell: RequestBell }
  | { readonly kind: 'raw'; readonly request: RawRequest }
  | { readonly kind: 'refused'; readonly id: string | number | null; readonly why: string };

/** How our own scripts begin a doorbell, and how long one is at the most. */
const BELL = '{"v":1,';
const MAX_BELL = 512;
/** A raw request: its prompt as long as that of a job, and what is said around it. */
const MAX_RAW = 2 * 1024 * 1024;

/** Whether a message is worth a look as a doorbell: anybody may publish, as much as they like. */
export const looksLikeBell = (text: string): boolean => text.length <= MAX_BELL && text.startsWith(BELL);

/** A message of the requests channel, told apart and checked. Total: garbage is `refused`, never thrown. */
export function parseRequestMessage(text: string): Heard {
  if (text.length > MAX_RAW) return { kind: 'refused', id: null, why: 'the message is too long' };
  let message: unknown;
  try {
    message = JSON.parse(text);
  } catch {
    return { kind: 'refused', id: null, why: 'the message is not JSON' };
  }
  if (requestBell.Check(message)) return { kind: 'bell', bell: message };
  if (rawRequest.Check(message)) return { kind: 'raw', request: message };
  return {
    kind: 'refused',
    id: echoableId(message),
    // Found only for the message to the caller: this takes longer than all the rest.
    get why() {
      const [first] = rawRequest.Errors(message);
      const place =
        first === undefined ? '' : `${first.instancePath || 'message'} ${first.message}`.slice(0, 200);
      return `not a request: ${place}`;
    },
  };
}

/** A message of the responses channel, or null when it is not one of ours (a raw answer, garbage). */
export function parseResponseMessage(text: string): ResponseBell | null {
  if (!looksLikeBell(text)) return null;
  try {
    const message: unknown = JSON.parse(text);
    return responseBell.Check(message) ? message : null;
  } catch {
    return null; // anybody may publish here; only our own doorbells matter
  }
}

function echoableId(message: unknown): string | number | null {
  if (typeof message !== 'object' || message === null || !('id' in message)) return null;
  const { id } = message;
  return (typeof id === 'string' && id.length <= 256) || typeof id === 'number' ? id : null;
}
