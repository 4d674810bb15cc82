/** What Bull Board shows of jobs that have ended, on a whole server. */
import { expect, it } from 'vitest';
import { eventually } from '../helpers/eventually.ts';
import { startServer } from '../helpers/server.ts';

const CONFIG = {
  provider: 'good',
  providers: {
    custom: {
      good: { binary: '/bin/sh', args: ['-c', 'cat > /dev/null; echo fine'] },
      bad: { binary: '/bin/sh', args: ['-c', 'cat > /dev/null; exit 3'] },
      slow: { binary: '/bin/sh', args: ['-c', 'cat > /dev/null; exec sleep 1000'] },
    },
  },
};

it('a job that did not succeed has failed on the board, at once and for good, and leaves it when it is deleted', async () => {
  const server = await startServer({ config: CONFIG });
  const board = async (status: string) => {
    const query = `activeQueue=prompts&status=${status}&page=1&jobsPerPage=10`;
    const answer = await server.api('GET', `/admin/queues/api/queues?${query}`);
    const { queues } = (await answer.json()) as { queues: { counts: object; jobs: { id: string }[] }[] }; // Bull Board's
    return queues[0] ?? expect.unreachable('no queue');
  };
  const good = await server.run({ prompt: 'All is well' });
  const bad = await server.run({ prompt: 'Break it', provider: 'bad' });
  const slow = await server.run({ prompt: 'Take your time', provider: 'slow' }, 0);
  await eventually(async () => (await server.job(slow.id)).status === 'running');
  await server.api('POST', `/v1/jobs/${slow.id}/cancel`, { force: true });
  await server.finished(slow.id);

  await eventually(async () => {
    expect((await board('failed')).counts).toMatchObject({ completed: 1, failed: 2, active: 0, delayed: 0 });
  });
  expect((await board('completed')).jobs).toMatchObject([{ id: good.id, name: 'good · All is well' }]);
  const { jobs } = await board('failed');
  expect(jobs).toMatchObject([
    {
      id: slow.id,
      name: 'slow · Take your time',
      failedReason: expect.stringMatching(/^execution\.cancelled: /),
    },
    { id: bad.id, name: 'bad · Break it', failedReason: expect.stringMatching(/^execution\.crashed: /) },
  ]);
  expect(server.log()).not.toContain('failed its delivery');

  for (const { id } of [good, bad]) expect((await server.api('DELETE', `/v1/jobs/${id}`)).status).toBe(204);
  await eventually(async () => {
    expect((await board('failed')).counts).toMatchObject({ completed: 0, failed: 1 });
  });
});
