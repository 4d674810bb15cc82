/** Makes a job, shows it to its end, and cancels it at Ctrl-C. */
import type { Client } from '../client/client.ts';
import { messageOf } from '../errors.ts';
import type { Job } from '../protocol/job.ts';
import { EXIT } from './exit-codes.ts';
import { followJob } from './follow-job.ts';
import type { Interrupts } from './interrupts.ts';
import type { Output } from './output.ts';

/** Whoever asks twice to leave does not wait for a server that does not answer. */
const LEAVE_WITHIN_MS = 5000;

export interface DriveOptions {
  readonly client: Client;
  readonly output: Output;
  readonly interrupts: Interrupts;
  readonly json: boolean;
  /** Prints the id (or the job, with `json`) and leaves the job to the server. */
  readonly detach: boolean;
  /** Makes the job. */
  create(): Promise<Job>;
}

/** Resolves with the exit code. The first interrupt cancels the job, the second kills it and does not wait. */
export async function driveJob(options: DriveOptions): Promise<number> {
  const { client, output, interrupts, json, detach, create } = options;
  const leave = new AbortController();
  let id: string | null = null;
  let interruptions = 0;
  let asking: Promise<unknown> = Promise.resolve();

  const ask = (): void => {
    if (id === null || interruptions === 0) return;
    const force = interruptions > 1;
    asking = client
      .cancel(id, force ? { force, signal: AbortSignal.timeout(LEAVE_WITHIN_MS) } : {})
      .catch((error: unknown) => output.note(`cannot cancel: ${messageOf(error)}`, 'red'))
      .finally(() => {
        if (force) leave.abort();
      });
  };
  using _listening = interrupts.listen((count) => {
    interruptions = count;
    if (count === 1) output.note('cancelling the job; once more kills it and leaves', 'yellow');
    if (count <= 2) ask();
  });

  // Not broken off by an interrupt: a job that was made and not heard of could not be cancelled.
  const job = await create();
  if (detach && interruptions === 0) {
    if (json) output.json(job);
    else output.text(`${job.id}\n`);
    return EXIT.succeeded;
  }
  id = job.id;
  if (!json) output.note(`job ${id}`, 'dim');
  ask();
  try {
    return await followJob(id, { client, output, json, signal: leave.signal });
  } catch (error) {
    if (!leave.signal.aborted) throw error;
    output.note(`left; job ${id} was told to end at once`, 'yellow');
    return EXIT.cancelled;
  } finally {
    await asking;
  }
}
