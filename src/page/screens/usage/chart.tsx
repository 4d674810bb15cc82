/** A chart of values over time, with the colours of the theme. */
import { useEffect, useRef, useState } from 'preact/hooks';
import uPlot from 'uplot';
import 'uplot/dist/uPlot.min.css';

export interface Series {
  readonly label: string;
  /** A variable of the design: `--good`. */
  readonly colour: string;
  readonly look: 'bars' | 'line';
  /** Null: there is none at this time. */
  readonly values: readonly (number | null)[];
}

interface ChartProps {
  readonly title: string;
  /** Shown while no time is pointed at. */
  readonly whole: string;
  /** Seconds since 1970, ascending. */
  readonly times: readonly number[];
  readonly series: readonly Series[];
  format(value: number): string;
  /** Distances between the marks of the axis; default: round decimal numbers. */
  readonly marks?: readonly number[];
  /** What happened at a time. */
  describe(index: number): string;
  readonly step: 'hour' | 'day';
}

const HEIGHT = 160;
const STEP_SECONDS = { hour: 3600, day: 86_400 };
const UTC = { timeZone: 'UTC' } as const;
const day = new Intl.DateTimeFormat(undefined, { ...UTC, month: 'short', day: 'numeric' });
const hour = new Intl.DateTimeFormat(undefined, { ...UTC, hour: 'numeric' });

/** Grows when the colours of the page change. */
function useTheme(): number {
  const [count, setCount] = useState(0);
  useEffect(() => {
    const changed = (): void => setCount((n) => n + 1);
    const dark = matchMedia('(prefers-color-scheme: dark)');
    const watch = new MutationObserver(changed);
    watch.observe(document.documentElement, { attributes: true, attributeFilter: ['data-theme'] });
    dark.addEventListener('change', changed);
    return () => {
      watch.disconnect();
      dark.removeEventListener('change', changed);
    };
  }, []);
  return count;
}

export function Chart(props: ChartProps) {
  const { title, whole, times, series, describe } = props;
  const place = useRef<HTMLDivElement>(null);
  const [pointed, point] = useState<number | null>(null);
  const theme = useTheme();
  const latest = useRef(props);
  latest.current = props;
  useEffect(() => {
    const element = place.current;
    if (element === null) return;
    const plot = new uPlot(
      optionsOf(latest.current, element.clientWidth, point),
      [[...times], ...series.map(({ values }) => [...values])],
      element,
    );
    const resized = new ResizeObserver(() => plot.setSize({ width: element.clientWidth, height: HEIGHT }));
    resized.observe(element);
    return () => {
      resized.disconnect();
      plot.destroy();
    };
  }, [theme, times, series]);
  return (
    <figure class="card chart">
      <figcaption>
        <h3>{title}</h3>
        <span class="number spread">{pointed === null ? whole : describe(pointed)}</span>
      </figcaption>
      <div
        ref={place}
        class="plot"
        role="img"
        aria-label={`Chart: ${title}, ${whole}. The table has the same numbers.`}
      />
      {series.length > 1 && (
        <ul class="legend">
          {series.map(({ label, colour }) => (
            <li key={label}>
              <span class="key" style={{ background: `var(${colour})` }} aria-hidden="true" />
              {label}
            </li>
          ))}
        </ul>
      )}
    </figure>
  );
}

function optionsOf(
  { series, format, marks, step }: ChartProps,
  width: number,
  point: (index: number | null) => void,
): uPlot.Options {
  const style = getComputedStyle(document.documentElement);
  const colour = (name: string): string => style.getPropertyValue(name).trim();
  const axis = {
    stroke: colour('--soft'),
    font: `11px ${style.getPropertyValue('--sans')}`,
    ticks: { show: false },
  };
  const bars = uPlot.paths.bars?.({ size: [0.7, 40], radius: 0.15 });
  const name = (seconds: number): string => (step === 'hour' ? hour : day).format(seconds * 1000);
  return {
    width,
    height: HEIGHT,
    padding: [8, 8, 0, 0],
    legend: { show: false },
    cursor: { y: false, points: { size: 6 }, drag: { setScale: false, x: false, y: false } },
    tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), 'Etc/UTC'),
    scales: {
      x: { range: (_plot, min, max) => [min - STEP_SECONDS[step] * 0.6, max + STEP_SECONDS[step] * 0.6] },
      y: { range: (_plot, _min, max) => [0, max > 0 ? max * 1.1 : 1] },
    },
    axes: [
      { ...axis, size: 28, space: 64, grid: { show: false }, values: (_plot, at) => at.map(name) },
      {
        ...axis,
        size: 60,
        space: 36,
        grid: { stroke: colour('--line'), width: 1 },
        values: (_plot, values) => values.map(format),
        ...(marks === undefined ? {} : { incrs: [...marks] }),
      },
    ],
    series: [
      {},
      ...series.map((one): uPlot.Series => {
        const stroke = colour(one.colour);
        return one.look === 'line'
          ? { label: one.label, stroke, width: 2, spanGaps: true, points: { size: 5, fill: stroke } }
          : {
              label: one.label,
              fill: stroke,
              width: 0,
              points: { show: false },
              ...(bars === undefined ? {} : { paths: bars }),
            };
      }),
    ],
    hooks: { setCursor: [({ cursor }) => point(cursor.idx ?? null)] },
  };
}
