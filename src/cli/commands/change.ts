import type { JobPatch } from '../../protocol/job.ts';
import { type Arguments, parseStart } from '../arguments.ts';
import type { Command } from '../command.ts';
import { EXIT, usageError } from '../failures.ts';
import { resolveJobId } from '../ids.ts';
import { pairOf } from '../request-options.ts';

export const changeCommand: Command = {
  name: 'change',
  usage: 'ID… [OPTIONS]',
  summary: 'change the priority, the time, the tags or the metadata of jobs',
  details: `Tags, metadata and the archived mark can change at any time, also after the job has
ended; those that are given replace all tags, or all metadata. The priority can change
until the job has ended, the time until it runs.`,
  options: {
    priority: { type: 'string', value: 'N', help: 'its priority, from -10 to 10' },
    'run-at': { type: 'string', value: 'WHEN', help: 'when it may start: a time, or now' },
    archive: { type: 'boolean', help: 'mark it as archived; `bullpen jobs --not-archived` hides it' },
    unarchive: { type: 'boolean', help: 'remove that mark' },
    tag: { type: 'string', multiple: true, value: 'TAG', help: 'its tags from now on' },
    'no-tags': { type: 'boolean', help: 'it has no tags from now on' },
    metadata: { type: 'string', multiple: true, value: 'KEY=VALUE', help: 'its metadata from now on' },
    'no-metadata': { type: 'boolean', help: 'it has no metadata from now on' },
    json: { type: 'boolean', help: 'print each job as a line of JSON' },
  },
  examples: ['bullpen change 3B7C --archive', 'bullpen change 3B7C 9XY1 --tag reviewed --tag docs'],
  async run(context, args) {
    const patch = patchOf(args, context.now());
    if (args.positionals.length === 0) throw usageError('which jobs? Give their ids');
    const client = await context.connect();
    const ids: string[] = [];
    for (const given of args.positionals) ids.push(await resolveJobId(client, given));
    for (const id of ids) {
      const job = await client.change(id, patch);
      if (args.flag('json')) context.output.json(job);
      else context.output.note(`job ${id} is changed`, 'dim');
    }
    return EXIT.succeeded;
  },
};

/** @throws CommandError when nothing changes, or two options exclude each other */
function patchOf(args: Arguments, now: Date): JobPatch {
  for (const [one, other] of [
    ['archive', 'unarchive'],
    ['tag', 'no-tags'],
    ['metadata', 'no-metadata'],
  ] as const) {
    if ((args.flag(one) || args.texts(one).length > 0) && args.flag(other))
      throw usageError(`--${one} and --${other} exclude each other`);
  }
  const [tags, pairs] = [args.texts('tag'), args.texts('metadata')];
  const [priority, runAt] = [args.integer('priority'), args.text('run-at')];
  const patch: JobPatch = {
    ...(priority !== undefined && { priority }),
    ...(runAt !== undefined && { runAt: parseStart('--run-at', runAt, now) }),
    ...(args.flag('archive') || args.flag('unarchive') ? { archived: args.flag('archive') } : {}),
    ...(tags.length > 0 || args.flag('no-tags') ? { tags: [...tags] } : {}),
    ...(pairs.length > 0 || args.flag('no-metadata')
      ? { metadata: Object.fromEntries(pairs.map(pairOf)) }
      : {}),
  };
  if (Object.keys(patch).length === 0) throw usageError('what changes? See `bullpen change --help`');
  return patch;
}
