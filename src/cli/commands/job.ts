/** The commands for one job: show, watch, cancel, retry. */
import type { Job } from '../../protocol/job.ts';
import type { Execution } from '../../protocol/outcome.ts';
import type { RetryFrom } from '../../protocol/prompt.ts';
import type { Arguments } from '../arguments.ts';
import type { Command } from '../command.ts';
import { driveJob, followJob } from '../drive-job.ts';
import { EXIT, usageError } from '../failures.ts';
import { type Column, formatDuration, oneLine, renderTable } from '../format.ts';
import { resolveJobId, sessionOption } from '../ids.ts';
import { serverToWaitFor } from '../job-server.ts';
import { allowingCommand, answerOf, deniedTools, formatCost, outcomeLine } from '../outcome.ts';
import { REQUEST_OPTIONS, requestFields } from '../request-options.ts';
import { cancelMany, MANY_OPTIONS, retryMany, selectionOf } from './many-jobs.ts';

export const showCommand: Command = {
  name: 'show',
  usage: 'ID [--executions] [--json | --text]',
  summary: 'show one job, or its executions',
  options: {
    executions: { type: 'boolean', help: 'show each execution: how it ended, where, its cost' },
    json: { type: 'boolean', help: 'print the job or its executions as JSON' },
    text: { type: 'boolean', help: 'print the text of the answer only, unchanged' },
  },
  examples: ['bullpen show 01K9ZV4Q4S9V0M0X2T6D8Y3B7C', 'bullpen show 3B7C --text > answer.md'],
  async run(context, args) {
    if (args.flag('text') && (args.flag('json') || args.flag('executions')))
      throw usageError(`--${args.flag('json') ? 'json' : 'executions'} or --text, not both`);
    const given = idArgument(args);
    const client = await context.connect();
    const id = await resolveJobId(client, given);
    const { output } = context;
    if (args.flag('executions')) {
      const executions = await client.executions(id);
      if (args.flag('json')) output.json(executions, 2);
      else if (executions.length === 0) output.note('the job has no execution yet', 'dim');
      else output.text(`${renderTable(EXECUTIONS, executions, output.width).join('\n')}\n`);
      return EXIT.succeeded;
    }
    const job = await client.get(id);
    if (args.flag('json')) output.json(job, 2);
    else if (!args.flag('text')) output.text(`${describe(job).join('\n')}\n`);
    else if (job.outcome === null) output.note(`the job has no text yet: it is ${job.status}`, 'yellow');
    else {
      output.text(answerOf(job.outcome));
      if (output.width !== null) output.freshLine(); // before the prompt of the shell
    }
    return EXIT.succeeded;
  },
};

const EXECUTIONS: readonly Column<Execution>[] = [
  { title: 'ATTEMPT', cell: ({ attempt }) => String(attempt), right: true },
  { title: 'STATUS', cell: ({ status }) => status },
  { title: 'ERROR', cell: ({ outcome }) => outcome?.error?.code ?? '' },
  { title: 'PROVIDER', cell: ({ provider, credential }) => credential ?? provider ?? '' },
  { title: 'STARTED', cell: ({ startedAt }) => startedAt ?? '' },
  { title: 'TIME', cell: ({ outcome }) => timeOf(outcome?.durationMs ?? null), right: true },
  { title: 'COST', cell: ({ usage }) => (usage === null ? '' : formatCost(usage)) },
  { title: 'NODE', cell: ({ node }) => node },
];

const timeOf = (ms: number | null): string => (ms === null ? '' : formatDuration(ms));

