import type { DatabaseSync } from 'node:sqlite';
import { change } from './statement.ts';

/**
 * Removes a job and all it left: prompt, events, sessions, transitions, tags, and the content of its executions. What
 * stays of an execution is that it was, its tokens and its cost, so that deleting a job refunds no budget and
 * its execution id can never spawn again. An outcome still in the outbox stays whole until it is delivered.
 *
 * @returns whether the job was here
 */
export function deleteJob(db: DatabaseSync, id: string): boolean {
  const removed = change(db, 'DELETE FROM jobs WHERE id = ?', id);
  change(db, 'DELETE FROM transitions WHERE job_id = ?', id);
  change(db, 'DELETE FROM events WHERE job_id = ?', id);
  change(db, 'DELETE FROM sessions WHERE job_id = ?', id);
  change(
    db,
    `UPDATE executions SET outcome = NULL WHERE job_id = ? AND state IN ('delivered', 'superseded')`,
    id,
  );
  return removed === 1;
}

export const deletionWrites = {
  'jobs.delete'(db: DatabaseSync, args: { readonly id: string }): { deleted: boolean } {
    return { deleted: deleteJob(db, args.id) };
  },
};
