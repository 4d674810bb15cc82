import type { Principal } from '../../src/auth/principal.ts';
import type { UsageQuery, UsageReports } from '../../src/http/ports.ts';
import type { UsageRow } from '../../src/protocol/usage.ts';

/** The UsageReports port: one row, and what was asked for. */
export class FakeUsage implements UsageReports {
  readonly asked: { readonly principal: Principal; readonly query: UsageQuery }[] = [];

  async usage(principal: Principal, query: UsageQuery): Promise<readonly UsageRow[]> {
    this.asked.push({ principal, query });
    return [
      {
        key: '2026-03-01',
        executions: 2,
        succeeded: 1,
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
  }
}
