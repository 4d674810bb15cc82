import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { renderChart } from '../../../scripts/bench/chart.ts';
import { renderResults, renderSummary, withContent } from '../../../scripts/bench/report.ts';
import { added, type Cell, line, type Results, ratio, readResults } from '../../../scripts/bench/results.ts';
import { median, quantile, steadyRate, turns } from '../../../scripts/bench/statistics.ts';
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
    loadBefore: 0.1,
    fdatasyncMs: 0.16,
  },
  sections: {
    latency: {
      title: 'One prompt alone',
      lines: [
        { name: 'whole answer', unit: 'ms', cells: { hand: cell(400), cold: cell(420), warm: cell(80) } },
        { name: 'first text', unit: 'ms', cells: { hand: cell(350), warm: cell(70) } },
      ],
      rows: [{ name: 'warm / by hand', value: 0.2, unit: '×' }],
      notes: ['A pause before each.'],
    },
    throughput: {
      title: 'Throughput',
      lines: [1, 4].map((count) => ({
        name: `${count} at once`,
        unit: 'per s',
        cells: { xargs: cell(2 * count), cold: cell(1.9 * count), warm: cell(2.2 * count) },
      })),
      rows: [],
      notes: [],
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
  it('has a bar for every measured way, as long as its median', () => {
    const [hand = 0, cold = 0, warm = 0, ...more] = widths(renderChart(only('latency')));
    expect(more).toEqual([]);
    expect(cold / hand).toBeCloseTo(420 / 400, 2);
    expect(warm / hand).toBeCloseTo(80 / 400, 2);
  });

  it('shows figures and ratios as text', () => {
    const shown = texts(renderChart(RESULTS));
    expect(shown).toEqual(expect.arrayContaining(['by hand', '400 ms', '80.0 ms', '0.20 × by hand']));
    expect(shown).toEqual(
      expect.arrayContaining(['4 at once', '8.00 per s', '8.80 per s', '1.10 × xargs -P']),
    );
  });

  it('keeps every bar and text within the picture', () => {
    const svg = renderChart(RESULTS);
    const [, width, height] = /viewBox="0 0 (\d+) ([\d.]+)"/.exec(svg) ?? [];
    const ys = [...svg.matchAll(/ y="([\d.]+)"/g)].map(([, y]) => Number(y));
    const xs = [...svg.matchAll(/ x2?="([\d.]+)"/g)].map(([, x]) => Number(x));
    expect(width).toBe('800');
    expect(Math.max(...ys)).toBeLessThanOrEqual(Number(height));
    expect(Math.max(...xs)).toBeLessThanOrEqual(800);
  });

  it('escapes what the machine reported', () => {
    const svg = renderChart(RESULTS);
    expect(svg).toContain('2.1 &lt;beta&gt; &amp; &quot;more&quot;');
    expect(svg).not.toContain('<beta>');
  });

  it('needs one of the two panels', () => {
    expect(widths(renderChart(only('throughput')))).toHaveLength(6);
    expect(() => renderChart(only())).toThrow('neither a latency nor a throughput');
  });
});

describe('the tables', () => {
  it('have a column for each way and a row for each quantity, with the spread', () => {
    const page = renderResults(RESULTS).replaceAll(/ +/g, ' ');
    expect(page).toContain(
      '| | by hand | xargs -P | Bullpen cold | Bullpen warm |'.replace('xargs -P | ', ''),
    );
    expect(page).toContain('| whole answer, ms | 400 (360–440) | 420 (378–462) | 80.0 (72.0–88.0) |');
    expect(page).toContain('\nwarm / by hand: 0.20 ×.\n');
  });

  it('are short in the README, with the ratio to the same thing by hand', () => {
    const table = renderSummary(RESULTS).replaceAll(/ +/g, ' ');
    expect(table).toContain('| a lone prompt, by default | 400 ms | | 80 ms (0.20 ×) |');
    expect(table).toContain('| four at once | 8.0 per s | | 8.8 per s (1.10 ×) |');
  });

  it.each([
    ['docs/performance.md', renderResults],
    ['README.md', renderSummary],
  ])('replace what is between the marks of %s, and nothing else', (name, render) => {
    const page = readFileSync(fileURLToPath(new URL(`../../../${name}`, import.meta.url)), 'utf8');
    const once = withContent(page, render(RESULTS));
    expect(once).toContain(render(RESULTS));
    expect(withContent(once, render(RESULTS))).toBe(once);
    expect(once.split('<!-- bench: begin -->')[0]).toBe(page.split('<!-- bench: begin -->')[0]);
    expect(() => withContent('no marks', '')).toThrow('has no');
  });
});

describe('the file of results', () => {
  it('is read back as it was written', () => {
    const file = join(tempDir(), 'results.json');
    writeFileSync(file, JSON.stringify(RESULTS));
    expect(readResults(file)).toEqual(RESULTS);
  });

  it('is refused when it is something else, with the place that is wrong', () => {
    const file = join(tempDir(), 'results.json');
    writeFileSync(file, JSON.stringify({ ...RESULTS, machine: { ...RESULTS.machine, cores: 'two' } }));
    expect(() => readResults(file)).toThrow('/machine/cores');
  });
});

describe('the statistics', () => {
  it('interpolate quantiles, in any order of the values', () => {
    expect(quantile([4, 1, 3, 2], 0.25)).toBeCloseTo(1.75);
    expect(median([3, 1, 2])).toBe(2);
    expect(median([])).toBeNaN();
  });

  it('leave the start and the end of a run out of its rate', () => {
    expect(steadyRate([1500, 500, 1000], 1)).toBe(2);
    const middle = [1000, 2000, 3000, 4000, 5000];
    expect(steadyRate([20, 20, ...middle, 5001], 2)).toBe(steadyRate([0, 20, ...middle, 5001], 2));
    expect(steadyRate([1000, 1000, 2000, 2000, 3001], 2)).toBe(steadyRate([1000, 1000, 2000, 2000, 9000], 2));
    expect(steadyRate([1, 2], 2)).toBeNaN();
  });

  it('compare the medians of two ways that were measured', () => {
    const one = line('x', 'ms', { hand: [400, 380, 420], warm: [80, 100, 90] });
    expect(one.cells).toEqual({
      hand: { n: 3, p25: 390, p50: 400, p75: 410 },
      warm: { n: 3, p25: 85, p50: 90, p75: 95 },
    });
    expect(ratio(one, 'warm', 'hand', 'warm / by hand')).toEqual([
      { name: 'warm / by hand', value: 0.225, unit: '×' },
    ]);
    expect(ratio(one, 'session', 'hand', 'session / by hand')).toEqual([]);
  });

  it('say what one way adds to another in the median block, whatever a slow block adds to both', () => {
    const blocks = [
      { bare: [100, 102, 101], warm: [111, 109, 110] },
      { bare: [900], warm: [907] },
      { bare: [100], warm: [130] },
    ];
    expect(added(blocks, 'warm', 'bare', 'added', 'ms')).toEqual([{ name: 'added', value: 9, unit: 'ms' }]);
    expect(added(blocks, 'session', 'turn', 'added', 'ms')).toEqual([]);
  });

  it('let every way be first equally often, and never always after the same one', () => {
    const rounds = [0, 1, 2, 3, 4, 5].map((round) => turns(['a', 'b', 'c'], round));
    expect(rounds.map(([first]) => first).toSorted()).toEqual(['a', 'a', 'b', 'b', 'c', 'c']);
    const before = rounds.map((order) => order[order.indexOf('b') - 1] ?? '-');
    expect(new Set(before)).toEqual(new Set(['a', 'c', '-']));
  });
});
