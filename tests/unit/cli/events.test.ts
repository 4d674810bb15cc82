import { expect, test } from 'vitest';
import type { JobChange } from '../../../src/protocol/change.ts';
import { JOB_ID } from '../client/job.ts';
import { type Answer, problem, startScriptedServer } from '../client/scripted-server.ts';
import { at } from './answers.ts';
import { manualInterrupts, type as typed } from './harness.ts';

const AT = '2026-11-21T12:03:04.000Z';
const job = { jobId: JOB_ID, sessionId: null, batchId: null, rev: 1, cancelRequested: false };
const change = (cursor: string, rest: Partial<JobChange>): object => ({
  ...{ cursor, kind: 'job.changed', at: AT, ...job, status: 'queued' },
  ...{ waitReason: null, scheduledFor: null, attempts: 0, ...rest },
});
const CHANGES = [
  { cursor: '1-0', kind: 'cursor', at: AT },
  change('2-0', { kind: 'job.created' }),
  change('3-0', {
    ...{ status: 'scheduled', waitReason: 'backoff', attempts: 2 },
    scheduledFor: '2026-11-21T12:03:09.000Z',
  }),
  change('4-0', { status: 'running', cancelRequested: true, attempts: 1 }),
  change('5-0', { kind: 'job.deleted', status: 'failed' }),
  {
    ...{ cursor: '6-0', kind: 'approval.changed', at: AT, approvalId: 'A', jobId: JOB_ID },
    ...{ sessionId: null, status: 'pending' },
  },
];
const stream: Answer = (response) => {
  response.writeHead(200, { 'content-type': 'text/event-stream' });
  response.end(CHANGES.map((data) => `data: ${JSON.stringify(data)}\n\n`).join(''));
};

/** Types a command, and Ctrl-C when everything has been read and the stream is opened again. */
async function typedUntilRead(args: readonly string[]) {
  const interrupts = manualInterrupts();
  const server = await startScriptedServer(stream, () => void interrupts.raise());
  return { ...(await typed(args, { ...at(server.url), interrupts })), requests: server.requests };
}

test('changes are lines, until Ctrl-C, which says how to go on', async () => {
  const { code, out, err, requests } = await typedUntilRead(['events']);
  expect(out.split('\n')).toEqual([
    `12:03:04 ${JOB_ID} created, queued`,
    `12:03:04 ${JOB_ID} scheduled (backoff until 12:03:09), attempt 2`,
    `12:03:04 ${JOB_ID} running, cancel requested`,
    `12:03:04 ${JOB_ID} deleted`,
    `12:03:04 ${JOB_ID} asks: approval A`,
    '',
  ]);
  expect([code, err]).toEqual([
    130,
    'every change from now on; Ctrl-C stops\nto go on: bullpen events --after 6-0\n',
  ]);
  expect(requests[1]?.headers['last-event-id']).toBe('6-0');
});

test('with --json changes come as the server sends them', async () => {
  const { out } = await typedUntilRead(['events', '--json', '--after', '0']);
  expect(
    out
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line)),
  ).toEqual(CHANGES);
});

test('an expired cursor is an error of the command line', async () => {
  const server = await startScriptedServer(problem(410, 'events.expired'));
  const { code, err } = await typed(['events', '--after', '1-0'], at(server.url));
  expect([code, err]).toEqual([64, expect.stringContaining('events.expired')]);
  expect(err).not.toContain('to go on');
});
