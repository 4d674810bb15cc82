/** Makes a job, shows it to its end, and cancels it at Ctrl-C. */
import { randomUUID } from 'node:crypto';
import type { Client, CreateOptions } from '../client/client.ts';
import { messageOf } from '../errors.ts';
import type { Job } from '../protocol/job.ts';
import { EXIT } from './exit-codes.ts';
import { followJob } from './follow-job.ts';
import type { Interrupts } from './interrupts.ts';
import type { Output } from './output.ts';
import type { JobServer } from './server-for-job.ts';

/** Whoever asks twice to leave does not wait for a server that does not answer. */
const LEAVE_WITHIN_MS = 5000;

export interface DriveOptions {
  readonly server: JobServer;
  readonly output: Output;
  readonly interrupts: Interrupts;
  readonly json: boolean;
  /** Prints the id (or the job, with `json`) and leaves the job to the server. */
  readonly detach: boolean;
  /** The folder the job is made for. */
  readonly cwd: string;
  /** Makes the job; once, however often it is called with the same key. */
  create(client: Client, key: CreateOptions): Promise<Job>;
}

/** Resolves with the exit code. The first interrupt cancels the job, the second kills it and does not wait. */
export async function driveJob(options: DriveOptions): Promise<number> {
  const { output, interrupts, json, detach } = options;
  const leave = new AbortController();
  let id: string | null = null;
  let interruptions = 0;
  let asking: Promise<unknown> = Promise.resolve();

  const ask = (): void => {
    if (id === null || interruptions === 0) return;
    const force = interruptions > 1;
    asking = options.server.client
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
  /** The server, which is asked again for what the one before it was asked. */
  const server: Pick<JobServer, 'client' | 'replace'> = {
    get client() {
      return options.server.client;
    },
    async replace(...given) {
      await options.server.replace(...given);
      ask();
    },
  };

  // Not broken off by an interrupt: a job that was made and not heard of could not be cancelled.
  const job = await createOnce(options);
  if (detach && interruptions === 0) {
    if (json) output.json(job);
    else output.text(`${job.id}\n`);
    return EXIT.succeeded;
  }
  id = job.id;
  if (!json) output.note(`job ${id}`, 'dim');
  ask();
  try {
    return await followJob(job, { server, output, json, signal: leave.signal });
  } catch (error) {
    if (!leave.signal.aborted) throw error;
    output.note(`left; job ${id} was told to end at once`, 'yellow');
    return EXIT.cancelled;
  } finally {
    await asking;
  }
}

/** The server may leave between being found and being asked. */
async function createOnce({ server, detach, cwd, create }: DriveOptions): Promise<Job> {
  const key = { idempotencyKey: randomUUID() };
  for (;;) {
    try {
      return await create(server.client, key);
    } catch (error) {
      if (detach) throw error; // a server of its own would leave with the command
      await server.replace(error, cwd, new AbortController().signal);
    }
  }
}
