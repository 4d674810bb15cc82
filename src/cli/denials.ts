/** What a job was not allowed, and the command that allows it. */
import type { Job } from '../protocol/job.ts';
import { oneLine } from './plain-text.ts';

type Denied = Pick<Job, 'id' | 'provider' | 'permissionMode' | 'allowedTools' | 'outcome'>;

const MAX_SHOWN = 5;

/** `1 tool denied`; null: none. */
export const deniedCount = (count: number): string | null =>
  count === 0 ? null : `${count} tool${count === 1 ? '' : 's'} denied`;

/** Each tool call that was denied, as `Bash touch x`; the last line says how many more there were. */
export function deniedTools({ outcome }: Pick<Job, 'outcome'>): readonly string[] {
  const denials = outcome?.permissionDenials ?? [];
  const shown = denials
    .slice(0, MAX_SHOWN)
    .map(({ tool, input }) => oneLine(`${tool} ${textOf(input)}`, 200));
  return denials.length > shown.length ? [...shown, `and ${denials.length - shown.length} more`] : shown;
}

/**
 * The command that runs the job again with what it was denied, beside what it was allowed already; null where a list
 * of tools would not help.
 */
export function allowingCommand(job: Denied): string | null {
  const denials = job.outcome?.permissionDenials ?? [];
  if (denials.length === 0 || job.permissionMode === 'plan') return null;
  const rules = denials.map(({ tool, input }) => ruleFor(job.provider, tool, input));
  const all = [...new Set([...job.allowedTools, ...rules])];
  return `bullpen retry ${job.id} ${all.map((rule) => `--allowed-tools ${quoted(rule)}`).join(' ')}`;
}

/** A command of one program: what a shell would take apart, or run inside it, is not allowed by its first word. */
const SIMPLE = /^([\w.+-]+)( [^;&|<>$`()\n\\]*)?$/;

function ruleFor(provider: string, tool: string, input: unknown): string {
  const [, program, rest] = (provider === 'claude' && tool === 'Bash' && SIMPLE.exec(textOf(input))) || [];
  if (program === undefined) return tool;
  return rest === undefined ? `Bash(${program})` : `Bash(${program} *)`;
}

const quoted = (text: string): string =>
  /^[\w.-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;

/** What a call was about: its command or its file, else all of its input. */
function textOf(input: unknown): string {
  if (typeof input !== 'object' || input === null) return JSON.stringify(input) ?? '';
  for (const name of ['command', 'file_path', 'url', 'path']) {
    const value: unknown = Object.entries(input).find(([key]) => key === name)?.[1];
    if (typeof value === 'string') return value;
  }
  return JSON.stringify(input);
}
