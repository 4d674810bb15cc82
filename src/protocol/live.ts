/**
 * Live connections: one envelope for WebSocket and Socket.IO. docs/live.md is made from it.
 *
 * The client sends `command`, `cancel`, `auth`, `ping` and `pong`; the server sends `output`,
 * `status`, `error`, `ping` and `pong`. Each message of the client but `pong` is answered once.
 */
import { type Static, Type } from '#typebox';
import { type Approval, DecideRequest } from './approval.ts';
import type { JobListItem } from './job.ts';
import { closed } from './schema.ts';
import { Delivery, type Session } from './session.ts';
import { MAX_INPUT_BYTES, TERMINAL_SIGNALS, type TerminalDone } from './terminal.ts';

/** Bytes of the largest message of a client. */
export const MAX_LIVE_BYTES = 64 * 1024;

export const LIVE_TYPES = [
  ...(['command', 'output', 'status', 'error', 'ping', 'pong', 'cancel', 'auth'] as const),
] as const;
export type LiveType = (typeof LIVE_TYPES)[number];

/** Why the server closes a connection. A client may come back after all but the first three. */
export const CLOSE_CODES = {
  4401: 'no valid token came in time, or the token is over',
  4403: 'the Origin, or the caller, is not allowed',
  4404: 'there is no such session',
  4408: 'no pong came in time',
  4409: 'the reader was too slow; subscribe again with the last seq',
  4413: 'a message was too large',
  4429: 'too many messages, or too many connections',
  1001: 'the server stops, or cannot see whether the key is still valid; come back in a moment',
} as const;
export type CloseCode = keyof typeof CLOSE_CODES;

const id = Type.String({ minLength: 1, maxLength: 64, description: 'ULID' });
const messageId = Type.String({
  minLength: 1,
  maxLength: 64,
  pattern: '^[\\w.:-]+$',
  description: 'chosen by the sender; a command with the same one in the same session acts once',
});
const seq = Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER });

/** The parts of every message of a client. */
const common = {
  message_id: messageId,
  timestamp: Type.Optional(Type.String({ description: 'RFC 3339; for people' })),
};
/** At most one of the two. */
const target = { session_id: Type.Optional(id), job_id: Type.Optional(id) };

const command = <const Name extends string, T extends Type.TProperties>(name: Name, fields: T) =>
  Type.Object({ command: Type.Literal(name), ...fields }, closed);

/** `data` of a `command`. */
export const LiveCommand = Type.Union([
  /**
   * With `session_id` or `job_id`: its events after `seq` of the message. Without: all changes that
   * the caller may see, after a snapshot of what has not ended.
   */
  command('subscribe', {
    kinds: Type.Optional(Type.Array(Type.String({ maxLength: 64 }), { maxItems: 64 })),
    after: Type.Optional(Type.String({ maxLength: 64, description: 'cursor of the last change' })),
  }),
  command('unsubscribe', {}),
  command('prompt', {
    prompt: Type.String({ minLength: 1, maxLength: MAX_LIVE_BYTES, pattern: '^[^\\u0000]*$' }),
    delivery: Type.Optional(Delivery),
  }),
  command('input', {
    data: Type.String({ minLength: 1, maxLength: MAX_INPUT_BYTES }),
    clientSeq: Type.Optional(seq),
  }),
  command('resize', {
    cols: Type.Integer({ minimum: 1, maximum: 1000 }),
    rows: Type.Integer({ minimum: 1, maximum: 1000 }),
  }),
  command('signal', { signal: Type.Enum([...TERMINAL_SIGNALS]) }),
  command('interrupt', {}),
  command('decide', { approvalId: id, ...DecideRequest.properties }),
]);
export type LiveCommand = Static<typeof LiveCommand>;

/** A message of a client. */
export const LiveRequest = Type.Union([
  Type.Object(
    { type: Type.Literal('command'), ...common, ...target, seq: Type.Optional(seq), data: LiveCommand },
    closed,
  ),
  /** Cancels a job, or the running turn of a session. */
  Type.Object(
    {
      type: Type.Literal('cancel'),
      ...common,
      ...target,
      data: Type.Optional(Type.Object({ force: Type.Optional(Type.Boolean()) }, closed)),
    },
    closed,
  ),
  Type.Object(
    {
      type: Type.Literal('auth'),
      ...common,
      data: Type.Object(
        {
          token: Type.Optional(Type.String({ maxLength: 16_384 })),
          ticket: Type.Optional(Type.String({ maxLength: 4096, description: 'from POST /v1/stream-tokens' })),
        },
        closed,
      ),
    },
    closed,
  ),
  Type.Object(
    {
      type: Type.Enum(['ping', 'pong']),
      ...common,
      reply_to: Type.Optional(messageId),
      data: Type.Optional(Type.Object({}, closed)),
    },
    closed,
  ),
]);
export type LiveRequest = Static<typeof LiveRequest>;

/** A message of the server. What does not apply is left out. `reply_to`: the answered message. */
export interface LiveMessage {
  readonly type: 'output' | 'status' | 'error' | 'ping' | 'pong';
  readonly session_id?: string;
  readonly job_id?: string;
  /** `output`: the event, as SSE has it. `status`: the answer. `error`: a problem, as over HTTP. */
  readonly data: object;
  /** RFC 3339 in UTC. */
  readonly timestamp: string;
  readonly message_id: string;
  /** `output`: of the event; resumes the subscription. */
  readonly seq?: number;
  readonly reply_to?: string;
}

/** What a wide subscription begins with. Changes since then follow. */
export interface LiveSnapshot {
  /** Jobs that have not ended, newest first; at most 1,000. */
  readonly jobs: readonly JobListItem[];
  /** Sessions that are not closed, latest activity first; at most 1,000. Needs `sessions:read`. */
  readonly sessions: readonly Session[];
  /** Whether there are more of either. */
  readonly cut: boolean;
}

/** `data` of a `status` that answers a command, a `cancel` or an `auth`. */
export type LiveAnswer =
  | { readonly command: 'subscribe'; readonly status?: string; readonly snapshot?: LiveSnapshot }
  /** Without `reply_to`: the job has ended, so the subscription is over. */
  | { readonly command: 'subscribe'; readonly ended: true }
  | { readonly command: 'unsubscribe' }
  | {
      readonly command: 'prompt';
      /** The job of the turn that has the message. */
      readonly jobId: string;
      readonly delivered: 'next' | 'steered';
    }
  | ({ readonly command: 'input' | 'resize' | 'signal' } & TerminalDone)
  | { readonly command: 'interrupt'; readonly repeated: boolean }
  | { readonly command: 'decide'; readonly approval: Approval }
  | { readonly command: 'cancel' }
  | { readonly principal: string; readonly project: string; readonly expiresAt: string | null };
