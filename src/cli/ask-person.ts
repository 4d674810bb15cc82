/** Asks the person at the terminal what a job asks, and sends the decisions. */
import type { Client } from '../client/client.ts';
import { ApiError } from '../client/errors.ts';
import type { Approval, DecideRequest, Question } from '../protocol/approval.ts';
import type { StoredEvent } from '../protocol/event.ts';
import {
  answerFrom,
  approvalView,
  fileReader,
  questionView,
  ruleLike,
  type ViewLine,
} from './approval-view.ts';
import type { CommandContext } from './command.ts';
import { failureMessage } from './failures.ts';
import { oneLine, visible } from './format.ts';
import { type JobServer, toServer } from './job-server.ts';
import type { LineEditor } from './line-editor.ts';
import type { Output } from './output.ts';

/** Longer changes are shown by `bullpen approvals show`. */
const MAX_LINES = 60;
/** How long a decision waits for a server that takes the place of one that has left. */
const SERVER_WITHIN_MS = 60_000;

export interface Asker extends AsyncDisposable {
  /** Asks what an event requests, and stops asking what was decided elsewhere. */
  event(event: StoredEvent): void;
}

export interface AskerOptions {
  readonly output: Output;
  readonly editor: LineEditor;
  /** The approval as it is now. */
  get(id: string): Promise<Approval>;
  decide(id: string, request: DecideRequest): Promise<unknown>;
  readFile(path: string): string | null;
}

/** An asker over the server of a command, also when that is replaced. */
export async function askerFor(
  context: CommandContext,
  server: Pick<JobServer, 'client' | 'replace'>,
  editor: LineEditor,
): Promise<Asker> {
  const ask = <T>(send: (client: Client) => Promise<T>): Promise<T> =>
    toServer(server, context.cwd, AbortSignal.timeout(SERVER_WITHIN_MS), send);
  return createAsker({
    output: context.output,
    editor,
    get: (id) => ask(({ approvals }) => approvals.get(id)),
    decide: (id, request) => ask(({ approvals }) => approvals.decide(id, request)),
    readFile: await fileReader(context),
  });
}

export function createAsker({ output, editor, get, decide, readFile }: AskerOptions): Asker {
  /** What is to be asked or being asked, by id. */
  const open = new Map<string, AbortController>();
  const decidedHere = new Set<string>();
  let asking: Promise<void> = Promise.resolve();

  async function ask(id: string, signal: AbortSignal): Promise<void> {
    if (signal.aborted) return;
    try {
      const approval = await get(id);
      if (approval.status !== 'pending') return;
      if (approval.kind !== 'question')
        show(output, approvalView(approval, { readFile, maxLines: MAX_LINES }));
      const request = await requestFor(approval, { output, editor, signal });
      if (request === null) {
        output.note(`left open: bullpen approvals show ${id}`, 'dim');
        return;
      }
      decidedHere.add(id);
      open.delete(id);
      await decide(id, request);
    } catch (error) {
      if (signal.aborted) return;
      decidedHere.delete(id);
      if (error instanceof ApiError && error.code === 'approval.already_decided')
        output.note('it was decided elsewhere, or is over', 'dim');
      else
        output.noteLines(
          `${failureMessage(error, null).text}\nleft open: bullpen approvals show ${id}`,
          'red',
        );
    } finally {
      open.delete(id);
    }
  }

  return {
    event(event) {
      if (event.kind === 'approval.requested') {
        const { id } = event.approval;
        const stop = new AbortController();
        open.set(id, stop);
        asking = asking.then(() => ask(id, stop.signal));
      } else if (event.kind === 'approval.decided') {
        open.get(event.approvalId)?.abort();
        if (decidedHere.has(event.approvalId) || event.status === 'cancelled') return;
        output.note(`${event.status}${event.decidedBy === null ? '' : ` by ${event.decidedBy}`}`, 'yellow');
      } else if (event.kind === 'job.finished') for (const stop of open.values()) stop.abort();
    },
    async [Symbol.asyncDispose]() {
      for (const stop of open.values()) stop.abort();
      await asking;
    },
  };
}

