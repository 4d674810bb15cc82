import { wireError } from '../errors.ts';
import { jobOutcome } from '../protocol/outcome.ts';

/** The outcome of a job that is cancelled before a CLI ran for it. */
export const CANCELLED = jobOutcome(
  'cancelled',
  wireError('execution.cancelled', 'the job was cancelled before it ran'),
);
