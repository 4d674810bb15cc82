import type { Job } from '../../protocol/job.ts';
import type { Command } from '../command.ts';
import { usageError } from '../command-error.ts';
import { allowingCommand, deniedTools } from '../denials.ts';
import { answerOf } from '../event-printer.ts';
import { EXIT } from '../exit-codes.ts';
import { idArgument, resolveJobId } from '../job-reference.ts';
import { outcomeLine } from '../outcome-line.ts';
import { oneLine } from '../plain-text.ts';

export const showCommand: Command = {
  name: 'show',
  usage: 'ID [--json | --text]',
  summary: 'show one job',
  options: {
    json: { type: 'boolean', help: 'the job as JSON' },
    text: { type: 'boolean', help: "its answer alone: the outcome's text as it is" },
  },
  examples: ['bullpen show 01K9ZV4Q4S9V0M0X2T6D8Y3B7C', 'bullpen show 3B7C --text > answer.md'],
  async run(context, args) {
    if (args.flag('json') && args.flag('text')) throw usageError('--json or --text, not both');
    const given = idArgument(args);
    const client = await context.connect();
    const job = await client.get(await resolveJobId(client, given));
    const { output } = context;
    if (args.flag('json')) output.json(job, 2);
    else if (!args.flag('text')) output.text(`${lines(job).join('\n')}\n`);
    else if (job.outcome === null) output.note(`the job has no text yet: it is ${job.status}`, 'yellow');
    else {
      output.text(answerOf(job.outcome));
      if (output.width !== null) output.freshLine(); // a prompt follows it there
    }
    return EXIT.succeeded;
  },
};

function lines(job: Job): readonly string[] {
  const rows: [string, string | null][] = [
    ['job', job.id],
    ['status', job.finished ? outcomeLine(job) : waiting(job)],
    ['error', job.outcome?.error ? `${job.outcome.error.code}: ${job.outcome.error.message}` : null],
    ...deniedTools(job).map((denied): [string, string] => ['denied', denied]),
    ['to allow', allowingCommand(job)],
    ['provider', job.model === null ? job.provider : `${job.provider}, ${job.model}`],
    ['folder', job.cwd],
    ['mode', job.permissionMode],
    ['created', job.createdAt],
    ['started', job.startedAt],
    ['finished', job.finishedAt],
    ['attempts', String(job.attempts)],
    ['retry of', job.retryOf],
    ['tags', job.tags.length === 0 ? null : job.tags.join(', ')],
    ['metadata', metadataOf(job)],
    ['prompt', oneLine(job.prompt, 400)],
  ];
  const facts = rows.flatMap(([name, value]) =>
    value === null ? [] : [`${name.padEnd(10)}${oneLine(value)}`],
  );
  const text = job.outcome === null ? '' : answerOf(job.outcome);
  return text === '' ? facts : [...facts, '', text.replace(/\n$/, '')];
}

function waiting({ status, waitReason, scheduledFor, cancelRequested }: Job): string {
  const why =
    waitReason === null ? '' : ` (${waitReason}${scheduledFor === null ? '' : ` until ${scheduledFor}`})`;
  return `${status}${why}${cancelRequested ? ', cancel requested' : ''}`;
}

function metadataOf({ metadata }: Job): string | null {
  const pairs = Object.entries(metadata).map(([key, value]) => `${key}=${value}`);
  return pairs.length === 0 ? null : pairs.join(', ');
}
