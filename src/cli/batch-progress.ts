/** Waits for the end of batches and shows how far they are. */
import type { Client } from '../client/client.ts';
import { ApiError } from '../client/errors.ts';
import type { Batch } from '../protocol/job.ts';
import type { CommandContext } from './command.ts';
import { EXIT } from './failures.ts';
import { formatDuration, formatUsd } from './format.ts';
import type { JobServer } from './job-server.ts';

/** Least time between two reads of a batch. */
const READ_EVERY_MS = 1000;
/** How many jobs with denied tools are named. */
const MAX_NAMED = 10;
/** From so many ended jobs on, the time that the others will take is estimated. */
const MIN_ENDED = 2;

/**
 * Waits for the end of every job. On a terminal the progress is one line in place, else a line for
 * each tenth of the jobs. Resolves with the exit code.
 */
export async function waitForBatches(
  context: CommandContext,
  server: JobServer,
  ids: readonly string[],
  cwd: string,
): Promise<number> {
  const { output, interrupts, now } = context;
  const stop = new AbortController();
  using _listening = interrupts.listen(() => stop.abort());
  let tenths = 0;
  const onProgress = (batches: readonly Batch[]): void => {
    const { total, ended } = sumOf(batches);
    if (output.live) output.status(progressLine(batches, now().getTime()));
    const reached = total === 0 ? 0 : Math.floor((ended * 10) / total);
    if (!output.live && reached > tenths && ended < total)
      output.note(progressLine(batches, now().getTime()), 'dim');
    tenths = reached;
  };
  try {
    const batches = await finishedBatches(context, server, ids, cwd, stop.signal, onProgress);
    output.status(null);
    for (const batch of batches) await showEnd(context, server.client, batch);
    const isGood = batches.every(({ counts }) => counts.failed + counts.cancelled === 0);
    return isGood ? EXIT.succeeded : EXIT.failed;
  } catch (error) {
    if (!stop.signal.aborted) throw error;
    output.note(`stopped waiting; the jobs continue: bullpen batch watch ${ids.join(', ')}`, 'dim');
    return EXIT.cancelled;
  }
}

/** Follows the events of each batch. They have the counts; its cost is read once in a while. */
async function finishedBatches(
  { now }: CommandContext,
  server: JobServer,
  ids: readonly string[],
  cwd: string,
  signal: AbortSignal,
  onProgress: (batches: readonly Batch[]) => void,
): Promise<readonly Batch[]> {
  const known = new Map<string, Batch>();
  async function follow(id: string, until: AbortSignal): Promise<void> {
    let readAt = Number.NEGATIVE_INFINITY;
    const read = async (): Promise<Batch> => {
      readAt = now().getTime();
      return server.client.getBatch(id, { signal: until });
    };
    const show = (batch: Batch): void => {
      known.set(id, batch);
      onProgress([...known.values()]);
    };
    for await (const event of server.client.batchEvents(id, { signal: until })) {
      if (event.kind !== 'batch.changed') continue;
      const { total, counts } = event;
      const last = now().getTime() - readAt < READ_EVERY_MS ? known.get(id) : undefined;
      show(last === undefined ? await read() : { ...last, total, counts });
    }
    show(await read());
  }
  for (;;) {
    const round = new AbortController();
    try {
      const until = AbortSignal.any([signal, round.signal]);
      const left = ids.filter((id) => known.get(id)?.finished !== true);
      await Promise.all(left.map((id) => follow(id, until)));
      return [...known.values()];
    } catch (error) {
      signal.throwIfAborted();
      const isTooOld = error instanceof ApiError && error.code === 'events.expired';
      if (!isTooOld) await server.replace(error, cwd, signal);
    } finally {
      round.abort();
    }
  }
}