/** Prints lines on stderr. */
function show(output: Output, lines: readonly ViewLine[]): void {
  for (const { text, style } of lines) output.noteLines(text, style);
}

interface Asking {
  readonly output: Output;
  readonly editor: LineEditor;
  readonly signal: AbortSignal;
}

/** What the person has decided; null: nothing. @throws the reason of the signal */
async function requestFor(approval: Approval, asking: Asking): Promise<DecideRequest | null> {
  switch (approval.kind) {
    case 'question':
      return answersTo(approval.questions ?? [], asking);
    case 'plan':
      return planDecision(asking);
    case 'tool':
      return toolDecision(approval, asking);
  }
}

async function toolDecision(
  approval: Approval,
  { output, editor, signal }: Asking,
): Promise<DecideRequest | null> {
  const rule = ruleLike(approval);
  const always = rule === null ? '' : ` · a always ${oneLine(rule)} in this session`;
  output.note(`y yes · n no · e edit${always} · or say what to do instead`, 'dim');
  for (;;) {
    const line = (await editor.ask('allow it? ', { signal }))?.trim();
    if (line === undefined) return null;
    if (/^(y|yes)$/i.test(line)) return { decision: 'allow' };
    if (/^(n|no)$/i.test(line)) return { decision: 'deny' };
    if (/^a(lways)?$/i.test(line) && rule !== null) return { decision: 'allow', scope: 'session', rule };
    if (/^e(dit)?$/i.test(line)) {
      const input = await edited(approval.input, { output, editor, signal });
      if (input !== null) return { decision: 'allow', input };
    } else if (line.length > 1) return { decision: 'deny', message: line };
  }
}

/** The input after a change; null: it was not changed. */
async function edited(
  input: unknown,
  { output, editor, signal }: Asking,
): Promise<Record<string, unknown> | null> {
  const fields: Record<string, unknown> = typeof input === 'object' && input !== null ? { ...input } : {};
  const { command } = fields;
  const isCommand = typeof command === 'string' && !command.includes('\n');
  const begin = isCommand ? command : JSON.stringify(input);
  if (visible(begin) !== begin) {
    // In the line they would be keys, and Enter is one of them.
    output.note('it has control characters; `bullpen approve` takes another --input', 'yellow');
    return null;
  }
  const line = await editor.ask(isCommand ? 'run: ' : 'input: ', { begin, signal });
  if (line === null || line.trim() === '' || line === begin) return null;
  if (isCommand) return { ...fields, command: line };
  try {
    const parsed: unknown = JSON.parse(line);
    if (typeof parsed === 'object' && parsed !== null && !Array.isArray(parsed)) return { ...parsed };
  } catch {
    // The note below covers it.
  }
  output.note('that is no JSON object', 'yellow');
  return null;
}

async function planDecision({ output, editor, signal }: Asking): Promise<DecideRequest | null> {
  output.note('y yes · n no · or say what to change', 'dim');
  for (;;) {
    const line = (await editor.ask('go on? ', { signal }))?.trim();
    if (line === undefined) return null;
    if (/^(y|yes)$/i.test(line)) return { decision: 'allow' };
    if (/^(n|no)$/i.test(line)) return { decision: 'deny' };
    if (line.length > 1) return { decision: 'deny', message: line };
  }
}

async function answersTo(
  questions: readonly Question[],
  { output, editor, signal }: Asking,
): Promise<DecideRequest | null> {
  const answers: Record<string, string | string[]> = {};
  for (const question of questions) {
    show(output, questionView(question));
    const many = question.multiSelect ? 'numbers with commas' : 'a number';
    output.note(question.options.length === 0 ? 'your answer' : `${many}, or your own words`, 'dim');
    let line = '';
    while (line === '') {
      const given = await editor.ask('answer: ', { signal });
      if (given === null) return null;
      line = given.trim();
    }
    answers[question.question] = answerFrom(question, line);
  }
  return { decision: 'allow', answers };
}
