import { ApiError } from '../../client/errors.ts';
import type { PromptRequest } from '../../protocol/prompt.ts';
import type { Arguments } from '../arguments.ts';
import { askerFor } from '../ask-person.ts';
import type { Command, CommandContext } from '../command.ts';
import { driveJob } from '../drive-job.ts';
import { CommandError, EXIT, usageError } from '../failures.ts';
import { sessionOption } from '../ids.ts';
import { serverOrOwn, serverToWaitFor } from '../job-server.ts';
import { REQUEST_OPTIONS, requestFields } from '../request-options.ts';

/**
 * The limit of the server, repeated here because its schema loads a library. A test compares the
 * two.
 */
export const MAX_PROMPT_BYTES = 1024 * 1024;

const NO_TERMINAL =
  'there is no terminal to ask on: `bullpen approvals` shows what the job waits for, on any terminal';

export const runCommand: Command = {
  name: 'run',
  usage: '[PROMPT | -] [OPTIONS]',
  summary: 'run a prompt and show the answer as it comes',
  details: `Text on stdin is appended to the prompt; without PROMPT, or with -, it is the
prompt. In a loop that reads its own stdin, add < /dev/null. The answer goes to
stdout, everything else to stderr.

The job runs in the current folder, unless --cwd names another. Without a running
server, a server is started for this job and stopped after it. Ctrl-C cancels the
job; a second Ctrl-C kills it and exits.`,
  options: {
    ...REQUEST_OPTIONS,
    continue: { type: 'boolean', short: 'c', help: 'go on in the last session of this folder' },
    ask: { type: 'boolean', short: 'a', help: 'ask here what the rules do not allow, and what the CLI asks' },
    detach: { type: 'boolean', short: 'd', help: 'print the job id and do not wait for the job' },
    json: { type: 'boolean', help: 'print NDJSON: the events, then the job (with --detach: the job)' },
  },
  examples: [
    'bullpen run "What does this project do?"',
    'bullpen run --continue "And now the tests"',
    'git diff | bullpen run "Review this" > review.md',
    "bullpen run 'Fix the test' --allowed-tools 'Read,Edit,Bash(npm test)'",
    'id=$(bullpen run "Tidy the docs" --permission-mode acceptEdits --detach)',
  ],
  async run(context, args) {
    const [detach, asks] = [args.flag('detach'), args.flag('ask')];
    if (asks && args.text('on-permission-denied') !== undefined)
      throw usageError('--ask is --on-permission-denied ask');
    if (args.flag('continue') && args.text('session') !== undefined)
      throw usageError('--continue or --session, not both');
    const request: PromptRequest = {
      cwd: context.cwd,
      // Without a terminal, a script waits.
      ...(detach || context.output.live ? {} : { onQuota: 'fail' }),
      ...requestFields(args, context.cwd, context.now()),
      ...(asks ? { onPermissionDenied: 'ask' } : {}),
      prompt: await promptOf(context, args),
    };
    const cwd = request.cwd ?? context.cwd;
    await using server = detach ? await serverToWaitFor(context, cwd) : await serverOrOwn(context, cwd);
    const session = await sessionOption(server.client, args, cwd);
    const editor = asks && !detach ? context.openEditor('') : null;
    if (asks && !detach && editor === null) context.output.note(NO_TERMINAL, 'yellow');
    using _typing = editor;
    await using asker = editor === null ? null : await askerFor(context, server, editor);
    // Awaited here, because the server is disposed of when this function returns.
    return await driveJob({
      server,
      output: context.output,
      interrupts: context.interrupts,
      json: args.flag('json'),
      detach,
      cwd,
      asker,
      create: (client, options) =>
        client
          .create({ ...request, ...session }, options)
          .catch((error: unknown) => explainFolder(error, args, context.cwd)),
    });
  },
};

async function promptOf(context: CommandContext, { positionals }: Arguments): Promise<string> {
  const [given, ...more] = positionals;
  if (more.length > 0) {
    throw usageError(`one prompt at a time; put it in quotes (what is ${JSON.stringify(more[0])}?)`);
  }
  const words = given === undefined || given === '-' ? null : given;
  const stdin = { maxBytes: MAX_PROMPT_BYTES, what: 'stdin', optional: words !== null };
  const piped = await context.readStdin(stdin);
  const prompt = words === null || (piped ?? '').trim() === '' ? (words ?? piped) : `${words}\n${piped}`;
  if (prompt === null) throw usageError('which prompt? Give it in quotes, or on stdin');
  if (prompt.trim() === '') throw usageError('the prompt is empty');
  return prompt;
}

/** Names the current folder in the error, because the caller did not name a folder. */
function explainFolder(error: unknown, args: Arguments, cwd: string): never {
  if (!(error instanceof ApiError) || error.code !== 'cwd.not_allowed') throw error;
  if (args.text('cwd') !== undefined) throw error;
  const why = `the server may not run jobs in the current folder ${cwd}: ${error.detail}`;
  throw new CommandError(EXIT.usage, `${why}; --cwd names another folder`, { cause: error });
}
