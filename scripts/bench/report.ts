import { styleText } from 'node:util';
import type { MachineFacts } from './machine.ts';
import { isMet, type Row, type Section } from './setting.ts';

const NAME_WIDTH = 36;
const VALUE_WIDTH = 12;
const GOAL_WIDTH = 10;

export function renderMachine(facts: MachineFacts): string {
  return [
    `${facts.cores} cores (${facts.processor}), ${facts.memoryGb} GB, ${facts.system}, load ${facts.loadBefore.toFixed(1)} before`,
    `Node ${facts.node}, Redis ${facts.redis}, claude ${facts.claude}, offline model`,
    `one fdatasync in the data folder: ${facts.fdatasyncMs.toFixed(2)} ms (median)`,
  ].join('\n');
}

export function renderSection({ title, rows }: Section): string {
  return [`\n${styleText('bold', title)}`, ...rows.map(renderRow)].join('\n');
}

function renderRow(row: Row): string {
  const value = `${digits(row.value)} ${row.unit}`.trim();
  const goal = row.goal === undefined ? '' : `${row.goal.relation} ${row.goal.value}`;
  const met = isMet(row);
  const verdict = met === null ? '' : met ? styleText('green', 'met') : styleText('red', 'missed');
  return `  ${row.name.padEnd(NAME_WIDTH)}${value.padStart(VALUE_WIDTH)}   ${goal.padEnd(GOAL_WIDTH)}${verdict}`.trimEnd();
}

/** As many decimals as the figure deserves. */
const digits = (value: number): string =>
  value.toFixed(value >= 100 ? 0 : value >= 10 ? 1 : value < 2 ? 3 : 2);
