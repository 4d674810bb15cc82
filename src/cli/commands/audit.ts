import type { AuditEntry, AuditFilter, AuditHead, AuditVerification } from '../../protocol/audit.ts';
import type { Arguments } from '../arguments.ts';
import { parseMoment } from '../arguments.ts';
import type { Command, CommandContext } from '../command.ts';
import { EXIT, type ExitCode, usageError } from '../failures.ts';
import { type Column, renderTable } from '../format.ts';

const HEAD = /^([1-9]\d{0,14}):([0-9a-f]{64})$/;
const FILTERS = ['action', 'principal', 'project', 'target', 'since', 'until', 'limit', 'cursor'];

export const auditCommand: Command = {
  name: 'audit',
  usage: '[OPTIONS] | verify [--head SEQ:HASH]',
  summary: 'show who did what, or check that record',
  details: `Every change that a caller makes has an entry, with the caller, its address and the
request. \`verify\` checks that the server's entries are as they were written, and prints the
last link of their chain. Keep it elsewhere, and give it to a later \`verify\` with --head.`,
  options: {
    action: { type: 'string', value: 'ACTION', help: 'this one only: job.created, key.revoked, …' },
    principal: { type: 'string', value: 'NAME', help: 'acts of admin, or of key:ID' },
    project: { type: 'string', value: 'NAME', help: 'acts in this project' },
    target: { type: 'string', value: 'ID', help: 'acts on this job, batch, key, …' },
    since: { type: 'string', value: 'WHEN', help: 'acts since 2026-11-01, or in the last 7d' },
    until: { type: 'string', value: 'WHEN', help: 'acts before this' },
    limit: { type: 'string', short: 'n', value: 'N', help: 'how many (default: 20; at most 100)' },
    cursor: { type: 'string', value: 'CURSOR', help: 'the next page, as the previous one names it' },
    head: { type: 'string', value: 'SEQ:HASH', help: 'a link that an earlier `verify` printed' },
    json: { type: 'boolean', help: 'print the answer as JSON' },
  },
  examples: ['bullpen audit --principal admin --since 7d', 'bullpen audit verify'],
  async run(context, args) {
    const [action, ...more] = args.positionals;
    if ((action !== undefined && action !== 'verify') || more.length > 0)
      throw usageError('audit takes options, or `verify`');
    if (action === 'verify') return verify(context, args);
    if (args.text('head') !== undefined) throw usageError('--head belongs to `verify`');
    const query = queryOf(args, context.now());
    const page = await (await context.connect()).audit(query);
    const { output } = context;
    if (args.flag('json')) output.json(page, 2);
    else if (page.data.length === 0) output.note('no entries', 'dim');
    else output.text(`${renderTable(COLUMNS, page.data, output.width).join('\n')}\n`);
    if (page.nextCursor !== null && !args.flag('json'))
      output.note(`more: --cursor ${page.nextCursor}`, 'dim');
    return EXIT.succeeded;
  },
};

async function verify(context: CommandContext, args: Arguments): Promise<ExitCode> {
  for (const option of FILTERS)
    if (args.texts(option).length > 0) throw usageError(`--${option} does not belong to \`verify\``);
  const head = headOf(args.text('head'));
  const result = await (await context.connect()).verifyAudit(head);
  const { output } = context;
  if (args.flag('json')) output.json(result, 2);
  else if (result.ok) output.text(`${linkOf(result)}\n`);
  if (result.ok) output.note(wordsOf(result), 'dim');
  else output.note(wordsOf(result));
  return result.ok ? EXIT.succeeded : EXIT.failed;
}

const linkOf = ({ head }: AuditVerification): string => (head === null ? '' : `${head.seq}:${head.hash}`);

function wordsOf({ ok, entries, problem }: AuditVerification): string {
  if (ok) return `${entries} entries are as they were written; the line above is the last link`;
  return `the audit was changed: entry ${problem?.seq}: ${problem?.why}`;
}

function headOf(text: string | undefined): AuditHead | null {
  if (text === undefined) return null;
  const [, seq, hash] = HEAD.exec(text) ?? [];
  if (seq !== undefined && hash !== undefined) return { seq: Number(seq), hash };
  throw usageError('--head takes SEQ:HASH, as `bullpen audit verify` prints it');
}

function queryOf(args: Arguments, now: Date) {
  const moment = (name: string, option: string) => {
    const text = args.text(option);
    return text === undefined ? {} : { [name]: parseMoment(`--${option}`, text, now) };
  };
  const text = (name: string) => {
    const value = args.text(name);
    return value === undefined ? {} : { [name]: value };
  };
  const limit = args.integer('limit');
  return {
    ...(text('action') as Pick<AuditFilter, 'action'>), // as: the server refuses one that it does not know
    ...{ ...text('principal'), ...text('project'), ...text('target'), ...text('cursor') },
    ...{ ...moment('from', 'since'), ...moment('to', 'until'), ...(limit !== undefined && { limit }) },
  };
}

const COLUMNS: readonly Column<AuditEntry>[] = [
  { title: 'AT (UTC)', cell: ({ at }) => at.slice(0, 19).replace('T', ' ') },
  { title: 'ACTION', cell: ({ action }) => action },
  { title: 'WHO', cell: ({ principal }) => principal ?? '(refused)' },
  { title: 'PROJECT', cell: ({ project }) => project ?? '' },
  { title: 'TARGET', cell: ({ target }) => target ?? '' },
  { title: 'FROM', cell: ({ address }) => address ?? '' },
  { title: 'DETAILS', cell: ({ details }) => (details === null ? '' : JSON.stringify(details)) },
];
