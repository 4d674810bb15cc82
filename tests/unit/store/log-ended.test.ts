import { expect, it } from 'vitest';
import { resolvedPrompt } from '../../../scripts/offline-model/resolved-prompt.ts';
import { createLogger } from '../../../src/logger.ts';
import type { JobRecord } from '../../../src/records/ports.ts';
import { logEnded } from '../../../src/store/log-ended.ts';

it('of several servers, the one that ran a job logs and counts its end; all do when it ran on none', () => {
  const lines: string[] = [];
  const counted: string[] = [];
  const logger = createLogger('info', { write: (line) => void lines.push(line) });
  const log = logEnded(logger, 'this', ({ id }) => void counted.push(id));
  for (const [id, node] of Object.entries({ ours: 'this', theirs: 'another', never: null })) {
    // as: the log reads only these fields
    log({ id, node, status: 'cancelled', request: resolvedPrompt({}), outcome: null } as JobRecord);
  }
  expect(counted).toEqual(['ours', 'never']);
  expect(lines.map((line) => JSON.parse(line))).toMatchObject([
    { msg: 'job ended', jobId: 'ours', status: 'cancelled' },
    { msg: 'job ended', jobId: 'never', status: 'cancelled' },
  ]);
});
