/** The commands for what jobs ask: approvals, approve, deny, answer. */
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import type { Client } from '../../client/client.ts';
import { messageOf } from '../../errors.ts';
import type { Approval, ApprovalStatus, DecideRequest } from '../../protocol/approval.ts';
import { answerFrom, approvalTitle, approvalView, fileReader } from '../approval-view.ts';
import type { Arguments } from '../arguments.ts';
import type { Command, CommandContext } from '../command.ts';
import { CommandError, EXIT, usageError } from '../failures.ts';
import { type Column, formatAge, renderTable, visible } from '../format.ts';
import { PART_OF_ID, resolveJobId, resolveSession, WHOLE_ID } from '../ids.ts';
import { textIn } from '../read-stdin.ts';

const SEARCHED = 100;
/** Repeated here because the schema loads a library. The type keeps the list complete. */
const STATUSES: Readonly<Record<ApprovalStatus, ApprovalStatus>> = {
  pending: 'pending',
  allowed: 'allowed',
  denied: 'denied',
  expired: 'expired',
  cancelled: 'cancelled',
};

export const approvalsCommand: Command = {
  name: 'approvals',
  usage: '[OPTIONS] | show ID',
  summary: 'list what jobs wait for a person to answer',
  details: `An approval is a call of a tool, a question or a plan. It stays open for days, over
restarts of the server, and its job costs nothing meanwhile. \`show\` prints all of one: the
whole command, or the lines that an edit changes.`,
  options: {
    status: {
      type: 'string',
      value: 'STATUS',
      help: `${Object.keys(STATUSES).join(', ')} or all; default: pending`,
    },
    job: { type: 'string', value: 'ID', help: 'approvals of this job' },
    session: { type: 'string', value: 'ID', help: 'approvals of this session' },
    limit: { type: 'string', short: 'n', value: 'N', help: 'maximum number (default: 20; at most 100)' },
    cursor: { type: 'string', value: 'CURSOR', help: 'the next page, as the previous one names it' },
    json: { type: 'boolean', help: 'print the page, or the approval, as JSON' },
  },
  examples: ['bullpen approvals', 'bullpen approvals show 3B7C'],
  async run(context, args) {
    const [action, given, ...more] = args.positionals;
    if (action === 'show') {
      if (given === undefined || more.length > 0)
        throw usageError('which approval? bullpen approvals show ID');
      return showOne(context, given, args);
    }
    if (action !== undefined) throw usageError('approvals takes options, or `show ID`');
    const status = statusOf(args.text('status') ?? 'pending');
    const client = await context.connect();
    const [job, session] = [args.text('job'), args.text('session')];
    const page = await client.approvals.list({
      ...(status === null ? {} : { status }),
      ...(job === undefined ? {} : { jobId: await resolveJobId(client, job) }),
      ...(session === undefined
        ? {}
        : { sessionId: (await resolveSession(client, session, context.cwd)).id }),
      ...pageOf(args),
    });
    const { output } = context;
    if (args.flag('json')) {
      output.json(page, 2);
      return EXIT.succeeded;
    }
    if (page.data.length === 0)
      output.note(status === 'pending' ? 'no job waits for an answer' : 'no approvals', 'dim');
    else {
      output.text(`${renderTable(columns(context.now(), status), page.data, output.width).join('\n')}\n`);
      if (status === 'pending') output.note(adviceFor(page.data), 'dim');
    }
    if (page.nextCursor !== null) output.note(`more: --cursor ${page.nextCursor}`, 'dim');
    return EXIT.succeeded;
  },
};

/** null: all. @throws CommandError */
function statusOf(word: string): ApprovalStatus | null {
  if (word === 'all') return null;
  const status = Object.values(STATUSES).find((one) => one === word);
  if (status !== undefined) return status;
  throw usageError(`--status takes ${Object.keys(STATUSES).join(', ')} or all, not ${JSON.stringify(word)}`);
}

function pageOf(args: Arguments): { readonly limit?: number; readonly cursor?: string } {
  const [limit, cursor] = [args.integer('limit'), args.text('cursor')];
  return { ...(limit === undefined ? {} : { limit }), ...(cursor === undefined ? {} : { cursor }) };
}