function describe(job: Job): readonly string[] {
  const rows: [string, string | null][] = [
    ['job', job.id],
    ['status', job.finished ? outcomeLine(job) : unfinishedStatus(job)],
    ['error', job.outcome?.error ? `${job.outcome.error.code}: ${job.outcome.error.message}` : null],
    ...deniedTools(job).map((denied): [string, string] => ['denied', denied]),
    ['to allow', allowingCommand(job)],
    ['made by', madeBy(job)],
    ['session', job.sessionId],
    ['provider', job.model === null ? job.provider : `${job.provider}, ${job.model}`],
    ['folder', job.cwd],
    ['mode', job.permissionMode],
    ['options', optionsOf(job)],
    ['created', job.createdAt],
    ['started', job.startedAt],
    ['finished', job.finishedAt],
    [
      'attempts',
      job.attempts > 1 ? `${job.attempts} (bullpen show ${job.id} --executions)` : `${job.attempts}`,
    ],
    ['retry of', job.retryOf],
    ['tags', job.tags.length === 0 ? null : job.tags.join(', ')],
    ['metadata', metadataOf(job)],
    ['archived', job.archived ? 'yes' : null],
    ['prompt', oneLine(job.prompt, 400)],
  ];
  const facts = rows.flatMap(([name, value]) =>
    value === null ? [] : [`${name.padEnd(10)}${oneLine(value)}`],
  );
  const text = job.outcome === null ? '' : answerOf(job.outcome);
  return text === '' ? facts : [...facts, '', text.replace(/\n$/, '')];
}

/** Not shown for the admin's own. */
const madeBy = ({ project, principal }: Job): string | null =>
  project === 'default' && principal === 'admin' ? null : `${principal} (project ${project})`;

function unfinishedStatus({ status, waitReason, scheduledFor, cancelRequested }: Job): string {
  const why =
    waitReason === null ? '' : ` (${waitReason}${scheduledFor === null ? '' : ` until ${scheduledFor}`})`;
  return `${status}${why}${cancelRequested ? ', cancel requested' : ''}`;
}

/** Fields of the request that the job shows by themselves. */
const SHOWN = new Set([
  ...['prompt', 'provider', 'model', 'cwd', 'sessionId', 'permissionMode', 'tags', 'metadata', 'runAt'],
]);
const MAX_OPTION = 80;

/** The other options of its request, by their names in the API. */
function optionsOf({ request }: Job): string | null {
  const options = Object.entries(request).flatMap(([name, value]) => {
    if (SHOWN.has(name)) return [];
    if (name.endsWith('Ms') && typeof value === 'number')
      return [`${name.slice(0, -2)} ${formatDuration(value)}`];
    return [`${name} ${oneLine(typeof value === 'string' ? value : JSON.stringify(value), MAX_OPTION)}`];
  });
  return options.length === 0 ? null : options.join(', ');
}

function metadataOf({ metadata }: Job): string | null {
  const pairs = Object.entries(metadata).map(([key, value]) => `${key}=${value}`);
  return pairs.length === 0 ? null : pairs.join(', ');
}

export const watchCommand: Command = {
  name: 'watch',
  usage: 'ID [--after SEQ] [--json]',
  summary: 'show the events of a job from the first one, until the job ends',
  details: `Reconnects after a broken connection. Ctrl-C stops watching, not the job. The exit
code is the one of the job.`,
  options: {
    after: { type: 'string', value: 'SEQ', help: 'show only the events after this one' },
    json: { type: 'boolean', help: 'print NDJSON: the events, then the job' },
  },
  examples: ['bullpen watch 3B7C', 'bullpen watch 3B7C --json | jq -r .kind'],
  async run(context, args) {
    const after = args.integer('after') ?? 0;
    if (after < 0) throw usageError('--after takes the number of an event');
    const given = idArgument(args);
    const json = args.flag('json');
    await using server = await serverToWaitFor(context);
    const id = await resolveJobId(server.client, given);
    const job = await server.client.get(id);
    const stop = new AbortController();
    using _listening = context.interrupts.listen(() => stop.abort());
    try {
      const { output } = context;
      return await followJob(job, { server, output, json, after, asker: null, signal: stop.signal });
    } catch (error) {
      if (!stop.signal.aborted) throw error;
      context.output.note(`stopped watching; the job continues: bullpen watch ${id}`, 'dim');
      return EXIT.cancelled;
    }
  },
};

