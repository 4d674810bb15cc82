import type { Damage } from '../damage.ts';
import type { ErrorCode, Problem } from '../errors.ts';
import type { OperationName } from './operations.ts';

/** An error as data, between a thread of the store and its port. Never leaves the process. */
export interface ThreadError {
  readonly code: ErrorCode;
  readonly message: string;
  readonly problems: readonly Problem[];
}

export interface OperationRequest {
  readonly id: number;
  readonly op: OperationName;
  readonly args: unknown;
  /** Answered only after a commit. */
  readonly durable: boolean;
}

export type OperationReply =
  | { readonly id: number; readonly ok: true; readonly value: unknown }
  | { readonly id: number; readonly ok: false; readonly error: ThreadError };

export type ToThread =
  /** In the order in which they were asked for. */
  | { readonly kind: 'run'; readonly requests: readonly OperationRequest[] }
  /** To the reader: these jobs have come or gone; null: any may have. */
  | { readonly kind: 'changed'; readonly ids: readonly string[] | null }
  | { readonly kind: 'close' };

export type FromThread =
  | { readonly kind: 'ready' }
  | { readonly kind: 'refused'; readonly error: ThreadError }
  /** The search index cannot be used. */
  | { readonly kind: 'trouble'; readonly message: string }
  | {
      readonly kind: 'replies';
      readonly replies: readonly OperationReply[];
      readonly commits: number;
      readonly damaged: readonly Damage[];
    };
