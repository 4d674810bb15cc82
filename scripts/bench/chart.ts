/** Draws the chart of the README: one bar for each way, as SVG. */
import { type Cell, type Line, type Results, WAYS, type Way } from './results.ts';

const WIDTH = 800;
const LABEL_END = 170;
const BARS_FROM = 180;
const BARS_TO = 560;
const RATIO_END = 790;
const BAR_HEIGHT = 16;
const BAR_STEP = 24;
const GROUP_GAP = 12;
const TITLE_STEP = 30;
const PANEL_GAP = 26;
const BASELINE = 12.5;

/** Colours that are readable on white and on black. */
const STYLE = [
  'text{font:13px system-ui,-apple-system,"Segoe UI",Helvetica,Arial,sans-serif;fill:#747c86}',
  '.title{font-weight:600;font-size:15px}',
  '.note{font-size:11px}',
  '.end{text-anchor:end}',
  '.ours{fill:#2f7de1}.other{fill:#9aa3ad}',
  '.spread{stroke:#747c86;stroke-width:2}',
].join('');

interface Bar {
  readonly way: Way;
  readonly cell: Cell;
  /** `0.24 × by hand`; empty for the way the others are compared with. */
  readonly ratio: string;
}

interface Group {
  readonly name: string | null;
  readonly bars: readonly Bar[];
}

/** @throws when the results have neither a latency nor a throughput */
export function renderChart(results: Results): string {
  const answers = results.sections['latency']?.lines.filter(({ name }) => name === 'whole answer') ?? [];
  const throughput = results.sections['throughput']?.lines ?? [];
  const panels = [
    panel('One prompt alone: milliseconds until its answer is there', groupsOf(answers, 'hand'), 'ms'),
    panel('Throughput: prompts per second, a fresh process for each', groupsOf(throughput, 'xargs'), 'per s'),
  ].filter((one) => one !== null);
  if (panels.length === 0) throw new Error('the results have neither a latency nor a throughput to draw');

  let y = 0;
  const body: string[] = [];
  for (const { height, draw } of panels) {
    body.push(...draw(y));
    y += height + PANEL_GAP;
  }
  const notes = notesOf(results);
  for (const note of notes) {
    body.push(text(0, y, note, 'note'));
    y += 15;
  }
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${y}" width="${WIDTH}" height="${y}" role="img">`,
    '<title>Bullpen beside the command line</title>',
    `<style>${STYLE}</style>`,
    ...body,
    '</svg>\n',
  ].join('\n');
}

function notesOf({ machine, date, quick }: Results): string[] {
  return [
    'Bars: medians; thin lines: the middle half of the measurements. The model is an offline one that answers at once.',
    `${machine.cores} cores, claude ${machine.claude}, Node ${machine.node}, ${date.slice(0, 10)}${quick ? '; a quick run, not to quote' : ''}`,
  ];
}

/** @param to the way that the others are compared with */
function groupsOf(lines: readonly Line[], to: Way): Group[] {
  return lines.map((one) => {
    const base = one.cells[to]?.p50 ?? null;
    const bars = Object.entries(one.cells).flatMap(([name, cell]): Bar[] => {
      const way = name as Way; // the cells' names are ways
      const ratio = base === null || way === to ? '' : `${(cell.p50 / base).toFixed(2)} × ${WAYS[to]}`;
      return [{ way, cell, ratio }];
    });
    return { name: lines.length > 1 ? one.name : null, bars };
  });
}

/** Null when there is nothing to draw. */
function panel(title: string, groups: readonly Group[], unit: string) {
  const bars = groups.flatMap((group) => group.bars);
  if (bars.length === 0) return null;
  const most = Math.max(...bars.map(({ cell }) => Math.max(cell.p50, cell.p75)));
  const scale = (value: number): number => (value / most) * (BARS_TO - BARS_FROM);
  const height = TITLE_STEP + bars.length * BAR_STEP + (groups.length - 1) * GROUP_GAP;
  const draw = (top: number): string[] => {
    const drawn = [text(0, top + BASELINE + 4, title, 'title')];
    let y = top + TITLE_STEP;
    for (const { name, bars: own } of groups) {
      if (name !== null) drawn.push(text(0, y + BASELINE, name, ''));
      for (const bar of own) {
        drawn.push(...drawBar(bar, y, scale, unit));
        y += BAR_STEP;
      }
      y += GROUP_GAP;
    }
    return drawn;
  };
  return { height, draw };
}

function drawBar(
  { way, cell, ratio }: Bar,
  y: number,
  scale: (value: number) => number,
  unit: string,
): string[] {
  const ours = way === 'cold' || way === 'warm' || way === 'session';
  const end = BARS_FROM + scale(Math.max(cell.p50, cell.p75));
  const middle = y + BAR_HEIGHT / 2;
  const spread = `x1="${place(BARS_FROM + scale(cell.p25))}" x2="${place(BARS_FROM + scale(cell.p75))}"`;
  return [
    text(LABEL_END, y + BASELINE, WAYS[way], 'end'),
    `<rect class="${ours ? 'ours' : 'other'}" x="${BARS_FROM}" y="${y}" width="${place(scale(cell.p50))}" height="${BAR_HEIGHT}" rx="2"/>`,
    ...(cell.n > 1 ? [`<line class="spread" ${spread} y1="${middle}" y2="${middle}"/>`] : []),
    text(end + 8, y + BASELINE, `${figure(cell.p50)} ${unit}`, ''),
    ...(ratio === '' ? [] : [text(RATIO_END, y + BASELINE, ratio, 'end')]),
  ];
}

/** Three digits, or as many as it has before the point. */
const figure = (value: number): string => (value >= 100 ? value.toFixed(0) : value.toPrecision(3));

const place = (value: number): string => value.toFixed(1);

const ESCAPES: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' };

const text = (x: number, y: number, content: string, kind: string): string => {
  const escaped = content.replaceAll(/[&<>"]/g, (sign) => ESCAPES[sign] ?? sign);
  return `<text${kind === '' ? '' : ` class="${kind}"`} x="${place(x)}" y="${place(y)}">${escaped}</text>`;
};
