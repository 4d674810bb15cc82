import type { JobStatus } from '../protocol/job.ts';
import type { ScriptRunner } from './script-runner.ts';

export type SubmitResult =
  /** No such job: nothing to do. */
  | { readonly kind: 'gone' }
  | { readonly kind: 'finished'; readonly status: JobStatus }
  /**
   * It must not run now: BullMQ is to deliver it after so long; null: when it is promoted, because
   * its turn has come.
   */
  | { readonly kind: 'later'; readonly afterMs: number | null }
  /** A node has it, by this call or an earlier one. */
  | { readonly kind: 'underway' };

/** For the sandboxed worker. */
export interface Submissions {
  /** Idempotent: a second call changes nothing and starts nothing. */
  submit(jobId: string, executionId: string): Promise<SubmitResult>;
}

/** {@link Submissions} over Redis. */
export function createSubmissions(scripts: ScriptRunner): Submissions {
  return {
    async submit(jobId, executionId): Promise<SubmitResult> {
      const reply = await scripts.run('submit', { id: jobId, executionId });
      const [kind, detail] = reply as [string, string | number | undefined]; // the script's replies
      switch (kind) {
        case 'finished':
          return { kind, status: detail as JobStatus }; // written by the scripts alone
        case 'later':
          return { kind, afterMs: detail === undefined ? null : Number(detail) };
        case 'underway':
          return { kind };
        default:
          return { kind: 'gone' };
      }
    },
  };
}
