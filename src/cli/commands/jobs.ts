import type { JobFilter, JobListItem, JobStatus } from '../../protocol/job.ts';
import type { Arguments, OptionSpecs } from '../arguments.ts';
import { parseMoment } from '../arguments.ts';
import type { Command } from '../command.ts';
import { EXIT, usageError } from '../failures.ts';
import { type Column, formatAge, formatTime, formatUsd, renderTable } from '../format.ts';
import { deniedCount } from '../outcome.ts';

/** Repeated here because the schema loads a library. The type keeps the list complete. */
const STATUSES: Readonly<Record<JobStatus, JobStatus>> = {
  queued: 'queued',
  scheduled: 'scheduled',
  waiting: 'waiting',
  running: 'running',
  succeeded: 'succeeded',
  failed: 'failed',
  cancelled: 'cancelled',
};

/** The options that say which jobs are meant. */
export const FILTER_OPTIONS: OptionSpecs = {
  status: {
    type: 'string',
    multiple: true,
    value: 'STATUS',
    help: 'queued, scheduled, waiting, running, succeeded, failed or cancelled',
  },
  'wait-reason': { type: 'string', multiple: true, value: 'REASON', help: 'jobs that wait for this' },
  provider: { type: 'string', multiple: true, value: 'NAME', help: 'jobs of this provider' },
  model: { type: 'string', multiple: true, value: 'NAME', help: 'jobs whose request names this model' },
  tag: { type: 'string', multiple: true, value: 'TAG', help: 'jobs with all of these tags' },
  batch: { type: 'string', value: 'ID', help: 'jobs of this batch' },
  session: { type: 'string', value: 'ID', help: 'jobs of this session' },
  project: { type: 'string', value: 'NAME', help: 'jobs of this project' },
  principal: { type: 'string', value: 'NAME', help: 'jobs that this principal made' },
  'error-code': { type: 'string', multiple: true, value: 'CODE', help: 'jobs that ended with this error' },
  archived: { type: 'boolean', help: 'archived jobs only' },
  'not-archived': { type: 'boolean', help: 'without archived jobs' },
  since: { type: 'string', value: 'WHEN', help: 'jobs made since 2026-11-01, or in the last 7d' },
  until: { type: 'string', value: 'WHEN', help: 'jobs made before this' },
  q: { type: 'string', value: 'TEXT', help: 'jobs with this text in the prompt or the answer' },
};

export const jobsCommand: Command = {
  name: 'jobs',
  usage: '[OPTIONS]',
  summary: 'list jobs, newest first',
  options: {
    ...FILTER_OPTIONS,
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
    const query = {
      ...filterOf(args, context.now()),
      ...given({ limit: args.integer('limit'), cursor: args.text('cursor') }),
    };
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

/** The filter of {@link FILTER_OPTIONS}; the server checks its values. */
export function filterOf(args: Arguments, now: Date): JobFilter {
  const moment = (option: string): string | undefined => {
    const text = args.text(option);
    return text === undefined ? undefined : parseMoment(`--${option}`, text, now);
  };
  if (args.flag('archived') && args.flag('not-archived'))
    throw usageError('--archived and --not-archived exclude each other');
  return given({
    status: nonEmpty(args.list('status').map(statusOf)),
    // as, here and below: the server refuses a word that it does not know
    waitReason: nonEmpty(args.list('wait-reason')) as JobFilter['waitReason'],
    provider: nonEmpty(args.list('provider')),
    model: nonEmpty(args.list('model')),
    tag: nonEmpty([...args.texts('tag')]),
    batch: args.text('batch'),
    session: args.text('session'),
    project: args.text('project'),
    principal: args.text('principal'),
    errorCode: nonEmpty(args.list('error-code')) as JobFilter['errorCode'],
    archived: args.flag('archived') ? true : args.flag('not-archived') ? false : undefined,
    createdAfter: moment('since'),
    createdBefore: moment('until'),
    q: args.text('q'),
  });
}

type Given<T> = { [K in keyof T]?: Exclude<T[K], undefined> };

/** The members that have a value. */
const given = <T extends object>(members: T): Given<T> =>
  // as: of the members of T, only those without a value are left out
  Object.fromEntries(Object.entries(members).filter(([, value]) => value !== undefined)) as Given<T>;

const nonEmpty = <T>(values: readonly T[]): T[] | undefined =>
  values.length === 0 ? undefined : [...values];

/** @throws CommandError for a word that is no status */
export function statusOf(word: string): JobStatus {
  const known = Object.values(STATUSES);
  const status = known.find((one) => one === word);
  if (status !== undefined) return status;
  throw usageError(`--status takes ${known.join(', ')}, not ${JSON.stringify(word)}`);
}

/** `scheduled (quota until 03:00)`, `queued (session)`, `running`. */
function waitingStatus({ status, waitReason, scheduledFor }: JobListItem, now: Date): string {
  const until = scheduledFor === null ? [] : [`until ${formatTime(new Date(scheduledFor), now)}`];
  const parts = [...(waitReason === null || waitReason === 'delayed' ? [] : [waitReason]), ...until];
  return parts.length === 0 ? status : `${status} (${parts.join(' ')})`;
}

const columns = (now: Date): readonly Column<JobListItem>[] => [
  { title: 'ID', cell: ({ id }) => id },
  {
    title: 'STATUS',
    cell(job) {
      const { status, error, deniedTools } = job;
      const result = status === 'failed' && error !== null ? error.code : waitingStatus(job, now);
      return [result, deniedCount(deniedTools ?? 0)].filter((part) => part !== null).join(', ');
    },
  },
  { title: 'PROVIDER', cell: ({ provider }) => provider },
  { title: 'AGE', cell: ({ createdAt }) => formatAge(now.getTime() - Date.parse(createdAt)), right: true },
  { title: 'COST', cell: ({ costUsd }) => (costUsd === null ? '' : formatUsd(costUsd)), right: true },
  { title: 'PROMPT', cell: ({ promptPreview }) => promptPreview, maxWidth: 80 },
];
