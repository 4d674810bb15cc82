/** Shows a job to its end and gives its exit code. */
import type { Client } from '../client/client.ts';
import type { StoredEvent } from '../protocol/event.ts';
import type { Job } from '../protocol/job.ts';
import { createEventPrinter } from './event-printer.ts';
import { exitCodeOfJob } from './exit-codes.ts';
import type { Output } from './output.ts';

export interface FollowOptions {
  readonly client: Client;
  readonly output: Output;
  /** NDJSON to stdout: the events, then the job. */
  readonly json: boolean;
  /** The last `seq` that is not wanted any more. */
  readonly after?: number;
  readonly signal: AbortSignal;
}

/**
 * Shows the job's events and its outcome; resolves with the exit code when it has ended.
 * @throws what the client throws, or the reason of `signal`
 */
export async function followJob(id: string, options: FollowOptions): Promise<number> {
  const { client, output, json, after = 0, signal } = options;
  const printer = createEventPrinter(output);
  let job: Job | null = null;
  for await (const event of client.events(id, { after, signal })) {
    if (json) output.json(shown(event));
    else printer.event(event);
    if (event.kind === 'job.finished') job = event.job as Job; // the documented event
  }
  job ??= await client.get(id, { signal }); // everything was seen before
  if (json) output.json(job);
  else printer.end(job);
  return exitCodeOfJob(job);
}

/** The event as the server sent it: the client's `raw: null` stands for a field that was left out. */
function shown({ raw, ...event }: StoredEvent): object {
  return raw === null ? event : { ...event, raw };
}
