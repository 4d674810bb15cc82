import { type Principal, projectOf } from '../../src/auth/principal.ts';
import type { Audit } from '../../src/http/ports.ts';
import type {
  Actor,
  AuditAct,
  AuditEntry,
  AuditHead,
  AuditQuery,
  AuditVerification,
} from '../../src/protocol/audit.ts';

/** The Audit port: keeps what was noted and asked. */
export class FakeAudit implements Audit {
  readonly noted: (AuditAct & { readonly by: Actor })[] = [];
  readonly asked: { readonly project: string | null; readonly query: AuditQuery }[] = [];
  readonly heads: (AuditHead | null)[] = [];
  entries: readonly AuditEntry[] = [];

  readonly note = (by: Actor, act: AuditAct): void => void this.noted.push({ by, ...act });

  async list(principal: Principal, query: AuditQuery) {
    this.asked.push({ project: projectOf(principal), query });
    return { data: this.entries, nextCursor: null };
  }

  async verify(noted: AuditHead | null): Promise<AuditVerification> {
    this.heads.push(noted);
    return { ok: true, entries: 0, head: null, problem: null };
  }
}
