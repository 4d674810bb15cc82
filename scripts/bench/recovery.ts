/** The server's main process is killed while jobs run, and started again at once. */
import { setTimeout as delay } from 'node:timers/promises';
import type { Job } from '../../src/protocol/job.ts';
import { type BenchClient, createBenchClient } from './client.ts';
import { addSample, line, type Samples, type Section } from './results.ts';
import type { Setting } from './setting.ts';
import { turns } from './statistics.ts';
import { ANSWER, type BullpenWay, PROMPT, WAY_SETTINGS } from './ways.ts';

const RUNNING = 2;
const QUEUED = 3;
const WAYS: readonly BullpenWay[] = ['cold', 'warm'];
const LOOK_MS = 10;
const WITHIN_MS = 30_000;

interface Recovery {
  /** Milliseconds from the kill until the new server is ready … */
  readonly readyMs: number;
  /** … until the jobs that ran have ended as lost … */
  readonly lostMs: number;
  /** … and until the queued ones have run. */
  readonly queuedMs: number;
}

async function killAndRecover(setting: Setting, way: BullpenWay): Promise<Recovery> {
  const home = setting.newFolder();
  const env = { ...WAY_SETTINGS[way], BULLPEN_CONCURRENCY: String(RUNNING) };
  const first = await setting.server({ home, env });
  let killedAt = 0;
  const jobs: { readonly running: string[]; readonly queued: string[] } = { running: [], queued: [] };
  try {
    using client = createBenchClient(first);
    for (let index = 0; index < RUNNING; index += 1)
      jobs.running.push((await client.submit({ prompt: '[[slow: 2000 tokens 50ms]]' })).id);
    for (const id of jobs.running) await untilRunning(client, id);
    for (let index = 0; index < QUEUED; index += 1)
      jobs.queued.push((await client.submit({ prompt: PROMPT })).id);
    killedAt = performance.now();
  } finally {
    await first.kill();
  }

  await using server = await setting.server({ home, env });
  const readyMs = performance.now() - killedAt;
  using client = createBenchClient(server);
  const since = async (ids: readonly string[], isRight: (job: Job) => boolean): Promise<number> => {
    for (const job of await Promise.all(ids.map((id) => client.finished(id))))
      if (job === null || !isRight(job)) throw new Error(`a job was not recovered: ${JSON.stringify(job)}`);
    return performance.now() - killedAt;
  };
  const [lostMs, queuedMs] = await Promise.all([
    since(jobs.running, ({ outcome }) => outcome?.error?.code === 'execution.lost'),
    since(jobs.queued, ({ outcome }) => outcome?.text === ANSWER),
  ]);
  return { readyMs, lostMs, queuedMs };
}

async function untilRunning(client: BenchClient, id: string): Promise<void> {
  const givenUpAt = performance.now() + WITHIN_MS;
  while ((await client.job(id)).status !== 'running') {
    if (performance.now() > givenUpAt) throw new Error('a job does not start running');
    await delay(LOOK_MS);
  }
}

export async function measureRecovery(setting: Setting): Promise<Section> {
  const rounds = setting.quick ? 1 : 3;
  const ready: Samples = {};
  const lost: Samples = {};
  const queued: Samples = {};
  for (let round = 0; round < rounds; round += 1) {
    for (const way of turns(setting.quick ? WAYS.slice(1) : WAYS, round)) {
      const { readyMs, lostMs, queuedMs } = await killAndRecover(setting, way);
      addSample(ready, way, readyMs);
      addSample(lost, way, lostMs);
      addSample(queued, way, queuedMs);
      setting.log(
        `killed (${way}): ready after ${readyMs.toFixed(0)}, settled ${lostMs.toFixed(0)}, all done ${queuedMs.toFixed(0)} ms`,
      );
    }
  }
  return {
    title: `SIGKILL to the server with ${RUNNING} running and ${QUEUED} queued jobs, then a new start (${rounds} rounds)`,
    lines: [
      line('killed → ready again', 'ms', ready),
      line('killed → interrupted jobs have their outcome', 'ms', lost),
      line('killed → queued jobs done', 'ms', queued),
    ],
    rows: [],
    notes: [],
  };
}
