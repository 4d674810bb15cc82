/** Tool calls of the CLIs, as a line to read, as changes of files, or as a list of things to do. */
import { structuredPatch } from 'diff';
import { visibleText } from './hostile.ts';

type Fields = Readonly<Record<string, unknown>>;

const fieldsOf = (value: unknown): Fields =>
  typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Fields) : {}; // as: it is one

const textIn = (fields: Fields, ...names: readonly string[]): string | null => {
  for (const name of names) {
    const value = fields[name];
    if (typeof value === 'string' && value !== '') return value;
    if (Array.isArray(value) && value.every((one) => typeof one === 'string')) return value.join(' ');
  }
  return null;
};
const listIn = (fields: Fields, name: string): readonly Fields[] => {
  const value = fields[name];
  return Array.isArray(value) ? value.map(fieldsOf) : [];
};

const MAX_LINE = 300;
const PATHS = ['file_path', 'absolute_path', 'path', 'notebook_path', 'dir_path'] as const;

/** What a call is about, in one line: its command, path, pattern or address. */
export function summaryOf(name: string, input: unknown): string {
  const todos = todosOf(name, input);
  if (todos !== null)
    return `${todos.filter(({ status }) => status === 'done').length} of ${todos.length} done`;
  const fields = fieldsOf(input);
  const pattern = textIn(fields, 'pattern');
  const path = textIn(fields, ...PATHS);
  const found =
    textIn(fields, 'command', 'cmd') ??
    (pattern !== null && path !== null ? `${pattern} in ${path}` : (pattern ?? path)) ??
    textIn(fields, 'url', 'query', 'description', 'prompt', 'question', 'skill') ??
    changedPaths(name, input) ??
    (typeof input === 'string' ? input : firstText(fields));
  const line = visibleText(found.slice(0, MAX_LINE * 4))
    .trim()
    .replace(/\s+/g, ' ');
  return line.length > MAX_LINE ? `${line.slice(0, MAX_LINE)}…` : line;
}

const firstText = (fields: Fields): string =>
  Object.values(fields)
    .find((value) => typeof value === 'string' && value !== '')
    ?.toString() ?? '';

function changedPaths(name: string, input: unknown): string | null {
  if (name === 'file_change')
    return listIn(fieldsOf(input), 'changes')
      .flatMap((change) => textIn(change, 'path') ?? [])
      .join(', ');
  const patch = patchOf(name, input);
  return patch === null ? null : [...patch.matchAll(FILE_HEADER)].map(([, , path]) => path).join(', ');
}

export interface Todo {
  readonly text: string;
  readonly status: 'open' | 'running' | 'done';
}

/** A list of things to do; null: the call is about something else. */
export function todosOf(name: string, input: unknown): readonly Todo[] | null {
  if (!/^(TodoWrite|write_todos|update_plan|todo_list)$/.test(name)) return null;
  const fields = fieldsOf(input);
  const rows = ['todos', 'plan', 'items'].map((list) => listIn(fields, list)).find((list) => list.length > 0);
  if (rows === undefined) return null;
  return rows.map((row) => {
    const status = textIn(row, 'status') ?? '';
    const isDone = status === 'completed' || row['completed'] === true;
    return {
      text: textIn(row, 'content', 'description', 'step', 'text') ?? '',
      status: isDone ? 'done' : status === 'in_progress' ? 'running' : 'open',
    };
  });
}

export interface DiffLine {
  readonly kind: 'same' | 'added' | 'removed' | 'place';
  readonly text: string;
}
export interface FileChange {
  readonly path: string;
  /** What happens to the file beside its lines: `add`, `delete`, `move to b.ts`. */
  readonly what?: string;
  readonly lines: readonly DiffLine[];
}

/** Differences that take longer to find are shown as all old lines and all new ones. */
const MAX_DIFF_MS = 100;

/** The changes of files that a call makes; null: the call is about something else. */
export function changesOf(name: string, input: unknown): readonly FileChange[] | null {
  const fields = fieldsOf(input);
  const patch = patchOf(name, input);
  if (patch !== null) return changesInPatch(patch);
  if (name === 'file_change') {
    const changes = listIn(fields, 'changes').map(changeOf);
    return changes.length > 0 ? changes : null;
  }
  const path = textIn(fields, ...PATHS);
  if (path === null) return null;
  const edits = listIn(fields, 'edits').length > 0 ? listIn(fields, 'edits') : [fields];
  if (edits.every(isEdit))
    return [
      {
        path,
        lines: edits.flatMap((edit) => difference(asText(edit['old_string']), asText(edit['new_string']))),
      },
    ];
  if (/^(Write|write_file|create_file)$/.test(name) && typeof fields['content'] === 'string')
    return [{ path, lines: linesOf('added', fields['content']) }];
  return null;
}

