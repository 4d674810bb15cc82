import { isFinished } from '../../../src/protocol/job.ts';
import type { Submissions } from '../../../src/records/ports.ts';
import type { MemoryState } from './state.ts';
import { admit, enterLanes, tell, touch } from './transitions.ts';

/** {@link Submissions} in memory. */
export function createMemorySubmissions(state: MemoryState): Submissions {
  return {
    async submit(jobId, executionId) {
      const job = state.find(jobId);
      if (job === null) return { kind: 'gone' };
      if (isFinished(job.status)) return { kind: 'finished', status: job.status };
      if (job.status === 'running') return { kind: 'underway' };
      if (job.executionId !== null) return { kind: job.waitReason === null ? 'underway' : 'parked' };
      if (job.status === 'scheduled') {
        const dueInMs = (job.scheduledFor ?? 0) - state.now();
        if (dueInMs > 0) return { kind: 'early', dueInMs };
        Object.assign(job, { status: 'queued', scheduledFor: null, waitReason: null });
        tell(state, job, { kind: 'job.queued' });
      }
      job.executionId = executionId;
      state.awaiting.delete(jobId);
      enterLanes(state, job);
      const free = admit(state, job);
      touch(state, job);
      return { kind: free ? 'underway' : 'parked' };
    },
  };
}