const columns = (now: Date, status: ApprovalStatus | null): readonly Column<Approval>[] => [
  { title: 'ID', cell: ({ id }) => id },
  ...(status === 'pending' ? [] : [{ title: 'STATUS', cell: (one: Approval) => one.status }]),
  { title: 'JOB', cell: ({ jobId }) => jobId },
  { title: 'AGE', cell: ({ createdAt }) => formatAge(now.getTime() - Date.parse(createdAt)), right: true },
  ...(status === 'pending'
    ? [
        {
          title: 'LEFT',
          cell: (one: Approval) => formatAge(Date.parse(one.expiresAt) - now.getTime()),
          right: true,
        },
      ]
    : [{ title: 'BY', cell: (one: Approval) => one.decidedBy ?? '' }]),
  { title: 'ASKS', cell: approvalTitle, maxWidth: 100 },
];

function adviceFor(approvals: readonly Approval[]): string {
  const isAsked = (question: boolean): boolean =>
    approvals.some(({ kind }) => (kind === 'question') === question);
  const commands = [
    ...(isAsked(false) ? ['bullpen approve ID', 'bullpen deny ID'] : []),
    ...(isAsked(true) ? ['bullpen answer ID TEXT'] : []),
  ];
  return `${commands.join(', ')}; bullpen approvals show ID prints all of one`;
}

async function showOne(context: CommandContext, given: string, args: Arguments): Promise<number> {
  const client = await context.connect();
  const approval = await client.approvals.get(await resolveApproval(client, given));
  const { output } = context;
  if (args.flag('json')) {
    output.json(approval, 2);
    return EXIT.succeeded;
  }
  const { id, status, jobId, sessionId, createdAt, expiresAt, decidedBy, decidedAt } = approval;
  const facts: [string, string | null][] = [
    ['approval', id],
    ['status', decidedAt === null ? status : `${status} by ${decidedBy ?? 'the server'} at ${decidedAt}`],
    ['job', jobId],
    ['session', sessionId],
    ['created', createdAt],
    ['expires', status === 'pending' ? expiresAt : null],
  ];
  for (const [name, value] of facts) if (value !== null) output.text(`${name.padEnd(10)}${value}\n`);
  output.text('\n');
  const readFile = await fileReader(context);
  for (const { text, style } of approvalView(approval, { readFile, maxLines: Number.MAX_SAFE_INTEGER }))
    output.text(`${style === undefined ? text : output.paint(style, visible(text))}\n`);
  if (status === 'pending') output.note(adviceFor([approval]).split(';')[0] ?? '', 'dim');
  return EXIT.succeeded;
}

/**
 * The id of an open approval. The id of its job will do when the job has no other one, and so will
 * the first or last characters (four or more) of either.
 * @throws CommandError when it names none, or several
 */
async function resolveApproval(client: Pick<Client, 'approvals'>, given: string): Promise<string> {
  const id = given.trim().toUpperCase();
  const isWhole = WHOLE_ID.test(id);
  if (!isWhole && !PART_OF_ID.test(id))
    throw usageError(`${JSON.stringify(given)} is no id; \`bullpen approvals\` lists what is open`);
  const { data } = await client.approvals.list({ status: 'pending', limit: SEARCHED });
  const isMeant = (one: string): boolean => one.endsWith(id) || one.startsWith(id);
  const own = data.filter((one) => isMeant(one.id));
  const found = own.length > 0 ? own : data.filter(({ jobId }) => isMeant(jobId));
  const [first, ...others] = found;
  if (first === undefined && isWhole) return id;
  if (first === undefined)
    throw new CommandError(
      EXIT.usage,
      `none of the open approvals (${SEARCHED} are searched) has an id like ${given}`,
    );
  if (others.length === 0) return first.id;
  throw usageError(`${given} may be ${found.map((one) => one.id).join(' or ')}: give more of it`);
}

const JSON_OPTION = { json: { type: 'boolean', help: 'print each approval as a line of JSON' } } as const;

