/**
 * kill -9 of the main process, and of a CLI, while a job asks a person: what was shown as pending
 * is never lost, and an allowed call is made exactly once.
 */
import { beforeAll, describe, expect, it } from 'vitest';
import type { FailpointName } from '../../src/failpoint.ts';
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
    },
  };
}

type Asking = Awaited<ReturnType<typeof asking>>;

describe('a process that holds a call', () => {
  const HOLD = { BULLPEN_APPROVAL_HOLD_MS: '600000', BULLPEN_APPROVAL_UNATTENDED_MS: '600000' };
  const shared = sharedFakeSystem({ env: HOLD });

  /** Jobs whose call is held; each waits after the kill, with the same approval. */
  async function killedWith(count: number, kill: (system: FakeSystem) => Promise<void>) {
    const system = shared();
    const jobs: Asking[] = [];
    for (let made = 0; made < count; made += 1) jobs.push(await asking(system));
    const before = await Promise.all(jobs.map((job) => job.approval()));
    for (const job of jobs) await job.becomes({ status: 'running' });
    await kill(system);
    for (const job of jobs) await job.becomes({ status: 'waiting', waitReason: 'approval' });
    expect(await Promise.all(jobs.map((job) => job.approval()))).toEqual(before);
    return jobs;
  }

  // The fake model does not make the call again.
  it('and whose server is killed leaves the job waiting; its model reads the decision', async () => {
    const [allowed = expect.unreachable(), denied = expect.unreachable()] = await killedWith(
      2,
      async (system) => {
        await killMain(system);
        await system.restart();
      },
    );
    await allowed.decide('allow');
    await denied.decide('deny');
    await allowed.expectEnd(0, 'Allowed: Bash');
    await denied.expectEnd(0, 'Denied: Bash');
    await expectWhole(shared());
  });

  it('and is killed itself leaves the job waiting; its model reads the decision', async () => {
    const [job = expect.unreachable()] = await killedWith(1, async (system) => {
      const [cli = expect.unreachable(), ...others] = system.marked();
      expect(others).toEqual([]);
      process.kill(cli, 'SIGKILL');
    });
    await job.decide('allow');
    await job.expectEnd(0, 'Allowed: Bash');
    await expectWhole(shared());
  });
});

describe('a server that is killed while jobs stop to wait', () => {
  const shared = sharedFakeSystem({ env: { BULLPEN_APPROVAL_UNATTENDED_MS: '0' } });
  const jobs = new Map<string, Asking>();
  const job = (when: string): Asking => jobs.get(when) ?? expect.unreachable(when);

  async function hold(step: FailpointName, when: string): Promise<void> {
    shared().failpoints.hold(step);
    jobs.set(when, await asking(shared()));
    await shared().failpoints.reached(step);
  }
  async function waits(when: string): Promise<void> {
    jobs.set(when, await asking(shared()));
    await job(when).becomes({ status: 'waiting' });
    await eventually(() => expect(shared().marked()).toEqual([]), PATIENCE);
  }

  beforeAll(async () => {
    const system = shared();
    await waits('twice');
    await waits('answered');
    // The last step first: a job passes each step that is not held yet.
    await hold('delivery.finished', 'delivery.finished');
    await hold('delivery.recorded', 'delivery.recorded');
    await hold('delivery.recorded', 'answered there');
    await job('answered there').decide('allow');
    await hold('executor.ended', 'executor.ended');
    expect(await system.server.job(job('answered there').id)).toMatchObject({ status: 'running' });
    await killMain(system);
    await system.restart();
  });

  it.each(['executor.ended', 'delivery.recorded', 'delivery.finished'])(
    'at %s loses nothing that was asked',
    async (step) => {
      await job(step).becomes({ status: 'waiting', waitReason: 'approval' });
      expect(await job(step).approval()).toMatchObject({ status: 'pending' });
      await job(step).decide('allow');
      await job(step).expectEnd(1);
    },
  );

  it('and one was answered in that moment goes on with it by itself after the restart', () =>
    job('answered there').expectEnd(1));

  it('and again right after an answer starts that job once, and keeps the other one waiting', async () => {
    const system = shared();
    const stillWaits = async (): Promise<void> =>
      expect(await system.server.job(job('twice').id)).toMatchObject({ status: 'waiting', attempts: 1 });
    await stillWaits();
    system.failpoints.hold('executor.claimed');
    await job('answered').decide('allow');
    await system.failpoints.reached('executor.claimed');
    await killMain(system);
    await system.restart();
    await job('answered').expectEnd(1);
    await stillWaits();
    await eventually(() => expect(system.marked()).toEqual([]), PATIENCE);
    await job('twice').decide('allow');
    await job('twice').expectEnd(1);
    await expectWhole(system);
  });
});
