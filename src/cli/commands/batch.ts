import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import type { Client } from '../../client/client.ts';
import { messageOf } from '../../errors.ts';
import type { BatchCreated } from '../../protocol/job.ts';
import type { PromptOverrides, PromptRequest } from '../../protocol/prompt.ts';
import type { Arguments } from '../arguments.ts';
import { waitForBatches } from '../batch-progress.ts';
import type { Command, CommandContext } from '../command.ts';
import { EXIT, usageError } from '../failures.ts';
import { sessionOption } from '../ids.ts';
import { serverToWaitFor } from '../job-server.ts';
import { textIn } from '../read-stdin.ts';
import { REQUEST_OPTIONS, requestFields } from '../request-options.ts';
import { BATCH_ACTIONS, listBatches, refuseRequestOptions } from './batch-actions.ts';

/** The most prompts in one request (docs/api.md). */
const MAX_REQUEST_PROMPTS = 1000;
/** Well below the default limit of the server (BULLPEN_BODY_LIMIT_BYTES). */
const MAX_REQUEST_BYTES = 1_500_000;
/** More than a server takes in prompts, and small enough for memory. */
const MAX_LIST_BYTES = 256 * 1024 * 1024;

export const batchCommand: Command = {
  name: 'batch',
  usage: 'FILE | - [OPTIONS], or ACTION ID',
  summary: 'make jobs from a list of prompts, and handle them as one',
  details: `FILE (or - for stdin) has one prompt per line, as text or as JSON with the fields of
a request; blank lines are skipped. The options apply to every prompt whose line
does not set the field. The job ids go to stdout, one per line. Refused prompts
are named on stderr; the others run.

ACTION is show, watch (wait for the end), results (one line of JSON for each
prompt, in order), retry (make a new batch of what failed) or cancel. list shows
the newest batches. For a file with such a name, write ./list.`,
  options: {
    ...REQUEST_OPTIONS,
    wait: { type: 'boolean', short: 'w', help: 'wait until all jobs have ended; print the counts' },
    force: { type: 'boolean', help: 'cancel: kill running jobs at once, without a grace period' },
    json: { type: 'boolean', help: 'print the answers of the server as NDJSON, not the ids' },
  },
  examples: [
    'bullpen batch prompts.txt --tag nightly --wait',
    "jq -c '{customId: .id, prompt: .question}' questions.json | bullpen batch -",
    'bullpen batch results 3B7C > results.ndjson',
    'bullpen batch retry 3B7C --wait',
  ],
  async run(context, args) {
    const [word = '', id, ...more] = args.positionals;
    const action = Object.hasOwn(BATCH_ACTIONS, word) ? BATCH_ACTIONS[word] : undefined;
    if (action !== undefined || word === 'list') refuseRequestOptions(args);
    if (word === 'list' && id === undefined) return listBatches(context, args);
    if (action !== undefined) {
      if (id === undefined) throw usageError(`which batch? bullpen batch ${word} ID`);
      if (more.length > 0) throw usageError('one batch at a time');
      return action(context, id, args);
    }
    const { output } = context;
    const common = { cwd: context.cwd, ...requestFields(args, context.cwd, context.now()) };
    const list = await readList(context, args);
    if (readPromptList(list, common).length === 0) throw usageError('there is no prompt in the list');
    await using server = await serverToWaitFor(context, common.cwd);
    const session = await sessionOption(server.client, args, context.cwd);
    const prompts = readPromptList(list, { ...common, ...session });
    const sent = await sendParts(server.client, prompts, (batch) => {
      if (args.flag('json')) output.json(batch);
      else for (const item of batch.items) if ('id' in item) output.text(`${item.id}\n`);
    });
    const { ids, accepted, refused, failure } = sent;
    for (const [why, lines] of refused) output.note(`${linesText(lines)}: ${why}`, 'red');
    if (failure !== null) output.note(`${linesText(failure.lines)}: not accepted`, 'red');
    const summary = `${accepted} ${accepted === 1 ? 'job' : 'jobs'} in ${ids.length === 1 ? 'batch' : 'batches'} ${ids.join(', ')}`;
    const count = [...refused.values()].flat().length;
    output.note(count === 0 ? summary : `${summary}; ${count} refused`, 'dim');
    const code = args.flag('wait') ? await waitForBatches(context, server, ids, common.cwd) : EXIT.succeeded;
    if (failure !== null) throw failure.error;
    return code === EXIT.succeeded && count > 0 ? EXIT.failed : code;
  },
};

