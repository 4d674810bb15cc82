import type { Command } from '../command.ts';
import { driveJob } from '../drive-job.ts';
import { idArgument, resolveJobId } from '../job-reference.ts';
import { REQUEST_OPTIONS, requestFields } from '../request-options.ts';
import { serverToWaitFor } from '../server-for-job.ts';

export const retryCommand: Command = {
  name: 'retry',
  usage: 'ID [OPTIONS]',
  summary: 'make a new job of a finished one and show it',
  details: 'Everything is as in the first job, but for what the options change. Ctrl-C cancels the new job.',
  options: {
    prompt: { type: 'string', value: 'TEXT', help: 'another prompt' },
    ...REQUEST_OPTIONS,
    detach: { type: 'boolean', short: 'd', help: 'print the new id and leave the job to the server' },
    json: { type: 'boolean', help: 'NDJSON: the events, then the job (with --detach: only the job)' },
  },
  examples: ['bullpen retry 3B7C', 'bullpen retry 3B7C --model opus --timeout 1h --detach'],
  async run(context, args) {
    const prompt = args.text('prompt');
    const changes = { ...requestFields(args, context.cwd), ...(prompt === undefined ? {} : { prompt }) };
    const given = idArgument(args);
    await using server = await serverToWaitFor(context);
    const id = await resolveJobId(server.client, given);
    return await driveJob({
      server,
      output: context.output,
      interrupts: context.interrupts,
      json: args.flag('json'),
      detach: args.flag('detach'),
      cwd: changes.cwd ?? context.cwd,
      create: (client, key) => client.retry(id, changes, key),
    });
  },
};
