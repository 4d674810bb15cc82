/**
 * Makes garbage that lives a little, for a second, and prints how large the young generation has
 * become (bytes).
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import v8 from 'node:v8';
import { holdHeapDown } from '../../src/heap.ts';

v8.setFlagsFromString('--semi-space-growth-factor=2');
if (process.argv[2] === 'hold') holdHeapDown();
const kept: object[] = [];
const until = performance.now() + 1000;
while (performance.now() < until) {
  for (let i = 0; i < 2000; i += 1)
    kept[Math.floor(Math.random() * 100_000)] = { text: `${i} ${until}`, list: [i] };
  await nextTurn();
}
const young = v8.getHeapSpaceStatistics().find(({ space_name }) => space_name === 'new_space');
console.log(young?.space_size);
