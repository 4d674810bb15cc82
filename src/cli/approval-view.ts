/** What an approval asks, for people: a command, the lines of an edit, a question, a plan. */
import { readFileSync, statSync } from 'node:fs';
import type { Approval, Question } from '../protocol/approval.ts';
import type { CommandContext } from './command.ts';
import { type DiffLine, lineDiff } from './diff.ts';
import { oneLine } from './format.ts';
import type { Style } from './output.ts';

export interface ViewLine {
  readonly text: string;
  readonly style?: Style;
}

export interface ViewOptions {
  /** The present content of a file that a tool overwrites; null: not known. */
  readFile(path: string): string | null;
  /** Longer texts are cut, except for commands. */
  readonly maxLines: number;
}

/** A larger file is not compared. */
const MAX_FILE_BYTES = 1024 * 1024;

/** Reads files of this machine where the server runs on it, too. */
export async function fileReader({
  finder,
}: Pick<CommandContext, 'finder'>): Promise<ViewOptions['readFile']> {
  const isHere = (await finder.home()) !== null;
  return (path) => {
    try {
      const stat = isHere ? statSync(path) : null;
      return stat?.isFile() === true && stat.size <= MAX_FILE_BYTES ? readFileSync(path, 'utf8') : null;
    } catch {
      return null; // there is none, or it cannot be read
    }
  };
}

type Fields = Readonly<Record<string, unknown>>;
type Shown = Pick<Approval, 'kind' | 'tool' | 'input' | 'questions'>;

/** A line that says what is asked: `Bash wants to run: git push`. */
export function approvalTitle({ kind, tool, input, questions }: Shown): string {
  if (kind === 'question') return `question: ${oneLine(questions?.[0]?.question ?? '', 160)}`;
  if (kind === 'plan') return 'a plan to approve';
  return `${tool} ${oneLine(subjectOf(input), 160)}`;
}

/** Everything that a person needs for a decision. No field of the input is left out. */
export function approvalView(approval: Shown, { readFile, maxLines }: ViewOptions): readonly ViewLine[] {
  const { kind, tool, questions } = approval;
  const input = fieldsOf(approval.input);
  if (kind === 'question') return (questions ?? []).flatMap(questionView);
  if (kind === 'plan') {
    const { plan, ...rest } = input;
    const lines = typeof plan === 'string' ? cutLines(plan.split('\n').map(plain), maxLines) : [];
    return [{ text: 'The plan:', style: 'bold' }, ...lines, ...restView(rest)];
  }
  return toolView(tool, input, readFile, maxLines);
}

function toolView(
  tool: string,
  input: Fields,
  readFile: ViewOptions['readFile'],
  maxLines: number,
): readonly ViewLine[] {
  const title = (what: string): ViewLine => ({ text: `${tool} wants to ${what}`, style: 'bold' });
  const { command, description, reason, file_path: path, ...rest } = input;
  const why = [description, reason]
    .filter((text) => typeof text === 'string')
    .map((text) => dim(`  ${oneLine(text, 400)}`));
  if (typeof command === 'string') {
    const others = { ...(path === undefined ? {} : { file_path: path }), ...rest };
    return [title('run'), ...command.split('\n').map(plain), ...why, ...restView(others)];
  }
  if (Array.isArray(rest['changes']) && rest['changes'].every(isPatch)) {
    const { changes, ...others } = rest;
    const lines = rest['changes'].flatMap(patchView);
    return [title('change files'), ...cutLines(lines, maxLines), ...why, ...restView(others)];
  }
  if (typeof path === 'string') {
    const changed = changesOf(path, rest, readFile);
    if (changed !== null) {
      const { lines, others } = changed;
      return [
        title(`change ${oneLine(path)}`),
        ...cutLines(lines.map(diffView), maxLines),
        ...why,
        ...restView(others),
      ];
    }
  }
  return [{ text: `${tool} wants to run`, style: 'bold' }, ...cutLines(restView(input), maxLines)];
}

/** The lines that an edit of claude changes; null: it is another kind of call. */
function changesOf(
  path: string,
  input: Fields,
  readFile: ViewOptions['readFile'],
): { readonly lines: readonly DiffLine[]; readonly others: Fields } | null {
  const { old_string: before, new_string: after, content, edits, ...others } = input;
  if (typeof before === 'string' && typeof after === 'string')
    return { lines: lineDiff(before, after), others: { ...others, ...given({ content, edits }) } };
  if (typeof content === 'string') {
    const unread = { old_string: before, new_string: after, edits };
    return { lines: lineDiff(readFile(path) ?? '', content), others: { ...others, ...given(unread) } };
  }
  return null;
}

interface Patch {
  readonly path: string;
  readonly diff: string;
  readonly kind: unknown;
}

