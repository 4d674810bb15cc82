/** Cancels and retries every job that the options of `bullpen jobs` name. */
import type { JobSelection } from '../../client/answers.ts';
import type { Client } from '../../client/client.ts';
import type { ManyCancelled, ManyRetried } from '../../protocol/job.ts';
import type { RetryFrom } from '../../protocol/prompt.ts';
import type { Arguments, OptionSpecs } from '../arguments.ts';
import { usageError } from '../failures.ts';
import type { Output } from '../output.ts';
import { FILTER_OPTIONS, filterOf } from './jobs.ts';

export const MANY_OPTIONS = {
  ...FILTER_OPTIONS,
  all: { type: 'boolean', help: 'every job: needed when no other option names them' },
} satisfies OptionSpecs;

const isGiven = (args: Arguments, name: string): boolean => args.flag(name) || args.texts(name).length > 0;

/**
 * The jobs that the options name; null: an ID names the job.
 * @param others options that are for one job only
 * @throws CommandError for an ID beside options that name jobs, or for neither
 */
export function selectionOf(args: Arguments, now: Date, others: readonly string[] = []): JobSelection | null {
  const filter = filterOf(args, now);
  const all = args.flag('all');
  if (args.positionals.length > 0) {
    const wrong = Object.keys(MANY_OPTIONS).find((name) => !others.includes(name) && isGiven(args, name));
    if (wrong !== undefined) throw usageError(`an ID or --${wrong}, not both`);
    return null;
  }
  if (Object.keys(filter).length === 0 && !all)
    throw usageError('which job? Give its id, or options like --tag or --status that name jobs; see --help');
  const wrong = others.find((name) => !Object.hasOwn(MANY_OPTIONS, name) && isGiven(args, name));
  if (wrong !== undefined) throw usageError(`--${wrong} is for one job: give its id`);
  return { filter, all };
}

/** Cancels every page and prints the counts. */
export async function cancelMany(
  client: Client,
  output: Output,
  selection: JobSelection,
  { force, json }: { readonly force: boolean; readonly json: boolean },
): Promise<void> {
  const sum = { matched: 0, cancelled: 0, requested: 0, skipped: {} };
  await everyPage(
    (page) => client.cancelMany({ ...selection, ...page }, { force }),
    (answer: ManyCancelled) => {
      sum.cancelled += answer.cancelled;
      sum.requested += answer.requested;
      addUp(sum, answer);
    },
  );
  if (json) output.json(sum, 2);
  else {
    const left = sum.requested === 0 ? '' : `; ${jobs(sum.requested)} running, to be stopped`;
    output.note(`${jobs(sum.cancelled)} cancelled${left}${skippedText(sum.skipped)}`, 'dim');
  }
}

/** Retries every page, and prints the ids of the batches and the counts. Returns the ids. */
export async function retryMany(
  client: Client,
  output: Output,
  selection: JobSelection,
  { json, ...from }: { readonly json: boolean; readonly from?: RetryFrom },
): Promise<readonly string[]> {
  const batches: string[] = [];
  const sum = { matched: 0, retried: 0, skipped: {} };
  await everyPage(
    (page) => client.retryMany({ ...selection, ...page }, from),
    (answer: ManyRetried) => {
      sum.retried += answer.retried;
      addUp(sum, answer);
      if (answer.batchId === null) return;
      batches.push(answer.batchId);
      if (!json) output.text(`${answer.batchId}\n`);
    },
  );
  if (json) output.json({ ...sum, batches }, 2);
  else {
    const where =
      batches.length === 0 ? '' : `, in ${batches.length === 1 ? 'batch' : 'batches'} ${batches.join(', ')}`;
    output.note(`${jobs(sum.retried)} retried${where}${skippedText(sum.skipped)}`, 'dim');
  }
  return batches;
}

async function everyPage<T extends { readonly nextCursor: string | null }>(
  call: (page: { readonly cursor?: string }) => Promise<T>,
  add: (answer: T) => void,
): Promise<void> {
  for (let cursor: string | null | undefined; cursor !== null; ) {
    const answer = await call(cursor === undefined ? {} : { cursor });
    add(answer);
    cursor = answer.nextCursor;
  }
}

interface Counts {
  matched: number;
  readonly skipped: Record<string, number>;
}

function addUp(sum: Counts, answer: Readonly<Counts>): void {
  sum.matched += answer.matched;
  for (const [code, count] of Object.entries(answer.skipped))
    sum.skipped[code] = (sum.skipped[code] ?? 0) + count;
}

const jobs = (count: number): string => (count === 1 ? '1 job' : `${count} jobs`);

/** `; left alone: 3 job.already_retried`. */
function skippedText(skipped: Readonly<Record<string, number>>): string {
  const parts = Object.entries(skipped).map(([code, count]) => `${count} ${code}`);
  return parts.length === 0 ? '' : `; left alone: ${parts.join(', ')}`;
}
