/** The results as tables for docs/performance.md. */
import { digits, renderCell, waysOf } from './report.ts';
import { isMet, type Line, type Results, type Row, WAYS } from './results.ts';

const BEGIN = '<!-- bench: begin -->';
const END = '<!-- bench: end -->';

/** Every section of the results, with the machine they belong to above. */
export function renderMarkdown({ date, quick, machine, notes: general, sections }: Results): string {
  const facts = `${machine.cores} cores (${machine.processor}), ${machine.memoryGb} GB, ${machine.system}, Node ${machine.node}, Redis ${machine.redis}, claude ${machine.claude}, Agent SDK ${machine.sdk}, one fdatasync in the data folder ${machine.fdatasyncMs.toFixed(2)} ms, load ${machine.loadBefore.toFixed(1)} before.`;
  const blocks = [
    `Measured ${date.slice(0, 10)}${quick ? ' in a quick run, not to quote' : ''}: ${facts}`,
    ...general,
    ...Object.values(sections).map(({ title, lines = [], rows, notes = [] }) =>
      [`### ${title}`, lineTable(lines), rowTable(rows), notes.map((note) => `- ${note}`).join('\n')]
        .filter((block) => block !== '')
        .join('\n\n'),
    ),
  ];
  return blocks.join('\n\n');
}

/** Puts the results where the page has its marks. @throws when it has none */
export function withResults(page: string, results: Results): string {
  const begin = page.indexOf(BEGIN);
  const end = page.indexOf(END);
  if (begin === -1 || end < begin) throw new Error(`the page lacks ${BEGIN} … ${END}`);
  return `${page.slice(0, begin + BEGIN.length)}\n${renderMarkdown(results)}\n${page.slice(end)}`;
}

const row = (cells: readonly string[]): string =>
  `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`;

function lineTable(lines: readonly Line[]): string {
  if (lines.length === 0) return '';
  const ways = waysOf(lines);
  const missing = lines.flatMap(({ cells }) =>
    ways.flatMap((way) => {
      const cell = cells[way];
      return cell !== undefined && 'missing' in cell ? [`${WAYS[way]}: ${cell.missing}`] : [];
    }),
  );
  const table = [
    row(['', ...ways.map((way) => WAYS[way])]),
    row(['---', ...ways.map(() => '---')]),
    ...lines.map(({ name, unit, cells }) =>
      row([`${name}, ${unit}`, ...ways.map((way) => renderCell(cells[way]))]),
    ),
  ].join('\n');
  return [table, ...new Set(missing)].join('\n\n');
}

function rowTable(rows: readonly Row[]): string {
  if (rows.length === 0) return '';
  return [row(['', 'measured', 'goal', '']), row(['---', '---', '---', '---']), ...rows.map(resultRow)].join(
    '\n',
  );
}

function resultRow(one: Row): string {
  const met = isMet(one);
  const goal = one.goal === undefined ? '' : `${one.goal.relation} ${one.goal.value}`;
  const verdict = met === null ? '' : met ? 'met' : '**missed**';
  return row([one.name, `${digits(one.value)} ${one.unit}`.trim(), goal, verdict]);
}