export const cancelCommand: Command = {
  name: 'cancel',
  usage: 'ID [--force], or OPTIONS',
  summary: 'cancel a job, or all that the options name',
  details: `Without ID it cancels the jobs that bullpen jobs lists with the same options and
that have not ended. Repeating it does no harm.`,
  options: {
    force: { type: 'boolean', help: 'kill it at once, without a grace period' },
    ...MANY_OPTIONS,
    json: { type: 'boolean', help: 'print the job as JSON; without ID: the counts' },
  },
  examples: ['bullpen cancel 3B7C', 'bullpen cancel 3B7C --force', 'bullpen cancel --tag nightly'],
  async run(context, args) {
    const selection = selectionOf(args, context.now());
    const json = args.flag('json');
    if (selection !== null) {
      const client = await context.connect();
      await cancelMany(client, context.output, selection, { force: args.flag('force'), json });
      return EXIT.succeeded;
    }
    const given = idArgument(args);
    const client = await context.connect();
    const id = await resolveJobId(client, given);
    const job = await client.cancel(id, { force: args.flag('force') });
    if (json) context.output.json(job, 2);
    else {
      const state = job.finished ? `job ${id} is ${job.status}` : `cancelling job ${id}`;
      context.output.note(state, 'dim');
    }
    return EXIT.succeeded;
  },
};

export const retryCommand: Command = {
  name: 'retry',
  usage: 'ID [OPTIONS], or OPTIONS',
  summary: 'run finished jobs again, as new jobs',
  details: `With ID it shows the new job, which is like the first one, except for what the options
change. It goes on in the session of the first one, where the CLI has begun it. Ctrl-C cancels the
new job.

Without ID, the options but --from name jobs, as for bullpen jobs, and change nothing
in them. Without --status the failed ones are retried. The new jobs are a batch,
whose id goes to stdout. A job that has a retry is left alone, so repeating the
command does no harm.`,
  options: {
    prompt: { type: 'string', value: 'TEXT', help: 'another prompt' },
    from: { type: 'string', value: 'PLACE', help: 'session (default, once it has begun) or start' },
    ...MANY_OPTIONS,
    ...REQUEST_OPTIONS,
    detach: { type: 'boolean', short: 'd', help: 'print the new id and do not wait for the job' },
    json: { type: 'boolean', help: 'print NDJSON: the events, then the job (with --detach: the job)' },
  },
  examples: [
    'bullpen retry 3B7C',
    'bullpen retry 3B7C --model opus --timeout 1h --detach',
    'bullpen retry --status failed --tag nightly --since 12h',
  ],
  async run(context, args) {
    const own = ['prompt', 'detach', ...Object.keys(REQUEST_OPTIONS)];
    const selection = selectionOf(args, context.now(), own);
    const from = retryFrom(args.text('from'));
    if (selection !== null) {
      const client = await context.connect();
      await retryMany(client, context.output, selection, { ...from, json: args.flag('json') });
      return EXIT.succeeded;
    }
    const prompt = args.text('prompt');
    const changes = {
      ...requestFields(args, context.cwd, context.now()),
      ...(prompt === undefined ? {} : { prompt }),
      ...from,
    };
    const given = idArgument(args);
    await using server = await serverToWaitFor(context);
    const id = await resolveJobId(server.client, given);
    const sessionId = await sessionOption(server.client, args, context.cwd);
    // Awaited here, because the server is disposed of when this function returns.
    return await driveJob({
      server,
      output: context.output,
      interrupts: context.interrupts,
      json: args.flag('json'),
      detach: args.flag('detach'),
      cwd: changes.cwd ?? context.cwd,
      asker: null,
      create: (client, options) => client.retry(id, { ...changes, ...sessionId }, options),
    });
  },
};

/** @throws CommandError */
function retryFrom(place: string | undefined): { readonly from?: RetryFrom } {
  if (place === undefined) return {};
  if (place === 'session' || place === 'start') return { from: place };
  throw usageError('--from takes session or start');
}

/** The id that a command was given. @throws CommandError for none or several */
function idArgument(args: Arguments): string {
  const [id, ...more] = args.positionals;
  if (id === undefined || id.trim() === '')
    throw usageError('which job? Give its id; `bullpen jobs` lists them');
  if (more.length > 0) throw usageError(`one job at a time, not ${more.join(' ')}, too`);
  return id;
}
