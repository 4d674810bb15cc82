/** Shows a job to its end and gives its exit code. */
import type { StoredEvent } from '../protocol/event.ts';
import type { Job } from '../protocol/job.ts';
import { createEventPrinter } from './event-printer.ts';
import { exitCodeOfJob } from './exit-codes.ts';
import type { Output } from './output.ts';
import { JobState, showProgress } from './progress.ts';
import type { JobServer } from './server-for-job.ts';

export interface FollowOptions {
  readonly server: Pick<JobServer, 'client' | 'replace'>;
  readonly output: Output;
  /** NDJSON to stdout: the events, then the job. */
  readonly json: boolean;
  /** The last `seq` that is not wanted any more. */
  readonly after?: number;
  readonly signal: AbortSignal;
}

/**
 * Shows the job's events and its outcome; resolves with the exit code when it has ended. Goes on where it was when
 * the server was replaced.
 * @throws what the client throws, or the reason of `signal`
 */
export async function followJob(shownJob: Job, options: FollowOptions): Promise<number> {
  const { id, cwd } = shownJob;
  const { server, output, json, signal } = options;
  const printer = createEventPrinter(output);
  const state = new JobState(shownJob);
  using progress = showProgress(output, shownJob, state, () => server.client);
  let last = options.after ?? 0;

  async function ended(): Promise<Job> {
    for await (const event of server.client.events(id, { after: last, signal })) {
      last = event.seq;
      state.event(event);
      if (json) output.json(shown(event));
      else printer.event(event);
      if (event.kind === 'job.finished') return event.job as Job; // the documented event
    }
    return server.client.get(id, { signal }); // everything was seen before
  }

  for (;;) {
    try {
      const job = await ended();
      progress[Symbol.dispose]();
      if (json) output.json(job);
      else printer.end(job);
      return exitCodeOfJob(job);
    } catch (error) {
      signal.throwIfAborted();
      await server.replace(error, cwd, signal);
    }
  }
}

/** The event as the server sent it: the client's `raw: null` stands for a field that was left out. */
function shown({ raw, ...event }: StoredEvent): object {
  return raw === null ? event : { ...event, raw };
}
