/** The status line of a terminal while a job prints nothing: its state, and for how long. */
import type { Client } from '../client/client.ts';
import type { StoredEvent } from '../protocol/event.ts';
import type { Job, JobListItem } from '../protocol/job.ts';
import { formatClock, formatDuration, formatTime } from './format.ts';
import type { Output } from './output.ts';

/** How often the queue is read. */
const QUEUE_EVERY_MS = 3000;
const TICK_MS = 1000;

type State =
  | { readonly kind: 'queued' | 'running' | 'asks'; readonly since: number }
  /** `until` in milliseconds. */
  | { readonly kind: 'waits' | 'retries'; readonly until: number };

/** The state of a job, updated by its events. */
export class JobState {
  #state: State;
  #ahead = '';

  constructor(job: Pick<Job, 'status' | 'waitReason' | 'createdAt' | 'startedAt'>) {
    const since = job.status === 'running' ? job.startedAt : null;
    const waits = job.waitReason === 'approval' ? 'asks' : 'queued';
    const kind = job.status === 'running' ? 'running' : waits;
    this.#state = { kind, since: Date.parse(since ?? job.createdAt) };
  }

  event(event: StoredEvent): void {
    const at = Date.parse(event.at);
    switch (event.kind) {
      case 'job.queued':
        this.#state = { kind: 'queued', since: at };
        return;
      case 'job.scheduled': {
        const kind = event.waitReason === 'backoff' ? 'retries' : 'waits';
        this.#state = { kind, until: Date.parse(event.scheduledFor) };
        return;
      }
      case 'api_retry':
        if (event.delayMs !== null) this.#state = { kind: 'retries', until: at + event.delayMs };
        return;
      case 'approval.requested':
        this.#state = { kind: 'asks', since: at };
        return;
      case 'job.waiting':
        this.#state = { kind: event.waitReason === 'approval' ? 'asks' : 'queued', since: at };
        return;
      case 'approval.decided':
      case 'job.running':
        this.#state = { kind: 'running', since: at };
        return;
      default:
        // Any other event of the CLI ends its wait.
        if (this.#state.kind === 'retries') this.#state = { kind: 'running', since: at };
    }
  }

  get isQueued(): boolean {
    return this.#state.kind === 'queued';
  }

  /**
   * Says why a queued job waits: for its reason, or for the jobs that run before it.
   * @param job as it is now
   * @param queued newest first
   * @param more there are older ones, too
   */
  queue(
    job: Pick<Job, 'id' | 'priority' | 'waitReason' | 'scheduledFor'>,
    queued: readonly JobListItem[],
    more: boolean,
  ): void {
    const { waitReason: reason, scheduledFor } = job;
    const before = queued.filter(
      ({ id, priority, waitReason }) =>
        waitReason === null && (priority > job.priority || (priority === job.priority && id < job.id)),
    );
    if (reason === 'quota' && scheduledFor !== null)
      this.#ahead = ` (limit until ${formatTime(new Date(scheduledFor), new Date())})`;
    else if (reason !== null) this.#ahead = ` (${reason})`;
    else this.#ahead = before.length === 0 ? '' : ` behind ${before.length}${more ? ' or more' : ''}`;
  }

  /** `queued behind 3, 0:05`, `running 1:42`, `retrying in 31 s`. */
  line(now: number): string {
    const state = this.#state;
    switch (state.kind) {
      case 'queued':
        return `queued${this.#ahead}, ${formatClock(now - state.since)}`;
      case 'running':
        return `running ${formatClock(now - state.since)}`;
      case 'asks':
        return `waits for an answer ${formatClock(now - state.since)}`;
      case 'waits':
        return `due in ${left(state.until - now)}`;
      case 'retries':
        return state.until > now ? `retrying in ${left(state.until - now)}` : 'retrying';
    }
  }
}

const left = (ms: number): string => {
  const whole = Math.max(0, Math.ceil(ms / 1000));
  return whole < 60 ? `${whole} s` : formatDuration(whole * 1000);
};

/** Shows the state on a terminal once a second, until it is disposed of. */
export function showProgress(
  output: Output,
  { id }: Pick<Job, 'id'>,
  state: JobState,
  client: () => Pick<Client, 'list' | 'get'>,
): Disposable {
  if (!output.live) return { [Symbol.dispose]() {} };
  let readAt = 0;
  let stopped = false;
  const timer = setInterval(() => {
    const now = Date.now();
    output.status(state.line(now));
    if (!state.isQueued || now - readAt < QUEUE_EVERY_MS) return;
    readAt = now;
    const { list, get } = client();
    Promise.all([get(id), list({ status: ['queued'], limit: 100 })])
      .then(([job, { data, nextCursor }]) => {
        if (!stopped) state.queue(job, data, nextCursor !== null);
      })
      .catch(() => {}); // tried again
  }, TICK_MS);
  return {
    [Symbol.dispose]() {
      stopped = true;
      clearInterval(timer);
      output.status(null);
    },
  };
}
