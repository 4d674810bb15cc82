/** What a terminal shows of a job while nothing comes: its state, and for how long. */
import type { Client } from '../client/client.ts';
import type { StoredEvent } from '../protocol/event.ts';
import type { Job, JobListItem } from '../protocol/job.ts';
import { formatDuration } from './duration.ts';
import type { Output } from './output.ts';

/** Between two looks at the queue. */
const LOOK_EVERY_MS = 3000;
const TICK_MS = 1000;

type State =
  | { readonly kind: 'queued' | 'running'; readonly since: number }
  /** `until`: when it is due, in milliseconds. */
  | { readonly kind: 'waits' | 'retries'; readonly until: number };

/** Follows a job's events. */
export class JobState {
  #state: State;
  #ahead = '';

  constructor(job: Pick<Job, 'status' | 'createdAt' | 'startedAt'>) {
    const [kind, since] =
      job.status === 'running' ? (['running', job.startedAt] as const) : ['queued' as const];
    this.#state = { kind, since: Date.parse(since ?? job.createdAt) };
  }

  event(event: StoredEvent): void {
    const at = Date.parse(event.at);
    switch (event.kind) {
      case 'job.queued':
        this.#state = { kind: 'queued', since: at };
        return;
      case 'job.scheduled': {
        const kind = event.waitReason === 'delayed' ? 'waits' : 'retries';
        this.#state = { kind, until: Date.parse(event.scheduledFor) };
        return;
      }
      case 'retry':
        if (event.delayMs !== null) this.#state = { kind: 'retries', until: at + event.delayMs };
        return;
      case 'job.running':
        this.#state = { kind: 'running', since: at };
        return;
      default:
        // Anything the CLI says after it has waited.
        if (this.#state.kind === 'retries') this.#state = { kind: 'running', since: at };
    }
  }

  get isQueued(): boolean {
    return this.#state.kind === 'queued';
  }

  /** How many jobs are before it, of the queued ones: newest first, and `more` where there are older ones, too. */
  queue(job: Pick<Job, 'id' | 'priority'>, queued: readonly JobListItem[], more: boolean): void {
    const reason = queued.find(({ id }) => id === job.id)?.waitReason ?? null;
    const before = queued.filter(
      ({ id, priority, waitReason }) =>
        waitReason === null && (priority > job.priority || (priority === job.priority && id < job.id)),
    );
    if (reason !== null) this.#ahead = ` (${reason})`;
    else this.#ahead = before.length === 0 ? '' : ` behind ${before.length}${more ? ' or more' : ''}`;
  }

  /** `queued behind 3, 0:05`, `running 1:42`, `retrying in 31 s`. */
  line(now: number): string {
    const state = this.#state;
    switch (state.kind) {
      case 'queued':
        return `queued${this.#ahead}, ${clock(now - state.since)}`;
      case 'running':
        return `running ${clock(now - state.since)}`;
      case 'waits':
        return `due in ${left(state.until - now)}`;
      case 'retries':
        return state.until > now ? `retrying in ${left(state.until - now)}` : 'retrying';
    }
  }
}

/** `0:42`, `1:02:03`. */
export function clock(ms: number): string {
  const seconds = Math.max(0, Math.floor(ms / 1000));
  const [hours, minutes] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60];
  const two = (figure: number): string => String(figure).padStart(2, '0');
  return `${hours === 0 ? minutes : `${hours}:${two(minutes)}`}:${two(seconds % 60)}`;
}

const left = (ms: number): string => {
  const whole = Math.max(0, Math.ceil(ms / 1000));
  return whole < 60 ? `${whole} s` : formatDuration(whole * 1000);
};

/** Shows a job's state on a terminal once a second, until it is disposed of. */
export function showProgress(
  output: Output,
  job: Pick<Job, 'id' | 'priority'>,
  state: JobState,
  client: () => Pick<Client, 'list'>,
): Disposable {
  if (!output.live) return { [Symbol.dispose]() {} };
  let lookedAt = 0;
  let over = false;
  const timer = setInterval(() => {
    const now = Date.now();
    output.status(state.line(now));
    if (!state.isQueued || now - lookedAt < LOOK_EVERY_MS) return;
    lookedAt = now;
    client()
      .list({ status: ['queued'], limit: 100 })
      .then(({ data, nextCursor }) => {
        if (!over) state.queue(job, data, nextCursor !== null);
      })
      .catch(() => {}); // the next look may fare better
  }, TICK_MS);
  return {
    [Symbol.dispose]() {
      over = true;
      clearInterval(timer);
      output.status(null);
    },
  };
}
