import type { Command } from '../command.ts';
import { usageError } from '../command-error.ts';
import { EXIT } from '../exit-codes.ts';
import { followJob } from '../follow-job.ts';
import { idArgument, resolveJobId } from '../job-reference.ts';
import { serverToWaitFor } from '../server-for-job.ts';

export const watchCommand: Command = {
  name: 'watch',
  usage: 'ID [--after SEQ] [--json]',
  summary: "show a job's events, from the first on and as they come",
  details: `Goes on by itself after a broken connection. Ctrl-C ends the watching, not the job. Ends with the job, and with
its exit code.`,
  options: {
    after: { type: 'string', value: 'SEQ', help: 'only what comes after this event' },
    json: { type: 'boolean', help: 'NDJSON: the events, then the job' },
  },
  examples: ['bullpen watch 3B7C', 'bullpen watch 3B7C --json | jq -r .kind'],
  async run(context, args) {
    const after = args.integer('after') ?? 0;
    if (after < 0) throw usageError('--after takes the number of an event');
    const given = idArgument(args);
    await using server = await serverToWaitFor(context);
    const id = await resolveJobId(server.client, given);
    const job = await server.client.get(id);
    const stop = new AbortController();
    using _listening = context.interrupts.listen(() => stop.abort());
    try {
      return await followJob(job, {
        server,
        output: context.output,
        json: args.flag('json'),
        after,
        signal: stop.signal,
      });
    } catch (error) {
      if (!stop.signal.aborted) throw error;
      context.output.note(`not watched any more; the job goes on: bullpen watch ${id}`, 'dim');
      return EXIT.cancelled;
    }
  },
};
