import { mkdirSync, renameSync, symlinkSync, writeFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { resolvedPrompt } from '../../../scripts/offline-model/resolved-prompt.ts';
import { AppError } from '../../../src/errors.ts';
import type { Launch } from '../../../src/processes/launch.ts';
import { type Outcome, sumOfUsage } from '../../../src/protocol/outcome.ts';
import type { Finish } from '../../../src/records/ports.ts';
import { encode, RAW_FORMAT, RAW_ID } from '../../../src/rpc/raw-requests.ts';
import { LOST, newJob, succeeded, UNAVAILABLE } from '../../contracts/records/samples.ts';
import { launch as launchByLauncher } from '../../helpers/launcher.ts';
import { createLatch, executorBench, KNOWN_SESSION } from './bench.ts';

const away = (): Promise<never> => Promise.reject(new AppError('redis.unavailable', 'away'));
const LONG_MS = 60_000;

const finishFor = (jobId: string, outcome: Outcome): Finish => ({
  jobId,
  executionId: outcome.executionId ?? '',
  outcome,
  from: 0,
  tail: [],
  backoffMs: 0,
  rawAnswer: null,
});

describe('an execution', () => {
  it('goes from the pending set to its outcome', async () => {
    const bench = await executorBench();
    const executor = bench.open();
    const id = await bench.submit({ steps: [{ delta: 'Hel' }, { delta: 'lo' }] });
    await executor.start();
    const record = await bench.finished(id);
    expect(record).toMatchObject({
      status: 'succeeded',
      attempt: 1,
      node: bench.nodeId,
      outcome: { text: 'Hello', executionId: `e-${id}`, exit: { code: 0, signal: null }, error: null },
    });
    const events = await bench.rpc.records.events(id, 0, 1000);
    expect(events.map(({ seq }) => seq)).toEqual(events.map((_, index) => index + 1));
    expect(events.map(({ kind }) => kind).slice(0, 3)).toEqual([
      'job.queued',
      'job.running',
      'execution.started',
    ]);
    expect(events.map(({ kind }) => kind).slice(-2)).toEqual(['execution.finished', 'job.finished']);
    expect(events.flatMap((event) => (event.kind === 'text.delta' ? [event.text] : []))).toEqual([
      'Hel',
      'lo',
    ]);
    const pid = events.find((event) => event.kind === 'execution.started')?.pid;
    await bench.until(() => bench.ledger.entries.get(`e-${id}`)?.delivered === 'yes');
    expect(bench.ledger.entries.get(`e-${id}`)).toMatchObject({ pid, finish: { outcome: record.outcome } });
  });

  it('keeps its outcome where the line that holds it is longer than the limit', async () => {
    const bench = await executorBench();
    const executor = bench.open({}, { maxLineBytes: 20_000 });
    const denial = { tool_name: 'Write', tool_use_id: 'id', tool_input: { content: 'x'.repeat(90_000) } };
    const id = await bench.submit({ steps: [{ result: { permission_denials: [denial], result: 'done' } }] });
    await executor.start();
    const { outcome } = await bench.finished(id);
    expect(outcome).toMatchObject({ status: 'succeeded', text: 'done', usage: { costBasis: 'reported' } });
    const events = await bench.rpc.records.events(id, 0, 1000);
    expect(events).toContainEqual(expect.objectContaining({ kind: 'warning', code: 'line_truncated' }));
    expect(Math.max(...events.map(({ raw }) => raw?.length ?? 0))).toBe(20_000);
  });

  it('looks for its CLI once more where that is gone just then', async () => {
    const bench = await executorBench();
    let gone = 1;
    const launch: Launch = async (request) => {
      gone -= 1;
      if (gone >= 0) throw Object.assign(new Error('no such file'), { code: 'ENOENT' });
      return launchByLauncher(request);
    };
    const executor = bench.open({ launch });
    const found = await bench.submit({ steps: [{ delta: 'done' }] });
    await executor.start();
    expect(await bench.finished(found)).toMatchObject({ status: 'succeeded', attempt: 1 });
    gone = 2;
    const lost = await bench.submit();
    executor.kick();
    expect((await bench.finished(lost)).outcome?.error?.code).toBe('execution.cli_missing');
    expect(gone).toBe(0);
  });

  it('loses to a value that cannot be kept an event, and not its outcome', async () => {
    const bench = await executorBench();
    const executor = bench.open();
    const deep = `${'['.repeat(20_000)}${']'.repeat(20_000)}`;
    const block = `{"type":"tool_use","id":"t","name":"Write","input":${deep}}`;
    const id = await bench.submit({
      steps: [
        { line: `{"type":"assistant","message":{"content":[${block},{"type":"text","text":"before"}]}}` },
        { line: '{"type":"system","subtype":"api_retry","attempt":1e300,"error":"x"}' },
        { delta: 'after' },
        {
          result: {
            num_turns: -1,
            permission_denials: [{ tool_name: 'Write', tool_input: JSON.parse('[[1]]') }],
          },
        },
      ],
    });
    await executor.start();
    const { outcome } = await bench.finished(id);
    expect(outcome).toMatchObject({ status: 'succeeded', text: 'after', turns: null });
    const events = await bench.rpc.records.events(id, 0, 1000);
    expect(events).toContainEqual(expect.objectContaining({ kind: 'text', text: 'before' }));
    expect(events.flatMap((event) => (event.kind === 'warning' ? [event.code] : []))).toEqual([
      'value_refused',
      'value_refused',
    ]);
    await bench.until(() => bench.ledger.entries.get(`e-${id}`)?.delivered === 'yes');
  });

  it('is in the ledger before it is spawned, and its outcome before it is announced', async () => {
    const bench = await executorBench();
    const [intend, ended] = [createLatch(), createLatch()];
    bench.ledger.before('intend', intend.wait);
    bench.ledger.before('ended', ended.wait);
    const executor = bench.open();
    const id = await bench.submit();
    await executor.start();
    await intend.reached;
    expect(bench.started()).toEqual([]);
    intend.release();
    await ended.reached;
    expect(bench.started()).toHaveLength(1);
    expect(await bench.read(id)).toMatchObject({ status: 'running', outcome: null });
    ended.release();
    expect(await bench.finished(id)).toMatchObject({ status: 'succeeded' });
  });

  it('carries the marker of its node, and leaves no scratch folder', async () => {
    const bench = await executorBench();
    const executor = bench.open();
    const id = await bench.submit();
    await executor.start();
    await bench.finished(id);
    expect(bench.started()).toMatchObject([{ marker: `${bench.nodeId}/e-${id}`, cwd: bench.workspace }]);
    await bench.until(() => !bench.exists(`scratch/e-${id}`));
  });

  it('whose CLI cannot save its sessions promises none, and says why', async () => {
    const bench = await executorBench();
    mkdirSync(bench.file('home'));
    writeFileSync(bench.file('home/.claude'), 'not a folder');
    const executor = bench.open();
    await executor.start();
    const id = await bench.submit();
    expect(await bench.finished(id)).toMatchObject({ status: 'succeeded', outcome: { sessionId: null } });
    const events = await bench.rpc.records.events(id, 0, 100);
    expect(events).toContainEqual(expect.objectContaining({ kind: 'session', sessionId: null }));
    const message = expect.stringContaining('.claude/projects cannot be written (ENOTDIR)');
    expect(events).toContainEqual(
      expect.objectContaining({ kind: 'warning', code: 'session_not_saved', message }),
    );
  });

  it('that is refused before its spawn fails with the reason', async () => {
    const bench = await executorBench();
    const executor = bench.open();
    const outside = await bench.submit({ cwd: '/' });
    const invalid = await bench.submit({ model: '--dangerously-skip-permissions' });
    const unknown = await bench.submit({ provider: 'nope' });
    const unkept = await bench.submit({ provider: 'anthropic-sdk', model: 'unpriced', maxCostUsd: 1 });
    const full = await bench.submit({ permissionMode: 'fullAccess' });
    const tools = await bench.submit({ allowedTools: ['Read'] }, { kind: 'raw', principal: 'raw' });
    await executor.start();
    const codes = await Promise.all(
      [outside, invalid, unknown, unkept, full, tools].map(
        async (id) => (await bench.finished(id)).outcome?.error?.code,
      ),
    );
    expect(codes).toEqual([
      'cwd.not_allowed',
      'execution.invalid_request',
      'provider.unknown',
      'provider.unsupported_option',
      'permission_mode.denied',
      'tools.denied',
    ]);
    expect(bench.started()).toEqual([]);
  });

  it('gets no more time than the settings allow when it starts', async () => {
    const bench = await executorBench();
    const executor = bench.open({}, { killGraceMs: 100 }, { maxTimeoutMs: 300 });
    const id = await bench.submit({ timeoutMs: 60_000, steps: [{ hang: true }] });
    await executor.start();
    expect((await bench.finished(id)).outcome?.error).toMatchObject({ code: 'execution.timed_out' });
  });

  it('is not spawned where a link has taken the place of its folder since that was checked', async () => {
    const bench = await executorBench();
    const executor = bench.open({
      async failpoint(name) {
        if (name !== 'executor.intended') return;
        renameSync(bench.workspace, bench.file('moved'));
        symlinkSync(bench.dir, bench.workspace);
      },
    });
    await executor.start();
    const id = await bench.submit();
    executor.kick();
    expect((await bench.finished(id)).outcome?.error).toMatchObject({ code: 'cwd.not_allowed' });
    expect(bench.started()).toEqual([]);
  });

  it('that goes on with a session waits for the Redis and the ledger that know it', async () => {
    const bench = await executorBench();
    bench.sessionTroubles.push(
      new AppError('redis.unavailable', 'away'),
      new AppError('store.unavailable', 'full'),
    );
    const executor = bench.open();
    const id = await bench.submit({ sessionId: KNOWN_SESSION });
    await executor.start();
    expect(await bench.finished(id)).toMatchObject({ status: 'succeeded', attempt: 1 });
    expect(bench.sessionTroubles).toEqual([]);
  });

  it('whose intent cannot be written is not spawned before it is, and nothing else is claimed', async () => {
    const bench = await executorBench();
    let full = true;
    bench.ledger.before('intend', async () => {
      if (full) throw new AppError('store.unavailable', 'disk full');
    });
    const executor = bench.open({ concurrency: 1 });
    const [id, other] = [await bench.submit(), await bench.submit()];
    await executor.start();
    await bench.until(() => bench.ledger.calls.filter((call) => call.startsWith('intend')).length > 1);
    expect(executor.problem()).toBe('disk full');
    await bench.rpc.records.cancel(id, false, LOST);
    executor.lookAtCancel(id);
    expect(await bench.finished(id)).toMatchObject({ status: 'cancelled' });
    expect(bench.started()).toEqual([]);
    full = false;
    expect(await bench.finished(other)).toMatchObject({ status: 'succeeded', attempt: 1 });
    expect(executor.problem()).toBeNull();
  });

  it('whose outcome cannot be written still delivers it, and the ledger gets it when it has room', async () => {
    const bench = await executorBench();
    let full = true;
    bench.ledger.before('ended', async () => {
      if (full) throw new AppError('store.unavailable', 'disk full');
    });
    const executor = bench.open();
    const id = await bench.submit();
    await executor.start();
    expect(await bench.finished(id)).toMatchObject({ status: 'succeeded' });
    expect(executor.problem()).toBe('disk full');
    full = false;
    await bench.until(() => bench.ledger.entries.get(`e-${id}`)?.delivered === 'yes');
    expect(bench.ledger.entries.get(`e-${id}`)?.finish).toMatchObject({ outcome: { status: 'succeeded' } });
    expect(executor.problem()).toBeNull();
  });

  it('whose outcome neither the ledger nor Redis takes is not counted as lost', async () => {
    const bench = await executorBench();
    let away = true;
    bench.ledger.before('ended', async () => {
      if (away) throw new AppError('store.unavailable', 'disk full');
    });
    const owned = createLatch();
    const executor = bench.open({
      leaseMs: 60,
      claims: bench.claimsWith({
        async finish(finish) {
          if (away) throw new AppError('redis.unavailable', 'gone');
          return bench.claims.finish(finish);
        },
        async owned() {
          if (executor.status().running === 0 && bench.prompts().length > 0) owned.release();
          return bench.claims.owned();
        },
      }),
    });
    const id = await bench.submit();
    await executor.start();
    await bench.until(() => bench.ledger.calls.includes(`ended e-${id}`));
    await owned.wait();
    away = false;
    expect(await bench.finished(id)).toMatchObject({ status: 'succeeded' });
    await bench.until(() => bench.ledger.entries.get(`e-${id}`)?.delivered === 'yes');
    expect(bench.ledger.entries.get(`e-${id}`)?.finish).toMatchObject({ outcome: { status: 'succeeded' } });
  });

  it('that may be tried again is, as an execution of its own', async () => {
    const bench = await executorBench();
    const executor = bench.open();
    const result = {
      is_error: true,
      subtype: 'error_during_execution',
      api_error_status: 529,
      result: 'overloaded',
    };
    const id = await bench.submit({ maxAttempts: 2, autoContinue: false, steps: [{ result }] });
    await executor.start();
    await bench.until(async () => (await bench.read(id)).status === 'scheduled');
    await bench.advance(60_000);
    await bench.rpc.submissions.submit(id, 'second');
    const record = await bench.finished(id);
    expect(record).toMatchObject({ attempt: 2, outcome: { executionId: 'second' } });
    expect(bench.started().map(({ marker }) => marker)).toEqual([
      `${bench.nodeId}/e-${id}`,
      `${bench.nodeId}/second`,
    ]);
  });

  it('continues in its session, with what the first execution has left of the limits', async () => {
    const bench = await executorBench();
    // Once the second CLI runs, its use is added to that of the first one all the same.
    const executor = bench.open({ areEventsAway: () => bench.started().length > 1 });
    const result = {
      ...{ is_error: true, subtype: 'error_during_execution', api_error_status: 529, result: 'overloaded' },
      num_turns: 3,
    };
    const limits = { maxTurns: 10, timeoutMs: 60_000 };
    const id = await bench.submit({ ...limits, continuePrompt: 'go on', steps: [{ result }] });
    await executor.start();
    await bench.until(async () => (await bench.read(id)).status === 'scheduled');
    const { sessionId, nativeSessionId } = await bench.read(id);
    await bench.advance(60_000);
    await bench.rpc.submissions.submit(id, 'second');
    const record = await bench.finished(id);
    expect(record).toMatchObject({
      status: 'succeeded',
      failures: 0,
      outcome: { text: 'fake: go on', sessionId },
    });
    const args = bench.started().map(({ argv }) => argv);
    expect(args[0]).toContain('--max-turns=10');
    expect(args[1]).toEqual(expect.arrayContaining(['--max-turns=7', `--resume=${nativeSessionId}`]));
    const used = (await bench.rpc.records.events(id, 0, 100)).flatMap((event) =>
      event.kind === 'execution.finished' ? [event.outcome.usage] : [],
    );
    expect(used).toHaveLength(2);
    expect(record.outcome?.usage).toEqual(used.reduce(sumOfUsage));
  });

  it('begins again in a new session when it restarts, or nothing shows that the prompt was saved', async () => {
    const bench = await executorBench();
    const executor = bench.open();
    const result = { is_error: true, subtype: 'error_during_execution', api_error_status: 529, result: 'no' };
    const id = await bench.submit({ retryMode: 'restart', maxAttempts: 2, steps: [{ result }] });
    const crash = await bench.submit({ steps: [{ hang: true }] });
    await executor.start();
    await bench.until(async () => (await bench.read(id)).status === 'scheduled');
    await bench.advance(60_000);
    await bench.rpc.submissions.submit(id, 'second');
    await bench.finished(id);
    await bench.until(async () => (await bench.read(crash)).nativeSessionId !== null);
    await executor.stop(0);
    expect(await bench.read(crash)).toMatchObject({ status: 'scheduled', failures: 0 });
    await bench.advance(60_000);
    await bench.rpc.submissions.submit(crash, 'third');
    const again = bench.open();
    await again.start();
    await bench.spawned(4);
    expect(bench.started().flatMap(({ resume }) => resume ?? [])).toEqual([]);
  });

  it('is refused when the first execution has used all of a limit', async () => {
    const bench = await executorBench();
    const executor = bench.open();
    const result = {
      ...{ is_error: true, subtype: 'error_during_execution', api_error_status: 529, result: 'overloaded' },
      num_turns: 3,
    };
    const id = await bench.submit({ maxTurns: 3, steps: [{ result }] });
    await executor.start();
    await bench.until(async () => (await bench.read(id)).status === 'scheduled');
    await bench.advance(60_000);
    await bench.rpc.submissions.submit(id, 'second');
    const { outcome } = await bench.finished(id);
    expect(outcome).toMatchObject({ status: 'failed', error: { code: 'execution.max_turns' } });
    expect(bench.started()).toHaveLength(1);
  });

  it('of a raw request is answered on the responses channel', async () => {
    const bench = await executorBench();
    const answers: string[] = [];
    await bench.rpc.doorbells.listen(bench.rpc.responseChannel, (message) => void answers.push(message));
    const executor = bench.open();
    const metadata = { [RAW_ID]: '"test"', [RAW_FORMAT]: 'text' };
    const request = resolvedPrompt({ prompt: 'Hi', cwd: bench.workspace, metadata });
    const job = newJob({}, { kind: 'raw', principal: 'raw', request });
    await bench.claims.adopt(job, 'raw-1');
    await executor.start();
    await bench.finished(job.id);
    await bench.until(() => answers.includes(encode({ id: 'test', success: true, result: 'fake: Hi' })));
  });
});

describe('what the ledger knows', () => {
  it('is never spawned: a stored outcome is delivered unchanged', async () => {
    const bench = await executorBench();
    const executor = bench.open();
    await executor.start();
    const job = newJob({ cwd: bench.workspace });
    const outcome = succeeded('known', 'from the ledger');
    bench.ledger.put({
      jobId: job.id,
      executionId: 'known',
      delivered: 'yes',
      finish: finishFor(job.id, outcome),
    });
    await bench.rpc.records.create(job);
    await bench.rpc.submissions.submit(job.id, 'known');
    expect(await bench.finished(job.id)).toMatchObject({ status: 'succeeded', outcome });
    expect(bench.started()).toEqual([]);
  });

  it('and has no outcome is lost, not spawned', async () => {
    const bench = await executorBench();
    const executor = bench.open();
    await executor.start();
    const job = newJob({ cwd: bench.workspace });
    bench.ledger.put({ jobId: job.id, executionId: 'known' });
    await bench.rpc.records.create(job);
    await bench.rpc.submissions.submit(job.id, 'known');
    expect(await bench.finished(job.id)).toMatchObject({
      status: 'failed',
      outcome: { executionId: 'known', error: { code: 'execution.lost' } },
    });
    expect(bench.started()).toEqual([]);
  });

  it('is settled at the start, before anything is claimed', async () => {
    const bench = await executorBench();
    const [lost, done, fresh] = [await bench.submit(), await bench.submit(), await bench.submit()];
    const claims = await bench.rpc.claim(bench.nodeId, 2);
    expect(claims.map(({ jobId }) => jobId)).toEqual([lost, done]);
    const order: string[] = [];
    const executor = bench.open({
      claims: bench.claimsWith({
        async finish(finish) {
          order.push(`finish ${finish.jobId}`);
          return bench.claims.finish(finish);
        },
        async claim(max) {
          order.push('claim');
          return bench.claims.claim(max);
        },
      }),
    });
    bench.ledger.put({ jobId: lost, executionId: `e-${lost}`, pid: 1 });
    const outcome = succeeded(`e-${done}`);
    bench.ledger.put({ jobId: done, executionId: `e-${done}`, finish: finishFor(done, outcome) });
    expect(await executor.start()).toEqual({ killedProcesses: 0, lost: 1, redelivered: 1 });
    expect(order.slice(0, 2).sort()).toEqual([`finish ${done}`, `finish ${lost}`].sort());
    expect(order.indexOf('claim')).toBeGreaterThanOrEqual(2);
    expect(await bench.read(lost)).toMatchObject({ outcome: { error: { code: 'execution.lost' } } });
    expect(await bench.read(done)).toMatchObject({ status: 'succeeded' });
    await bench.finished(fresh);
    expect(bench.started()).toHaveLength(1);
  });
});

describe('cancelling', () => {
  it('between the claim and the spawn spawns nothing', async () => {
    const bench = await executorBench();
    const claimed = createLatch();
    const executor = bench.open({
      failpoint: (name) => (name === 'executor.claimed' ? claimed.wait() : Promise.resolve()),
    });
    const id = await bench.submit();
    await executor.start();
    await claimed.reached;
    expect(await bench.rpc.records.cancel(id, false, LOST)).toEqual({ kind: 'requested' });
    claimed.release();
    expect(await bench.finished(id)).toMatchObject({
      status: 'cancelled',
      outcome: { executionId: `e-${id}` },
    });
    expect(bench.started()).toEqual([]);
  });

  it('while the intent is being written spawns nothing, when the doorbell rang', async () => {
    const bench = await executorBench();
    const intend = createLatch();
    bench.ledger.before('intend', intend.wait);
    const executor = bench.open({ leaseMs: 3_600_000 });
    const id = await bench.submit();
    await executor.start();
    await intend.reached;
    await bench.rpc.records.cancel(id, false, LOST);
    executor.lookAtCancel(id);
    await new Promise((resolve) => setImmediate(resolve));
    intend.release();
    expect(await bench.finished(id)).toMatchObject({ status: 'cancelled' });
    expect(bench.started()).toEqual([]);
  });

  it('a running CLI ends it at the doorbell', async () => {
    const bench = await executorBench();
    const executor = bench.open({ leaseMs: 3_600_000 });
    const id = await bench.submit({
      steps: [{ delta: 'partial' }, { touch: bench.file('said') }, { hang: true }],
    });
    await executor.start();
    await bench.until(() => bench.exists('said'));
    await bench.rpc.records.cancel(id, false, LOST);
    executor.lookAtCancel(id);
    expect(await bench.finished(id)).toMatchObject({
      status: 'cancelled',
      outcome: { error: { code: 'execution.cancelled' } },
    });
    expect(bench.journal()).toContainEqual(expect.objectContaining({ event: 'signal', signal: 'SIGTERM' }));
  });

  it('a running CLI ends it without a doorbell too, at the next renewal', async () => {
    const bench = await executorBench();
    const executor = bench.open();
    const id = await bench.submit({ steps: [{ hang: true }] });
    await executor.start();
    await bench.spawned(1);
    await bench.rpc.records.cancel(id, false, LOST);
    expect(await bench.finished(id)).toMatchObject({ status: 'cancelled' });
  });

  it('with force skips the grace, also of one that is being asked already', async () => {
    const bench = await executorBench();
    const executor = bench.open();
    const id = await bench.submit({
      steps: [{ ignore: ['SIGTERM'] }, { touch: bench.file('deaf') }, { hang: true }],
    });
    await executor.start();
    await bench.until(() => bench.exists('deaf'));
    await bench.rpc.records.cancel(id, false, LOST);
    await bench.until(() => bench.journal().some((entry) => entry.event === 'signal'));
    expect((await bench.read(id)).status).toBe('running');
    await bench.rpc.records.cancel(id, true, LOST);
    expect(await bench.finished(id)).toMatchObject({
      status: 'cancelled',
      outcome: { exit: { signal: 'SIGKILL' } },
    });
  });
});

describe('a lease', () => {
  it('that was lost ends the CLI, and its outcome is kept as superseded', async () => {
    const bench = await executorBench();
    let superseded = 0;
    let hourPasses = false;
    const lost = createLatch();
    const executor = bench.open({
      onSuperseded: () => {
        superseded += 1;
      },
      claims: bench.claimsWith({
        async renew(executions) {
          if (hourPasses) await lost.wait(); // or this node could renew before the other looks
          return bench.claims.renew(executions);
        },
      }),
    });
    const id = await bench.submit({ steps: [{ touch: bench.file('runs') }, { hang: true }] });
    await executor.start();
    await bench.until(() => bench.exists('runs'));
    hourPasses = true;
    await bench.advance(3_600_000);
    expect(await bench.rpc.upkeepOf('n2').settleLost(60_000, LOST, UNAVAILABLE)).toEqual([id]);
    lost.release();
    const settled = await bench.read(id);
    await bench.until(() => bench.ledger.entries.get(`e-${id}`)?.delivered === 'superseded');
    expect(bench.journal()).toContainEqual(expect.objectContaining({ event: 'signal', signal: 'SIGTERM' }));
    expect(bench.ledger.entries.get(`e-${id}`)?.finish?.outcome.error?.code).toBe('execution.lost');
    expect(await bench.read(id)).toEqual(settled);
    expect(superseded).toBe(1);
  });

  it('is renewed while the CLI runs and while its outcome waits to be settled', async () => {
    const bench = await executorBench();
    const ended = createLatch();
    bench.ledger.before('ended', ended.wait);
    const renewed: string[][] = [];
    const executor = bench.open({
      leaseMs: 60,
      claims: bench.claimsWith({
        async renew(executions) {
          renewed.push(executions.map(({ executionId }) => executionId));
          return bench.claims.renew(executions);
        },
      }),
    });
    const id = await bench.submit();
    await executor.start();
    await ended.reached;
    const before = renewed.length;
    await bench.until(() => renewed.slice(before).filter((ids) => ids.includes(`e-${id}`)).length >= 2);
    ended.release();
    await bench.finished(id);
  });

  it('a node cut off for long ends its CLIs when there are others, and only then', async () => {
    for (const others of [true, false]) {
      const bench = await executorBench();
      let connected = true;
      const executor = bench.open({
        leaseMs: 60,
        cutOffMs: 100,
        othersRegistered: () => others,
        claims: bench.claimsWith({
          renew: (executions) => (connected ? bench.claims.renew(executions) : away()),
        }),
      });
      const wait = bench.file('go');
      const id = await bench.submit({
        autoContinue: false,
        steps: [{ touch: bench.file('runs') }, { waitFor: wait }],
      });
      await executor.start();
      await bench.until(() => bench.exists('runs'));
      connected = false;
      if (others) {
        expect(await bench.finished(id)).toMatchObject({ outcome: { error: { code: 'execution.lost' } } });
      } else {
        await bench.until(() => bench.logged.filter(({ task }) => task === 'renew').length > 10);
        expect(executor.status().running).toBe(1);
        bench.touch('go');
        expect(await bench.finished(id)).toMatchObject({ status: 'succeeded' });
      }
    }
  });
});

describe('the outbox', () => {
  it('delivers what Redis refused, once it takes it, without another spawn', async () => {
    const bench = await executorBench();
    let refusals = 0;
    let open = false;
    const executor = bench.open({
      leaseMs: 60,
      claims: bench.claimsWith({
        finish(finish) {
          if (open) return bench.claims.finish(finish);
          refusals += 1;
          return away();
        },
      }),
    });
    const ids = [await bench.submit(), await bench.submit()];
    await executor.start();
    await bench.until(() => refusals >= 6);
    for (const id of ids) expect((await bench.read(id)).status).toBe('running');
    open = true;
    for (const id of ids) {
      expect(await bench.finished(id)).toMatchObject({ status: 'succeeded' });
      const kinds = (await bench.rpc.records.events(id, 0, 1000)).map(({ kind }) => kind);
      expect(kinds.filter((kind) => kind === 'execution.finished')).toHaveLength(1);
      await bench.until(() => bench.ledger.entries.get(`e-${id}`)?.delivered === 'yes');
    }
    expect(bench.started()).toHaveLength(2);
  });

  it('loses no event of an execution during which Redis was away', async () => {
    const bench = await executorBench();
    let connected = true;
    const guarded =
      <A extends readonly unknown[], R>(call: (...args: A) => Promise<R>) =>
      (...args: A): Promise<R> =>
        connected ? call(...args) : away();
    const executor = bench.open({
      claims: {
        claim: guarded(bench.claims.claim),
        giveBack: guarded(bench.claims.giveBack),
        peek: guarded(bench.claims.peek),
        owned: guarded(bench.claims.owned),
        renew: guarded(bench.claims.renew),
        append: guarded(bench.claims.append),
        finish: guarded(bench.claims.finish),
        adopt: guarded(bench.claims.adopt),
      },
    });
    const id = await bench.submit({
      steps: [
        { delta: 'a' },
        { waitFor: bench.file('go') },
        { delta: 'b' },
        { delta: 'c' },
        { touch: bench.file('said') },
      ],
    });
    await executor.start();
    await bench.until(async () =>
      (await bench.rpc.records.events(id, 0, 100)).some(({ kind }) => kind === 'text.delta'),
    );
    connected = false;
    bench.touch('go');
    await bench.until(() => bench.ledger.calls.includes(`ended e-${id}`));
    connected = true;
    await bench.finished(id);
    const events = await bench.rpc.records.events(id, 0, 1000);
    expect(events.flatMap((event) => (event.kind === 'text.delta' ? [event.text] : []))).toEqual([
      'a',
      'b',
      'c',
    ]);
  });
});

describe('the slots', () => {
  /** The most CLIs that ran at once, by their own journal. */
  const mostAtOnce = (bench: Awaited<ReturnType<typeof executorBench>>): number => {
    let now = 0;
    let most = 0;
    for (const { event } of bench.journal()) {
      if (event === 'start') now += 1;
      if (event === 'end') now -= 1;
      most = Math.max(most, now);
    }
    return most;
  };

  it('are never exceeded, and all used', async () => {
    const bench = await executorBench();
    const executor = bench.open({ concurrency: 3 });
    const ids: string[] = [];
    for (let i = 0; i < 9; i += 1) ids.push(await bench.submit({ steps: [{ waitFor: bench.file('go') }] }));
    await executor.start();
    const watch = setInterval(executor.kick, 1);
    await bench.spawned(3);
    expect(executor.status().running).toBe(3);
    bench.touch('go');
    await Promise.all(ids.map(bench.finished));
    clearInterval(watch);
    expect(mostAtOnce(bench)).toBe(3);
    expect(bench.started()).toHaveLength(9);
  });

  it('are not exceeded by claims whose answer was lost, and these are run too', async () => {
    const bench = await executorBench();
    let lost = 2;
    const executor = bench.open({
      leaseMs: 60,
      concurrency: 2,
      claims: bench.claimsWith({
        async claim(max) {
          const claimed = await bench.claims.claim(max);
          if (claimed.claims.length === 0 || lost === 0) return claimed;
          lost -= 1;
          return away();
        },
      }),
    });
    const ids: string[] = [];
    for (let i = 0; i < 8; i += 1) ids.push(await bench.submit({ steps: [{ sleepMs: 100 }] }));
    bench.redeliver(executor);
    await executor.start();
    const records = await Promise.all(ids.map(bench.finished));
    expect(records.map(({ status }) => status)).toEqual(Array(8).fill('succeeded'));
    expect(lost).toBe(0);
    expect(mostAtOnce(bench)).toBeLessThanOrEqual(2);
    expect(bench.started()).toHaveLength(8);
  });

  it('one is free as soon as its CLI is gone, while the outcome is still being settled', async () => {
    const bench = await executorBench();
    const ended = createLatch();
    bench.ledger.before('ended', ended.wait);
    const executor = bench.open({ concurrency: 1, sweepMs: 3_600_000 });
    const first = await bench.submit();
    const second = await bench.submit();
    await executor.start();
    await ended.reached;
    await bench.spawned(2);
    expect((await bench.read(first)).status).toBe('running');
    ended.release();
    for (const id of [first, second]) expect(await bench.finished(id)).toMatchObject({ status: 'succeeded' });
  });

  it('what no doorbell announced is found by the sweep, and counted', async () => {
    const bench = await executorBench();
    const recovered: number[] = [];
    const measures = { swept: () => undefined, recovered: (count: number) => void recovered.push(count) };
    const executor = bench.open({ measures, onGiven: (ids) => void bench.rpc.deliver(ids) });
    await executor.start();
    const id = await bench.submit();
    await bench.finished(id);
    await bench.until(() => recovered.includes(1));
  });

  it('a process that left its group is killed after the end, and counted', async () => {
    const bench = await executorBench();
    const swept: number[] = [];
    const measures = { recovered: () => undefined, swept: (count: number) => void swept.push(count) };
    const executor = bench.open({ measures });
    await executor.start();
    await bench.finished(await bench.submit({ steps: [{ spawn: { setsid: true } }] }));
    await bench.until(() => swept.includes(1));
    expect(bench.survivors()).toEqual([]);
  });

  it('the status counts what runs', async () => {
    const bench = await executorBench();
    const executor = bench.open({ concurrency: 4 });
    expect(executor.status()).toEqual({ running: 0, limit: 4, accepting: false });
    const id = await bench.submit({ steps: [{ touch: bench.file('runs') }, { waitFor: bench.file('go') }] });
    await executor.start();
    await bench.until(() => bench.exists('runs'));
    expect(executor.status()).toEqual({ running: 1, limit: 4, accepting: true });
    bench.touch('go');
    await bench.finished(id);
    await bench.until(() => executor.status().running === 0);
  });
});

describe('stopping', () => {
  it('lets what runs come to its end, and takes nothing new', async () => {
    const bench = await executorBench();
    const executor = bench.open({ concurrency: 1 });
    const runs = await bench.submit({
      steps: [{ touch: bench.file('runs') }, { waitFor: bench.file('go') }],
    });
    const waits = await bench.submit();
    await executor.start();
    await bench.until(() => bench.exists('runs'));
    const stopping = executor.stop(LONG_MS);
    executor.kick();
    expect(executor.status()).toMatchObject({ accepting: false, running: 1 });
    bench.touch('go');
    await stopping;
    const waiting = bench.logged.find((line) => line['running'] === 1);
    expect(waiting).toMatchObject({ jobs: [runs], until: expect.any(String) });
    expect(await bench.read(runs)).toMatchObject({ status: 'succeeded' });
    expect(await bench.read(waits)).toMatchObject({ status: 'queued', attempt: 0 });
    expect(bench.started()).toHaveLength(1);
    expect(executor.status()).toEqual({ running: 0, limit: 1, accepting: false });
  });

  it('interrupts what runs when the time to end is over, and settles it as lost', async () => {
    const bench = await executorBench();
    const executor = bench.open();
    const id = await bench.submit({
      autoContinue: false,
      steps: [{ touch: bench.file('runs') }, { hang: true }],
    });
    await executor.start();
    await bench.until(() => bench.exists('runs'));
    await executor.stop(1);
    expect(await bench.read(id)).toMatchObject({
      status: 'failed',
      outcome: { error: { code: 'execution.lost' } },
    });
    expect(bench.journal()).toContainEqual(expect.objectContaining({ event: 'signal', signal: 'SIGTERM' }));
    expect(bench.ledger.entries.get(`e-${id}`)?.delivered).toBe('yes');
  });

  it('a second signal skips what is left of the time and of the grace', async () => {
    const bench = await executorBench();
    const executor = bench.open();
    const id = await bench.submit({
      autoContinue: false,
      steps: [{ ignore: ['SIGTERM'] }, { touch: bench.file('deaf') }, { hang: true }],
    });
    await executor.start();
    await bench.until(() => bench.exists('deaf'));
    const stopping = executor.stop(3_600_000);
    executor.abort();
    await stopping;
    expect(await bench.read(id)).toMatchObject({
      status: 'failed',
      outcome: { exit: { signal: 'SIGKILL' } },
    });
  });

  it('with what was claimed in that very moment spawns nothing', async () => {
    const bench = await executorBench();
    const claiming = createLatch();
    const executor = bench.open({
      claims: bench.claimsWith({
        async claim(max) {
          const claimed = await bench.claims.claim(max);
          if (claimed.claims.length > 0) await claiming.wait();
          return claimed;
        },
      }),
    });
    const id = await bench.submit();
    await executor.start();
    await claiming.reached;
    const stopping = executor.stop(0);
    claiming.release();
    await stopping;
    expect(await bench.read(id)).toMatchObject({
      status: 'failed',
      outcome: { error: { code: 'execution.lost' } },
    });
    expect(bench.started()).toEqual([]);
  });

  it('while Redis is away leaves the outcome in the ledger for the next start', async () => {
    const bench = await executorBench();
    let connected = true;
    const executor = bench.open({
      claims: bench.claimsWith({ finish: (finish) => (connected ? bench.claims.finish(finish) : away()) }),
    });
    const id = await bench.submit({ steps: [{ touch: bench.file('runs') }, { waitFor: bench.file('go') }] });
    await executor.start();
    await bench.until(() => bench.exists('runs'));
    connected = false;
    bench.touch('go');
    await executor.stop(LONG_MS);
    expect(await bench.read(id)).toMatchObject({ status: 'running' });
    connected = true;
    const next = bench.open();
    expect(await next.start()).toMatchObject({ lost: 0, redelivered: 1 });
    expect(await bench.read(id)).toMatchObject({ status: 'succeeded' });
    expect(bench.started()).toHaveLength(1);
  });
});
