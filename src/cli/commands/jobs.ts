import type { JobListQuery } from '../../client/answers.ts';
import type { JobListItem, JobStatus } from '../../protocol/job.ts';
import type { Arguments } from '../arguments.ts';
import { parseMoment } from '../arguments.ts';
import type { Command } from '../command.ts';
import { EXIT, usageError } from '../failures.ts';
import { type Column, formatAge, formatUsd, renderTable } from '../format.ts';
import { deniedCount } from '../outcome.ts';

/** Repeated here because the schema loads a library. The type keeps the list complete. */
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
    provider: { type: 'string', multiple: true, value: 'NAME', help: 'jobs of this provider' },
    tag: { type: 'string', multiple: true, value: 'TAG', help: 'jobs with all of these tags' },
    q: { type: 'string', value: 'TEXT', help: 'jobs with this text in the prompt' },
    since: { type: 'string', value: 'WHEN', help: 'jobs made since 2026-11-01, or in the last 7d' },
    limit: {
      type: 'string',
      short: 'n',
      value: 'N',
      help: 'maximum number of jobs (default: 20; at most 100)',
    },
    cursor: { type: 'string', value: 'CURSOR', help: 'the next page, as the previous one names it' },
    json: { type: 'boolean', help: 'print the page as JSON: {data, nextCursor}' },
  },
  examples: ['bullpen jobs --status running', 'bullpen jobs --tag nightly --status failed --since 7d'],
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
    status: nonEmpty(args.list('status').map(statusOf)),
    provider: nonEmpty(args.list('provider')),
    tag: nonEmpty(args.texts('tag')),
    q: args.text('q'),
    createdAfter: since === undefined ? undefined : parseMoment('--since', since, now),
    limit: args.integer('limit'),
    cursor: args.text('cursor'),
  };
  return Object.fromEntries(Object.entries(query).filter(([, value]) => value !== undefined));
}

const nonEmpty = <T>(values: readonly T[]): readonly T[] | undefined =>
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
      const result = status === 'failed' && error !== null ? error.code : status;
      return [result, deniedCount(deniedTools ?? 0)].filter((part) => part !== null).join(', ');
    },
  },
  { title: 'PROVIDER', cell: ({ provider }) => provider },
  { title: 'AGE', cell: ({ createdAt }) => formatAge(now.getTime() - Date.parse(createdAt)), right: true },
  { title: 'COST', cell: ({ costUsd }) => (costUsd === null ? '' : formatUsd(costUsd)), right: true },
  { title: 'PROMPT', cell: ({ promptPreview }) => promptPreview, maxWidth: 80 },
];
