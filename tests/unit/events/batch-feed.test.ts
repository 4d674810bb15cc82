import { expect, it } from 'vitest';
import { ADMIN_PRINCIPAL, maySee, type Principal } from '../../../src/auth/principal.ts';
import { createBatchFeed } from '../../../src/events/batch-feed.ts';
import type { JobChange } from '../../../src/protocol/change.ts';
import type { LogEntry } from '../../../src/records/change-log.ts';
import { callerOf } from '../../fakes/principals.ts';

const BATCH = '01J00000000000000000000001';
const CURSOR = '1-0';
const JOBS = [
  { id: 'of web', project: 'web', status: 'running' },
  { id: 'own', project: 'default', status: 'running' },
] as const;

/** What a reader gets of a batch of two projects, whose jobs end. */
async function read(principal: Principal) {
  const entries = JOBS.map(({ id, project }): LogEntry => {
    // as: the fields that the feed reads
    const change = { kind: 'job.finished', jobId: id, batchId: BATCH, status: 'succeeded' } as JobChange;
    return { cursor: CURSOR, project, change, gate: null, approval: null, session: null };
  });
  const feed = createBatchFeed({
    changes: {
      async *follow() {
        yield { cursor: CURSOR, entries: [] };
        yield { cursor: CURSOR, entries };
      },
    },
    log: { newest: async () => CURSOR },
    find: async () => ({ jobs: JOBS.filter(({ project }) => maySee(principal, project)) }),
  });
  const seen: unknown[] = [];
  for await (const group of feed.read(principal, BATCH, null, AbortSignal.timeout(5000)))
    for (const change of group) seen.push('jobId' in change ? change.jobId : ['total', change.total]);
  return seen;
}

it('a batch of several projects shows each reader the changes of its own', async () => {
  const both = JOBS.map(({ id }) => id);
  expect(await read(ADMIN_PRINCIPAL)).toEqual([['total', 2], ...both, ['total', 2]]);
  expect(await read(callerOf('key:d', 'default'))).toEqual([['total', 1], 'own', ['total', 1]]);
});
