/**
 * The protocol between the `anthropic-sdk` provider and its runner, which is a process of its own.
 * The runner also prints every event of the Messages API's stream unchanged.
 */

import { type Static, Type } from '#typebox';
import { nullable } from './schema.ts';

/** The one JSON document on the runner's stdin. */
export interface AnthropicRequest {
  readonly prompt: string;
  readonly system: string | null;
  readonly model: string;
  readonly maxTokens: number;
  /** Retries of a failed API call. */
  readonly maxRetries: number;
  /** JSON schema of the answer; null: plain text. */
  readonly outputSchema: Readonly<Record<string, unknown>> | null;
}

/** A failed API call is tried again. */
export const RunnerRetry = Type.Object({
  type: Type.Literal('retry'),
  retry: Type.Integer({ description: 'which one this is, from 1' }),
  maxRetries: Type.Integer(),
  status: nullable(Type.Integer({ description: 'HTTP status before it; null: there was no answer' })),
});
export type RunnerRetry = Static<typeof RunnerRetry>;

/** The last line of a run whose answer is complete. */
export const RunnerResult = Type.Object({
  type: Type.Literal('result'),
  text: Type.String(),
  model: Type.String(),
  stop_reason: nullable(Type.String()),
  usage: Type.Unknown({ description: 'the fields of the API' }),
});
export type RunnerResult = Static<typeof RunnerResult>;

/** The last line of a run that failed. */
export const RunnerError = Type.Object({
  type: Type.Literal('error'),
  status: nullable(Type.Integer()),
  errorType: nullable(
    Type.String({ description: "the API's type (`overloaded_error`), or `connection_error`" }),
  ),
  message: Type.String(),
  resetsAt: nullable(Type.String({ description: 'RFC 3339, from the retry-after header' })),
});
export type RunnerError = Static<typeof RunnerError>;

/** The `errorType` of a call without a whole answer. A type only: the runner loads no schemas. */
export type ConnectionError = 'connection_error';
