import { ApiError } from '../../client/errors.ts';
import type { PromptRequest } from '../../protocol/prompt.ts';
import type { Arguments } from '../arguments.ts';
import type { Command, CommandContext } from '../command.ts';
import { CommandError, usageError } from '../command-error.ts';
import { driveJob } from '../drive-job.ts';
import { EXIT } from '../exit-codes.ts';
import { REQUEST_OPTIONS, requestFields } from '../request-options.ts';
import { type JobServer, joined, runningServer, serverToWaitFor, startOwnServer } from '../server-for-job.ts';

/** As the server has it; named here again, since its schema would cost every start its library. A test compares. */
export const MAX_PROMPT_BYTES = 1024 * 1024;

export const runCommand: Command = {
  name: 'run',
  usage: '[PROMPT | -] [OPTIONS]',
  summary: 'run a prompt and show its answer as it comes',
  details: `What comes on stdin is put behind the prompt, or is the prompt when there is none or it is -. In a loop that reads its
own stdin, give < /dev/null. The answer goes to stdout, everything else to stderr. Ctrl-C cancels the job; a second
one kills it and leaves. The job runs in the folder you are in, unless --cwd names another. When no server is
running, one is started for this job and stopped after it.`,
  options: {
    ...REQUEST_OPTIONS,
    detach: { type: 'boolean', short: 'd', help: 'print the id and leave the job to the server' },
    json: { type: 'boolean', help: 'NDJSON: the events, then the job (with --detach: only the job)' },
  },
  examples: [
    'bullpen run "What does this project do?"',
    'git diff | bullpen run "Review this" > review.md',
    "bullpen run 'Fix the failing test' --allowed-tools 'Read,Edit,Bash(npm test)' --timeout 15m --tag ci",
    'id=$(bullpen run "Tidy the docs" --permission-mode acceptEdits --detach)',
  ],
  async run(context, args) {
    const request: PromptRequest = {
      cwd: context.cwd,
      ...requestFields(args, context.cwd),
      prompt: await promptOf(context, args),
    };
    const cwd = request.cwd ?? context.cwd;
    await using server = await serverFor(context, cwd, args.flag('detach'));
    // Awaited here: the server is stopped when this function returns.
    return await driveJob({
      server,
      output: context.output,
      interrupts: context.interrupts,
      json: args.flag('json'),
      detach: args.flag('detach'),
      cwd,
      create: (client, key) =>
        client.create(request, key).catch((error: unknown) => explainFolder(error, args, context.cwd)),
    });
  },
};

async function promptOf(context: CommandContext, { positionals }: Arguments): Promise<string> {
  const [given, ...more] = positionals;
  if (more.length > 0) {
    throw usageError(`one prompt at a time; put it in quotes (what is ${JSON.stringify(more[0])}?)`);
  }
  const words = given === undefined || given === '-' ? null : given;
  const what = { maxBytes: MAX_PROMPT_BYTES, what: 'stdin', optional: words !== null };
  const piped = await context.readStdin(what);
  const prompt = words === null || (piped ?? '').trim() === '' ? (words ?? piped) : `${words}\n${piped}`;
  if (prompt === null) throw usageError('which prompt? Give it in quotes, or on stdin');
  if (prompt.trim() === '') throw usageError('the prompt is empty');
  return prompt;
}

async function serverFor(context: CommandContext, cwd: string, detach: boolean): Promise<JobServer> {
  if (detach) return serverToWaitFor(context, cwd);
  const running = await runningServer(context);
  if (running.kind === 'running') return joined(context, running, cwd);
  const { why } = running;
  // An address that was named on purpose means that server and no other.
  if ((await context.finder.home()) === null) throw new CommandError(EXIT.unavailable, why);
  context.output.note(`${why}; starting one for this job`, 'dim');
  return startOwnServer(context, cwd);
}

/** The caller may not know that the folder was part of the request. */
function explainFolder(error: unknown, args: Arguments, cwd: string): never {
  if (!(error instanceof ApiError) || error.code !== 'cwd.not_allowed') throw error;
  if (args.text('cwd') !== undefined) throw error;
  const message = `the server may not run jobs in ${cwd}, where you are: ${error.detail}; --cwd names another folder`;
  throw new CommandError(EXIT.usage, message, { cause: error });
}
