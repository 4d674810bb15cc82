/** Reads what `node --cpu-prof` wrote: where the main process was, by function. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

interface CpuProfile {
  readonly nodes: readonly {
    readonly id: number;
    readonly callFrame: { readonly functionName: string; readonly url: string; readonly lineNumber: number };
  }[];
  readonly samples: readonly number[];
  readonly timeDeltas: readonly number[];
}

const SHOWN = 25;

/** The functions of the busiest profile in `dir` that ran longest themselves, with their share of the busy time. */
export function hottestFunctions(dir: string): string[] {
  const [busiest] = readdirSync(dir)
    .filter((name) => name.endsWith('.cpuprofile'))
    // The files are written by V8 in this format.
    .map((name) => selfTimes(JSON.parse(readFileSync(join(dir, name), 'utf8')) as CpuProfile))
    .sort((a, b) => sum(b) - sum(a));
  if (busiest === undefined) return [];
  const total = sum(busiest);
  return [...busiest]
    .sort(([, a], [, b]) => b - a)
    .slice(0, SHOWN)
    .map(
      ([place, ms]) =>
        `${((ms / total) * 100).toFixed(1).padStart(5)} %  ${ms.toFixed(0).padStart(6)} ms  ${place}`,
    );
}

const sum = (times: ReadonlyMap<string, number>): number =>
  [...times.values()].reduce((all, ms) => all + ms, 0);

function selfTimes({ nodes, samples, timeDeltas }: CpuProfile): Map<string, number> {
  const places = new Map(nodes.map(({ id, callFrame }) => [id, placeOf(callFrame)]));
  const times = new Map<string, number>();
  for (const [index, id] of samples.entries()) {
    const place = places.get(id);
    if (place === undefined || place === '(idle)' || place === '(root)') continue;
    times.set(place, (times.get(place) ?? 0) + (timeDeltas[index] ?? 0) / 1000);
  }
  return times;
}

function placeOf({ functionName, url, lineNumber }: CpuProfile['nodes'][number]['callFrame']): string {
  const name = functionName || 'anonymous';
  if (url === '') return name;
  const file = url.replace(/^.*\/node_modules\//, '').replace(/^file:\/\/.*\/(?=(src|workers|dist)\/)/, '');
  return `${name} ${file}:${lineNumber + 1}`;
}
