import { expect, test } from 'vitest';
import { exampleJob } from '../../../src/http/examples.ts';
import { conditionsOf, filterOf, NAMES, queryValues } from '../../../src/page/screens/jobs/filter.ts';
import {
  changed,
  itemOf,
  matches,
  placeOf,
  withFirst,
  withRow,
} from '../../../src/page/screens/jobs/job-rows.ts';
import type { JobChange } from '../../../src/protocol/change.ts';
import type { Job, JobFilter, JobListItem } from '../../../src/protocol/job.ts';

const job = (changes: Partial<Job> = {}): Job => ({ ...exampleJob, ...changes });
const row = (id: string, changes: Partial<JobListItem> = {}): JobListItem => ({
  ...itemOf(job()),
  id,
  ...changes,
});
const ids = (rows: readonly JobListItem[]): string => rows.map(({ id }) => id).join('');
const ROWS = ['5', '3', '1'].map((id) => row(id));

test('a job is put in its place, replaced, or taken out', () => {
  expect(ids(withRow(ROWS, '4', row('4')))).toBe('5431');
  expect(ids(withRow(ROWS, '9', row('9')))).toBe('9531');
  expect(ids(withRow(ROWS, '0', row('0')))).toBe('5310');
  expect(withRow(ROWS, '3', row('3', { archived: true }))[1]?.archived).toBe(true);
  expect(ids(withRow(ROWS, '3', null))).toBe('51');
  expect(withRow(ROWS, '4', null)).toBe(ROWS);
  expect([placeOf(ROWS, '9'), placeOf(ROWS, '1'), placeOf([], '1')]).toEqual([0, 2, 0]);
});

test('the first page replaces what it covers', () => {
  expect(ids(withFirst(ROWS, [row('7'), row('5')]))).toBe('7531');
  expect(ids(withFirst(ROWS, [row('7'), row('2')]))).toBe('721');
  expect(withFirst(ROWS, [])).toBe(ROWS);
});

test('a change alone shows the state, the start and the end', () => {
  const change = (status: JobChange['status']): JobChange => ({
    ...{ cursor: '1-0', kind: 'job.changed', at: '2026-01-01T00:00:00.000Z', jobId: '1', sessionId: null },
    ...{ batchId: null, rev: 2, status, waitReason: null, scheduledFor: null, attempts: 1 },
    cancelRequested: false,
  });
  const queued = row('1', { status: 'queued', startedAt: null, finishedAt: null, finished: false });
  const running = changed(queued, change('running'));
  expect(running).toMatchObject({
    status: 'running',
    finished: false,
    startedAt: '2026-01-01T00:00:00.000Z',
  });
  expect(changed(running, change('failed'))).toMatchObject({
    ...{ status: 'failed', finished: true, finishedAt: '2026-01-01T00:00:00.000Z' },
  });
});

test.each<readonly [JobFilter, boolean]>([
  [{}, true],
  [{ status: ['succeeded', 'failed'] }, true],
  [{ status: ['failed'] }, false],
  [{ tag: [] }, true],
  [{ tag: ['none'] }, false],
  [{ model: ['opus'] }, false],
  [{ errorCode: ['execution.crashed'] }, false],
  [{ archived: true }, false],
  [{ archived: false }, true],
  [{ provider: ['claude'] }, true],
  [{ batch: 'other' }, false],
  [{ createdAfter: '2026-11-21T12:00:00.000Z' }, false],
  [{ createdAfter: '2026-11-21T11:59:59.000Z', createdBefore: '2026-11-21T12:00:01.000Z' }, true],
  [{ q: 'SAY' }, true],
  [{ q: 'nothing like this' }, false],
])('a job meets every condition: %j is %s', (filter, met) => {
  expect(matches(filter, job())).toBe(met);
});

test('the address bar has every condition, by its name', () => {
  const given = Object.keys(NAMES).map((name) => ({ name, value: name === 'archived' ? 'true' : 'x' }));
  const query = new URLSearchParams(given.map(({ name, value }) => [name, value]));
  expect(conditionsOf(filterOf(query))).toEqual(given);
});

test('the address bar has the filter, split at commas as the server splits it', () => {
  const filter = filterOf(new URLSearchParams('status=failed,cancelled&tag=a,b&tag=a,b&archived=false&q='));
  expect(filter).toEqual({ status: ['failed', 'cancelled'], tag: ['a,b'], archived: false });
  expect(queryValues(['a,b'])).toEqual(['a,b', 'a,b']);
  expect(queryValues([])).toBeNull();
  expect(conditionsOf(filter)).toEqual([
    { name: 'status', value: 'failed' },
    { name: 'status', value: 'cancelled' },
    { name: 'tag', value: 'a,b' },
    { name: 'archived', value: 'false' },
  ]);
});
