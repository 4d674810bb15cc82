import type { Claim } from '../records/ports.ts';
import type { StopReason } from './ended.ts';

/** One claimed execution this node has in hand. */
export interface Active {
  readonly claim: Claim;
  /** Whose slot it takes: the one the job names, or its fallback. */
  provider: string;
  readonly stop: AbortController;
  readonly force: AbortController;
  /** Its CLI may run; false once only the outcome has to be settled. */
  running: boolean;
  /** Its CLI once it was started; times are milliseconds since the epoch. */
  started: { readonly pid: number; readonly at: number; lastEventAt: number } | null;
}

export const createActive = (claim: Claim): Active => ({
  claim,
  provider: claim.request.provider,
  stop: new AbortController(),
  force: new AbortController(),
  running: true,
  started: null,
});

/** Asks an execution to end; the first reason counts. `force` skips the grace, also later. */
export function stopActive(one: Active, reason: StopReason, force: boolean): void {
  if (force) one.force.abort();
  one.stop.abort(reason);
}
