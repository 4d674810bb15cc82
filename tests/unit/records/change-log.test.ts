import { expect, test } from 'vitest';
import { decodeLogEntry } from '../../../src/records/change-log.ts';

const ID = '01K9ZV4Q4S9V0M0X2T6D8Y3B7C';
const STATE = {
  ...{ p: 'web', s: 'S', o: 'alice', b: '', v: '3', t: 'scheduled', w: 'backoff' },
  ...{ f: '1780000060000', a: '1', c: '' },
};
const entry = (kind: string, id: string, state: Readonly<Record<string, string>> = STATE) =>
  decodeLogEntry(['1780000000000-2', [kind, id, ...Object.entries(state).flat()]]);

test('an entry has the state that the job had then', () => {
  expect(entry('j', ID)).toEqual({
    cursor: '1780000000000-2',
    project: 'web',
    change: {
      cursor: '1780000000000-2',
      kind: 'job.changed',
      at: '2026-05-28T20:26:40.000Z',
      jobId: ID,
      sessionId: 'S',
      batchId: null,
      rev: 3,
      status: 'scheduled',
      waitReason: 'backoff',
      scheduledFor: '2026-05-28T20:27:40.000Z',
      attempts: 1,
      cancelRequested: false,
    },
    gate: null,
    session: null,
    approval: null,
  });
});

test.each([
  ['job.created', 'j', { v: '1', t: 'queued', w: '', f: '', a: '0' }],
  ['job.finished', 'j', { t: 'failed', w: '', f: '' }],
  ['job.finished', 'j', { v: '1', t: 'cancelled' }],
  ['job.deleted', 'd', { t: 'succeeded' }],
])('%s is the kind of %s %j', (kind, type, state) => {
  expect(entry(type, ID, { ...STATE, ...state }).change?.kind).toBe(kind);
});

test.each([
  ['of another program', () => entry('x', ID)],
  ['about no job', () => entry('j', 'no-ulid')],
  ['from before entries had a state', () => entry('j', ID, { p: 'default', s: 'S' })],
  ['with an unknown status', () => entry('j', ID, { ...STATE, t: 'asleep' })],
  ['with a broken number', () => entry('j', ID, { ...STATE, v: '1e99' })],
  ['of no time', () => decodeLogEntry(['9999999999999999999-1', ['j', ID, ...Object.entries(STATE).flat()]])],
  ['with nothing in it', () => decodeLogEntry(['1-1', []])],
])('an entry %s has nothing to show', (_why, read) => {
  expect(read().change).toBeNull();
});

test('an entry about a gate says why it was closed and until when, or that it was opened', () => {
  const gate = 'credential:claude:work';
  const known = { cursor: '1780000000000-2', at: '2026-05-28T20:26:40.000Z', gate };
  const closed = entry('g', gate, { r: 'quota', u: '1780000060000' });
  expect(closed.gate).toEqual({
    ...{ ...known, kind: 'gate.closed', reason: 'quota', until: '2026-05-28T20:27:40.000Z' },
  });
  expect(closed.change).toBeNull();
  expect(entry('g', gate, { r: '', u: '' }).gate).toEqual({
    ...{ ...known, kind: 'gate.opened', reason: null, until: null },
  });
});

test('an entry about an approval names its job and its state', () => {
  const asked = entry('q', ID, { p: 'web', s: 'S', j: 'J', t: 'pending' });
  expect(asked.approval).toEqual({
    ...{ cursor: '1780000000000-2', kind: 'approval.changed', at: '2026-05-28T20:26:40.000Z' },
    ...{ approvalId: ID, jobId: 'J', sessionId: 'S', status: 'pending' },
  });
  expect([asked.change, asked.gate]).toEqual([null, null]);
  expect(entry('q', ID, { p: 'web', s: 'S', j: 'J', t: 'asleep' }).approval).toBeNull();
});

test('an entry about a session names its kind and its status', () => {
  const moved = entry('s', ID, { p: 'web', v: '3', t: 'busy', k: 'terminal' });
  expect(moved.session).toEqual({
    ...{ cursor: '1780000000000-2', kind: 'session.changed', at: '2026-05-28T20:26:40.000Z' },
    ...{ sessionId: ID, sessionKind: 'terminal', status: 'busy' },
  });
  expect([moved.change, moved.gate, moved.approval]).toEqual([null, null, null]);
  expect(entry('s', ID, { p: 'web', v: '', t: 'deleted', k: '' }).session).toMatchObject({
    ...{ sessionKind: null, status: 'deleted' },
  });
  expect(entry('s', ID, { p: 'web', t: 'asleep' }).session).toBeNull();
});

test('a value that is too long or no time is cut or left out', () => {
  const { change } = entry('j', ID, { ...STATE, w: 'x'.repeat(5000), f: 'soon' });
  expect([change?.waitReason?.length, change?.scheduledFor]).toEqual([100, null]);
});
