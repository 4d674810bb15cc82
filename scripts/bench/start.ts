import { setTimeout as delay } from 'node:timers/promises';
import { residentMb } from './proc.ts';
import type { Section, Setting } from './setting.ts';
import { median } from './statistics.ts';

/** What is allocated for the start alone is given back by then. */
const IDLE_MS = 1000;

/** From the spawn of the server to its word that it is ready, with a Redis that is up; and its memory before the first job. */
export async function measureStart(setting: Setting): Promise<Section> {
  const runs = setting.quick ? 2 : 7;
  const redis = await setting.redis();
  const readyMs: number[] = [];
  const memoryMb: number[] = [];
  try {
    for (let run = 0; run < runs; run += 1) {
      await using server = await setting.server({ env: { REDIS_URL: redis.url } });
      await delay(IDLE_MS);
      readyMs.push(server.readyMs);
      memoryMb.push(residentMb(server.pid));
      setting.log(
        `start ${run + 1} of ${runs}: ${server.readyMs.toFixed(0)} ms, ${memoryMb.at(-1)?.toFixed(0)} MB`,
      );
    }
  } finally {
    await redis.stop();
  }
  return {
    title: `Start of the server, Redis being up (${runs} runs)`,
    rows: [
      {
        name: 'ready after, median',
        value: median(readyMs) / 1000,
        unit: 's',
        goal: { relation: '≤', value: 1.5 },
      },
      {
        name: 'memory of the main process, idle',
        value: median(memoryMb),
        unit: 'MB',
        goal: { relation: '≤', value: 160 },
      },
    ],
    data: { readyMs, memoryMb },
  };
}
