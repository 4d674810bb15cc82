import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { renderChart } from '../../../scripts/bench/chart.ts';
import { renderMarkdown, withResults } from '../../../scripts/bench/markdown.ts';
import { renderSection } from '../../../scripts/bench/report.ts';
import { type Cell, type Results, readResults } from '../../../scripts/bench/results.ts';
import { tempDir } from '../../helpers/temp.ts';

const cell = (p50: number, n = 10): Cell => ({ n, p25: p50 * 0.9, p50, p75: p50 * 1.1 });

const RESULTS: Results = {
  date: '2026-01-02T03:04:05.000Z',
  quick: false,
  machine: {
    cores: 2,
    processor: 'A & B <processor>',
    memoryGb: 24,
    system: 'Linux',
    node: '24.0.0',
    redis: '7.0.15',
    claude: '2.1 <beta> & "more"',
    sdk: '0.3',
    loadBefore: 0.1,
    fdatasyncMs: 0.16,
  },
  notes: ['A word on all of it.'],
  sections: {
    latency: {
      title: 'One prompt alone',
      lines: [
        {
          name: 'whole answer',
          unit: 'ms',
          cells: { hand: cell(400), sdk: { missing: 'no registry' }, cold: cell(420), warm: cell(80) },
        },
        { name: 'first text', unit: 'ms', cells: { hand: cell(350), warm: cell(70) } },
      ],
      rows: [
        { name: 'warm / by hand', value: 0.2, unit: '', goal: { relation: '≤', value: 0.25 } },
        { name: 'session / by hand', value: 0.3, unit: '', goal: { relation: '≤', value: 0.1 } },
        { name: 'cold / by hand', value: 1.05, unit: '' },
      ],
      notes: ['One pause before each.'],
    },
    throughput: {
      title: 'Throughput',
      lines: [1, 4].map((count) => ({
        name: `${count} at once`,
        unit: 'per s',
        cells: { xargs: cell(2 * count), cold: cell(1.9 * count), warm: cell(2.2 * count) },
      })),
      rows: [],
    },
  },
};

const only = (...names: readonly string[]): Results => ({
  ...RESULTS,
  sections: Object.fromEntries(Object.entries(RESULTS.sections).filter(([name]) => names.includes(name))),
});

const widths = (svg: string): number[] =>
  [...svg.matchAll(/<rect class="(?:ours|other)" [^>]*? width="([\d.]+)"/g)].map(([, width]) =>
    Number(width),
  );
const texts = (svg: string): string[] =>
  [...svg.matchAll(/<text[^>]*>([^<]*)<\/text>/g)].map(([, content = '']) => content);

describe('the chart', () => {
  it('has a bar for every way that was measured, as long as its median', () => {
    const [hand = 0, cold = 0, warm = 0, ...more] = widths(renderChart(only('latency')));
    expect(more).toEqual([]);
    expect(cold / hand).toBeCloseTo(420 / 400, 2);
    expect(warm / hand).toBeCloseTo(80 / 400, 2);
  });

  it('says figures and ratios as text', () => {
    const said = texts(renderChart(RESULTS));
    expect(said).toEqual(expect.arrayContaining(['by hand', '400 ms', '80.0 ms', '0.20 × by hand']));
    expect(said).toEqual(
      expect.arrayContaining(['4 at once', '8.00 per s', '8.80 per s', '1.10 × xargs -P']),
    );
    expect(said.some((one) => one.includes('Agent SDK') && !one.startsWith('2 cores'))).toBe(false);
  });

  it('keeps every bar and text within its picture', () => {
    const svg = renderChart(RESULTS);
    const [, width, height] = /viewBox="0 0 (\d+) ([\d.]+)"/.exec(svg) ?? [];
    const ys = [...svg.matchAll(/ y="([\d.]+)"/g)].map(([, y]) => Number(y));
    const xs = [...svg.matchAll(/ x2?="([\d.]+)"/g)].map(([, x]) => Number(x));
    expect(width).toBe('800');
    expect(Math.max(...ys)).toBeLessThanOrEqual(Number(height));
    expect(Math.max(...xs)).toBeLessThanOrEqual(800);
  });

  it('escapes what came from the machine', () => {
    const svg = renderChart(RESULTS);
    expect(svg).toContain('2.1 &lt;beta&gt; &amp; &quot;more&quot;');
    expect(svg).not.toContain('<beta>');
  });

  it('is drawn from one of the two as well, and from none not at all', () => {
    expect(widths(renderChart(only('throughput')))).toHaveLength(6);
    expect(() => renderChart(only())).toThrow('neither a latency nor a throughput');
  });

  it('says of a quick run that it is one', () => {
    expect(renderChart({ ...RESULTS, quick: true })).toContain('not to quote');
    expect(renderChart(RESULTS)).not.toContain('not to quote');
  });
});

