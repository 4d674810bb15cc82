/** Outcomes that do not come out of a CLI's output. */
import { toWire, wireError } from '../errors.ts';
import { jobOutcome, type Outcome } from '../protocol/outcome.ts';

/** The execution was refused before its spawn. */
export function refusedOutcome(executionId: string, error: unknown): Outcome {
  const wire = toWire(error);
  return { ...jobOutcome(wire.code === 'execution.cancelled' ? 'cancelled' : 'failed', wire), executionId };
}

/** Cancelled between the claim and the spawn. */
export function cancelledOutcome(executionId: string): Outcome {
  const error = wireError('execution.cancelled', 'the job was cancelled before its CLI was started');
  return { ...jobOutcome('cancelled', error), executionId };
}

/** The server died while the execution ran. `executionId` is null where a script fills it in. */
export function lostOutcome(executionId: string | null): Outcome {
  const error = wireError(
    'execution.lost',
    'the server died while the execution ran; its processes were ended',
  );
  return { ...jobOutcome('failed', error), executionId };
}

/** Only a server that is gone could have run it. */
export const UNAVAILABLE = jobOutcome(
  'failed',
  wireError('execution.node_unavailable', 'the only server that could run this job is gone'),
);
