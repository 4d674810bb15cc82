import { expect, it } from 'vitest';
import { forPeople, logTo } from '../../../src/cli/log-lines.ts';

const line = (fields: object): string => JSON.stringify({ level: 30, time: 1_795_890_000_000, ...fields });
const shown = (fields: object): string =>
  forPeople(line(fields), (_, text) => text).replace(/^\d\d:\d\d:\d\d/, 'TIME');

it('a line for people has the time, the message and the fields, and is safe on a terminal', () => {
  expect(shown({ component: 'jobs', jobId: '01J', status: 'failed', costUsd: null, msg: 'job ended' })).toBe(
    'TIME  job ended  jobId=01J status=failed\n',
  );
  expect(shown({ level: 40, component: 'redis', reason: 'no \u001b[2J', msg: 'a part' })).toBe(
    'TIME  warning: a part  reason="no \\u001b[2J" component=redis\n',
  );
  expect(shown({ level: 50, err: { stack: 'Error: x\n  at y' }, msg: 'failed' })).toBe(
    'TIME  error: failed\n    Error: x\n      at y\n',
  );
});

it('durations, costs, times and lists are shown as a person reads them, and a report of zeros not at all', () => {
  const until = '2026-11-28T19:41:06.088Z';
  const local = new Date(until).toTimeString().slice(0, 8);
  const fields = { durationMs: 65_000, costUsd: 0.000032, until, jobs: ['A', 'B'], recovery: { lost: 0 } };
  expect(shown({ ...fields, msg: 'x' })).toBe(
    `TIME  x  duration=1min5s cost=$0.000032 until=${local} jobs=A,B\n`,
  );
});

it('only a terminal gets lines for people', () => {
  const written: string[] = [];
  const write = (text: string) => void written.push(text);
  logTo({ write }, {}).write(line({ msg: 'ready' }));
  logTo({ write, isTTY: true }, {}).write(line({ msg: 'ready' }));
  expect(written[0]).toBe(line({ msg: 'ready' }));
  expect(written[1]).not.toContain('{');
});
