import { expect, it } from 'vitest';
import { resolvedPrompt } from '../../../scripts/offline-model/resolved-prompt.ts';
import { wireError } from '../../../src/errors.ts';
import type { Claim, Finish } from '../../../src/records/ports.ts';
import { createLedger } from '../../../src/store/ledger.ts';
import { anOutcome, NO_DELIVERY, testStore } from './test-store.ts';

it('the end of an execution that waits for a person is one in the outbox, and when it is delivered again', async () => {
  const ledger = createLedger(await testStore(), 'boot');
  const [executionId, jobId] = ['e1', 'j1'];
  const claim: Claim = {
    ...{ executionId, jobId, attempt: 1, kind: 'api', project: 'default', principal: 'alice' },
    ...{ grant: null, forged: false, sessionId: jobId, request: resolvedPrompt() },
  };
  await ledger.intend(claim);
  const error = wireError('execution.awaiting_approval', 'a person has to answer');
  const outcome = anOutcome({ executionId, status: 'failed', error });
  const finish: Finish = { ...NO_DELIVERY, executionId, jobId, outcome, parked: true };
  await ledger.ended(finish);
  expect((await ledger.open()).outbox).toMatchObject([{ executionId, parked: true }]);
  await ledger.delivered(executionId, false);
  expect((await ledger.find(claim))?.finish).toMatchObject({ outcome, parked: true });
});
