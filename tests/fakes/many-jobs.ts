import type { Principal } from '../../src/auth/principal.ts';
import type { Idempotency, JobSelection, ManyJobs } from '../../src/http/ports.ts';
import type { ManyCancelled, ManyRetried } from '../../src/protocol/job.ts';
import type { RetryFrom } from '../../src/protocol/prompt.ts';

/** The ManyJobs port: it notes the calls and does nothing. */
export class FakeManyJobs implements ManyJobs {
  readonly calls: (JobSelection & {
    readonly principal: string;
    readonly force?: boolean;
    readonly from?: RetryFrom | null;
  })[] = [];
  readonly keys: (string | null)[] = [];
  batchId: string | null = null;

  async cancel(principal: Principal, selection: JobSelection, force: boolean): Promise<ManyCancelled> {
    this.calls.push({ ...selection, principal: principal.id, force });
    return { matched: 3, cancelled: 2, requested: 1, skipped: {}, nextCursor: null };
  }

  async retry(
    principal: Principal,
    selection: JobSelection,
    from: RetryFrom | null,
    idempotency: Idempotency | null,
  ): Promise<ManyRetried> {
    this.calls.push({ ...selection, principal: principal.id, from });
    this.keys.push(idempotency?.key ?? null);
    return { matched: 3, retried: 0, batchId: this.batchId, skipped: {}, nextCursor: null };
  }
}
