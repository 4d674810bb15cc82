import { pino } from 'pino';
import { describe, expect, it } from 'vitest';
import { AppError, type ErrorCode } from '../../../src/errors.ts';
import { createCredentials } from '../../../src/limits/credentials.ts';
import { jobOutcome } from '../../../src/protocol/outcome.ts';
import { createProviders } from '../../../src/providers/registry.ts';
import type { Gates } from '../../../src/records/gate-records.ts';
import { PROVIDER_HOST, providerSettings } from '../providers/settings.ts';

const EXECUTION = { jobId: 'J', executionId: 'E' };

/** Credentials whose Redis goes away once a job has entered. */
async function enterAndLose() {
  const away = async (): Promise<never> => {
    throw new AppError('redis.unavailable', 'Redis is away');
  };
  // Only these methods are called here.
  const gates = {
    enter: async () => ({ kind: 'trying', at: 0 }),
    ...{ answered: away, ran: away, refuse: away },
  } as unknown as Gates;
  const providers = createProviders(providerSettings(), PROVIDER_HOST);
  const logins = { all: () => ({}), of: () => 'claude:login', rename: away };
  const logger = pino({ enabled: false });
  const credentials = createCredentials({ gates, providers, logins, refusedMs: 1000, logger });
  return credentials.enter(EXECUTION, providers.get('claude').provider, null);
}

const beside = { limitedModel: null, account: 'ada' };
const failure = (code: ErrorCode) => ({ code, message: '', retryable: true, resetsAt: null });

describe('an execution that ends while Redis is away', () => {
  it('has its outcome at once', async () => {
    const pass = await enterAndLose();
    const outcome = { ...jobOutcome('failed', failure('execution.crashed')), model: 'm' };
    const succeeded = { ...outcome, status: 'succeeded' as const, error: null };
    for (const ended of [succeeded, outcome])
      expect(await pass.settle({ outcome: ended, ...beside })).toEqual({
        ...ended,
        credential: 'claude:login',
      });
  });

  it.each(['execution.quota', 'auth.required'] as const)(
    'waits after %s, which closes the gate',
    async (code) => {
      const pass = await enterAndLose();
      const settling = pass.settle({ outcome: jobOutcome('failed', failure(code)), ...beside });
      await expect(settling).rejects.toMatchObject({ code: 'redis.unavailable' });
    },
  );
});
