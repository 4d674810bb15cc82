import { expect, it } from 'vitest';
import { createLineLog, createLogLimit } from '../../src/log.ts';
import { createLogger } from '../../src/logger.ts';
import { createRedactor } from '../../src/redactor.ts';

it.each(['debug', 'info', 'warn', 'error', 'fatal'] as const)(
  'a worker that logs from %s on writes the lines of the server',
  (lowest) => {
    const [server, worker]: [string[], string[]] = [[], []];
    const logs = [
      createLogger(lowest, { write: (line) => void server.push(line) }),
      createLineLog(lowest, createRedactor(), (line) => void worker.push(line)),
    ];
    for (const log of logs) {
      log.debug({ reason: 'a "quoted" reason\n' }, 'one');
      log.info({ connection: 'worker' }, 'two');
      log.warn({ times: 3, nothing: null, left: undefined }, 'three');
      log.error({}, 'four');
    }
    const undated = (lines: readonly string[]) => lines.map((line) => line.replace(/"time":\d{13}/, 'time'));
    expect(undated(worker)).toEqual(undated(server));
    expect(worker).toHaveLength(['fatal', 'error', 'warn', 'info', 'debug'].indexOf(lowest));
  },
);

it('one line per kind and minute, with the number of events since the last line', () => {
  let now = 0;
  const logLimit = createLogLimit(() => now);
  expect([logLimit('a'), logLimit('a'), logLimit('b'), logLimit('a')]).toEqual([1, null, 1, null]);
  now = 60_000;
  expect([logLimit('a'), logLimit('a'), logLimit('b')]).toEqual([3, null, 1]);
});
