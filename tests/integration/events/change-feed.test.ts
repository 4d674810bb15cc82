import { pino } from 'pino';
import { describe, expect, it, onTestFinished } from 'vitest';
import { ADMIN_PRINCIPAL } from '../../../src/auth/principal.ts';
import { createChangeFeed } from '../../../src/events/change-feed.ts';
import type { Change, JobChange } from '../../../src/protocol/change.ts';
import { finishOf, newJob } from '../../contracts/records/samples.ts';
import { eventually } from '../../helpers/eventually.ts';
import { KEEP_MS, type TestRecords, useTestRecords } from '../../helpers/redis-records.ts';

const server = useTestRecords();

/** Follows the log of some records as an admin, after a cursor. */
function follow({ changeLog, doorbells, logDoorbell }: TestRecords, after: string | null = null) {
  const logger = pino({ enabled: false });
  const options = { log: changeLog, doorbells, channel: logDoorbell, keepMs: KEEP_MS, logger };
  const leaving = new AbortController();
  onTestFinished(() => leaving.abort());
  const query = { after, status: [], batch: null };
  const taken: Change[] = [];
  const ended = (async () => {
    const batches = createChangeFeed(options).read(ADMIN_PRINCIPAL, query, leaving.signal);
    for await (const batch of batches) taken.push(...batch);
  })();
  ended.catch(() => undefined); // looked at by the tests that expect it
  return {
    taken,
    ended,
    began: () => eventually(() => taken.length > 0),
    changes: () => taken.filter((change): change is JobChange => change.kind !== 'cursor'),
  };
}

/** The whole life of a job: made, submitted, claimed, ended, deleted. */
async function live(rpc: TestRecords, batch: string | null = null): Promise<string> {
  const job = newJob({}, { batch });
  await rpc.records.create(job);
  await rpc.submissions.submit(job.id, `E-${job.id}`);
  const claims = rpc.claimsOf('n1');
  const [claim] = await rpc.claim('n1', 1);
  if (claim === undefined) throw new Error('the job could not be claimed');
  await claims.finish(finishOf(claim));
  await rpc.records.remove(job.id);
  return job.id;
}

describe('the log of changes', () => {
  it('has each state of a job, also after the job was deleted', async () => {
    const rpc = server.make();
    const reader = follow(rpc, '0');
    await reader.began();
    const id = await live(rpc, 'B');
    await eventually(() => reader.taken.at(-1)?.kind === 'job.deleted');
    expect(reader.changes().map(({ kind, status, attempts, rev }) => [kind, status, attempts, rev])).toEqual([
      ['job.created', 'queued', 0, 1],
      ['job.changed', 'queued', 0, 2],
      ['job.changed', 'running', 1, 3],
      ['job.finished', 'succeeded', 1, 4],
      ['job.deleted', 'succeeded', 1, 4],
    ]);
    expect(
      new Set(reader.changes().map(({ jobId, batchId, sessionId }) => `${jobId} ${batchId} ${sessionId}`)),
    ).toEqual(new Set([`${id} B ${id}`]));
    const again = follow(rpc, reader.taken[2]?.cursor ?? '');
    await eventually(() => again.taken.at(-1)?.kind === 'job.deleted');
    expect(again.changes()).toEqual(reader.changes().slice(2));
  });

  it('wakes its readers at once, and again after messages were lost', async () => {
    const rpc = server.make();
    const reader = follow(rpc);
    await reader.began();
    await live(rpc);
    await eventually(() => reader.changes().length === 5);
    await rpc.interrupt();
    await live(rpc);
    await eventually(() => reader.changes().length === 10);
  });

  it('says that a cursor is expired whose entry is gone, and ends the readers of lost changes', async () => {
    const rpc = server.make();
    const reader = follow(rpc, '0');
    await reader.began();
    await live(rpc);
    await eventually(() => reader.changes().length === 5);
    const log = rpc.logDoorbell.replace('live:log', 'log');
    const [, , second, , last] = reader.changes();
    await server.redis.xdel(log, second?.cursor ?? '', last?.cursor ?? '');
    await expect(reader.ended).rejects.toMatchObject({ code: 'events.expired' });
    await expect(follow(rpc, second?.cursor).ended).rejects.toMatchObject({ code: 'events.expired' });
  });
});