const isPatch = (value: unknown): value is Patch =>
  typeof value === 'object' &&
  value !== null &&
  'path' in value &&
  typeof value.path === 'string' &&
  'diff' in value &&
  typeof value.diff === 'string' &&
  'kind' in value;

/** The changes of one file, as codex asks for them. */
function patchView({ path, diff, kind }: Patch): readonly ViewLine[] {
  const lines = diff.replace(/\n$/, '').split('\n');
  return [
    { text: `  ${oneLine(path)} ${oneLine(JSON.stringify(kind) ?? '')}` },
    ...lines.map((line): ViewLine => {
      const text = `    ${line}`;
      if (line.startsWith('+')) return { text, style: 'green' };
      return line.startsWith('-') ? { text, style: 'red' } : { text, style: 'dim' };
    }),
  ];
}

const given = (fields: Fields): Fields =>
  Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined));

function diffView({ sign, text }: DiffLine): ViewLine {
  const line = { text: `  ${sign} ${text}` };
  if (sign === ' ') return { ...line, style: 'dim' };
  return { ...line, style: sign === '-' ? 'red' : 'green' };
}

/** A question and its options, with their numbers. */
export function questionView(question: Question): readonly ViewLine[] {
  const { question: text, header, options, multiSelect } = question;
  const title = `${header === null ? '' : `${oneLine(header)}: `}${oneLine(text)}`;
  const several = multiSelect ? ' (several may be chosen)' : '';
  return [
    { text: title + several, style: 'bold' },
    ...options.map(({ label, description }, at) => ({
      text: `  ${at + 1}  ${oneLine(label)}${description === null ? '' : ` - ${oneLine(description)}`}`,
    })),
  ];
}

/** Each field that has a value as `name: value`, longer texts in lines of their own. */
function restView(fields: Fields): readonly ViewLine[] {
  return Object.entries(fields).flatMap(([name, value]): ViewLine[] => {
    if (value === null || value === undefined) return [];
    const text = typeof value === 'string' ? value : JSON.stringify(value, null, 2);
    const [first = '', ...more] = text.split('\n');
    if (more.length === 0) return [plain(`${name}: ${first}`)];
    return [plain(`${name}:`), ...[first, ...more].map((line) => plain(`  ${line}`))];
  });
}

const plain = (text: string): ViewLine => ({ text: `    ${text}` });
const dim = (text: string): ViewLine => ({ text, style: 'dim' });

function cutLines(lines: readonly ViewLine[], max: number): readonly ViewLine[] {
  if (lines.length <= max) return lines;
  return [...lines.slice(0, max), dim(`    … ${lines.length - max} more lines: bullpen approvals show`)];
}

const fieldsOf = (input: unknown): Fields =>
  typeof input === 'object' && input !== null && !Array.isArray(input) ? { ...input } : { input };

function subjectOf(input: unknown): string {
  const fields = fieldsOf(input);
  for (const name of ['command', 'file_path', 'url', 'path']) {
    const value = fields[name];
    if (typeof value === 'string') return value;
  }
  return JSON.stringify(input) ?? '';
}

/** The tools of claude and codex that run a command. */
const SHELLS = ['Bash', 'shell'];
/** A command of one program, whose second word may be what it does. */
const SIMPLE = /^([\w.+-]+)(?: ([a-z][a-z-]*)(?= |$))?(?: [^;&|<>$`()\n\\]*)?$/;

/**
 * The rule for calls like this one: `Bash(git push *)`, or the tool's name. Null: no rule covers it
 * without covering much else.
 */
export function ruleLike({ kind, tool, input }: Pick<Approval, 'kind' | 'tool' | 'input'>): string | null {
  if (kind !== 'tool') return null;
  const { command } = fieldsOf(input);
  if (typeof command !== 'string' || !SHELLS.includes(tool)) return tool;
  const [, program, action] = SIMPLE.exec(command.trim()) ?? [];
  if (program === undefined) return null;
  return action === undefined ? `${tool}(${program} *)` : `${tool}(${program} ${action} *)`;
}

/** The labels of the options with these numbers or labels, or the words as they are. */
export function answerFrom({ options, multiSelect }: Question, words: string): string | string[] {
  const optionFor = (word: string): string | undefined =>
    options.find(({ label }) => label.toLowerCase() === word.toLowerCase())?.label ??
    (/^\d+$/.test(word) ? options[Number(word) - 1]?.label : undefined);
  const whole = optionFor(words);
  if (!multiSelect) return whole ?? words;
  if (whole !== undefined) return [whole];
  const labels = words.split(',').map((word) => optionFor(word.trim()));
  return labels.every((label) => label !== undefined) ? labels : [words];
}
