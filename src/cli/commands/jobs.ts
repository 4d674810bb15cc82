import type { JobListQuery } from '../../client/answers.ts';
import type { JobListItem, JobStatus } from '../../protocol/job.ts';
import type { Arguments } from '../arguments.ts';
import type { Command } from '../command.ts';
import { usageError } from '../command-error.ts';
import { deniedCount } from '../denials.ts';
import { formatAge, parseMoment } from '../duration.ts';
import { EXIT } from '../exit-codes.ts';
import { formatUsd } from '../outcome-line.ts';
import { type Column, renderTable } from '../table.ts';

/** Named here again: the schema would cost every start its library. The type keeps them complete. */
const STATUSES: Readonly<Record<JobStatus, JobStatus>> = {
  queued: 'queued',
  scheduled: 'scheduled',
  running: 'running',
  succeeded: 'succeeded',
  failed: 'failed',
  cancelled: 'cancelled',
};

export const jobsCommand: Command = {
  name: 'jobs',
  usage: '[OPTIONS]',
  summary: 'list jobs, newest first',
  options: {
    status: {
      type: 'string',
      multiple: true,
      value: 'STATUS',
      help: 'queued, scheduled, running, succeeded, failed or cancelled',
    },
    provider: { type: 'string', multiple: true, value: 'NAME', help: 'of this provider' },
    tag: { type: 'string', multiple: true, value: 'TAG', help: 'with this tag; all of them when repeated' },
    q: { type: 'string', value: 'TEXT', help: 'with this text in the prompt' },
    since: { type: 'string', value: 'WHEN', help: 'made since a date (2026-11-01) or for as long as 7d' },
    limit: { type: 'string', short: 'n', value: 'N', help: 'at the most (20; up to 100)' },
    cursor: { type: 'string', value: 'CURSOR', help: 'the next page, as the one before names it' },
    json: { type: 'boolean', help: 'the page as JSON: {data, nextCursor}' },
  },
  examples: ['bullpen jobs --status running', 'bullpen jobs --tag nightly --status failed --since 7d --json'],
  async run(context, args) {
    if (args.positionals.length > 0)
      throw usageError('jobs takes options only; `bullpen show ID` shows one job');
    const query = queryOf(args, context.now());
    const page = await (await context.connect()).list(query);
    const { output } = context;
    if (args.flag('json')) {
      output.json(page, 2);
      return EXIT.succeeded;
    }
    if (page.data.length === 0) output.note('no jobs', 'dim');
    else {
      const lines = renderTable(columns(context.now()), page.data, output.width);
      output.text(`${lines.join('\n')}\n`);
    }
    if (page.nextCursor !== null) output.note(`more: --cursor ${page.nextCursor}`, 'dim');
    return EXIT.succeeded;
  },
};

function queryOf(args: Arguments, now: Date): JobListQuery {
  const since = args.text('since');
  const query = {
    status: many(args.list('status').map(statusOf)),
    provider: many(args.list('provider')),
    tag: many(args.texts('tag')),
    q: args.text('q'),
    createdAfter: since === undefined ? undefined : parseMoment('--since', since, now),
    limit: args.integer('limit'),
    cursor: args.text('cursor'),
  };
  // What was not asked for is left out.
  return Object.fromEntries(Object.entries(query).filter(([, value]) => value !== undefined));
}

const many = <T>(values: readonly T[]): readonly T[] | undefined =>
  values.length === 0 ? undefined : values;

function statusOf(word: string): JobStatus {
  const known = Object.values(STATUSES);
  const status = known.find((one) => one === word);
  if (status !== undefined) return status;
  throw usageError(`--status takes ${known.join(', ')}, not ${JSON.stringify(word)}`);
}

const columns = (now: Date): readonly Column<JobListItem>[] => [
  { title: 'ID', cell: ({ id }) => id },
  {
    title: 'STATUS',
    cell({ status, error, deniedTools }) {
      const how = status === 'failed' && error !== null ? error.code : status;
      return [how, deniedCount(deniedTools ?? 0)].filter((part) => part !== null).join(', ');
    },
  },
  { title: 'PROVIDER', cell: ({ provider }) => provider },
  { title: 'AGE', cell: ({ createdAt }) => formatAge(now.getTime() - Date.parse(createdAt)), right: true },
  { title: 'COST', cell: ({ costUsd }) => (costUsd === null ? '' : formatUsd(costUsd)), right: true },
  { title: 'PROMPT', cell: ({ promptPreview }) => promptPreview, maxWidth: 80 },
];