/** The fields of a call that its changes show whole: the others are to be shown beside them. */
export function fieldsInChanges(name: string, input: unknown): readonly string[] {
  const fields = fieldsOf(input);
  if (patchOf(name, input) !== null) return [];
  if (name === 'file_change') {
    const isWhole = ({ path, diff, unified_diff: unified }: Fields): boolean =>
      isText(path) && (isText(diff) ? unified === undefined : isText(unified) && diff === undefined);
    return listIn(fields, 'changes').every(isWhole) ? ['changes'] : [];
  }
  const path = PATHS.find((one) => textIn(fields, one) !== null) ?? '';
  const edits = listIn(fields, 'edits');
  if (edits.length > 0)
    return edits.every((edit) => isEdit(edit) && Object.keys(edit).length === 2) ? [path, 'edits'] : [path];
  return isEdit(fields) ? [path, 'old_string', 'new_string'] : [path, 'content'];
}

const isText = (value: unknown): boolean => typeof value === 'string';

/** A change of codex. Of a file that is added or deleted, `diff` is the content. */
function changeOf(change: Fields): FileChange {
  const { path: given, diff, unified_diff: unified, kind, ...rest } = change;
  const text = asText(diff) || asText(unified);
  const { type, move_path: moved, ...others } = typeof kind === 'string' ? { type: kind } : fieldsOf(kind);
  const more = Object.values({ ...others, ...rest }).some((value) => value !== null);
  const what = [
    ...(typeof type === 'string' && type !== 'update' ? [type] : []),
    ...(typeof moved === 'string' ? [`move to ${moved}`] : []),
    ...(more ? [JSON.stringify({ ...others, ...rest })] : []),
  ].join(', ');
  const [only] = type === 'add' ? ['added' as const] : type === 'delete' ? ['removed' as const] : [];
  const lines = only === undefined ? linesOfDiff(text) : linesOf(only, text);
  return { path: asText(given), ...(what === '' ? {} : { what }), lines };
}

const asText = (value: unknown): string => (typeof value === 'string' ? value : '');
const isEdit = (fields: Fields): boolean =>
  typeof fields['old_string'] === 'string' && typeof fields['new_string'] === 'string';

const linesOf = (kind: DiffLine['kind'], text: string): readonly DiffLine[] =>
  text === ''
    ? []
    : text
        .replace(/\n$/, '')
        .split('\n')
        .map((line) => ({ kind, text: line }));

function difference(before: string, after: string): readonly DiffLine[] {
  const options = { context: 3, timeout: MAX_DIFF_MS };
  const patch = structuredPatch('', '', `${before}\n`, `${after}\n`, '', '', options);
  if (patch === undefined) return [...linesOf('removed', before), ...linesOf('added', after)];
  return patch.hunks.flatMap(({ lines }, index) => [
    ...(index === 0 ? [] : [{ kind: 'place' as const, text: '…' }]),
    ...lines.filter((line) => !line.startsWith('\\')).map(lineOfDiff),
  ]);
}

const KINDS: Readonly<Record<string, DiffLine['kind']>> = { '+': 'added', '-': 'removed', '@': 'place' };
const lineOfDiff = (line: string): DiffLine => {
  const kind = KINDS[line[0] ?? ''] ?? 'same';
  return { kind, text: kind === 'place' || /^[^ +-]/.test(line) ? line : line.slice(1) };
};
const linesOfDiff = (diff: string): readonly DiffLine[] =>
  diff === ''
    ? []
    : diff
        .replace(/^--- .*\n\+\+\+ .*\n(?=@@)/, '')
        .replace(/\n$/, '')
        .split('\n')
        .map(lineOfDiff);

const FILE_HEADER = /^\*\*\* (Add|Update|Delete) File: (.*)$/gm;

/** The text of a patch in the form of `apply_patch`. */
function patchOf(name: string, input: unknown): string | null {
  const fields = fieldsOf(input);
  const text = typeof input === 'string' ? input : textIn(fields, 'patch', 'input', 'command');
  if (text === null || !(name === 'apply_patch' || /^apply_patch\b/.test(text))) return null;
  const begin = text.indexOf('*** Begin Patch');
  return begin === -1 ? null : text.slice(begin);
}

function changesInPatch(patch: string): readonly FileChange[] {
  const changes: { path: string; what?: string; lines: DiffLine[] }[] = [];
  for (const line of patch.split('\n')) {
    const [, what, path = ''] = /^\*\*\* (Add|Update|Delete) File: (.*)$/.exec(line) ?? [];
    const moved = /^\*\*\* Move to: (.*)$/.exec(line)?.[1];
    const last = changes.at(-1);
    if (what !== undefined) {
      const lines = what === 'Delete' ? [{ kind: 'removed' as const, text: '(the whole file)' }] : [];
      changes.push({ path, ...(what === 'Update' ? {} : { what: what.toLowerCase() }), lines });
    } else if (moved !== undefined && last !== undefined) last.what = `move to ${moved}`;
    else if (!line.startsWith('*** ')) last?.lines.push(lineOfDiff(line));
  }
  return changes.map(({ lines, ...change }) => ({
    ...change,
    lines: lines.filter(({ text, kind }, at) => at < lines.length - 1 || kind !== 'same' || text !== ''),
  }));
}

/** An input as JSON, in the form that people read. */
export function jsonOf(value: unknown): string {
  return typeof value === 'string' ? value : (JSON.stringify(value, null, 2) ?? '');
}
