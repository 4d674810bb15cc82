import { expect, test } from 'vitest';
import type { AuditEntry } from '../../../src/protocol/audit.ts';
import { json, startScriptedServer } from '../client/scripted-server.ts';
import { at } from './answers.ts';
import { type } from './harness.ts';

const entry: AuditEntry = {
  ...{
    id: '1-0',
    at: '2026-11-21T11:00:00.000Z',
    action: 'job.cancelled',
    principal: 'key:a',
    project: 'web',
  },
  ...{ target: 'J\u001b[2J', address: '10.0.0.7', requestId: 'r', details: { force: true } },
};
const HASH = 'a'.repeat(64);

test('entries are a table; the filters go to the server', async () => {
  const server = await startScriptedServer(json(200, { data: [entry], nextCursor: 'next' }));
  const line =
    'audit --action job.cancelled --principal key:a --project web --target J --since 1d -n 5 --cursor c';
  const { code, out, err } = await type(line.split(' '), at(server.url));
  expect([code, err]).toEqual([0, 'more: --cursor next\n']);
  const row =
    /^2026-11-21 11:00:00 +job\.cancelled +key:a +web +J\\u001b\[2J +10\.0\.0\.7 +\{"force":true\}$/;
  expect(out.split('\n')[1]).toMatch(row);
  expect(Object.fromEntries(server.requests[0]?.url.searchParams ?? [])).toEqual({
    ...{ action: 'job.cancelled', principal: 'key:a', project: 'web', target: 'J' },
    ...{ from: '2026-11-20T12:00:00.000Z', limit: '5', cursor: 'c' },
  });
});

test('verify prints the last link, and fails with the first entry that is wrong', async () => {
  const head = { seq: 3, hash: HASH };
  const problem = { seq: 2, why: 'it is not as it was written' };
  const server = await startScriptedServer(
    json(200, { ok: true, entries: 3, head, problem: null }),
    json(200, { ok: false, entries: 1, head, problem }),
  );
  expect(await type(['audit', 'verify'], at(server.url))).toMatchObject({ code: 0, out: `3:${HASH}\n` });
  const args = ['audit', 'verify', '--head', `3:${HASH}`];
  expect(await type(args, at(server.url))).toMatchObject({
    ...{ code: 1, out: '', err: 'the audit was changed: entry 2: it is not as it was written\n' },
  });
  expect(server.requests[1]?.url.searchParams.get('head')).toBe(`3:${HASH}`);
});

test.each(['x', 'verify x', '--head 1:2', 'verify --head 1:2', 'verify --action job.created'])(
  'audit %s is refused',
  async (line) => {
    expect(await type(['audit', ...line.split(' ')])).toMatchObject({ code: 64 });
  },
);
