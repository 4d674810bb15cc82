import { describe, expect, it } from 'vitest';
import { AppError } from '../../../src/errors.ts';
import { createCircuits, type LoginUse, MAX_CIRCUIT_MS } from '../../../src/limits/circuits.ts';
import { executorBench } from '../executor/bench.ts';

const START = Date.parse('2026-01-01T00:00:00Z');
const CIRCUIT_MS = 60_000;
const login = { variables: ['KEY', 'TOKEN'], files: [], statusArgs: null, hint: 'set KEY' };
const use = (env: Record<string, string> = {}, name = 'claude'): LoginUse => ({
  provider: { name, login },
  env,
});

function circuitsAt() {
  let now = START;
  const circuits = createCircuits({ circuitMs: CIRCUIT_MS, now: () => now });
  return {
    ...circuits,
    advance(ms: number) {
      now += ms;
    },
    refused(used = use()): AppError | null {
      try {
        circuits.enter(used);
        return null;
      } catch (error) {
        if (error instanceof AppError) return error;
        throw error;
      }
    },
  };
}

describe('a circuit', () => {
  it('is closed until a login is refused, through all other failures', () => {
    const circuits = circuitsAt();
    for (const answer of ['other', 'unknown', 'succeeded'] as const) circuits.enter(use()).settle(answer);
    expect(circuits.view(use())).toEqual({
      state: 'closed',
      openUntil: null,
      refusedAt: null,
      succeededAt: START,
    });
  });

  it('refuses at once while it is open, and says since when, until when and what to do', () => {
    const circuits = circuitsAt();
    circuits.enter(use()).settle('refused');
    circuits.advance(12_000);
    expect(circuits.refused()).toMatchObject({
      code: 'auth.required',
      message: 'claude refused the login 12 s ago; the next try is at 2026-01-01T00:01:00.000Z; set KEY',
    });
    expect(circuits.view(use())).toMatchObject({ state: 'open', openUntil: START + CIRCUIT_MS });
    circuits.advance(CIRCUIT_MS - 12_000 - 1);
    expect(circuits.refused()).not.toBeNull();
  });

  it('lets exactly one job try when its time is over', () => {
    const circuits = circuitsAt();
    circuits.enter(use()).settle('refused');
    circuits.advance(CIRCUIT_MS);
    expect(circuits.view(use()).state).toBe('half_open');
    circuits.enter(use());
    expect(circuits.refused()?.message).toContain('another job is trying now');
    expect(circuits.view(use()).state).toBe('half_open');
  });

  it.each(['succeeded', 'other'] as const)('is closed by a try that ended as %s', (answer) => {
    const circuits = circuitsAt();
    circuits.enter(use()).settle('refused');
    circuits.advance(CIRCUIT_MS);
    circuits.enter(use()).settle(answer);
    expect(circuits.view(use()).state).toBe('closed');
    expect(circuits.refused()).toBeNull();
  });

  it('is closed as soon as the one that tries is answered, however long it runs', () => {
    const circuits = circuitsAt();
    circuits.enter(use()).settle('refused');
    circuits.advance(CIRCUIT_MS);
    const pass = circuits.enter(use());
    pass.proven();
    expect(circuits.refused()).toBeNull();
    pass.settle('refused');
    expect(circuits.view(use())).toMatchObject({ state: 'open', openUntil: START + 2 * CIRCUIT_MS });
  });

  it('lets another one try when the first never got so far', () => {
    const circuits = circuitsAt();
    circuits.enter(use()).settle('refused');
    circuits.advance(CIRCUIT_MS);
    circuits.enter(use()).settle('unknown');
    expect(circuits.view(use()).state).toBe('half_open');
    circuits.enter(use());
    expect(circuits.refused()).not.toBeNull();
  });

  it('stays open twice as long with each refusal in a row, up to ten minutes, and starts again after a success', () => {
    const circuits = circuitsAt();
    const spans: number[] = [];
    for (let i = 0; i < 6; i += 1) {
      const before = circuits.view(use()).openUntil ?? START;
      circuits.enter(use()).settle('refused');
      const span = (circuits.view(use()).openUntil ?? 0) - before;
      spans.push(span);
      circuits.advance(span);
    }
    expect(spans).toEqual([60_000, 120_000, 240_000, 480_000, MAX_CIRCUIT_MS, MAX_CIRCUIT_MS]);
    circuits.enter(use()).settle('succeeded');
    circuits.enter(use()).settle('refused');
    circuits.advance(CIRCUIT_MS);
    expect(circuits.view(use()).state).toBe('half_open');
  });

  it('is not opened for longer by those that ran beside the one that opened it', () => {
    const circuits = circuitsAt();
    const passes = [1, 2, 3, 4, 5].map(() => circuits.enter(use()));
    for (const pass of passes) {
      pass.settle('refused');
      pass.settle('refused');
      circuits.advance(100);
    }
    expect(circuits.view(use())).toMatchObject({ openUntil: START + CIRCUIT_MS, refusedAt: START + 400 });
    circuits.enter(use({ KEY: 'unrelated' }));
    circuits.advance(CIRCUIT_MS);
    expect(circuits.view(use()).state).toBe('half_open');
  });

  it('belongs to one credential of one provider, and its refusal does not tell the key', () => {
    const circuits = circuitsAt();
    const key = 'sk-very-secret';
    circuits.enter(use({ KEY: key })).settle('refused');
    expect(circuits.refused(use({ KEY: key, UNRELATED: 'x' }))?.message).not.toContain(key);
    expect(circuits.refused(use({ KEY: 'another' }))).toBeNull();
    expect(circuits.refused(use({ TOKEN: key }))).toBeNull();
    expect(circuits.refused(use({ KEY: key }, 'codex'))).toBeNull();
  });
});

