import type { Damage } from '../damage.ts';
import type { ErrorCode, Problem } from '../errors.ts';
import type { OperationName } from './operations.ts';

/** An error as data, between the store's thread and its port. Never leaves the process. */
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
  { readonly kind: 'run'; readonly requests: readonly OperationRequest[] } | { readonly kind: 'close' };

export type FromThread =
  | { readonly kind: 'ready' }
  | { readonly kind: 'refused'; readonly error: ThreadError }
  | {
      readonly kind: 'replies';
      readonly replies: readonly OperationReply[];
      readonly commits: number;
      readonly damaged: readonly Damage[];
    };
