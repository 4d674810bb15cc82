import { randomUUID } from 'node:crypto';
import type { Batch, BatchCreated } from '../protocol/batch.ts';
import type { PromptRequest } from '../protocol/prompt.ts';
import { ask, type CallOptions } from './calls.ts';
import type { Keyed, Once } from './client.ts';

/** The part of the client that is about many prompts in one call. */
export interface BatchCalls {
  /** Jobs of up to 1,000 prompts; says of each, in order, which job it became or why it did not. */
  createBatch(prompts: readonly PromptRequest[], options?: Keyed): Promise<BatchCreated>;
  /** How many of its jobs stand how. `client.list({ batch: id })` has the jobs. */
  getBatch(id: string, options?: Once): Promise<Batch>;
  /** Asks for the end of every job that has not ended. `force`: without the grace. */
  cancelBatch(id: string, options?: Once & { readonly force?: boolean }): Promise<Batch>;
}

export function createBatchCalls(options: CallOptions): BatchCalls {
  const pathOf = (id: string, rest = ''): string => `/v1/batches/${encodeURIComponent(id)}${rest}`;
  return {
    createBatch: (prompts, { idempotencyKey = randomUUID(), ...once } = {}) =>
      ask<BatchCreated>(options, {
        ...once,
        method: 'POST',
        path: '/v1/batches',
        body: { prompts },
        headers: { 'idempotency-key': idempotencyKey },
        repeatable: true,
      }),
    getBatch: (id, once = {}) => ask<Batch>(options, { ...once, path: pathOf(id), repeatable: true }),
    cancelBatch: (id, { force = false, ...once } = {}) =>
      ask<Batch>(options, {
        ...once,
        method: 'POST',
        path: pathOf(id, '/cancel'),
        body: { force },
        repeatable: true,
      }),
  };
}
