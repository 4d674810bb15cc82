import { statSync } from 'node:fs';
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Worker } from 'node:worker_threads';
import { pino } from 'pino';
import { describe, expect, it, onTestFinished } from 'vitest';
import { openStore } from '../../../src/store/store.ts';
import { eventually } from '../../helpers/eventually.ts';
import { AT, aJob, anIntent, anOutcome, ledgerFile, NO_DELIVERY, project, testStore } from './test-store.ts';

const range = (length: number) => Array.from({ length }, (_, index) => index);

describe('the store', () => {
  it('keeps its file to its owner', async () => {
    const file = ledgerFile();
    await testStore(file);
    for (const name of [file, `${file}-wal`, `${file}-shm`]) expect(statSync(name).mode & 0o777).toBe(0o600);
  });

  it('has what it acknowledged after it was closed and opened again', async () => {
    const file = ledgerFile();
    const store = await openStore({ file, logger: pino({ enabled: false }) });
    await store.run('executions.intent', anIntent('e1'));
    await store.close();
    const again = await testStore(file);
    expect(await again.run('executions.find', { jobId: 'job of e1', attempt: 1 })).not.toBeNull();
  });

  it('whose thread fails refuses what it was asked for, and goes on with another one', async () => {
    const threads: Worker[] = [];
    const remember = (thread: Worker): void => void threads.push(thread);
    process.on('worker', remember);
    onTestFinished(() => void process.off('worker', remember));
    const store = await testStore();
    await store.run('executions.intent', anIntent('e1'));
    threads[0]?.postMessage({ kind: 'run', requests: null }); // what no code of ours sends
    const lost = store.run('executions.intent', anIntent('e2'));
    await expect(lost).rejects.toMatchObject({ code: 'store.unavailable' });
    await eventually(() => store.run('executions.intent', anIntent('e3')));
    expect(threads).toHaveLength(2);
    const open = await store.run('executions.unsettled', {});
    expect(open.map(({ executionId }) => executionId)).toEqual(['e1', 'e3']);
  });

  it('close finishes what was asked for, can be repeated, and later calls are refused', async () => {
    const file = ledgerFile();
    const store = await openStore({ file, logger: pino({ enabled: false }) });
    const asked = range(50).map((n) => store.run('executions.intent', anIntent(`e${n}`)));
    await Promise.all([store.close(), store.close()]);
    await store.close();
    expect(await Promise.all(asked)).toHaveLength(50);
    await expect(store.run('executions.unsettled', {})).rejects.toMatchObject({ code: 'store.unavailable' });
    const again = await testStore(file);
    expect(await again.run('executions.unsettled', {})).toHaveLength(50);
  });

  it('commits what is asked for at the same time together, and one alone at once', async () => {
    const store = await testStore();
    await Promise.all(range(1000).map((n) => store.run('executions.intent', anIntent(`e${n}`))));
    expect(store.stats().commits).toBeLessThan(100);
    const before = store.stats().commits;
    await store.run('executions.intent', anIntent('alone'));
    expect(store.stats()).toMatchObject({ commits: before + 1, operations: 1001, pending: 0 });
  });

  it('a deferred write is committed with the next one, before it, and reads see it', async () => {
    const store = await testStore();
    await store.run('executions.intent', anIntent('e1'));
    const before = store.stats().commits;
    const started = store.run('executions.started', { executionId: 'e1', pid: 42, at: AT });
    const ended = { executionId: 'e1', outcome: anOutcome(), delivery: NO_DELIVERY, at: AT };
    await store.run('executions.ended', ended);
    expect(await started).toEqual({ stored: true });
    expect(store.stats().commits).toBe(before + 1);
    const delivered = store.run('executions.delivered', { executionId: 'e1', superseded: false });
    expect(await store.run('executions.find', { jobId: 'job of e1', attempt: 1 })).toMatchObject({
      state: 'delivered',
      pid: 42,
    });
    await delivered;
  });

  it('a deferred write needs no other one, and a close does not lose it', async () => {
    const file = ledgerFile();
    const store = await openStore({ file, logger: pino({ enabled: false }) });
    for (const id of ['e1', 'e2']) await store.run('executions.intent', anIntent(id));
    const started = (executionId: string) =>
      store.run('executions.started', { executionId, pid: 42, at: AT });
    expect(await started('e1')).toEqual({ stored: true });
    const last = started('e2');
    await store.close();
    expect(await last).toEqual({ stored: true });
    const again = await testStore(file);
    expect(await again.run('executions.unsettled', {})).toMatchObject([{ pid: 42 }, { pid: 42 }]);
  });

  it('does not commit to answer a question, which sees every change asked for before it', async () => {
    const store = await testStore();
    const asked = store.run('executions.intent', anIntent('e1'));
    expect(await store.run('executions.find', { jobId: 'job of e1', attempt: 1 })).not.toBeNull();
    await asked;
    const before = store.stats().commits;
    await store.run('executions.unsettled', {});
    expect(store.stats().commits).toBe(before);
  });

  it('an operation that fails among others fails alone and leaves nothing behind', async () => {
    const file = ledgerFile();
    const store = await testStore(file);
    const good = aJob();
    // as: a kind that the table refuses, after a job that it takes.
    const bad = aJob({ kind: 'neither' as 'api' });
    const results = await Promise.allSettled([
      store.run('executions.intent', anIntent('e1')),
      store.run('copies.apply', { jobs: [good, bad], removed: [], cursor: { name: 'log', value: '9-0' } }),
      store.run('executions.ended', {
        executionId: 'e0',
        outcome: anOutcome(),
        delivery: NO_DELIVERY,
        at: '',
      }),
      store.run('executions.intent', anIntent('e2')),
    ]);
    expect(results.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'rejected', 'fulfilled']);
    expect(await store.run('jobs.get', { id: good.id })).toBeNull();
    expect(await store.run('cursors.get', { name: 'log' })).toBeNull();
    expect(await store.run('executions.unsettled', {})).toHaveLength(2);
  });

  it('hides an unexpected error from the caller and logs it in full', async () => {
    const lines: string[] = [];
    const logger = pino({}, { write: (line) => void lines.push(line) });
    const store = await openStore({ file: ledgerFile(), logger });
    // as: a kind that the table refuses.
    const failing = project(store, aJob({ kind: 'neither' as 'api' }));
    await expect(failing).rejects.toMatchObject({
      code: 'internal.error',
      message: expect.not.stringContaining('CHECK'),
    });
    await store.close();
    expect(lines.join()).toContain('CHECK constraint failed');
  });

  it('rejects arguments that cannot cross to its thread, and goes on', async () => {
    const store = await testStore();
    // as: a function cannot be cloned.
    const unclonable = { ...anIntent('e1'), provider: (() => 'x') as unknown as string };
    await expect(store.run('executions.intent', unclonable)).rejects.toThrow('could not be cloned');
    expect(await store.run('executions.intent', anIntent('e1'))).toEqual({ inserted: true });
  });

  it('leaves the event loop turning while it works', async () => {
    const store = await testStore();
    const jobs = range(3000).map((n) => aJob({ request: { prompt: 'x'.repeat(2000) + n } }));
    let done = false;
    const work = project(store, ...jobs).then(() => {
      done = true;
    });
    let turns = 0;
    while (!done) {
      await nextTurn();
      turns += 1;
    }
    await work;
    expect(turns).toBeGreaterThan(100);
  });
});
