import type { Claim } from '../rpc/ports.ts';
import type { StopReason } from './ended.ts';

/** One claimed execution this node has in hand. */
export interface Active {
  readonly claim: Claim;
  readonly stop: AbortController;
  readonly force: AbortController;
  /** Its CLI may run; false once only the outcome has to be settled. */
  running: boolean;
}

export const createActive = (claim: Claim): Active => ({
  claim,
  stop: new AbortController(),
  force: new AbortController(),
  running: true,
});

/** Asks an execution to end; the first reason counts. `force` skips the grace, also later. */
export function stopActive(one: Active, reason: StopReason, force: boolean): void {
  if (force) one.force.abort();
  one.stop.abort(reason);
}
