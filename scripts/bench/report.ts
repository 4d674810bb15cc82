/** The results as Markdown: for the terminal, and for docs/performance.md. */

import type { Section } from './results.ts';
import {
  type Cell,
  type Line,
  type MachineFacts,
  type Results,
  type Row,
  WAY_NAMES,
  WAYS,
} from './results.ts';

/** The row with the memory of all processes. */
export const AT_REST = 'all at rest';

const COLUMNS = 120;
const BEGIN = '<!-- bench: begin -->';
const END = '<!-- bench: end -->';

export function renderResults({ date, quick, machine, sections }: Results): string {
  const when = `Measured ${date.slice(0, 10)}${quick ? ' in a quick run, not to quote' : ''}.`;
  return [`${when}\n${renderMachine(machine)}`, ...Object.values(sections).map(renderSection)].join('\n\n');
}

export function renderMachine(facts: MachineFacts): string {
  return [
    `- ${facts.cores} cores (${facts.processor}), ${facts.memoryGb} GB, ${facts.system}`,
    `- Node ${facts.node}, Redis ${facts.redis}, claude ${facts.claude}, offline model`,
    `- one fdatasync in the data folder: ${facts.fdatasyncMs.toFixed(2)} ms; load before: ${facts.loadBefore.toFixed(1)}`,
  ].join('\n');
}

export function renderSection({ title, lines, rows, notes }: Section): string {
  return [`### ${title}`, lineTable(lines), rowText(rows), notes.map((note) => `- ${note}`).join('\n')]
    .filter((block) => block !== '')
    .join('\n\n');
}

/** The README's figures: what a reader asks first. What was not measured stays empty. */
export function renderSummary({ sections }: Results): string {
  const cells = (part: string, name: string): Line['cells'] =>
    sections[part]?.lines.find((one) => one.name === name)?.cells ?? {};
  const atRest = sections['resources']?.rows.find(({ name }) => name === AT_REST)?.value;
  const ms = (cell: Cell | undefined, base?: Cell): string =>
    cell === undefined ? '' : `${cell.p50.toFixed(0)} ms${times(cell, base)}`;
  const rate = (cell: Cell | undefined, base?: Cell): string =>
    cell === undefined ? '' : `${cell.p50.toFixed(1)} per s${times(cell, base)}`;
  const lone = cells('latency', 'whole answer');
  const many = (name: string): string[] => {
    const { xargs, warm } = cells('throughput', name);
    return [rate(xargs), '', rate(warm, xargs)];
  };
  return table(
    ['', 'by hand', 'a ready process without Bullpen', 'Bullpen'],
    [
      ['a lone prompt, no process kept ready', ms(lone.hand), '', ms(lone.cold, lone.hand)],
      ['a lone prompt, by default', ms(lone.hand), ms(lone.bare, lone.hand), ms(lone.warm, lone.hand)],
      ['the next turn of a session', ms(lone.hand), ms(lone.turn, lone.hand), ms(lone.session, lone.hand)],
      ['two at once', ...many('2 at once')],
      ['four at once', ...many('4 at once')],
      ['eight at once', ...many('8 at once')],
      ['the first eight after a start', ...many('first 8 after a start')],
      [
        'CPU per prompt',
        ms(cells('resources', 'CPU of the CLI per prompt').hand),
        '',
        `${ms(cells('resources', 'CPU of Bullpen per prompt').warm)} on top`,
      ],
      [
        'memory two minutes after the last job',
        '',
        '',
        atRest === undefined ? '' : `${atRest.toFixed(0)} MB`,
      ],
    ],
  );
}

const times = (cell: Cell, base: Cell | undefined): string =>
  base === undefined ? '' : ` (${(cell.p50 / base.p50).toFixed(2)} ×)`;

/** Replaces what is between the page's two marks. @throws when the page has no marks */
export function withContent(page: string, content: string): string {
  const begin = page.indexOf(BEGIN);
  const end = page.indexOf(END);
  if (begin === -1 || end < begin) throw new Error(`the page has no ${BEGIN} … ${END}`);
  return `${page.slice(0, begin + BEGIN.length)}\n${content}\n${page.slice(end)}`;
}

function lineTable(lines: readonly Line[]): string {
  if (lines.length === 0) return '';
  const ways = WAY_NAMES.filter((way) => lines.some(({ cells }) => cells[way] !== undefined));
  const rows = lines.map(({ name, unit, cells }) => [
    `${name}, ${unit}`,
    ...ways.map((way) => renderCell(cells[way])),
  ]);
  return table(['', ...ways.map((way) => WAYS[way])], rows);
}

/** One paragraph, in lines that Markdown may have. */
function rowText(rows: readonly Row[]): string {
  const figures = rows.map(({ name, value, unit }) => `${name}: ${`${digits(value)} ${unit}`.trim()}`);
  const lines: string[] = [];
  for (const [index, figure] of figures.entries()) {
    const text = index + 1 < figures.length ? `${figure};` : `${figure}.`;
    const last = lines.at(-1);
    if (last === undefined || last.length + 1 + text.length > COLUMNS) lines.push(text);
    else lines[lines.length - 1] = `${last} ${text}`;
  }
  return lines.join('\n');
}

/** Padded, so that it is a table on a terminal too. */
function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = head.map((_, column) =>
    Math.max(3, ...[head, ...rows].map((cells) => (cells[column] ?? '').length)),
  );
  const row = (cells: readonly string[]): string =>
    `| ${cells.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join(' | ')} |`;
  return [row(head), row(widths.map((width) => '-'.repeat(width))), ...rows.map(row)].join('\n');
}

function renderCell(cell: Cell | undefined): string {
  if (cell === undefined) return '';
  return cell.n === 1 ? digits(cell.p50) : `${digits(cell.p50)} (${digits(cell.p25)}–${digits(cell.p75)})`;
}

const digits = (value: number): string =>
  value.toFixed(Math.abs(value) >= 100 ? 0 : Math.abs(value) >= 10 ? 1 : 2);
