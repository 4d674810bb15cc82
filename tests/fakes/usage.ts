import type { Principal } from '../../src/auth/principal.ts';
import type { ReadUsage, UsageQuery } from '../../src/http/ports.ts';
import type { UsageRow } from '../../src/protocol/usage.ts';

/** The ReadUsage port: answers one row and keeps the queries. */
export class FakeUsage {
  readonly asked: { readonly principal: Principal; readonly query: UsageQuery }[] = [];

  readonly read: ReadUsage = async (principal, query): Promise<readonly UsageRow[]> => {
    this.asked.push({ principal, query });
    return [
      {
        key: '2026-03-01',
        executions: 2,
        succeeded: 1,
        ...{ cancelled: 0, successRate: 0.5, durationP50Ms: 800, durationP95Ms: 4000 },
        inputTokens: 12,
        outputTokens: 7,
        cacheReadTokens: 0,
        cacheWriteTokens: 0,
        costUsd: 0.3,
        reportedUsd: 0.2,
        estimatedUsd: 0.1,
        unknownCosts: 0,
      },
    ];
  };
}
