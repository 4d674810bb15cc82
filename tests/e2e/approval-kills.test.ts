/**
 * kill -9 of the main process while a job asks a person: what was shown as pending is never lost,
 * and an allowed call is made exactly once.
 */
import { describe, expect, it } from 'vitest';
import type { Approval } from '../../src/protocol/approval.ts';
import type { Job } from '../../src/protocol/job.ts';
import { eventually } from '../helpers/eventually.ts';
import { fakePrompt } from '../helpers/fake-cli.ts';
import {
  expectEndedOnce,
  expectWhole,
  type FakeSystem,
  killMain,
  PATIENCE,
  sharedFakeSystem,
} from './fake-system.ts';

let calls = 0;

/** A job that makes one call that needs a person. */
async function asking(system: FakeSystem) {
  calls += 1;
  const input = { command: `touch ${calls}` };
  const steps = [{ tool: { name: 'Bash', input, asks: true } }, { delta: 'the end' }] as const;
  const id = await system.submit({ prompt: fakePrompt(steps), onPermissionDenied: 'ask' });
  const approval = (): Promise<Approval> =>
    eventually(async () => {
      const response = await system.server.api('GET', `/v1/approvals?jobId=${id}`);
      const { data } = (await response.json()) as { data: Approval[] }; // the documented list
      return data[0] ?? null;
    }, PATIENCE);
  const becomes = (job: Partial<Job>): Promise<unknown> =>
    eventually(async () => expect(await system.server.job(id)).toMatchObject(job), PATIENCE);
  return {
    ...{ id, approval, becomes },
    async decide(decision: 'allow' | 'deny') {
      const { id: approvalId } = await approval();
      const response = await system.server.api('POST', `/v1/approvals/${approvalId}/decide`, { decision });
      expect(response.status).toBe(200);
    },
    /** The job succeeds with a text, and has made its call so often. */
    async expectEnd(times: number, text = 'the end') {
      const job = await system.server.finished(id);
      expect(job).toMatchObject({ status: 'succeeded', outcome: { error: null } });
      expect(job.outcome?.text).toContain(text);
      const events = await expectEndedOnce(system.server, job);
      expect(system.spawnsOf(events)).toHaveLength(job.attempts);
      expect(events.filter(({ kind }) => kind === 'approval.requested')).toHaveLength(1);
      expect(events.filter(({ kind }) => kind === 'approval.decided')).toHaveLength(1);
      const made = system.calls().filter((call) => JSON.stringify(call) === JSON.stringify(input));
      expect(made).toHaveLength(times);
      await expectWhole(system);
    },
  };
}

describe('a server that is killed while a process holds a call', () => {
  const HOLD = { BULLPEN_APPROVAL_HOLD_MS: '600000', BULLPEN_APPROVAL_UNATTENDED_MS: '600000' };
  const shared = sharedFakeSystem({ env: HOLD });

  // The fake model does not make the call again.
  it.each([
    ['allow', 'Allowed: Bash'],
    ['deny', 'Denied: Bash'],
  ] as const)('leaves the job waiting; after %s its model reads that', async (decision, told) => {
    const system = shared();
    const job = await asking(system);
    const before = await job.approval();
    await job.becomes({ status: 'running' });
    await killMain(system);
    await system.restart();
    await job.becomes({ status: 'waiting', waitReason: 'approval' });
    expect(await job.approval()).toEqual(before);
    await job.decide(decision);
    await job.expectEnd(0, told);
  });
});

describe('a server that is killed while a job stops to wait', () => {
  const shared = sharedFakeSystem({ env: { BULLPEN_APPROVAL_UNATTENDED_MS: '0' } });

  it.each(['executor.ended', 'delivery.recorded', 'delivery.finished'] as const)(
    'at %s loses nothing that was asked',
    async (step) => {
      const system = shared();
      system.failpoints.hold(step);
      const job = await asking(system);
      await system.failpoints.reached(step);
      await killMain(system);
      await system.restart();
      await job.becomes({ status: 'waiting', waitReason: 'approval' });
      expect(await job.approval()).toMatchObject({ status: 'pending' });
      await job.decide('allow');
      await job.expectEnd(1);
    },
  );

  it('and was answered in that moment goes on by itself after the restart', async () => {
    const system = shared();
    system.failpoints.hold('delivery.recorded');
    const job = await asking(system);
    await system.failpoints.reached('delivery.recorded');
    await job.decide('allow');
    expect(await system.server.job(job.id)).toMatchObject({ status: 'running' });
    await killMain(system);
    await system.restart();
    await job.expectEnd(1);
  });

  it('and again while it waits, keeps it waiting without a process', async () => {
    const system = shared();
    const job = await asking(system);
    await job.becomes({ status: 'waiting' });
    await eventually(() => expect(system.marked()).toEqual([]), PATIENCE);
    for (let times = 0; times < 2; times += 1) {
      await killMain(system);
      await system.restart();
      expect(await system.server.job(job.id)).toMatchObject({ status: 'waiting', attempts: 1 });
    }
    expect(system.marked()).toEqual([]);
    await job.decide('allow');
    await job.expectEnd(1);
  });

  it('right after the answer, starts the job once', async () => {
    const system = shared();
    const job = await asking(system);
    await job.becomes({ status: 'waiting' });
    system.failpoints.hold('executor.claimed');
    await job.decide('allow');
    await system.failpoints.reached('executor.claimed');
    await killMain(system);
    await system.restart();
    await job.expectEnd(1);
  });
});
