/** What the records know of a session that a job has begun, and of the usage of its executions. */
import { describe, expect, it } from 'vitest';
import type { Usage } from '../../../src/protocol/outcome.ts';
import type { ResolvedPrompt } from '../../../src/protocol/prompt.ts';
import type { Claim } from '../../../src/records/ports.ts';
import type { Bench } from './bench.ts';
import {
  begun,
  CANCELLED,
  claimed,
  failed,
  finishOf,
  LOST,
  newJob,
  running,
  succeeded,
  UNAVAILABLE,
} from './samples.ts';

const ABSENT_MS = 600_000;
const used = (inputTokens: number, costUsd: number): Usage => ({
  ...{ inputTokens, outputTokens: 1, cacheReadTokens: 0, cacheWriteTokens: 0, costUsd },
  costBasis: 'reported',
});

export function continuing(bench: () => Bench): void {
  /** A job that runs on n1 and whose CLI has begun a session. */
  async function begunJob(request: Partial<ResolvedPrompt> = {}): Promise<Claim> {
    const claim = await running(bench(), request);
    await bench()
      .claimsOf('n1')
      .append(claim.jobId, claim.executionId, 0, [begun(claim.sessionId)]);
    return claim;
  }
  const end = (claim: Claim, code: 'execution.overloaded' | 'execution.resource_limit' | 'execution.lost') =>
    bench()
      .claimsOf('n1')
      .finish(finishOf(claim, { outcome: failed(claim.executionId, code), from: 1 }));
  async function next(id: string, node = 'n1'): Promise<Claim> {
    await bench().submissions.submit(id, `E-${(await bench().record(id)).attempt + 1}`);
    if (node !== 'n1') await bench().claimsOf('n1').giveBack(); // a node with room takes it
    return claimed(bench(), id, node);
  }

  it('the record names the session that the CLI has begun, and none that cannot be continued', async () => {
    const [one, other] = [await running(bench()), await running(bench())];
    expect((await bench().record(one.jobId)).nativeSessionId).toBeNull();
    await bench()
      .claimsOf('n1')
      .append(one.jobId, one.executionId, 0, [begun(one.sessionId)]);
    await bench()
      .claimsOf('n1')
      .finish(finishOf(other, { tail: [begun(null)] }));
    expect((await bench().record(one.jobId)).nativeSessionId).toBe('native-1');
    expect((await bench().record(other.jobId)).nativeSessionId).toBeNull();
  });

  it('the next attempt of a job whose session has begun runs on the node of the session alone', async () => {
    const { jobId, ...claim } = await begunJob({ maxAttempts: 2 });
    await end({ jobId, ...claim }, 'execution.resource_limit');
    expect(await bench().record(jobId)).toMatchObject({ status: 'scheduled', failures: 1, pin: 'n1' });
    await bench().submissions.submit(jobId, 'E-2');
    expect(await bench().claimsOf('n2').claim(10)).toEqual([]);
    expect((await claimed(bench(), jobId)).attempt).toBe(2);
  });

  it('an attempt that begins from the start runs anywhere', async () => {
    const claim = await begunJob({ maxAttempts: 2, retryMode: 'restart' });
    await end(claim, 'execution.resource_limit');
    expect((await next(claim.jobId, 'n2')).attempt).toBe(2);
  });

  it('three continuations after a crash or an overload are no attempts', async () => {
    let claim = await begunJob();
    for (const code of ['execution.lost', 'execution.overloaded', 'execution.lost'] as const) {
      expect(await end(claim, code)).toBe('scheduled');
      claim = await next(claim.jobId);
    }
    expect(await bench().record(claim.jobId)).toMatchObject({ attempt: 4, failures: 0 });
    expect(await end(claim, 'execution.lost')).toBe('finished');
    expect(await bench().record(claim.jobId)).toMatchObject({ status: 'failed', failures: 1 });
  });

  it('after another failure, with autoContinue off, or before a session, they are attempts', async () => {
    expect(await end(await begunJob(), 'execution.resource_limit')).toBe('finished');
    expect(await end(await begunJob({ autoContinue: false }), 'execution.lost')).toBe('finished');
    expect(await end(await begunJob({ retryMode: 'restart' }), 'execution.lost')).toBe('finished');
    expect(await end(await running(bench()), 'execution.lost')).toBe('finished');
  });

  describe('when the node of the session is lost', () => {
    const settleLost = () => bench().upkeepOf('n2').settleLost(ABSENT_MS, LOST, UNAVAILABLE);
    async function lose(request: Partial<ResolvedPrompt>): Promise<string> {
      const { jobId } = await begunJob(request);
      await bench().claimsOf('n1').renew([]);
      await bench().advance(ABSENT_MS + 1000);
      expect(await settleLost()).toEqual([jobId]);
      await bench().advance(ABSENT_MS + 1000);
      await bench().submissions.submit(jobId, 'E-2');
      return jobId;
    }

    it('the job ends as unavailable', async () => {
      const id = await lose({});
      await bench().advance(ABSENT_MS + 1000);
      expect(await settleLost()).toEqual([id]);
      const error = { code: 'execution.node_unavailable' };
      expect(await bench().record(id)).toMatchObject({ status: 'failed', outcome: { error } });
    });

    it('a job that restarts begins again on another node', async () => {
      const id = await lose({ maxAttempts: 2, retryMode: 'restart' });
      expect((await claimed(bench(), id, 'n2')).attempt).toBe(2);
    });
  });

  it('the outcome of a job has the usage of all its executions, each event its own', async () => {
    const claim = await running(bench(), { maxAttempts: 2 });
    const refused = failed(claim.executionId, 'execution.resource_limit');
    await bench()
      .claimsOf('n1')
      .finish(finishOf(claim, { outcome: { ...refused, usage: used(3, 0.1) } }));
    const again = await next(claim.jobId);
    const outcome = { ...succeeded(again.executionId), usage: used(4, 0.2) };
    await bench()
      .claimsOf('n1')
      .finish(finishOf(again, { outcome, earlierUsage: used(3, 0.1) }));
    const { outcome: whole } = await bench().record(claim.jobId);
    expect(whole).toEqual({ ...outcome, usage: { ...used(7, 0.3), outputTokens: 2 } });
    const events = await bench().records.events(claim.jobId, 0, 100);
    const each = events.flatMap((event) =>
      event.kind === 'execution.finished' ? [event.outcome.usage?.costUsd] : [],
    );
    expect(each).toEqual([0.1, 0.2]);
  });

  it('a job that no CLI ended has the usage of the executions before', async () => {
    const claim = await running(bench(), { maxAttempts: 2 });
    const outcome = { ...failed(claim.executionId, 'execution.resource_limit'), usage: used(3, 0.1) };
    await bench().claimsOf('n1').finish(finishOf(claim, { outcome }));
    await bench().records.cancel(claim.jobId, false, CANCELLED);
    expect((await bench().record(claim.jobId)).outcome).toEqual({ ...CANCELLED, usage: used(3, 0.1) });
  });

  it('a new job has begun no session', async () => {
    const job = newJob();
    await bench().records.create(job);
    expect(await bench().record(job.id)).toMatchObject({ sessionId: job.id, nativeSessionId: null });
  });
}
