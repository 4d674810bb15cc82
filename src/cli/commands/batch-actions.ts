/** What `bullpen batch` does with batches that were made before. */
import type { Client } from '../../client/client.ts';
import type { Batch, JobListItem } from '../../protocol/job.ts';
import type { Arguments } from '../arguments.ts';
import { progressLine, waitForBatches } from '../batch-progress.ts';
import type { CommandContext } from '../command.ts';
import { EXIT, usageError } from '../failures.ts';
import { type Column, formatAge, formatUsd, renderTable } from '../format.ts';
import { resolveId } from '../ids.ts';
import { serverToWaitFor } from '../job-server.ts';
import { REQUEST_OPTIONS } from '../request-options.ts';
import { retryMany } from './many-jobs.ts';

/** Failed jobs that `show` names. */
const MAX_SHOWN = 20;

export type BatchAction = (context: CommandContext, given: string, args: Arguments) => Promise<number>;

/** By the word before the ID. */
export const BATCH_ACTIONS: Readonly<Record<string, BatchAction>> = { show, watch, results, retry, cancel };

/** @throws CommandError for an option that only new batches have */
export function refuseRequestOptions(args: Arguments): void {
  const names = Object.keys(REQUEST_OPTIONS).filter((name) => args.texts(name).length > 0);
  if (names.length > 0) throw usageError(`--${names[0]} is for a list of prompts, not for a batch`);
}

async function show(context: CommandContext, given: string, args: Arguments): Promise<number> {
  const client = await context.connect();
  const batch = await client.getBatch(await batchIdOf(client, given));
  const { output } = context;
  if (args.flag('json')) {
    output.json(batch, 2);
    return EXIT.succeeded;
  }
  output.text(`${describe(batch, context.now().getTime()).join('\n')}\n`);
  if (batch.counts.failed === 0) return EXIT.succeeded;
  const failed = await client.list({ batch: batch.id, status: ['failed'], limit: MAX_SHOWN });
  output.text(`\n${renderTable(FAILED, failed.data, output.width).join('\n')}\n`);
  if (failed.nextCursor !== null)
    output.note(`more: bullpen jobs --batch ${batch.id} --status failed`, 'dim');
  output.note(`to try what failed again: bullpen batch retry ${batch.id}`, 'dim');
  return EXIT.succeeded;
}

const FAILED: readonly Column<JobListItem>[] = [
  { title: 'FAILED', cell: ({ id }) => id },
  { title: 'CUSTOM ID', cell: ({ customId }) => customId ?? '' },
  { title: 'ERROR', cell: ({ error }) => error?.code ?? '' },
  { title: 'PROMPT', cell: ({ promptPreview }) => promptPreview, maxWidth: 60 },
];

function describe(batch: Batch, now: number): readonly string[] {
  const counts = Object.entries(batch.counts).filter(([, count]) => count > 0);
  const rows: [string, string | null][] = [
    ['batch', batch.id],
    ['status', batch.finished ? 'finished' : progressLine([batch], now)],
    ['jobs', `${batch.total}: ${counts.map(([status, count]) => `${count} ${status}`).join(', ')}`],
    ['refused', batch.refused === 0 ? null : `${batch.refused} of the prompts`],
    ['cost', batch.costUsd === null ? null : formatUsd(batch.costUsd)],
    ['created', batch.createdAt],
    ['started', batch.startedAt],
    ['finished', batch.finishedAt],
  ];
  return rows.flatMap(([name, value]) => (value === null ? [] : [`${name.padEnd(10)}${value}`]));
}

async function watch(context: CommandContext, given: string): Promise<number> {
  await using server = await serverToWaitFor(context);
  const id = await batchIdOf(server.client, given);
  return await waitForBatches(context, server, [id], context.cwd);
}

async function results(context: CommandContext, given: string): Promise<number> {
  const client = await context.connect();
  const id = await batchIdOf(client, given);
  for await (const line of client.batchResults(id)) context.output.json(line);
  return EXIT.succeeded;
}

async function retry(context: CommandContext, given: string, args: Arguments): Promise<number> {
  await using server = await serverToWaitFor(context);
  const batch = await batchIdOf(server.client, given);
  const json = args.flag('json');
  const ids = await retryMany(server.client, context.output, { filter: { batch } }, { json });
  if (!args.flag('wait') || ids.length === 0) return EXIT.succeeded;
  return await waitForBatches(context, server, ids, context.cwd);
}

async function cancel(context: CommandContext, given: string, args: Arguments): Promise<number> {
  const client = await context.connect();
  const id = await batchIdOf(client, given);
  const batch = await client.cancelBatch(id, { force: args.flag('force') });
  if (args.flag('json')) context.output.json(batch, 2);
  else {
    const { running, cancelled } = batch.counts;
    const left = running === 0 ? '' : `; ${running} running ${running === 1 ? 'job' : 'jobs'} will stop`;
    context.output.note(`batch ${id}: ${cancelled} of ${batch.total} jobs are cancelled${left}`, 'dim');
  }
  return EXIT.succeeded;
}

const batchIdOf = (client: Client, given: string): Promise<string> =>
  resolveId('batch', given, (query) => client.listBatches(query));

/** `bullpen batch list`. */
export async function listBatches(context: CommandContext, args: Arguments): Promise<number> {
  const page = await (await context.connect()).listBatches();
  const { output } = context;
  if (args.flag('json')) output.json(page, 2);
  else if (page.data.length === 0) output.note('no batches', 'dim');
  else output.text(`${renderTable(columns(context.now()), page.data, output.width).join('\n')}\n`);
  return EXIT.succeeded;
}

const columns = (now: Date): readonly Column<Batch>[] => [
  { title: 'ID', cell: ({ id }) => id },
  { title: 'STATUS', cell: (batch) => (batch.finished ? 'finished' : 'unfinished') },
  { title: 'JOBS', cell: ({ total }) => String(total), right: true },
  { title: 'SUCCEEDED', cell: ({ counts }) => String(counts.succeeded), right: true },
  { title: 'FAILED', cell: ({ counts }) => String(counts.failed), right: true },
  { title: 'AGE', cell: ({ createdAt }) => formatAge(now.getTime() - Date.parse(createdAt)), right: true },
  { title: 'COST', cell: ({ costUsd }) => (costUsd === null ? '' : formatUsd(costUsd)), right: true },
];
