/** The audit: who did what, when, and from where. It holds no prompt and no secret. */
import { type Static, Type } from '#typebox';
import { closed, nullable } from './schema.ts';

/** Who acts, and with which request. */
export interface Actor {
  /** The principal; null: it is not known, because its token was refused. */
  readonly id: string | null;
  /** Address of the caller; null: the request did not come over HTTP. */
  readonly address: string | null;
  readonly requestId: string | null;
}

/** Who acts on something of a project. */
export interface OwnedAct {
  readonly actor: Actor;
  readonly project: string | null;
}

/** Every act that has an entry. */
export const AUDIT_ACTIONS = [
  ...(['job.created', 'job.retried', 'job.changed', 'job.cancelled', 'job.deleted'] as const),
  ...(['session.created', 'session.closed', 'session.deleted'] as const),
  ...(['terminal.typed', 'terminal.signalled'] as const),
  ...(['job.interrupted', 'approval.decided', 'message.steered'] as const),
  ...(['batch.created', 'queue.paused', 'queue.resumed', 'node.drained', 'node.resumed'] as const),
  ...(['provider.resumed', 'provider.cleaned', 'process.terminated'] as const),
  ...(['key.created', 'key.revoked', 'key.rotated', 'login.created', 'login.refused'] as const),
] as const;
export type AuditAction = (typeof AUDIT_ACTIONS)[number];

/** An act without a change of a record. */
export interface AuditAct {
  readonly action: AuditAction;
  readonly project?: string;
  readonly target?: string;
  readonly details?: Readonly<Record<string, unknown>>;
}

const text = (description: string) => nullable(Type.String(), { description });
const details = Type.Record(Type.String(), Type.Unknown(), {
  description: 'what the action adds, for example `{"changed":["tags"]}`',
});

export const AuditEntry = Type.Object({
  id: Type.String({ description: 'the same on every server of a Redis; later entries have later ids' }),
  at: Type.String({ description: 'RFC 3339 in UTC, by the clock of Redis' }),
  action: Type.String({ description: AUDIT_ACTIONS.join(', ') }),
  principal: text('who: `admin`, `key:ID`, or `raw` for raw requests; null: the token was refused'),
  project: text('the project of what was acted on; null: of none'),
  target: text('id of the job, session, batch, key, node or process, or what was paused'),
  address: text('where the request came from; null: not over HTTP'),
  requestId: text('as in the X-Request-Id header and the log of that request'),
  details: nullable(details),
});
export type AuditEntry = Static<typeof AuditEntry>;

/** Which entries are asked for; a field that is left out means any. */
export const AuditFilter = {
  action: Type.Optional(Type.Enum([...AUDIT_ACTIONS], { description: 'this action only' })),
  principal: Type.Optional(Type.String({ maxLength: 300, description: 'acts of this principal only' })),
  project: Type.Optional(
    Type.String({ maxLength: 64, description: 'of this project; others than its own are for admins' }),
  ),
  target: Type.Optional(Type.String({ maxLength: 300, description: 'acts on this job, key, … only' })),
  from: Type.Optional(Type.String({ format: 'date-time', description: 'RFC 3339: at this time or later' })),
  to: Type.Optional(Type.String({ format: 'date-time', description: 'RFC 3339: before this time' })),
};
const AuditFilterObject = Type.Object(AuditFilter, closed);
export type AuditFilter = Static<typeof AuditFilterObject>;

export interface AuditQuery extends AuditFilter {
  readonly limit: number;
  /** `nextCursor` of the page before; null: the newest. */
  readonly cursor: string | null;
}

/** The last link of a server's chain: to note down, and to compare later. */
export const AuditHead = Type.Object({
  seq: Type.Integer({ description: 'how many entries the chain has had' }),
  hash: Type.String({ description: 'SHA-256, in hex' }),
});
export type AuditHead = Static<typeof AuditHead>;

/** Whether this server's audit is as it was written. */
export const AuditVerification = Type.Object(
  {
    ok: Type.Boolean(),
    entries: Type.Integer({ description: 'how many were checked' }),
    head: nullable(AuditHead, { description: 'null: there are no entries' }),
    problem: nullable(
      Type.Object({
        seq: Type.Integer({ description: 'number of the first entry that is wrong or missing' }),
        why: Type.String(),
      }),
    ),
  },
  { examples: [{ ok: true, entries: 1204, head: { seq: 1204, hash: '9f86d081884c7d65…' }, problem: null }] },
);
export type AuditVerification = Static<typeof AuditVerification>;
