import type { Principal } from '../../src/auth/principal.ts';
import type { Idempotency, JobSelection, ManyJobs } from '../../src/http/ports.ts';
import type { ManyCancelled, ManyRetried } from '../../src/protocol/job.ts';

/** The ManyJobs port: it notes the calls and does nothing. */
export class FakeManyJobs implements ManyJobs {
  readonly calls: (JobSelection & { readonly principal: string; readonly force?: boolean })[] = [];
  readonly keys: (string | null)[] = [];
  batchId: string | null = null;

  async cancel(principal: Principal, selection: JobSelection, force: boolean): Promise<ManyCancelled> {
    this.calls.push({ ...selection, principal: principal.id, force });
    return { matched: 3, cancelled: 2, requested: 1, skipped: {}, nextCursor: null };
  }

  async retry(
    principal: Principal,
    selection: JobSelection,
    idempotency: Idempotency | null,
  ): Promise<ManyRetried> {
    this.calls.push({ ...selection, principal: principal.id });
    this.keys.push(idempotency?.key ?? null);
    return { matched: 3, retried: 0, batchId: this.batchId, skipped: {}, nextCursor: null };
  }
}