describe('the tables of the page', () => {
  it('have a column for each way and a line for each thing, with the spread', () => {
    const page = renderMarkdown(RESULTS);
    expect(page).toContain('|  | by hand | Agent SDK | Bullpen cold | Bullpen warm |');
    expect(page).toContain('| whole answer, ms | 400 (360–440) | n/a | 420 (378–462) | 80.0 (72.0–88.0) |');
    expect(page).toContain('Agent SDK: no registry');
  });

  it('say which goals are met and which are missed', () => {
    const page = renderMarkdown(RESULTS);
    expect(page).toContain('| warm / by hand | 0.200 | ≤ 0.25 | met |');
    expect(page).toContain('| session / by hand | 0.300 | ≤ 0.1 | **missed** |');
    expect(page).toContain('| cold / by hand | 1.050 |  |  |');
  });

  it('take the place between the marks and leave the rest of the page as it is', () => {
    const page = 'before\n<!-- bench: begin -->\nold\n<!-- bench: end -->\nafter\n';
    const renewed = withResults(page, RESULTS);
    expect(renewed).toBe(
      `before\n<!-- bench: begin -->\n${renderMarkdown(RESULTS)}\n<!-- bench: end -->\nafter\n`,
    );
    expect(withResults(renewed, RESULTS)).toBe(renewed);
    expect(() => withResults('no marks', RESULTS)).toThrow('lacks');
  });

  it('have their place in docs/performance.md', () => {
    const page = fileURLToPath(new URL('../../../docs/performance.md', import.meta.url));
    expect(withResults(readFileSync(page, 'utf8'), RESULTS)).toContain('### One prompt alone');
  });
});

describe('the report on the terminal', () => {
  it('shows each way in its column, and n/a for one that could not be measured', () => {
    const { latency } = RESULTS.sections;
    const report = renderSection({ title: '', rows: [], ...latency, data: null });
    const line = report.split('\n').find((one) => one.includes('whole answer, ms'));
    expect(line?.trim().split(/ {2,}/)).toEqual([
      'whole answer, ms',
      '400 (360–440)',
      'n/a',
      '420 (378–462)',
      '80.0 (72.0–88.0)',
    ]);
    expect(report).toMatch(/warm \/ by hand +0\.200 +≤ 0\.25 +\S*met/);
    expect(report).toMatch(/session \/ by hand +0\.300 +≤ 0\.1 +\S*missed/);
  });
});

describe('the file of results', () => {
  it('is read back as it was written, with data that nobody needs', () => {
    const file = join(tempDir(), 'results.json');
    const { latency } = RESULTS.sections;
    writeFileSync(file, JSON.stringify({ ...RESULTS, sections: { latency: { ...latency, data: [1] } } }));
    expect(readResults(file).sections['latency']).toMatchObject({ ...latency });
  });

  it('is refused when it is something else, with the place that is wrong', () => {
    const file = join(tempDir(), 'results.json');
    writeFileSync(file, JSON.stringify({ ...RESULTS, machine: { ...RESULTS.machine, cores: 'two' } }));
    expect(() => readResults(file)).toThrow('/machine/cores');
  });
});