describe('jobs behind a wrong key', () => {
  const refused = { result: { is_error: true, api_error_status: 401, result: 'Invalid API key' } };

  it('cost a handful of processes and not one each; the rest ends at once with the reason', async () => {
    const bench = await executorBench();
    const ids: string[] = [];
    for (let i = 0; i < 40; i += 1) ids.push(await bench.submit({ steps: [refused] }));
    const executor = bench.open({ concurrency: 3 });
    await executor.start();
    const records = await Promise.all(ids.map((id) => bench.finished(id)));
    for (const { status, outcome } of records) {
      expect([status, outcome?.error?.code]).toEqual(['failed', 'auth.required']);
    }
    expect(bench.started().length).toBeLessThanOrEqual(3);
    const last = records.at(-1)?.outcome;
    expect(last?.error?.message).toMatch(
      /^claude refused the login \d+ s ago; the next try is at .*; run `claude`/,
    );
    expect(last?.exit).toBeNull();
  });

  it('let one try when the time is over, and all of them go on when it succeeds', async () => {
    const bench = await executorBench();
    let now = START;
    const circuits = createCircuits({ circuitMs: CIRCUIT_MS, now: () => now });
    const executor = bench.open({ circuits, concurrency: 1 });
    const wrong = await bench.submit({ steps: [refused] });
    await executor.start();
    await bench.finished(wrong);
    const early = await bench.submit();
    executor.kick();
    expect(await bench.finished(early)).toMatchObject({ outcome: { error: { code: 'auth.required' } } });
    now += CIRCUIT_MS;
    for (const id of [await bench.submit(), await bench.submit()]) {
      executor.kick();
      expect(await bench.finished(id)).toMatchObject({ status: 'succeeded' });
    }
    expect(bench.started()).toHaveLength(3);
  });

  it('let a second one run beside a long try that the vendor has answered', async () => {
    const bench = await executorBench();
    let now = START;
    const circuits = createCircuits({ circuitMs: CIRCUIT_MS, now: () => now });
    const executor = bench.open({ circuits });
    const wrong = await bench.submit({ steps: [refused] });
    await executor.start();
    await bench.finished(wrong);
    now += CIRCUIT_MS;
    const go = bench.file('go');
    const long = await bench.submit({ steps: [{ delta: 'Well' }, { waitFor: go }] });
    executor.kick();
    await bench.until(async () =>
      (await bench.rpc.records.events(long, 0, 100)).some(({ kind }) => kind === 'text.delta'),
    );
    const beside = await bench.submit();
    executor.kick();
    expect(await bench.finished(beside)).toMatchObject({ status: 'succeeded' });
    bench.touch('go');
    expect(await bench.finished(long)).toMatchObject({ status: 'succeeded' });
  });
});
