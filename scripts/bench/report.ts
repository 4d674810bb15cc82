/** The results on a terminal. */
import { styleText } from 'node:util';
import {
  type Cell,
  isMet,
  type Line,
  type MachineFacts,
  type Row,
  WAY_NAMES,
  WAYS,
  type Way,
} from './results.ts';
import type { Section } from './setting.ts';

const NAME_WIDTH = 44;
const LINE_WIDTH = 42;
const VALUE_WIDTH = 12;
const CELL_WIDTH = 20;
const GOAL_WIDTH = 10;

export function renderMachine(facts: MachineFacts): string {
  return [
    `${facts.cores} cores (${facts.processor}), ${facts.memoryGb} GB, ${facts.system}, load ${facts.loadBefore.toFixed(1)} before`,
    `Node ${facts.node}, Redis ${facts.redis}, claude ${facts.claude}, Agent SDK ${facts.sdk}, offline model`,
    `one fdatasync in the data folder: ${facts.fdatasyncMs.toFixed(2)} ms (median)`,
  ].join('\n');
}

export function renderSection({ title, lines = [], rows, notes = [] }: Section): string {
  return [
    `\n${styleText('bold', title)}`,
    ...renderLines(lines),
    ...rows.map(renderRow),
    ...notes.map((note) => styleText('dim', `  ${note}`)),
  ].join('\n');
}

/** The ways any of the lines has, in their fixed order. */
export const waysOf = (lines: readonly Line[]): readonly Way[] =>
  WAY_NAMES.filter((way) => lines.some(({ cells }) => cells[way] !== undefined));

function renderLines(lines: readonly Line[]): string[] {
  if (lines.length === 0) return [];
  const ways = waysOf(lines);
  const head = `  ${''.padEnd(LINE_WIDTH)}${ways.map((way) => WAYS[way].padStart(CELL_WIDTH)).join('')}`;
  const body = lines.map(({ name, unit, cells }) => {
    const values = ways.map((way) => renderCell(cells[way]).padStart(CELL_WIDTH)).join('');
    return `  ${`${name}, ${unit}`.padEnd(LINE_WIDTH)}${values}`;
  });
  return [head, ...body, ''];
}

/** The median, and between which values half of the measurements lie. */
export function renderCell(cell: Cell | undefined): string {
  if (cell === undefined) return '';
  if ('missing' in cell) return 'n/a';
  return cell.n === 1 ? digits(cell.p50) : `${digits(cell.p50)} (${digits(cell.p25)}–${digits(cell.p75)})`;
}

function renderRow(row: Row): string {
  const value = `${digits(row.value)} ${row.unit}`.trim();
  const goal = row.goal === undefined ? '' : `${row.goal.relation} ${row.goal.value}`;
  const met = isMet(row);
  const verdict = met === null ? '' : met ? styleText('green', 'met') : styleText('red', 'missed');
  return `  ${row.name.padEnd(NAME_WIDTH)}${value.padStart(VALUE_WIDTH)}   ${goal.padEnd(GOAL_WIDTH)}${verdict}`.trimEnd();
}

/** As many decimals as the figure deserves. */
export const digits = (value: number): string =>
  value.toFixed(value >= 100 ? 0 : value >= 10 ? 1 : value < 2 ? 3 : 2);
