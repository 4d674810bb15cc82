/** The steps every change is made of, one function for each of prelude.lua. */
import type { EventBody } from '../../../src/protocol/event.ts';
import type { JobStatus } from '../../../src/protocol/job.ts';
import type { Outcome } from '../../../src/protocol/outcome.ts';
import type { Finish, FinishResult } from '../../../src/records/ports.ts';
import { copyOf, type MemoryJob } from './memory-job.ts';
import type { MemoryState } from './state.ts';

/** BullMQ's time to deliver a due job. */
export const DELIVERY_GRACE_MS = 15_000;

export interface NewEvent {
  readonly body: EventBody;
  readonly raw: string | null;
  readonly at: number;
}

/** One more revision of a record, seen by every copier. */
export function touch(state: MemoryState, job: MemoryJob): void {
  job.rev += 1;
  state.log.push(['j', job.id]);
}

export function ring(state: MemoryState, type: 'run' | 'cancel', jobId: string): void {
  state.publish(state.settings.requestChannel, JSON.stringify({ v: 1, type, jobId }));
}

function announce(
  state: MemoryState,
  type: 'finished' | 'scheduled',
  jobId: string,
  status: JobStatus,
): void {
  state.publish(state.settings.responseChannel, JSON.stringify({ v: 1, type, jobId, status }));
}

/** Appends events and rings whoever reads them; gives how many that are. */
export function emit(state: MemoryState, job: MemoryJob, events: readonly NewEvent[]): number {
  for (const { body, raw, at } of events) {
    job.events.push({
      seq: job.events.length + 1,
      jobId: job.id,
      attempt: job.attempt,
      at: new Date(at).toISOString(),
      raw: raw === '' ? null : raw,
      ...copyOf(body),
    });
  }
  return state.publish(state.settings.liveChannel(job.id), String(job.events.length));
}

/** Appends one event of the job itself. */
export function tell(state: MemoryState, job: MemoryJob, body: EventBody): void {
  emit(state, job, [{ body, raw: null, at: state.now() }]);
}

/** Makes a submitted job pending, unless another one is ahead of it in a lane. */
export function admit(state: MemoryState, job: MemoryJob): boolean {
  for (const lane of job.lanes) {
    if (state.lane(lane).first() === job.id) continue;
    job.waitReason = lane.startsWith('s:') ? 'session' : 'concurrency_key';
    return false;
  }
  // From now on it holds its lanes, whatever enters them.
  for (const lane of job.lanes) state.lane(lane).set(job.id, 0);
  job.waitReason = null;
  state.pendingOf(job.pin).set(job.id, job.score);
  if (job.pin !== null) state.pinned.set(job.id, state.now());
  ring(state, 'run', job.id);
  return true;
}

/** Takes its place in its lanes; one that has a place keeps it. */
export function enterLanes(state: MemoryState, job: MemoryJob): void {
  for (const name of job.lanes) {
    const lane = state.lane(name);
    if (lane.score(job.id) === null) lane.set(job.id, job.createdAt);
  }
}

/** Leaves its lanes and lets whoever is next in each of them go on. */
function leaveLanes(state: MemoryState, job: MemoryJob): void {
  for (const name of job.lanes) state.lane(name).delete(job.id);
  for (const name of job.lanes) {
    const head = state.find(state.lane(name).first() ?? '');
    if (head === null || head.status !== 'queued' || head.executionId === null || head.waitReason === null)
      continue;
    admit(state, head);
    touch(state, head);
  }
}

export function forget(state: MemoryState, id: string, pin: string | null): void {
  state.pendingOf(null).delete(id);
  state.pendingOf(pin).delete(id);
  for (const set of [state.pinned, state.running, state.awaiting, state.expiries]) set.delete(id);
}

/** Ends a job for good. A finished job never changes again. */
export function settle(state: MemoryState, job: MemoryJob, status: JobStatus, outcome: Outcome): void {
  job.status = status;
  job.outcome = copyOf(outcome);
  job.finishedAt = state.now();
  job.waitReason = null;
  job.scheduledFor = null;
  forget(state, job.id, job.pin);
  tell(state, job, { kind: 'job.finished', job: undefined });
  touch(state, job);
  job.goneAt = state.now() + state.settings.keepFinishedMs;
  leaveLanes(state, job);
  announce(state, 'finished', job.id, status);
}

export interface EndedExecution extends Pick<Finish, 'executionId' | 'outcome'> {
  readonly retryable: boolean;
  readonly backoffMs: number;
}

/** Ends the current execution: the job ends with it, or waits for its next attempt. */
export function endExecution(state: MemoryState, job: MemoryJob, ended: EndedExecution): FinishResult {
  const { executionId, outcome, retryable, backoffMs } = ended;
  tell(state, job, { kind: 'execution.finished', executionId, outcome });
  const failed = outcome.status === 'failed';
  if (failed) job.failures += 1;
  if (retryable && failed && job.failures < job.maxAttempts && job.cancel === 'none') {
    const due = state.now() + backoffMs;
    const waiting = { status: 'scheduled', waitReason: 'backoff', scheduledFor: due } as const;
    Object.assign(job, {
      ...waiting,
      executionId: null,
      node: null,
      ended: { executionId, as: 'scheduled' },
    });
    state.running.delete(job.id);
    state.awaiting.set(job.id, due + DELIVERY_GRACE_MS);
    tell(state, job, {
      kind: 'job.scheduled',
      waitReason: 'backoff',
      scheduledFor: new Date(due).toISOString(),
    });
    touch(state, job);
    announce(state, 'scheduled', job.id, 'scheduled');
    return 'scheduled';
  }
  job.ended = { executionId, as: 'finished' };
  settle(state, job, outcome.status, outcome);
  return 'finished';
}
