import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { LOST } from '../../contracts/records/samples.ts';
import { eventually } from '../../helpers/eventually.ts';
import { executorBench } from './bench.ts';

/**
 * Notes its begin and its end in the first file of its prompt, and waits for the second between
 * them.
 */
const SAYS_WHEN =
  'read begun go; echo + >> "$begun"; while [ ! -e "$go" ]; do sleep 0.01; done; echo - >> "$begun"; echo done';

it('a provider runs no more at once than its own limit, and leaves the other slots to others', async () => {
  const bench = await executorBench({
    claude: { concurrency: 1 },
    custom: { echo: { binary: '/bin/cat' } },
  });
  const go = bench.file('go');
  const waits = { steps: [{ waitFor: go }] };
  const narrow = [await bench.submit(waits), await bench.submit(waits), await bench.submit(waits)];
  const others = [await bench.submit({ provider: 'echo' }), await bench.submit({ provider: 'echo' })];
  // Neither a sweep nor a doorbell: only a slot that becomes free leads to the next claim.
  const executor = bench.open({ concurrency: 3, sweepMs: 3_600_000 });
  await executor.start();
  for (const id of others) expect(await bench.finished(id)).toMatchObject({ status: 'succeeded' });
  await bench.spawned(1);
  expect([executor.runningOf('claude'), executor.runningOf('echo')]).toEqual([1, 0]);
  expect(bench.started()).toHaveLength(1);
  expect((await bench.read(narrow[1] ?? '')).status).toBe('queued');
  bench.touch('go');
  for (const id of narrow) expect(await bench.finished(id)).toMatchObject({ status: 'succeeded' });
  const journal = bench
    .journal()
    .flatMap(({ event }) => (event === 'start' || event === 'end' ? [event] : []));
  expect(journal).toEqual(['start', 'end', 'start', 'end', 'start', 'end']);
});

it('a fallback keeps its own limit too, and one that waits for it can be cancelled', async () => {
  const bench = await executorBench({
    claude: { binary: '/missing/claude', fallback: 'narrow' },
    custom: { narrow: { binary: '/bin/sh', args: ['-c', SAYS_WHEN], concurrency: 1 } },
  });
  const file = (name: string): string => bench.file(name);
  const prompt = [file('begun'), file('go')].join(' ');
  const executor = bench.open({ concurrency: 3, sweepMs: 3_600_000 });
  const ids = [
    await bench.submit({ prompt }),
    await bench.submit({ prompt }),
    await bench.submit({ prompt }),
  ];
  const own = await bench.submit({ prompt, provider: 'narrow' });
  await executor.start();
  const begun = (): string[] =>
    bench.exists('begun') ? readFileSync(file('begun'), 'utf8').trim().split('\n') : [];
  await bench.until(() => begun().length === 1 && executor.runningOf('claude') === 2);
  expect(executor.runningOf('narrow')).toBe(1);
  const started = async (id: string): Promise<boolean> =>
    (await bench.rpc.records.events(id, 0, 100)).some(({ kind }) => kind === 'execution.started');
  // Its command has begun a moment before its events are in the record.
  const waiting = await eventually(async () => {
    const those = [];
    for (const id of ids) if (!(await started(id))) those.push(id);
    expect(those).toHaveLength(2);
    return those;
  });
  const [cancelled = ''] = waiting;
  await bench.rpc.records.cancel(cancelled, false, LOST);
  executor.lookAtCancel(cancelled);
  expect(await bench.finished(cancelled)).toMatchObject({ status: 'cancelled' });
  expect(begun()).toHaveLength(1);
  bench.touch('go');
  for (const id of [...ids, own].filter((one) => one !== cancelled)) {
    expect(await bench.finished(id)).toMatchObject({ status: 'succeeded', outcome: { provider: 'narrow' } });
  }
  expect(begun()).toEqual(['+', '-', '+', '-', '+', '-']);
});
