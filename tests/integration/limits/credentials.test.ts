/** Usage limits and refused logins, with an executor and the fake CLI. */
import { describe, expect, it } from 'vitest';
import { executorBench, KNOWN_SESSION } from '../executor/bench.ts';

const HOUR_MS = 3_600_000;
const isOver = (status: string) => ['succeeded', 'failed', 'cancelled'].includes(status);

const refused = { result: { is_error: true, api_error_status: 401, result: 'Invalid API key' } };
const limited = (kind = 'five_hour', inMs = HOUR_MS) => {
  const resetsAt = Math.ceil((Date.now() + inMs) / 1000);
  const info = { status: 'rejected', resetsAt, rateLimitType: kind };
  return [
    { line: JSON.stringify({ type: 'rate_limit_event', rate_limit_info: info }) },
    { result: { is_error: true, api_error_status: 429, api_error: 'usage_limit_reached', result: 'no' } },
  ];
};

describe('jobs behind a usage limit', () => {
  it('wait after one refused call, and all go on at the reset', async () => {
    const bench = await executorBench();
    const first = await bench.submit({ steps: limited() });
    const others: string[] = [];
    for (let i = 0; i < 7; i += 1) others.push(await bench.submit());
    const executor = bench.open({ concurrency: 1 });
    await executor.start();
    await bench.until(async () => (await bench.read(first)).status === 'scheduled');
    const waiting = await bench.read(first);
    expect(waiting).toMatchObject({ waitReason: 'quota', failures: 0, attempt: 1, outcome: null });
    for (let sweeps = 0; sweeps < 5; sweeps += 1) {
      executor.kick();
      await bench.claims.renew([]);
    }
    expect(bench.started()).toHaveLength(1);
    for (const id of others) expect(await bench.read(id)).toMatchObject({ status: 'queued', attempt: 0 });
    await executor.stop(0);

    const again = bench.open({ concurrency: 2 });
    await again.start();
    again.kick();
    expect(bench.started()).toHaveLength(1);
    await bench.advance(HOUR_MS + 1000);
    again.kick();
    for (const id of others) expect(await bench.finished(id)).toMatchObject({ status: 'succeeded' });
    expect(bench.started()).toHaveLength(8);
  });

  it('let the jobs of other models and other providers go on', async () => {
    const bench = await executorBench({ custom: { echo: { binary: '/bin/cat' } } });
    const opus = { model: 'claude-opus-5-5' };
    const first = await bench.submit({ ...opus, steps: limited('seven_day_opus') });
    const executor = bench.open({ concurrency: 1 });
    await executor.start();
    await bench.until(async () => (await bench.read(first)).status === 'scheduled');
    const second = await bench.submit(opus);
    const sonnet = await bench.submit({ model: 'claude-sonnet-5-5' });
    const other = await bench.submit({ provider: 'echo' });
    executor.kick();
    expect(await bench.finished(sonnet)).toMatchObject({ status: 'succeeded' });
    expect(await bench.finished(other)).toMatchObject({ status: 'succeeded' });
    expect(await bench.read(second)).toMatchObject({ status: 'queued', attempt: 0 });
    expect([...(await bench.rpc.gates.closed()).keys()]).toEqual([expect.stringMatching(/\|opus$/)]);
  });

  it('fail when they do not want to wait, and their limit holds for the others', async () => {
    const bench = await executorBench();
    const first = await bench.submit({ steps: limited(), onQuota: 'fail' });
    const second = await bench.submit();
    const executor = bench.open({ concurrency: 1 });
    await executor.start();
    expect(await bench.finished(first)).toMatchObject({
      status: 'failed',
      outcome: { error: { code: 'execution.quota', resetsAt: expect.stringMatching(/^20/) } },
    });
    executor.kick();
    expect(await bench.read(second)).toMatchObject({ status: 'queued' });
    expect(bench.started()).toHaveLength(1);
  });

  it('belong to the account that the CLI reports, of which only a hash is kept', async () => {
    const bench = await executorBench();
    const account = { email: 'ada@example.com', organization: 'Engines' };
    const hello = { line: JSON.stringify({ type: 'control_response', response: { response: { account } } }) };
    const executor = bench.open({ concurrency: 1 });
    const first = await bench.submit({ steps: [hello] });
    await executor.start();
    const { outcome } = await bench.finished(first);
    const name = outcome?.credential ?? '';
    expect(name).toMatch(/^claude:account-[0-9a-f]{12}$/);
    expect([...(await bench.rpc.gates.accounts()).values()]).toEqual([name]);
    const second = await bench.submit({ steps: [hello, ...limited()] });
    executor.kick();
    await bench.until(async () => (await bench.read(second)).status === 'scheduled');
    expect([...(await bench.rpc.gates.closed()).keys()]).toEqual([name]);
    expect(JSON.stringify([await bench.rpc.records.events(first, 0, 100), bench.logged])).not.toContain(
      'ada@',
    );
  });

  it('without a model are of the model that the last of them ran', async () => {
    const bench = await executorBench();
    const init = (model: string) => ({
      line: JSON.stringify({ type: 'system', subtype: 'init', session_id: KNOWN_SESSION, model }),
    });
    const executor = bench.open({ concurrency: 1 });
    await executor.start();
    const until = (id: string) => bench.until(async () => (await bench.read(id)).status === 'scheduled');
    await bench.finished(await bench.submit({ steps: [init('claude-sonnet-5-5')] }));
    const opus = { model: 'claude-opus-5-5' };
    await until(await bench.submit({ ...opus, steps: [init(opus.model), ...limited('seven_day_opus')] }));
    executor.kick();
    const again = await bench.submit({ steps: [init('claude-sonnet-5-5')] });
    expect(await bench.finished(again)).toMatchObject({ status: 'succeeded' });

    await until(await bench.submit({ steps: [init('claude-sonnet-5-5'), ...limited('seven_day_sonnet')] }));
    const waiting = await bench.submit();
    const haiku = await bench.submit({ model: 'claude-haiku-4-5' });
    executor.kick();
    expect(await bench.finished(haiku)).toMatchObject({ status: 'succeeded' });
    expect(await bench.read(waiting)).toMatchObject({ status: 'queued', attempt: 0 });
  });

  it('leave the rest of a limit to the others, when their priority is negative', async () => {
    const bench = await executorBench({ claude: { quotaReserve: 0.2 } });
    const use = (utilization: number, type = 'five_hour', status = 'allowed') => {
      const resetsAt = Math.ceil((Date.now() + HOUR_MS) / 1000);
      const rate_limit_info = { status, rateLimitType: type, utilization, resetsAt };
      return { line: JSON.stringify({ type: 'rate_limit_event', rate_limit_info }) };
    };
    const low = { priority: -1 };
    const executor = bench.open({ concurrency: 1 });
    await executor.start();
    const first = await bench.submit({ steps: [use(0.79)] });
    await bench.finished(first);
    const second = await bench.submit({ ...low, steps: [use(0.8)] });
    executor.kick();
    expect(await bench.finished(second)).toMatchObject({ status: 'succeeded' });
    const kept = await bench.submit(low);
    const other = await bench.submit({ steps: [use(0.1, 'seven_day_opus', 'allowed_warning')] });
    executor.kick();
    expect(await bench.finished(other)).toMatchObject({ status: 'succeeded' });
    expect(await bench.read(kept)).toMatchObject({ status: 'queued', attempt: 0 });
    expect((await bench.rpc.gates.closed()).size).toBe(0);
    await bench.advance(HOUR_MS + 1000);
    executor.kick();
    expect(await bench.finished(kept)).toMatchObject({ status: 'succeeded' });
  });

  it('have no reserve where the CLI does not report its use, and the start says so', async () => {
    const bench = await executorBench({ gemini: { quotaReserve: 0.2 }, codex: { quotaReserve: 0.2 } });
    expect(bench.logged).toMatchObject([
      { provider: 'gemini', msg: expect.stringContaining('quotaReserve has no effect') },
    ]);
  });

  it('are limited for an hour at most when no reset is known, and an overload is no limit', async () => {
    const bench = await executorBench();
    const executor = bench.open({ concurrency: 1 });
    const busy = { result: { is_error: true, api_error_status: 529, result: 'overloaded' } };
    const overloaded = await bench.submit({ steps: [busy], autoContinue: false });
    await executor.start();
    expect(await bench.finished(overloaded)).toMatchObject({
      outcome: { error: { code: 'execution.overloaded' } },
    });
    expect(await bench.rpc.gates.closed()).toEqual(new Map());
    const result = { is_error: true, api_error_status: 429, result: 'Request rejected (429)' };
    const id = await bench.submit({ steps: [{ result }] });
    executor.kick();
    await bench.until(async () => (await bench.read(id)).status === 'scheduled');
    const { scheduledFor } = await bench.read(id);
    expect((scheduledFor ?? 0) - Date.now()).toBeLessThanOrEqual(5 * 60_000 + 3000);
    expect((scheduledFor ?? 0) - Date.now()).toBeGreaterThan(4 * 60_000);
  });
});

