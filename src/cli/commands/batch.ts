import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import type { Client } from '../../client/client.ts';
import { messageOf } from '../../errors.ts';
import type { Batch } from '../../protocol/job.ts';
import type { Arguments } from '../arguments.ts';
import type { Command, CommandContext } from '../command.ts';
import { usageError } from '../command-error.ts';
import { EXIT } from '../exit-codes.ts';
import { clock } from '../progress.ts';
import { inCalls, readPromptList } from '../prompt-list.ts';
import { REQUEST_OPTIONS, requestFields } from '../request-options.ts';
import { type JobServer, serverToWaitFor } from '../server-for-job.ts';

/** What one call takes (docs/api.md). */
const CALL_PROMPTS = 1000;
/** Well below the server's default for a body (BULLPEN_BODY_LIMIT_BYTES). */
const CALL_BYTES = 1_500_000;
/** Far more prompts than a server takes, and no more than fits into memory. */
const LIST_BYTES = 256 * 1024 * 1024;
const LOOK_EVERY_MS = 1000;
/** How many jobs with denied tools are named. */
const MAX_NAMED = 10;

export const batchCommand: Command = {
  name: 'batch',
  usage: 'FILE | - [OPTIONS]',
  summary: 'make jobs of a list of prompts',
  details: `One prompt per line, as text or as JSON with the fields of a request; blank lines are left out. The ids of the jobs
go to stdout, one per line; a prompt that is refused is named on stderr and harms no other. The options hold for every
prompt that says nothing else itself.`,
  options: {
    ...REQUEST_OPTIONS,
    wait: { type: 'boolean', short: 'w', help: 'wait until every job has ended, and say how' },
    json: { type: 'boolean', help: "the server's answers as NDJSON instead of the ids" },
  },
  examples: [
    'bullpen batch prompts.txt --tag nightly --wait',
    `jq -c '{prompt: .question, metadata: {id: .id}}' questions.json | bullpen batch -`,
  ],
  async run(context, args) {
    const common = { cwd: context.cwd, ...requestFields(args, context.cwd) };
    const prompts = readPromptList(await listOf(context, args), common);
    if (prompts.length === 0) throw usageError('there is no prompt in the list');
    await using server = await serverToWaitFor(context, common.cwd);
    const { client } = server;
    const ids: string[] = [];
    /** Lines by why they were refused. */
    const refused = new Map<string, number[]>();
    let made = 0;
    for (const part of inCalls(prompts, CALL_PROMPTS, CALL_BYTES)) {
      const batch = await client.createBatch(part.map(({ request }) => request));
      ids.push(batch.id);
      if (args.flag('json')) context.output.json(batch);
      for (const item of batch.items) {
        if ('id' in item) {
          made += 1;
          if (!args.flag('json')) context.output.text(`${item.id}\n`);
          continue;
        }
        const line = part[item.index]?.line ?? 0;
        const lines = refused.get(item.error.message) ?? [];
        lines.push(line);
        refused.set(item.error.message, lines);
      }
    }
    for (const [why, lines] of refused) context.output.note(`${linesText(lines)}: ${why}`, 'red');
    const summary = `${made} ${made === 1 ? 'job' : 'jobs'} in ${ids.length === 1 ? 'batch' : 'batches'} ${ids.join(', ')}`;
    context.output.note(refused.size === 0 ? summary : `${summary}; ${prompts.length - made} refused`, 'dim');
    const failed = args.flag('wait') ? await waitFor(context, server, ids, common.cwd) : 0;
    if (failed === 'left') return EXIT.cancelled;
    return refused.size + failed === 0 ? EXIT.succeeded : EXIT.failed;
  },
};

/** `line 3`, or `3 lines (1, 2, 5, …)`. */
function linesText(lines: readonly number[]): string {
  if (lines.length === 1) return `line ${lines[0]}`;
  return `${lines.length} lines (${lines.slice(0, 5).join(', ')}${lines.length > 5 ? ', …' : ''})`;
}

async function listOf(context: CommandContext, { positionals }: Arguments): Promise<string> {
  const [file, ...more] = positionals;
  if (more.length > 0) throw usageError('one list at a time');
  if (file !== undefined && file !== '-') {
    return readFile(resolve(context.cwd, file), 'utf8').catch((error: unknown) => {
      throw usageError(`the list cannot be read: ${messageOf(error)}`);
    });
  }
  const text = await context.readStdin({ maxBytes: LIST_BYTES, what: 'the list', optional: false });
  if (text === null) throw usageError('which list? Give a file, or the prompts on stdin');
  return text;
}

/** Waits for the end of every job. @returns how many did not succeed; `left` after Ctrl-C */
async function waitFor(
  context: CommandContext,
  server: JobServer,
  ids: readonly string[],
  cwd: string,
): Promise<number | 'left'> {
  const stop = new AbortController();
  const { signal } = stop;
  using _listening = context.interrupts.listen(() => stop.abort());
  let unsuccessful = 0;
  try {
    for (const id of ids) {
      const { counts } = await finished(context, server, id, cwd, signal);
      const { succeeded, failed, cancelled } = counts;
      const how = `${succeeded} succeeded, ${failed} failed, ${cancelled} cancelled`;
      context.output.note(`batch ${id}: ${how}`, 'dim');
      const denied = await jobsWithDenials(server.client, id);
      if (denied.length > 0) {
        const shown = denied.slice(0, MAX_NAMED).join(', ');
        const rest = denied.length > MAX_NAMED ? ', …' : '';
        context.output.note(
          `denied a tool: ${shown}${rest}; \`bullpen show\` says what would allow it`,
          'yellow',
        );
      }
      unsuccessful += failed + cancelled;
    }
  } catch (error) {
    if (!signal.aborted) throw error;
    context.output.note('not waited for any more; the jobs go on', 'dim');
    return 'left';
  }
  return unsuccessful;
}

/** `3 of 10 ended, 2 running, 5 queued, 1:42`. */
function standing({ total, counts, createdAt }: Batch, now: number): string {
  const { queued, running, scheduled } = counts;
  const parts = [`${total - queued - running - scheduled} of ${total} ended`];
  for (const [name, count] of Object.entries({ running, queued, scheduled })) {
    if (count > 0) parts.push(`${count} ${name}`);
  }
  return [...parts, clock(now - Date.parse(createdAt))].join(', ');
}

/** Ids of the jobs of a batch to which a tool was denied. */
async function jobsWithDenials(client: Client, batch: string): Promise<readonly string[]> {
  const found: string[] = [];
  for (let cursor: string | null | undefined; cursor !== null; ) {
    const page = await client.list({ batch, limit: 100, ...(cursor === undefined ? {} : { cursor }) });
    found.push(...page.data.filter(({ deniedTools }) => (deniedTools ?? 0) > 0).map(({ id }) => id));
    cursor = page.nextCursor;
  }
  return found;
}

async function finished(
  { sleep, output, now }: CommandContext,
  server: JobServer,
  id: string,
  cwd: string,
  signal: AbortSignal,
): Promise<Batch> {
  for (;;) {
    try {
      const batch = await server.client.getBatch(id, { signal });
      output.status(batch.finished ? null : standing(batch, now().getTime()));
      if (batch.finished) return batch;
      await sleep(LOOK_EVERY_MS, signal);
    } catch (error) {
      signal.throwIfAborted();
      await server.replace(error, cwd, signal);
    }
  }
}
