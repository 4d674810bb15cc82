/**
 * The messages on the requests channel, and the raw answers to some of them. A message is a
 * doorbell: it carries ids and states, never content, and its receiver reads the record. A lost
 * message costs a poll interval. Raw requests and their answers are the exception: they are for
 * debugging (`redis-cli publish`), and delivered at most once.
 */
import { type Static, Type } from '#typebox';
import { createChecker } from './checker.ts';
import { ProviderName } from './prompt.ts';
import { closed } from './schema.ts';

/** Bytes of the largest message Bullpen publishes. */
export const MAX_MESSAGE_BYTES = 64 * 1024;

const Id = Type.String({ minLength: 1, maxLength: 64 });

/**
 * On the requests channel: there is a request to claim, a cancel flag to read, or something for the
 * CLI of a running job (a message, a decision).
 */
export const RequestBell = Type.Object({
  v: Type.Literal(1),
  type: Type.Enum(['run', 'cancel', 'talk']),
  jobId: Id,
});
export type RequestBell = Static<typeof RequestBell>;

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

/** The answer to a raw request. `id` is the caller's own. */
export type RawAnswer =
  | { readonly id: string | number | null; readonly success: true; readonly result: string }
  | { readonly id: string | number | null; readonly success: false; readonly error: string };

const requestBell = createChecker(RequestBell);
const rawRequest = createChecker(RawRequest);

export type RequestMessage =
  | { readonly kind: 'bell'; readonly bell: RequestBell }
  | { readonly kind: 'raw'; readonly request: RawRequest }
  | { readonly kind: 'refused'; readonly id: string | number | null; readonly why: string };

/** The greatest length of a raw request: the prompt of a job and its options. */
const MAX_RAW = 2 * 1024 * 1024;

/** Parses a message of the requests channel. Total: garbage is `refused`, never thrown. */
export function parseRequestMessage(text: string): RequestMessage {
  if (text.length > MAX_RAW) return { kind: 'refused', id: null, why: 'the message is too long' };
  let message: unknown;
  try {
    message = JSON.parse(text);
  } catch {
    return { kind: 'refused', id: null, why: 'the message is not JSON' };
  }
  if (requestBell.check(message)) return { kind: 'bell', bell: message };
  if (rawRequest.check(message)) return { kind: 'raw', request: message };
  return {
    kind: 'refused',
    id: echoableId(message),
    // Computed only for the message to the caller: it takes longer than all the rest.
    get why() {
      const [first] = rawRequest.errors(message);
      if (first === undefined) return 'not a request';
      // The schema of an unknown field is `false`.
      const problem = first.keyword === 'boolean' ? 'is not a known field' : first.message;
      return `not a request: ${`${first.instancePath || 'message'} ${problem}`.slice(0, 200)}`;
    },
  };
}

function echoableId(message: unknown): string | number | null {
  if (typeof message !== 'object' || message === null || !('id' in message)) return null;
  const { id } = message;
  return (typeof id === 'string' && id.length <= 256) || typeof id === 'number' ? id : null;
}
