import { monotonicFactory, ulid } from 'ulid';
import { describe, expect, it } from 'vitest';
import type { Decision } from '../../../src/protocol/approval.ts';
import type { OwnedAct } from '../../../src/protocol/audit.ts';
import type { ResolvedPrompt } from '../../../src/protocol/prompt.ts';
import type { Ask } from '../../../src/providers/control.ts';
import type { Claim } from '../../../src/records/ports.ts';
import type { Bench } from './bench.ts';
import {
  begun,
  CANCELLED,
  claimed,
  create,
  failed,
  finishOf,
  LOST,
  REVOKED,
  running,
  UNAVAILABLE,
} from './samples.ts';

export const BY: OwnedAct = { actor: { id: 'key:k', address: null, requestId: null }, project: 'default' };
export const ALLOW: Decision = { decision: 'allow', input: { command: 'touch x' }, rules: [] };
export const DENY: Decision = { decision: 'deny', message: 'Not on a Friday' };
const WEEK_MS = 7 * 86_400_000;

export const askOf = (callId: string, rest: Partial<Ask> = {}): Ask => ({
  ...{ callId, kind: 'tool', tool: 'Bash', input: { command: 'touch x' } },
  ...{ questions: null, approvalId: null, ...rest },
});

/** A running job whose CLI has begun its session. */
export async function talking(bench: Bench, request: Partial<ResolvedPrompt> = {}): Promise<Claim> {
  const claim = await running(bench, request);
  await bench.claimsOf('n1').append(claim.jobId, claim.executionId, 0, [begun('S')]);
  return claim;
}

const newId = monotonicFactory();

/** Opens an approval, and returns its id. */
export async function ask(bench: Bench, claim: Claim, callId: string, inMs = WEEK_MS): Promise<string> {
  const expiresAt = (await bench.now()) + inMs;
  const opened = await bench.approvals.open(claim, { id: newId(), ask: askOf(callId), expiresAt });
  if (opened === null) throw new Error('the execution is not current');
  return opened.approvalId;
}

/** Claims a job that goes on, as a new execution. */
export async function resumed(bench: Bench, id: string): Promise<Claim> {
  await bench.submissions.submit(id, ulid());
  return claimed(bench, id);
}

/** Ends the execution because a person has to answer. */
export const park = (bench: Bench, claim: Claim, node = 'n1') =>
  bench.claimsOf(node).finish(
    finishOf(claim, {
      outcome: failed(claim.executionId, 'execution.awaiting_approval'),
      backoffMs: null,
      parked: true,
    }),
  );

