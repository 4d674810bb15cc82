import type { NewJob } from '../../../src/records/ports.ts';
import { newMemoryJob } from './memory-job.ts';
import type { MemoryState } from './state.ts';
import { DELIVERY_GRACE_MS, enterLanes, tell, touch } from './transitions.ts';

/** Makes a job, unless its record is there: `createJob` of prelude.lua. */
export function createJob(state: MemoryState, given: NewJob): void {
  if (state.find(given.id) !== null) return;
  const job = newMemoryJob(given);
  const { delayMs, ttlMs } = job.request;
  const due = state.now() + delayMs;
  state.add(job);
  state.awaiting.set(job.id, due + DELIVERY_GRACE_MS);
  if (ttlMs !== null) {
    job.deadline = due + ttlMs;
    state.expiries.set(job.id, job.deadline);
  }
  if (delayMs > 0) {
    Object.assign(job, { status: 'scheduled', waitReason: 'delayed', scheduledFor: due });
    const scheduledFor = new Date(due).toISOString();
    tell(state, job, { kind: 'job.scheduled', waitReason: 'delayed', scheduledFor });
  } else {
    enterLanes(state, job);
    tell(state, job, { kind: 'job.queued' });
  }
  touch(state, job);
}
