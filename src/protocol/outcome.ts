import { type Static, Type } from '#typebox';
import { nullable } from './schema.ts';

/** The source of a cost: the CLI's own figure, a price table, or none. */
export const CostBasis = Type.Enum(['reported', 'estimated', 'unknown']);

const tokenCounts = {
  inputTokens: Type.Integer({ description: 'without cached tokens' }),
  outputTokens: Type.Integer(),
  cacheReadTokens: Type.Integer(),
  cacheWriteTokens: Type.Integer(),
};

export const TokenCounts = Type.Object(tokenCounts);
export type TokenCounts = Static<typeof TokenCounts>;

export const Usage = Type.Object({
  ...tokenCounts,
  costUsd: nullable(Type.Number({ description: 'without what a resumed session had cost before' })),
  costBasis: CostBasis,
});
export type Usage = Static<typeof Usage>;

export const OutcomeError = Type.Object({
  code: Type.String({ description: 'one of the table of error codes' }),
  message: Type.String(),
  retryable: Type.Boolean(),
  resetsAt: nullable(Type.String({ description: 'RFC 3339: when a retry makes sense; null: not known' })),
});
export type OutcomeError = Static<typeof OutcomeError>;

/**
 * How an execution ended: exactly one per execution, computed from its events. `error` is null
 * only for success. A job's outcome is that of its last attempt. If the job never ran, the fields
 * of the execution are null. The usage of a job's outcome is that of all its executions.
 */
export const Outcome = Type.Object({
  status: Type.Enum(['succeeded', 'failed', 'cancelled']),
  executionId: nullable(Type.String()),
  provider: nullable(
    Type.String({
      description: 'which one ran it: the one of the job, or its fallback',
    }),
  ),
  credential: nullable(Type.String({ description: 'name of the login it used, as in GET /v1/providers' })),
  model: nullable(Type.String({ description: 'as the CLI names it, else as the job names it' })),
  text: Type.String(),
  textTruncated: Type.Boolean(),
  structured: Type.Unknown(),
  sessionId: nullable(Type.String()),
  nativeSessionId: nullable(Type.String()),
  turns: nullable(Type.Integer()),
  durationMs: nullable(
    Type.Number({
      description: 'from the spawn to the end of the CLI, without the time in which it waited for a person',
    }),
  ),
  exit: nullable(Type.Object({ code: nullable(Type.Integer()), signal: nullable(Type.String()) })),
  permissionDenials: Type.Array(Type.Object({ tool: Type.String(), input: Type.Unknown() })),
  usage: nullable(Usage),
  error: nullable(OutcomeError),
  executor: Type.Optional(
    Type.Enum(['local', 'http'], {
      description:
        'where its CLI ran: in the server, or in the executor on another host; left out: no CLI ran',
    }),
  ),
});
export type Outcome = Static<typeof Outcome>;

/** One of a job's executions. */
export const Execution = Type.Object({
  id: Type.String({ description: 'ULID' }),
  attempt: Type.Integer({ description: 'which one of the job, from 1' }),
  status: Type.Enum(['running', 'succeeded', 'failed', 'cancelled']),
  node: Type.String({ description: 'id of the server that runs it' }),
  provider: nullable(
    Type.String({ description: 'the one of the job, or its fallback; null: not started yet' }),
  ),
  credential: nullable(
    Type.String({ description: 'name of the login it used, as in GET /v1/providers; null: not known yet' }),
  ),
  nativeSessionId: nullable(
    Type.String({ description: "the CLI's own id of the session that it began or continued" }),
  ),
  startedAt: nullable(Type.String({ description: 'when its CLI was started; null: it was not' })),
  endedAt: nullable(Type.String()),
  usage: nullable(Usage, { description: 'of this execution alone; so far, while it runs' }),
  outcome: nullable(Outcome, { description: 'null: it runs' }),
});
export type Execution = Static<typeof Execution>;

/**
 * What two executions used together; null: neither used anything. A cost that is not known is left
 * out, and the basis is `unknown` then.
 */
export function sumOfUsage(a: Usage | null, b: Usage | null): Usage | null {
  if (a === null || b === null) return a ?? b;
  const costs = [a.costUsd, b.costUsd].filter((cost) => cost !== null);
  const bases = [a.costBasis, b.costBasis];
  return {
    inputTokens: a.inputTokens + b.inputTokens,
    outputTokens: a.outputTokens + b.outputTokens,
    cacheReadTokens: a.cacheReadTokens + b.cacheReadTokens,
    cacheWriteTokens: a.cacheWriteTokens + b.cacheWriteTokens,
    // Rounded, which removes the noise of binary fractions.
    costUsd: costs.length === 0 ? null : Math.round(costs.reduce((sum, cost) => sum + cost) * 1e10) / 1e10,
    costBasis:
      bases.find((basis) => basis === 'unknown') ??
      bases.find((basis) => basis === 'estimated') ??
      'reported',
  };
}

/**
 * An outcome of a job that never ran: cancelled or expired while queued, or refused before the
 * spawn.
 */
export function jobOutcome(status: 'failed' | 'cancelled', error: OutcomeError): Outcome {
  return {
    status,
    executionId: null,
    provider: null,
    credential: null,
    model: null,
    text: '',
    textTruncated: false,
    structured: null,
    sessionId: null,
    nativeSessionId: null,
    turns: null,
    durationMs: null,
    exit: null,
    permissionDenials: [],
    usage: null,
    error,
  };
}