describe('the report of credentials', () => {
  it('has those of all nodes, each with its status; paused by hand hides a limit, but no refusal', async () => {
    const bench = await executorBench();
    const executor = bench.open({ concurrency: 1 });
    await executor.start();
    const [name = ''] = [bench.credentials.names()['claude']];
    await bench.rpc.claimsOf('n2').renew([], { claude: 'claude:home' });
    const reported = async () => {
      const found = (await bench.credentials.reports()).get('claude') ?? [];
      return Object.fromEntries(
        found.map(({ name, status, limitedUntil }) => [name, [status, limitedUntil]]),
      );
    };
    const open = ['ok', null];
    expect(await reported()).toEqual({ [name]: open, 'claude:home': open });
    const id = await bench.submit({ steps: limited() });
    executor.kick();
    await bench.until(async () => (await bench.read(id)).status === 'scheduled');
    const until = expect.stringMatching(/^20/);
    expect(await reported()).toEqual({ [name]: ['limited', until], 'claude:home': open });
    await bench.rpc.gates.hold('provider:claude', true);
    const paused = { [name]: ['paused', until], 'claude:home': ['paused', null] };
    expect(await reported()).toEqual(paused);
    await bench.rpc.gates.hold('queue', true);
    expect((await bench.credentials.reports()).get('codex')).toMatchObject([{ status: 'paused' }]);
    const refusal = { credential: 'claude:home', word: null, reason: 'refused', executionId: 'e' } as const;
    const rest = { enteredAt: Date.now() + HOUR_MS, resetsAt: null, model: null };
    await bench.rpc.gates.refuse({ ...refusal, ...rest, backoff: { firstMs: HOUR_MS, maxMs: HOUR_MS } });
    expect((await reported())['claude:home']).toEqual(['refused', until]);
  });
});

