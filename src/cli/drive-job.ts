/** Shows a job to its end. */
import { randomUUID } from 'node:crypto';
import type { Client, CreateOptions } from '../client/client.ts';
import { messageOf } from '../errors.ts';
import type { StoredEvent } from '../protocol/event.ts';
import type { Job } from '../protocol/job.ts';
import type { Asker } from './ask-person.ts';
import { createEventPrinter } from './event-printer.ts';
import { EXIT, exitCodeOfJob } from './failures.ts';
import type { Interrupts } from './interrupts.ts';
import { type JobServer, toServer } from './job-server.ts';
import type { Output } from './output.ts';
import { JobState, showProgress } from './progress.ts';

/** The second interrupt waits this long for the server's answer. */
const LEAVE_WITHIN_MS = 5000;

export interface DriveOptions {
  readonly server: JobServer;
  readonly output: Output;
  readonly interrupts: Interrupts;
  readonly json: boolean;
  /** Prints the id (or the job, with `json`) and does not wait for the job. */
  readonly detach: boolean;
  /** The folder the job runs in. */
  readonly cwd: string;
  /** Asks the person what the job asks; null: the commands for it are shown. */
  readonly asker: Asker | null;
  /** Makes the job. Repeated calls with the same key make it once. `signal` breaks it off. */
  create(client: Client, options: CreateOptions): Promise<Job>;
}

/**
 * Makes a job, shows it to its end and resolves with its exit code. The first interrupt cancels the
 * job; the second kills it and ends the command, also before the server has answered.
 */
export async function driveJob(options: DriveOptions): Promise<number> {
  const { output, interrupts, json, detach } = options;
  const leave = new AbortController();
  let id: string | null = null;
  let interruptions = 0;
  let cancelling: Promise<unknown> = Promise.resolve();

  const cancelIfInterrupted = (): void => {
    const force = interruptions > 1;
    if (id === null && force) leave.abort();
    if (id === null || interruptions === 0) return;
    cancelling = options.server.client
      .cancel(id, force ? { force, signal: AbortSignal.timeout(LEAVE_WITHIN_MS) } : {})
      .catch((error: unknown) => output.note(`cannot cancel: ${messageOf(error)}`, 'red'))
      .finally(() => {
        if (force) leave.abort();
      });
  };
  using _listening = interrupts.listen((count) => {
    interruptions = count;
    if (count === 1) output.note('cancelling the job; interrupt again to kill it and exit', 'yellow');
    if (count <= 2) cancelIfInterrupted();
  });
  const server: Pick<JobServer, 'client' | 'replace'> = {
    get client() {
      return options.server.client;
    },
    async replace(error, jobIn, signal) {
      await options.server.replace(error, jobIn, signal);
      cancelIfInterrupted(); // the server before may have left without having cancelled the job
    },
  };

  // Only the second interrupt breaks this off: without its id the job cannot be cancelled.
  const job = await createOnce(options, leave.signal).catch((error: unknown) => {
    if (!leave.signal.aborted) throw error;
    output.note('exiting; the job may have been made, see `bullpen jobs`', 'yellow');
    return null;
  });
  if (job === null) return EXIT.cancelled;
  if (detach && interruptions === 0) {
    if (json) output.json(job);
    else output.text(`${job.id}\n`);
    return EXIT.succeeded;
  }
  id = job.id;
  if (!json) output.note(`job ${id}`, 'dim');
  cancelIfInterrupted();
  try {
    return await followJob(job, {
      server,
      output,
      json,
      after: 0,
      asker: options.asker,
      signal: leave.signal,
    });
  } catch (error) {
    if (!leave.signal.aborted) throw error;
    output.note(`exiting; the server kills job ${id}`, 'yellow');
    return EXIT.cancelled;
  } finally {
    await cancelling;
  }
}

/** Makes the job, on another server when the first one leaves before its answer. */
async function createOnce({ server, detach, cwd, create }: DriveOptions, signal: AbortSignal): Promise<Job> {
  const options = { idempotencyKey: randomUUID(), signal };
  if (detach) return create(server.client, options); // a server of this command would stop with it
  return toServer(server, cwd, signal, (client) => create(client, options));
}

export interface FollowOptions {
  readonly server: Pick<JobServer, 'client' | 'replace'>;
  readonly output: Output;
  /** NDJSON to stdout: the events, then the job. */
  readonly json: boolean;
  /** Shows the events after this `seq`. */
  readonly after: number;
  readonly asker: Asker | null;
  /** Whether it is a turn of a chat. Default: no. */
  readonly isTurn?: boolean;
  readonly signal: AbortSignal;
}

/**
 * Shows the events and the outcome of a job, over as many servers as needed. Resolves with its exit
 * code.
 * @throws the errors of the client, or the reason of `signal`
 */
export async function followJob(
  job: Job,
  { server, output, json, after, asker, isTurn = false, signal }: FollowOptions,
): Promise<number> {
  const printer = createEventPrinter(output, { asks: asker !== null, isTurn });
  const state = new JobState(job);
  using progress = showProgress(output, job, state, () => server.client);
  let last = after;

  async function untilEnd(): Promise<Job> {
    for await (const event of server.client.events(job.id, { after: last, signal })) {
      last = event.seq;
      state.event(event);
      if (json) output.json(asSent(event));
      else printer.event(event);
      asker?.event(event);
      if (event.kind === 'job.finished' && event.job !== null) return event.job as Job; // documented
    }
    return server.client.get(job.id, { signal }); // no event after `last`, or the job was deleted
  }

  for (;;) {
    try {
      const finished = await untilEnd();
      progress[Symbol.dispose]();
      if (json) output.json(finished);
      else printer.end(finished);
      return exitCodeOfJob(finished);
    } catch (error) {
      signal.throwIfAborted();
      await server.replace(error, job.cwd, signal);
    }
  }
}

/** The event as the server sent it: the client sets `raw: null` when the field is missing. */
function asSent({ raw, ...event }: StoredEvent): object {
  return raw === null ? event : { ...event, raw };
}
