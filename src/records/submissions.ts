import type { JobStatus } from '../protocol/job.ts';
import type { Submissions, SubmitResult } from './ports.ts';
import type { ScriptRunner } from './script-runner.ts';

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
