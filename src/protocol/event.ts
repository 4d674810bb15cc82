import { type Static, Type } from '#typebox';
import type { Approval, ApprovalStatus } from './approval.ts';
import { type Outcome, Usage } from './outcome.ts';
import { nullable } from './schema.ts';
import type { SessionStatus } from './session.ts';
import type { TerminalEvent } from './terminal.ts';

const Name = Type.String({ maxLength: 1024 });
const COUNT = { minimum: 0, maximum: Number.MAX_SAFE_INTEGER };
const Count = Type.Integer(COUNT);
const Milliseconds = Type.Number(COUNT);
/**
 * No control characters and no halves of surrogate pairs: it becomes an argument and is kept in
 * the ledger.
 */
export const NATIVE_SESSION_ID = '^[^\\p{Cc}\\p{Cs}]{1,256}$';
const NativeSessionId = Type.String({ pattern: NATIVE_SESSION_ID });

/**
 * One thing that happened in an execution, in the same form for all CLIs. Clients ignore unknown
 * kinds. A `raw` event (a line the provider does not know) and the `raw` field (the CLI's own line
 * of the event) leave the server only if the reader asks for them.
 */
export const ExecutionEvent = Type.Union([
  Type.Object({ kind: Type.Literal('text.delta'), text: Type.String() }),
  Type.Object({ kind: Type.Enum(['text', 'reasoning']), text: Type.String() }),
  Type.Object({
    kind: Type.Literal('execution.started'),
    executionId: Type.String(),
    pid: Type.Integer(),
    provider: Type.String(),
    version: nullable(Type.String()),
    start: Type.Enum(['cold', 'warm', 'session'], {
      description:
        "whether its process was started for it, waited for a prompt, or had run its session's last turn",
    }),
  }),
  Type.Object({
    kind: Type.Literal('session'),
    sessionId: nullable(Type.String()),
    nativeSessionId: NativeSessionId,
    model: nullable(Name),
  }),
  Type.Object({ kind: Type.Literal('tool.started'), toolId: Name, name: Name, input: Type.Unknown() }),
  Type.Object({
    kind: Type.Literal('tool.ended'),
    toolId: Name,
    name: nullable(Name),
    isError: Type.Boolean(),
    output: Type.String(),
  }),
  Type.Object({ kind: Type.Literal('usage'), usage: Usage }),
  Type.Object({
    kind: Type.Literal('api_retry'),
    retry: Type.Integer({
      ...COUNT,
      description: "number of the CLI's own retry; not the job's attempt",
    }),
    maxRetries: nullable(Count),
    delayMs: nullable(Milliseconds),
    status: nullable(Count),
    reason: Type.String(),
  }),
  Type.Object({
    kind: Type.Literal('rate_limit'),
    status: Name,
    resetsAt: nullable(Type.String()),
    limit: nullable(Name),
    use: nullable(Type.Number({ minimum: 0, description: 'used part of the limit: 1 is all of it' })),
  }),
  Type.Object({
    kind: Type.Literal('message.delivered'),
    messageId: Type.String({ description: 'of a message that was sent into the running turn' }),
    delivered: Type.Literal('steered'),
  }),
  Type.Object({ kind: Type.Literal('warning'), code: Name, message: Type.String() }),
  Type.Object({ kind: Type.Literal('raw'), line: Type.String() }),
]);
export type ExecutionEvent = Static<typeof ExecutionEvent>;
export type RateLimitEvent = Extract<ExecutionEvent, { kind: 'rate_limit' }>;

/** The event that ends an execution. It carries the whole outcome. */
export interface ExecutionFinished {
  readonly kind: 'execution.finished';
  readonly executionId: string;
  readonly outcome: Outcome;
}

/**
 * Events of the job around its executions. Only the scripts that change the job record write them.
 */
export type JobEvent =
  | { readonly kind: 'job.queued' }
  | { readonly kind: 'job.scheduled'; readonly waitReason: string; readonly scheduledFor: string }
  | { readonly kind: 'job.running'; readonly executionId: string; readonly node: string }
  | { readonly kind: 'job.waiting'; readonly waitReason: string }
  | { readonly kind: 'approval.requested'; readonly approval: Approval }
  | {
      readonly kind: 'approval.decided';
      readonly approvalId: string;
      readonly status: ApprovalStatus;
      readonly decidedBy: string | null;
    }
  | { readonly kind: 'job.finished'; readonly job: unknown };

export type EventBody = ExecutionEvent | ExecutionFinished | JobEvent;
export type EventKind = EventBody['kind'];

/** An event under the present name of its kind: `api_retry` was stored as `retry` once. */
export const withPresentKind = <E extends { readonly kind: string }>(event: E): E =>
  event.kind === 'retry' ? { ...event, kind: 'api_retry' } : event;

/** An execution's event with the CLI's line behind it, if any. */
export interface SourcedEvent {
  readonly event: ExecutionEvent;
  readonly raw: string | null;
}

/**
 * An event in the job's stream, as readers get it. `seq` counts from 1 without gaps over all
 * attempts of the job. `at` is RFC 3339 in UTC.
 */
export type StoredEvent = {
  readonly seq: number;
  readonly jobId: string;
  readonly attempt: number;
  readonly at: string;
  readonly raw: string | null;
} & EventBody;

/** An event of a session's own: a change of its status, or what its terminal shows. */
export type SessionEvent =
  | {
      readonly kind: 'session.status';
      readonly status: SessionStatus;
      readonly reason: string | null;
      /** Of a terminal: the line that shows what it waits for. Left out: none. */
      readonly matchedLine?: string;
    }
  | TerminalEvent;

/**
 * An event of a session, as readers get it: a change of its own, or an event of one of its jobs.
 * `seq` counts from 1 without gaps over all of them; `jobSeq` is the job's own count.
 */
export type SessionStoredEvent =
  | ({ readonly seq: number; readonly sessionId: string; readonly at: string } & SessionEvent)
  | (Omit<StoredEvent, 'seq'> & {
      readonly seq: number;
      readonly sessionId: string;
      readonly jobSeq: number;
    } & EventBody);
