import { describe, expect, it } from 'vitest';
import type { Decision } from '../../../src/protocol/approval.ts';
import { ALLOW, ask, BY, DENY, park, resumed, talking } from './approving.ts';
import type { Bench } from './bench.ts';
import { CANCELLED, create, finishOf } from './samples.ts';

/** @param signed makes records that are signed */
export function approvalRules(bench: () => Bench, signed: () => Promise<Bench>): void {
  const rules = ['Bash(touch *)', 'Edit'];
  const allowed: Decision = { decision: 'allow', input: null, rules };
  const decide = (on: Bench, id: string, decision: Decision, scope: 'call' | 'session') =>
    on.approvals.decide(id, { decision, scope }, BY);

  it('a decision for the session gives its rules to the session, which gets a record', async () => {
    for (const on of [bench(), await signed()]) {
      const claim = await talking(on);
      await decide(on, await ask(on, claim, 'c1'), allowed, 'call');
      expect(await on.sessions.read(claim.sessionId)).toBeNull();
      const id = await ask(on, claim, 'c2');
      expect(await decide(on, id, allowed, 'session')).toMatchObject({ kind: 'decided' });
      expect(await decide(on, id, allowed, 'session')).toMatchObject({ kind: 'repeated' });
      expect(await on.sessions.read(claim.sessionId)).toMatchObject({ rules, status: 'busy' });
      expect(await on.approvals.take(id, claim.executionId)).toEqual(allowed);
    }
  });

  it('its session waits for an answer as long as one of its approvals is open', async () => {
    const first = await talking(bench());
    const behind = await create(bench(), { sessionId: first.sessionId });
    const status = async () => (await bench().sessions.read(first.sessionId))?.status;
    const [one, two] = [await ask(bench(), first, 'c1'), await ask(bench(), first, 'c2')];
    expect(await status()).toBe('awaiting_input');
    await park(bench(), first);
    await decide(bench(), one, DENY, 'call');
    expect(await status()).toBe('awaiting_input');
    await decide(bench(), two, DENY, 'call');
    expect(await status()).toBe('busy');
    const next = await resumed(bench(), first.jobId);
    await ask(bench(), next, 'c3');
    await bench().records.interrupt(first.jobId, CANCELLED);
    await bench().claimsOf('n1').finish(finishOf(next));
    expect(await status()).toBe('busy'); // by the next turn
    await bench().records.cancel(behind, false, CANCELLED);
    expect(await status()).toBe('ready');
  });

  it('a session of one job that waits for a person and gets a second one awaits input', async () => {
    const first = await talking(bench());
    await ask(bench(), first, 'c1');
    await park(bench(), first);
    await create(bench(), { sessionId: first.sessionId });
    expect(await bench().sessions.read(first.sessionId)).toMatchObject({ status: 'awaiting_input' });
  });

  it('a session that is deleted keeps no call that waits in its CLI', async () => {
    const claim = await talking(bench());
    const id = await ask(bench(), claim, 'c1');
    await bench().approvals.park(id, 'deferred');
    await park(bench(), claim);
    await bench().records.cancel(claim.jobId, false, CANCELLED);
    expect(await bench().approvals.unanswered(claim.sessionId)).toMatchObject([{ id }]);
    await bench().sessions.remove(claim.sessionId, BY);
    await bench().records.remove(claim.jobId);
    expect(await bench().approvals.unanswered(claim.sessionId)).toEqual([]);
    expect(await bench().approvals.read(id)).toBeNull();
  });

  describe('with a signing secret', () => {
    const forge = async (on: Bench, id: string, fields: Readonly<Record<string, string>>) => {
      for (const [name, value] of Object.entries(fields)) await on.forgeApproval(id, name, value);
    };

    it('a decision that another client of Redis has written is a denial', async () => {
      const on = await signed();
      const claim = await talking(on);
      const [own, forged] = [await ask(on, claim, 'c1'), await ask(on, claim, 'c2')];
      await decide(on, own, ALLOW, 'call');
      const decision = { status: 'allowed', decision: JSON.stringify(ALLOW) };
      await forge(on, forged, decision);
      expect(await on.approvals.ofJob(claim.jobId)).toMatchObject([{ decision: ALLOW }, { decision: null }]);
      expect(await on.approvals.take(forged, claim.executionId)).toMatchObject({ decision: 'deny' });
      expect(await on.approvals.take(own, claim.executionId)).toEqual(ALLOW);
    });

    it('a decision that was changed, or belongs to another call, is a denial', async () => {
      const on = await signed();
      const claim = await talking(on);
      const changes = [
        { decision: JSON.stringify({ ...ALLOW, input: { command: 'rm -rf .' } }) },
        { session: 'another' },
        { status: 'allowed', decision: JSON.stringify(ALLOW) },
      ];
      for (const [index, change] of changes.entries()) {
        const id = await ask(on, claim, `c${index}`);
        await decide(on, id, index === 2 ? DENY : ALLOW, 'call');
        await forge(on, id, change);
        expect(await on.approvals.take(id, claim.executionId)).toMatchObject({ decision: 'deny' });
      }
    });

    it('a call that was changed after it was asked for is not shown, and cannot be decided', async () => {
      const on = await signed();
      const claim = await talking(on);
      for (const [index, change] of [{ input: '{"command":"rm -rf ."}' }, { tool: 'Write' }].entries()) {
        const id = await ask(on, claim, `c${index}`);
        await forge(on, id, change);
        const error = { code: 'record.damaged' };
        await expect(on.approvals.read(id)).rejects.toMatchObject(error);
        await expect(decide(on, id, ALLOW, 'call')).rejects.toMatchObject(error);
      }
      expect(await on.approvals.ofJob(claim.jobId)).toEqual([]);
    });

    it('one that was changed after its decision is a denial', async () => {
      const on = await signed();
      const claim = await talking(on);
      const id = await ask(on, claim, 'c1');
      await decide(on, id, ALLOW, 'call');
      await forge(on, id, { input: '{"command":"rm -rf ."}' });
      expect(await on.approvals.take(id, claim.executionId)).toMatchObject({ decision: 'deny' });
    });
  });
}