export function approving(bench: () => Bench): void {
  const approvals = () => bench().approvals;
  const decide = (id: string, decision = ALLOW, scope: 'call' | 'session' = 'call') =>
    approvals().decide(id, { decision, scope }, BY);
  const statusOf = async (id: string) => (await approvals().read(id))?.status;
  const bells = async () => (await bench().published(bench().requestChannel)).map((text) => JSON.parse(text));

  it('an approval is opened once for each call, and has its event', async () => {
    const claim = await talking(bench());
    const id = await ask(bench(), claim, 'c1');
    expect(await ask(bench(), claim, 'c1')).toBe(id);
    const second = await ask(bench(), claim, 'c2');
    const approval = await approvals().read(id);
    expect(approval).toMatchObject({
      ...{ id, jobId: claim.jobId, sessionId: claim.sessionId, project: 'default' },
      ...{ kind: 'tool', tool: 'Bash', input: { command: 'touch x' }, questions: null },
      ...{ status: 'pending', decidedBy: null, decidedAt: null },
    });
    const events = await bench().records.events(claim.jobId, 0, 100);
    expect(events.filter(({ kind }) => kind === 'approval.requested')).toMatchObject([
      { approval },
      { approval: { id: second } },
    ]);
    expect(await approvals().ofJob(claim.jobId)).toMatchObject([
      { id, callId: 'c1', waits: 'held', decision: null, used: false },
      { id: second, callId: 'c2' },
    ]);
    expect(await bench().upkeepOf('n1').counts()).toMatchObject({ approvals: 2 });
    expect((await bench().log()).filter((entry) => entry.startsWith('q '))).toEqual([
      `q ${id}`,
      `q ${second}`,
    ]);
  });

  it('only the current execution opens approvals', async () => {
    const claim = await talking(bench());
    const old = { jobId: claim.jobId, executionId: 'other' };
    const asked = { id: ulid(), ask: askOf('c1'), expiresAt: (await bench().now()) + 1000 };
    expect(await approvals().open(old, asked)).toBeNull();
    await bench().claimsOf('n1').finish(finishOf(claim));
    expect(await approvals().open(claim, asked)).toBeNull();
    expect(await approvals().ofJob(claim.jobId)).toEqual([]);
  });

  it('whether the job or its session is watched is known when it is asked', async () => {
    const claim = await talking(bench());
    const open = async () => {
      const expiresAt = (await bench().now()) + 1000;
      return approvals().open(claim, { id: ulid(), ask: askOf('c1'), expiresAt });
    };
    expect(await open()).toMatchObject({ watched: false });
    await bench().follow(bench().liveChannel(claim.jobId));
    expect(await open()).toMatchObject({ watched: true });
    const other = await talking(bench());
    await bench().follow(bench().liveChannel(`s:${other.sessionId}`));
    const expiresAt = (await bench().now()) + 1000;
    expect(await approvals().open(other, { id: ulid(), ask: askOf('c1'), expiresAt })).toMatchObject({
      watched: true,
    });
  });

  it('a decision for a running job rings its node, and is taken once', async () => {
    const claim = await talking(bench());
    const id = await ask(bench(), claim, 'c1');
    expect(await approvals().take(id, claim.executionId)).toBeNull();
    expect(await decide(id)).toMatchObject({
      kind: 'decided',
      approval: { status: 'allowed', decidedBy: 'key:k' },
    });
    expect((await bells()).at(-1)).toEqual({ v: 1, type: 'talk', jobId: claim.jobId });
    expect(await bench().kinds(claim.jobId)).toContain('approval.decided');
    expect(await approvals().take(id, 'another execution')).toBeNull();
    expect(await approvals().take(id, claim.executionId)).toEqual(ALLOW);
    expect(await approvals().take(id, claim.executionId)).toBeNull();
    expect(await approvals().ofJob(claim.jobId)).toMatchObject([{ decision: ALLOW, used: true }]);
    expect(await bench().upkeepOf('n1').counts()).toMatchObject({ approvals: 0 });
  });

  it('the same decision again changes nothing, and another one is refused', async () => {
    const claim = await talking(bench());
    const id = await ask(bench(), claim, 'c1');
    const both = await Promise.all([decide(id, DENY), decide(id, DENY)]);
    expect(both.map(({ kind }) => kind).sort()).toEqual(['decided', 'repeated']);
    expect(await decide(id, ALLOW)).toEqual({ kind: 'over', status: 'denied' });
    expect(await decide(id, { decision: 'deny', message: 'else' })).toEqual({
      kind: 'over',
      status: 'denied',
    });
    expect(await decide(id, DENY, 'session')).toEqual({ kind: 'over', status: 'denied' });
    expect(await decide('none')).toEqual({ kind: 'gone' });
    const decided = (await bench().kinds(claim.jobId)).filter((kind) => kind === 'approval.decided');
    expect(decided).toHaveLength(1);
  });

  it('input that was edited is shown as it ran', async () => {
    const claim = await talking(bench());
    const id = await ask(bench(), claim, 'c1');
    const edited = { ...ALLOW, input: { command: 'touch y' } };
    await decide(id, edited);
    expect(await approvals().read(id)).toMatchObject({ input: { command: 'touch y' } });
    expect(await approvals().take(id, claim.executionId)).toEqual(edited);
  });

  it('a job that waits for a person has no node, and goes on when all have answered', async () => {
    const claim = await talking(bench());
    const [first, second] = [await ask(bench(), claim, 'c1'), await ask(bench(), claim, 'c2')];
    await approvals().park(first, 'deferred');
    await approvals().park(second, 'granted');
    expect(await park(bench(), claim)).toBe('waiting');
    expect(await park(bench(), claim)).toBe('waiting');
    expect(await bench().record(claim.jobId)).toMatchObject({
      ...{ status: 'waiting', waitReason: 'approval', scheduledFor: null, failures: 0, attempt: 1 },
      ...{ executionId: null, node: null, pin: 'n1', outcome: null, finishedAt: null },
    });
    expect((await bench().kinds(claim.jobId)).slice(-2)).toEqual(['execution.finished', 'job.waiting']);
    expect(await bench().submissions.submit(claim.jobId, ulid())).toEqual({ kind: 'later', afterMs: null });
    expect(await bench().upkeepOf('n1').counts()).toEqual({
      ...{ pending: 0, parked: 0, scheduled: 0, running: 0, nodes: 0, approvals: 2 },
    });

    await decide(first);
    expect(await bench().record(claim.jobId)).toMatchObject({ status: 'waiting' });
    await decide(second, DENY);
    expect(await bench().record(claim.jobId)).toMatchObject({ status: 'queued', waitReason: null });
    expect((await bench().kinds(claim.jobId)).slice(-2)).toEqual(['approval.decided', 'job.queued']);
    const next = await resumed(bench(), claim.jobId);
    expect(next).toMatchObject({ attempt: 2 });
    expect(next.executionId).not.toBe(claim.executionId);
    expect(await approvals().ofJob(claim.jobId)).toMatchObject([
      { id: first, waits: 'deferred', decision: ALLOW, used: false },
      { id: second, waits: 'granted', decision: DENY, used: false },
    ]);
    expect(await approvals().take(first, claim.executionId)).toBeNull();
    expect(await approvals().take(first, next.executionId)).toEqual(ALLOW);
  });

  it('an answer that comes while the process ends is not missed', async () => {
    const claim = await talking(bench());
    const id = await ask(bench(), claim, 'c1');
    await decide(id);
    await approvals().park(id, 'granted');
    expect(await park(bench(), claim)).toBe('waiting');
    expect(await bench().record(claim.jobId)).toMatchObject({ status: 'queued', failures: 0 });
    expect((await bench().kinds(claim.jobId)).slice(-2)).toEqual(['execution.finished', 'job.queued']);
    // A CLI that never takes it is not started without end.
    for (let times = 0; times < 2; times += 1)
      expect(await park(bench(), await resumed(bench(), claim.jobId))).toBe('waiting');
    expect(await park(bench(), await resumed(bench(), claim.jobId))).toBe('finished');
    expect(await bench().record(claim.jobId)).toMatchObject({ status: 'failed', attempt: 4 });
  });

  it('a job with a second approval in its next execution waits again', async () => {
    const claim = await talking(bench());
    await decide(await ask(bench(), claim, 'c1'), DENY);
    const id = await ask(bench(), claim, 'c2');
    await park(bench(), claim);
    await decide(id);
    const next = await resumed(bench(), claim.jobId);
    await approvals().take(id, next.executionId);
    const third = await ask(bench(), next, 'c3');
    expect(await park(bench(), next)).toBe('waiting');
    expect(await bench().record(claim.jobId)).toMatchObject({ status: 'waiting', failures: 0 });
    await decide(third);
    expect(await resumed(bench(), claim.jobId)).toMatchObject({ attempt: 3 });
  });

  describe('when the execution is lost', () => {
    const lose = (claim: Claim) =>
      bench()
        .claimsOf('n1')
        .finish(finishOf(claim, { outcome: failed(claim.executionId, 'execution.lost'), backoffMs: 0 }));

    it('the job waits for what was shown as pending, and no failure counts', async () => {
      const claim = await talking(bench());
      const id = await ask(bench(), claim, 'c1');
      expect(await lose(claim)).toBe('waiting');
      expect(await bench().record(claim.jobId)).toMatchObject({ status: 'waiting', failures: 0 });
      expect(await statusOf(id)).toBe('pending');
    });

    it('the node of which is gone, it waits too', async () => {
      const claim = await talking(bench());
      await bench().claimsOf('n1').renew([claim]);
      const id = await ask(bench(), claim, 'c1');
      await bench().advance(1_000_000);
      const upkeep = bench().upkeepOf('n2');
      expect(await upkeep.settleLost(10_000, LOST, UNAVAILABLE)).toEqual([claim.jobId]);
      expect(await bench().record(claim.jobId)).toMatchObject({ status: 'waiting', pin: 'n1', failures: 0 });
      expect(await lose(claim)).toBe('superseded');
      await decide(id);
      expect(await bench().record(claim.jobId)).toMatchObject({ status: 'queued' });
    });

    it('a decision that its CLI did not get is used by the next execution', async () => {
      const claim = await talking(bench());
      await decide(await ask(bench(), claim, 'c1'));
      expect(await lose(claim)).toBe('waiting');
      expect(await bench().record(claim.jobId)).toMatchObject({ status: 'queued', failures: 0 });
    });

    it('again and again, it ends', async () => {
      const claim = await talking(bench());
      await decide(await ask(bench(), claim, 'c1'));
      await lose(claim);
      for (let times = 1; times < 3; times += 1)
        expect(await lose(await resumed(bench(), claim.jobId))).toBe('waiting');
      expect(await lose(await resumed(bench(), claim.jobId))).toBe('finished');
      expect(await bench().record(claim.jobId)).toMatchObject({ status: 'failed', attempt: 4 });
    });

    it('without a session that can go on, the call is over', async () => {
      for (const request of [{}, { retryMode: 'restart' as const }]) {
        const claim = await running(bench(), request);
        if (request.retryMode !== undefined)
          await bench()
            .claimsOf('n1')
            .append(claim.jobId, claim.executionId, 0, [begun('S')]);
        const id = await ask(bench(), claim, 'c1');
        expect(await lose(claim)).toBe('finished');
        expect(await statusOf(id)).toBe('cancelled');
      }
    });
  });

  it('every other end of the execution cancels what is pending, before the last event', async () => {
    const ends = [
      ...[{ outcome: failed('', 'execution.crashed') }, { outcome: failed('', 'execution.timed_out') }],
      ...[{ quotaMs: 1000, outcome: failed('', 'execution.quota') }, {}],
    ];
    for (const end of ends) {
      const claim = await talking(bench());
      const id = await ask(bench(), claim, 'c1');
      await bench().claimsOf('n1').finish(finishOf(claim, end));
      expect(await statusOf(id)).toBe('cancelled');
      const kinds = await bench().kinds(claim.jobId);
      expect(kinds.slice(-2)).toEqual([
        'approval.decided',
        'quotaMs' in end ? 'job.scheduled' : 'job.finished',
      ]);
      expect(await decide(id)).toEqual({ kind: 'over', status: 'cancelled' });
    }
  });

  describe('a job that waits for a person', () => {
    const waiting = async (inMs?: number) => {
      const claim = await talking(bench());
      const id = await ask(bench(), claim, 'c1', inMs);
      await park(bench(), claim);
      return { id, claim, jobId: claim.jobId };
    };

    it('is cancelled or interrupted at once', async () => {
      const one = await waiting();
      expect(await bench().records.cancel(one.jobId, false, CANCELLED)).toEqual({ kind: 'cancelled' });
      const two = await waiting();
      expect(await bench().records.interrupt(two.jobId, CANCELLED)).toEqual({ kind: 'cancelled' });
      for (const { id, jobId } of [one, two]) {
        expect(await bench().record(jobId)).toMatchObject({ status: 'cancelled', waitReason: null });
        expect(await statusOf(id)).toBe('cancelled');
        expect(await decide(id)).toEqual({ kind: 'over', status: 'cancelled' });
      }
    });

    it('ends when its key is revoked', async () => {
      const { id, jobId } = await waiting();
      expect(await bench().upkeepOf('n1').revoke([jobId], REVOKED)).toEqual([jobId]);
      expect(await statusOf(id)).toBe('cancelled');
    });

    it('ends when the first of its approvals expires', async () => {
      const claim = await talking(bench());
      const soon = await ask(bench(), claim, 'c1', 60_000);
      const later = await ask(bench(), claim, 'c2', 120_000);
      await park(bench(), claim);
      const expire = () => bench().upkeepOf('n1').expire(CANCELLED, 10);
      await bench().advance(50_000);
      expect(await expire()).toEqual([]);
      await bench().advance(20_000);
      expect(await expire()).toEqual([claim.jobId]);
      expect(await bench().record(claim.jobId)).toMatchObject({
        status: 'failed',
        outcome: { error: { code: 'approval.expired' } },
      });
      expect([await statusOf(soon), await statusOf(later)]).toEqual(['expired', 'cancelled']);
      expect(await decide(soon)).toEqual({ kind: 'over', status: 'expired' });
    });

    it('waits for the others when the one that expires first was decided', async () => {
      const claim = await talking(bench());
      const soon = await ask(bench(), claim, 'c1', 60_000);
      await ask(bench(), claim, 'c2', 120_000);
      await park(bench(), claim);
      await decide(soon);
      await bench().advance(70_000);
      expect(await bench().upkeepOf('n1').expire(CANCELLED, 10)).toEqual([]);
      await bench().advance(60_000);
      expect(await bench().upkeepOf('n1').expire(CANCELLED, 10)).toEqual([claim.jobId]);
    });

    it('does not expire any more once it goes on', async () => {
      const { id, jobId } = await waiting(60_000);
      await decide(id);
      await bench().advance(70_000);
      expect(await bench().upkeepOf('n1').expire(CANCELLED, 10)).toEqual([]);
      expect(await bench().record(jobId)).toMatchObject({ status: 'queued' });
    });

    it('keeps its lanes, so that the jobs behind it wait', async () => {
      const claim = await talking(bench(), { concurrencyKey: 'k' });
      const behind = await create(bench(), { concurrencyKey: 'k' });
      const next = await create(bench(), { sessionId: claim.jobId });
      const id = await ask(bench(), claim, 'c1');
      await park(bench(), claim);
      await bench().advance(60_000);
      await bench().upkeepOf('n1').sweep(0, 10);
      expect(await bench().claimsOf('n1').claim(10)).toEqual([]);
      expect(await bench().record(behind)).toMatchObject({ waitReason: 'concurrency_key' });
      expect(await bench().record(next)).toMatchObject({ waitReason: 'session' });
      await decide(id);
      expect((await bench().claimsOf('n1').claim(10)).map(({ jobId }) => jobId)).toEqual([claim.jobId]);
    });

    it('cannot be given another time, but another priority', async () => {
      const { id, jobId } = await waiting();
      const runAt = { at: (await bench().now()) + 60_000, deadline: null };
      expect(await bench().records.change(jobId, { runAt })).toBe('running');
      expect(await bench().records.change(jobId, { priority: { value: 5, score: 1 } })).toBe('changed');
      expect(await bench().record(jobId)).toMatchObject({ status: 'waiting', request: { priority: 5 } });
      await decide(id);
      expect(await resumed(bench(), jobId)).toMatchObject({ attempt: 2 });
    });

    it('cannot be deleted; afterwards its approvals are deleted with it', async () => {
      const { id, jobId } = await waiting();
      expect(await bench().records.remove(jobId)).toBe(false);
      await bench().records.cancel(jobId, false, CANCELLED);
      expect(await bench().records.remove(jobId)).toBe(true);
      expect(await approvals().read(id)).toBeNull();
      expect(await approvals().ofJob(jobId)).toEqual([]);
    });
  });

  it('a cancelled job does not wait: it ends with what its execution said, as cancelled', async () => {
    for (const [stop, code] of [
      ['cancel', 'execution.cancelled'],
      ['interrupt', 'execution.interrupted'],
    ] as const) {
      const claim = await talking(bench());
      const id = await ask(bench(), claim, 'c1');
      if (stop === 'cancel') await bench().records.cancel(claim.jobId, false, CANCELLED);
      else await bench().records.interrupt(claim.jobId, CANCELLED);
      const outcome = { ...failed(claim.executionId, 'execution.awaiting_approval'), text: 'so far' };
      const finish = finishOf(claim, { outcome, backoffMs: null, parked: true });
      expect(await bench().claimsOf('n1').finish(finish)).toBe('finished');
      expect(await bench().record(claim.jobId)).toMatchObject({
        status: 'cancelled',
        outcome: { status: 'cancelled', text: 'so far', error: { code } },
      });
      expect(await statusOf(id)).toBe('cancelled');
    }
  });

  it('the node of a running job is rung when an approval expires', async () => {
    const claim = await talking(bench());
    const id = await ask(bench(), claim, 'c1', 60_000);
    await bench().advance(61_000);
    await bench().upkeepOf('n2').sweep(0, 10);
    expect((await bells()).at(-1)).toEqual({ v: 1, type: 'talk', jobId: claim.jobId });
    expect(await statusOf(id)).toBe('expired');
    const outcome = failed(claim.executionId, 'approval.expired');
    await bench()
      .claimsOf('n1')
      .finish(finishOf(claim, { outcome, backoffMs: null }));
    expect(await statusOf(id)).toBe('expired');
    expect(await bench().upkeepOf('n2').counts()).toMatchObject({ approvals: 0 });
  });

  it('a job whose approval expires while its process ends to wait is ended, too', async () => {
    const claim = await talking(bench());
    const id = await ask(bench(), claim, 'c1', 60_000);
    const other = await ask(bench(), claim, 'c2');
    await bench().advance(61_000);
    await bench().upkeepOf('n2').sweep(0, 10);
    expect(await park(bench(), claim)).toBe('waiting');
    expect(await decide(other)).toMatchObject({ kind: 'decided' });
    expect(await bench().upkeepOf('n2').expire(CANCELLED, 10)).toEqual([claim.jobId]);
    expect(await bench().record(claim.jobId)).toMatchObject({
      outcome: { error: { code: 'approval.expired' } },
    });
    expect(await statusOf(id)).toBe('expired');
  });

  it('an approval that the CLI withdraws is cancelled, and its decision is used no more', async () => {
    const claim = await talking(bench());
    const [pending, decided] = [await ask(bench(), claim, 'c1'), await ask(bench(), claim, 'c2')];
    await decide(decided);
    for (const id of [pending, decided, pending, 'none']) await approvals().withdraw(id);
    expect([await statusOf(pending), await statusOf(decided)]).toEqual(['cancelled', 'allowed']);
    expect(await approvals().take(decided, claim.executionId)).toBeNull();
    expect(await approvals().take(pending, claim.executionId)).toBeNull();
  });

  it('a call that waits in the session of the CLI although nothing more will come is denied later', async () => {
    const claim = await talking(bench());
    const [held, deferred] = [await ask(bench(), claim, 'c1'), await ask(bench(), claim, 'c2')];
    const allowed = await ask(bench(), claim, 'c3');
    await approvals().park(deferred, 'deferred', 'c2 again');
    await approvals().park(allowed, 'deferred');
    await decide(allowed);
    await park(bench(), claim);
    expect(await approvals().unanswered(claim.sessionId)).toEqual([]);
    await bench().records.cancel(claim.jobId, false, CANCELLED);
    expect(await approvals().unanswered(claim.sessionId)).toMatchObject([
      { id: deferred, status: 'cancelled', callId: 'c2 again' },
      { id: allowed, status: 'allowed', callId: 'c3' },
    ]);
    expect(await bench().records.remove(claim.jobId)).toBe(true);
    const later = await create(bench(), { sessionId: claim.sessionId });
    const next = await claimed(bench(), later);
    for (const id of [deferred, allowed]) {
      expect(await approvals().take(id, next.executionId)).toMatchObject({ decision: 'deny' });
      expect(await approvals().take(id, next.executionId)).toBeNull();
    }
    expect(await approvals().take(held, next.executionId)).toBeNull();
    expect(await approvals().unanswered(claim.sessionId)).toEqual([]);
  });

  it('a call of the same job that waits in the session is denied when the job goes on after a limit', async () => {
    const claim = await talking(bench());
    const id = await ask(bench(), claim, 'c1');
    await approvals().park(id, 'deferred');
    const outcome = failed(claim.executionId, 'execution.quota');
    await bench()
      .claimsOf('n1')
      .finish(finishOf(claim, { outcome, quotaMs: 60_000, backoffMs: 0 }));
    expect(await approvals().unanswered(claim.sessionId)).toMatchObject([{ id }]);
    await bench().upkeepOf('n1').sweep(0, 10);
    const next = await resumed(bench(), claim.jobId);
    expect(await approvals().take(id, next.executionId)).toMatchObject({ decision: 'deny' });
  });

  it('what cannot be read is left out, and refused when it is asked for', async () => {
    const claim = await talking(bench());
    const [id, other] = [await ask(bench(), claim, 'c1'), await ask(bench(), claim, 'c2')];
    await bench().forgeApproval(id, 'input', '{');
    const damaged = { code: 'record.damaged' };
    await expect(approvals().read(id)).rejects.toMatchObject(damaged);
    await expect(decide(id)).rejects.toMatchObject(damaged);
    expect(await approvals().ofJob(claim.jobId)).toMatchObject([{ id: other }]);
    expect(await approvals().readMany([id, other, 'none'])).toMatchObject([{ id: other }]);
    await bench().records.cancel(claim.jobId, false, CANCELLED);
    await bench().claimsOf('n1').finish(finishOf(claim));
    expect(await bench().upkeepOf('n1').counts()).toMatchObject({ approvals: 0 });
  });
}