describe('jobs behind a wrong key', () => {
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
    const executor = bench.open({ concurrency: 1 });
    const wrong = await bench.submit({ steps: [refused] });
    await executor.start();
    await bench.finished(wrong);
    const early = await bench.submit();
    executor.kick();
    expect(await bench.finished(early)).toMatchObject({ outcome: { error: { code: 'auth.required' } } });
    await bench.advance(HOUR_MS);
    for (const id of [await bench.submit(), await bench.submit()]) {
      executor.kick();
      expect(await bench.finished(id)).toMatchObject({ status: 'succeeded' });
    }
    expect(bench.started()).toHaveLength(3);
  });

  it('let a second one run beside a long try that the vendor has answered', async () => {
    const bench = await executorBench();
    const executor = bench.open();
    const wrong = await bench.submit({ steps: [refused] });
    await executor.start();
    await bench.finished(wrong);
    await bench.advance(HOUR_MS);
    const go = bench.file('go');
    const long = await bench.submit({ steps: [{ delta: 'Well' }, { waitFor: go }] });
    executor.kick();
    await bench.until(async () => (await bench.rpc.gates.closed()).size === 0);
    expect(isOver((await bench.read(long)).status)).toBe(false);
    const beside = await bench.submit();
    executor.kick();
    expect(await bench.finished(beside)).toMatchObject({ status: 'succeeded' });
    bench.touch('go');
    expect(await bench.finished(long)).toMatchObject({ status: 'succeeded' });
  });
});