async function showEnd({ output }: CommandContext, client: Client, batch: Batch): Promise<void> {
  const { id, counts } = batch;
  output.note(`batch ${id}: ${endLine(batch)}`, 'dim');
  const denied = await jobsWithDenials(client, id);
  if (denied.length > 0) {
    const shown = denied.slice(0, MAX_NAMED).join(', ');
    const rest = denied.length > MAX_NAMED ? ', …' : '';
    output.note(`denied a tool: ${shown}${rest}; \`bullpen show\` prints how to allow it`, 'yellow');
  }
  if (counts.failed > 0) output.note(`to try what failed again: bullpen batch retry ${id}`, 'yellow');
}

/** `38 succeeded, 2 failed, 0 cancelled, $0.12, 4 min 5 s`. */
function endLine({ counts, costUsd, startedAt, finishedAt }: Batch): string {
  const parts = [`${counts.succeeded} succeeded, ${counts.failed} failed, ${counts.cancelled} cancelled`];
  if (costUsd !== null) parts.push(formatUsd(costUsd));
  if (startedAt !== null && finishedAt !== null)
    parts.push(formatDuration(Date.parse(finishedAt) - Date.parse(startedAt)));
  return parts.join(', ');
}

/** The ids of a batch's jobs that were denied a tool. */
async function jobsWithDenials(client: Client, batch: string): Promise<readonly string[]> {
  const found: string[] = [];
  for (let cursor: string | null | undefined; cursor !== null; ) {
    const page = await client.list({ batch, limit: 100, ...(cursor === undefined ? {} : { cursor }) });
    found.push(...page.data.filter(({ deniedTools }) => (deniedTools ?? 0) > 0).map(({ id }) => id));
    cursor = page.nextCursor;
  }
  return found;
}

interface Sum {
  readonly total: number;
  readonly ended: number;
  readonly failed: number;
  readonly running: number;
  readonly waiting: number;
  readonly costUsd: number | null;
  /** Milliseconds since the epoch; null: no job was started. */
  readonly startedAt: number | null;
}

function sumOf(batches: readonly Batch[]): Sum {
  const add = (figure: (batch: Batch) => number): number =>
    batches.reduce((sum, batch) => sum + figure(batch), 0);
  const ended = add(({ counts }) => counts.succeeded + counts.failed + counts.cancelled);
  const [total, running] = [add((batch) => batch.total), add(({ counts }) => counts.running)];
  const starts = batches.flatMap(({ startedAt }) => (startedAt === null ? [] : [Date.parse(startedAt)]));
  const isKnown = batches.some(({ costUsd }) => costUsd !== null);
  return {
    ...{ total, ended, running, waiting: total - ended - running },
    failed: add(({ counts }) => counts.failed),
    costUsd: isKnown ? add(({ costUsd }) => costUsd ?? 0) : null,
    startedAt: starts.length === 0 ? null : Math.min(...starts),
  };
}

/** `12 of 40 done (2 failed), 4 running, 24 waiting, $0.12, about 6 min left`. */
export function progressLine(batches: readonly Batch[], now: number): string {
  const { total, ended, failed, running, waiting, costUsd, startedAt } = sumOf(batches);
  const parts = [`${ended} of ${total} done${failed === 0 ? '' : ` (${failed} failed)`}`];
  if (running > 0) parts.push(`${running} running`);
  if (waiting > 0) parts.push(`${waiting} waiting`);
  if (costUsd !== null) parts.push(formatUsd(costUsd));
  if (startedAt !== null && running > 0 && ended >= MIN_ENDED) {
    const leftMs = ((now - startedAt) / ended) * (total - ended);
    parts.push(`about ${roughly(leftMs)} left`);
  }
  return parts.join(', ');
}

/** A duration without figures that an estimate cannot have: `40 s`, `6 min`, `2 h`. */
function roughly(ms: number): string {
  const seconds = Math.max(1, Math.round(ms / 1000));
  if (seconds < 60) return `${seconds} s`;
  const minutes = Math.round(seconds / 60);
  return minutes < 90 ? `${minutes} min` : `${Math.round(minutes / 60)} h`;
}
