import type { Command } from '../command.ts';
import { EXIT } from '../exit-codes.ts';
import { idArgument, resolveJobId } from '../job-reference.ts';

export const cancelCommand: Command = {
  name: 'cancel',
  usage: 'ID [--force]',
  summary: 'ask for the end of a job',
  options: {
    force: { type: 'boolean', help: 'kill at once, without the grace' },
    json: { type: 'boolean', help: 'the job as JSON' },
  },
  examples: ['bullpen cancel 3B7C', 'bullpen cancel 3B7C --force'],
  async run(context, args) {
    const given = idArgument(args);
    const client = await context.connect();
    const id = await resolveJobId(client, given);
    const job = await client.cancel(id, { force: args.flag('force') });
    if (args.flag('json')) context.output.json(job, 2);
    else {
      const state = job.finished ? `job ${id} is ${job.status}` : `job ${id} is asked to end`;
      context.output.note(state, 'dim');
    }
    return EXIT.succeeded;
  },
};
