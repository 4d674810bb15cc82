/** What a running job asks of a person: whether a tool may run, a question, or a plan. */
import { type Static, Type } from '#typebox';
import { ToolPattern } from './prompt.ts';
import { closed, nullable } from './schema.ts';

export const APPROVAL_KINDS = ['tool', 'question', 'plan'] as const;
export const APPROVAL_STATUSES = ['pending', 'allowed', 'denied', 'expired', 'cancelled'] as const;
export type ApprovalKind = (typeof APPROVAL_KINDS)[number];
export type ApprovalStatus = (typeof APPROVAL_STATUSES)[number];

/** A question to the user, as the CLI asks it. */
export const Question = Type.Object({
  question: Type.String(),
  header: nullable(Type.String()),
  options: Type.Array(Type.Object({ label: Type.String(), description: nullable(Type.String()) })),
  multiSelect: Type.Boolean(),
});
export type Question = Static<typeof Question>;

/** An approval as callers see it. */
export const Approval = Type.Object({
  id: Type.String({ description: 'ULID' }),
  jobId: Type.String(),
  sessionId: Type.String(),
  project: Type.String(),
  kind: Type.Enum(APPROVAL_KINDS),
  tool: Type.String({ description: 'as the CLI names it' }),
  input: Type.Unknown({ description: 'of the tool call; after an edit that was allowed: as it ran' }),
  questions: nullable(Type.Array(Question), { description: 'of a question; else null' }),
  status: Type.Enum(APPROVAL_STATUSES),
  createdAt: Type.String(),
  expiresAt: Type.String({ description: 'no answer by then ends the job as approval.expired' }),
  decidedBy: nullable(Type.String({ description: 'principal' })),
  decidedAt: nullable(Type.String()),
});
export type Approval = Static<typeof Approval>;

/** Body of `POST /v1/approvals/:id/decide`. */
export const DecideRequest = Type.Object(
  {
    decision: Type.Enum(['allow', 'deny']),
    message: Type.Optional(
      Type.String({ maxLength: 8192, description: 'what the model reads, with a denial' }),
    ),
    input: Type.Optional(
      Type.Record(Type.String(), Type.Unknown(), {
        description: 'runs instead of the input that was asked for; only with allow',
      }),
    ),
    answers: Type.Optional(
      Type.Record(Type.String(), Type.Union([Type.String(), Type.Array(Type.String())]), {
        description: 'of a question: the answer to each, by its text',
      }),
    ),
    scope: Type.Optional(
      Type.Enum(['call', 'session'], {
        description: 'session: such calls need no further approval in this session; default: call',
      }),
    ),
    /** With scope session: which calls; default: every call of this tool. */
    rule: Type.Optional(ToolPattern),
  },
  { ...closed, examples: [{ decision: 'allow' }, { decision: 'deny', message: 'Not on a Friday' }] },
);
export type DecideRequest = Static<typeof DecideRequest>;

/** The answer that the CLI gets. */
export type Decision =
  | {
      readonly decision: 'allow';
      /** The input that runs; for a question: with its answers. */
      readonly input: unknown;
      /** Rules for the rest of the session. */
      readonly rules: readonly string[];
    }
  | { readonly decision: 'deny'; readonly message: string };