export const approveCommand: Command = {
  name: 'approve',
  usage: 'ID… [OPTIONS]',
  summary: 'allow what a job has asked for',
  details: `ID is the id of an approval, or of a job that has one open. The job goes on when all of
its approvals are decided.`,
  options: {
    'for-session': { type: 'boolean', help: 'allow every call of the tool in the rest of the session' },
    rule: {
      type: 'string',
      value: 'RULE',
      help: 'allow these calls in the rest of the session: Bash(git push *)',
    },
    input: { type: 'string', value: 'FILE', help: 'run with this JSON object as input instead (-: stdin)' },
    ...JSON_OPTION,
  },
  examples: ['bullpen approve 3B7C', "bullpen approve 3B7C --rule 'Bash(npm *)'"],
  async run(context, args) {
    const rule = args.text('rule');
    const forSession = args.flag('for-session') || rule !== undefined;
    const input = await inputOf(context, args.text('input'));
    if (input !== null && args.positionals.length > 1) throw usageError('--input is for one approval');
    return decideAll(context, args, {
      decision: 'allow',
      ...(forSession ? { scope: 'session' } : {}),
      ...(rule === undefined ? {} : { rule }),
      ...(input === null ? {} : { input }),
    });
  },
};

export const denyCommand: Command = {
  name: 'deny',
  usage: 'ID… [OPTIONS]',
  summary: 'refuse what a job has asked for',
  details: `The job goes on without it. Its model reads the message, so a reason helps.`,
  options: {
    message: { type: 'string', short: 'm', value: 'TEXT', help: 'what the model reads' },
    ...JSON_OPTION,
  },
  examples: ['bullpen deny 3B7C --message "Not on a Friday"'],
  run(context, args) {
    const message = args.text('message');
    return decideAll(context, args, { decision: 'deny', ...(message === undefined ? {} : { message }) });
  },
};

export const answerCommand: Command = {
  name: 'answer',
  usage: 'ID TEXT…',
  summary: 'answer the questions of a job',
  details: `TEXT is the number or the label of an option, or your own words; where several options
may be chosen, numbers with commas. An approval with several questions takes one TEXT for
each, in their order.`,
  options: JSON_OPTION,
  examples: ['bullpen answer 3B7C 2', 'bullpen answer 3B7C "SQLite, in a file of its own"'],
  async run(context, args) {
    const [given, ...texts] = args.positionals;
    if (given === undefined || texts.length === 0) throw usageError('bullpen answer ID TEXT…');
    const client = await context.connect();
    const { id, questions } = await client.approvals.get(await resolveApproval(client, given));
    if (questions === null)
      throw usageError(`${id} is no question: bullpen approve ${id}, or bullpen deny ${id}`);
    if (texts.length !== questions.length)
      throw usageError(
        `${id} has ${questions.length} questions: ${questions.map((one) => one.question).join(' / ')}`,
      );
    const answers = Object.fromEntries(
      questions.map((question, at) => [question.question, answerFrom(question, texts[at] ?? '')]),
    );
    report(context, args, await client.approvals.decide(id, { decision: 'allow', answers }));
    return EXIT.succeeded;
  },
};

async function decideAll(context: CommandContext, args: Arguments, request: DecideRequest): Promise<number> {
  if (args.positionals.length === 0) throw usageError('which approval? `bullpen approvals` lists them');
  const client = await context.connect();
  const ids: string[] = [];
  for (const given of args.positionals) ids.push(await resolveApproval(client, given));
  for (const id of ids) report(context, args, await client.approvals.decide(id, request));
  return EXIT.succeeded;
}

function report({ output }: CommandContext, args: Arguments, approval: Approval): void {
  if (args.flag('json')) output.json(approval);
  else output.note(`${approval.status}: ${approvalTitle(approval)} (job ${approval.jobId})`, 'dim');
}

async function inputOf(
  context: CommandContext,
  file: string | undefined,
): Promise<Record<string, unknown> | null> {
  if (file === undefined) return null;
  let text: string | null;
  try {
    text =
      file === '-'
        ? await context.readStdin({ maxBytes: 1024 * 1024, what: 'the input', optional: false })
        : textIn(readFileSync(resolve(context.cwd, file)), 'the input');
  } catch (error) {
    throw error instanceof CommandError ? error : usageError(`--input: ${messageOf(error)}`);
  }
  try {
    const input: unknown = JSON.parse(text ?? '');
    if (typeof input === 'object' && input !== null && !Array.isArray(input)) return { ...input };
  } catch {
    // The error below covers it.
  }
  throw usageError('--input takes a JSON object');
}