/** What has become of the prompts of a list. */
interface SentParts {
  /** Of the batches. */
  readonly ids: readonly string[];
  readonly accepted: number;
  /** Lines by the message of their error. */
  readonly refused: ReadonlyMap<string, readonly number[]>;
  /** Why a later request failed, and its lines and those after it; null: none did. */
  readonly failure: { readonly error: unknown; readonly lines: readonly number[] } | null;
}

/** @throws the error of the first request */
async function sendParts(
  client: Pick<Client, 'createBatch'>,
  prompts: readonly ListedPrompt[],
  onMade: (batch: BatchCreated) => void,
): Promise<SentParts> {
  const ids: string[] = [];
  const refused = new Map<string, number[]>();
  let [accepted, answered] = [0, 0];
  for (const part of inRequests(prompts, MAX_REQUEST_PROMPTS, MAX_REQUEST_BYTES)) {
    let batch: BatchCreated;
    try {
      batch = await client.createBatch(part.map(({ request }) => request));
    } catch (error) {
      if (ids.length === 0) throw error;
      const lines = prompts.slice(answered).map(({ line }) => line);
      return { ids, accepted, refused, failure: { error, lines } };
    }
    ids.push(batch.id);
    answered += part.length;
    for (const item of batch.items) {
      if ('id' in item) {
        accepted += 1;
        continue;
      }
      const lines = refused.get(item.error.message) ?? [];
      lines.push(part[item.index]?.line ?? 0);
      refused.set(item.error.message, lines);
    }
    onMade(batch);
  }
  return { ids, accepted, refused, failure: null };
}

/** `line 3`, or `3 lines (1, 2, 5, …)`. */
function linesText(lines: readonly number[]): string {
  if (lines.length === 1) return `line ${lines[0]}`;
  return `${lines.length} lines (${lines.slice(0, 5).join(', ')}${lines.length > 5 ? ', …' : ''})`;
}

async function readList(context: CommandContext, { positionals }: Arguments): Promise<string> {
  const [file, ...more] = positionals;
  if (more.length > 0) throw usageError('one list at a time');
  if (file !== undefined && file !== '-') {
    const bytes = await readFile(resolve(context.cwd, file)).catch((error: unknown) => {
      throw usageError(`the list cannot be read: ${messageOf(error)}`);
    });
    return textIn(bytes, 'the list');
  }
  const text = await context.readStdin({ maxBytes: MAX_LIST_BYTES, what: 'the list', optional: false });
  if (text === null) throw usageError('which list? Give a file, or the prompts on stdin');
  return text;
}

/** A prompt and the number of its line in the list. */
export interface ListedPrompt {
  readonly line: number;
  readonly request: PromptRequest;
}

/**
 * The prompts of a list, one per line that is not blank. A line that begins with `{` is a request
 * in JSON; other lines are the text of a prompt. The fields of a line override `common`.
 * @throws CommandError for a line that begins with `{` and is not JSON
 */
export function readPromptList(text: string, common: PromptOverrides): readonly ListedPrompt[] {
  return text.split(/\r?\n/).flatMap((content, index): ListedPrompt[] => {
    const line = index + 1;
    if (content.trim() === '') return [];
    if (!content.trimStart().startsWith('{')) return [{ line, request: { ...common, prompt: content } }];
    try {
      return [{ line, request: { ...common, ...JSON.parse(content) } }]; // the server checks the fields
    } catch {
      throw usageError(
        `line ${line} begins with a brace and is not JSON; as the text of a prompt, write {"prompt": …}`,
      );
    }
  });
}

/**
 * Splits a list by the limits of one request. A prompt above `maxBytes` gets a request of its own.
 */
export function* inRequests(
  prompts: readonly ListedPrompt[],
  maxPrompts: number,
  maxBytes: number,
): Generator<readonly ListedPrompt[]> {
  let part: ListedPrompt[] = [];
  let bytes = 0;
  for (const prompt of prompts) {
    const size = Buffer.byteLength(JSON.stringify(prompt.request)) + 1;
    if (part.length > 0 && (part.length >= maxPrompts || bytes + size > maxBytes)) {
      yield part;
      part = [];
      bytes = 0;
    }
    part.push(prompt);
    bytes += size;
  }
  if (part.length > 0) yield part;
}
