import type { AuthenticatorOptions } from '../../src/auth/keyring.ts';
import type {
  EndedLogin,
  EndedLogins,
  KeyCopies,
  KeyRecord,
  KeyRecords,
  PutKey,
} from '../../src/auth/ports.ts';
import type { Idempotency } from '../../src/http/ports.ts';

/** Keys in memory, as Redis has them. */
export class FakeKeyRecords implements KeyRecords {
  readonly stored = new Map<string, KeyRecord>();
  readonly used = new Map<string, number>();
  /** Thrown by each call while it is set. */
  failure: Error | null = null;
  /** Called when a record was stored. */
  onStored: () => void = () => undefined;
  readonly #made = new Map<string, { readonly fingerprint: string; readonly id: string }>();
  #version = 0;

  async version(): Promise<string | null> {
    this.#fail();
    return this.stored.size === 0 ? null : String(this.#version);
  }

  async all(): Promise<readonly KeyRecord[]> {
    this.#fail();
    return [...this.stored.values()];
  }

  async put(record: KeyRecord, idempotency: Idempotency | null): Promise<PutKey> {
    this.#fail();
    const prior = this.#made.get(idempotency?.key ?? '');
    if (prior !== undefined && prior.fingerprint !== idempotency?.fingerprint) return { kind: 'mismatch' };
    if (prior !== undefined) return { kind: 'replayed', id: prior.id };
    if ((this.stored.get(record.id)?.rev ?? 0) >= record.rev) return { kind: 'outdated' };
    if (idempotency !== null) {
      this.#made.set(idempotency.key, { fingerprint: idempotency.fingerprint, id: record.id });
    }
    this.stored.set(record.id, record);
    this.#version += 1;
    this.onStored();
    return { kind: 'stored' };
  }

  async lastUsed(): Promise<ReadonlyMap<string, number>> {
    this.#fail();
    return this.used;
  }

  async noteUse(uses: ReadonlyMap<string, number>): Promise<void> {
    this.#fail();
    for (const [id, at] of uses) this.used.set(id, at);
  }

  #fail(): void {
    if (this.failure !== null) throw this.failure;
  }
}

/** Copies in memory. */
export class FakeKeyCopies implements KeyCopies {
  readonly stored = new Map<string, KeyRecord>();
  /** Thrown by each write while it is set, as a full disk does. */
  failure: Error | null = null;

  async all(): Promise<readonly KeyRecord[]> {
    return [...this.stored.values()];
  }

  async put(records: readonly KeyRecord[]): Promise<void> {
    if (this.failure !== null) throw this.failure;
    for (const record of records) this.stored.set(record.id, record);
  }
}

/** For a server without keys and JWTs, which never slows anyone down. */
export const NO_CALLERS: Omit<AuthenticatorOptions, 'adminToken'> = {
  keys: { find: () => null, named: () => null, current: () => null },
  jwts: { verify: async () => ({ kind: 'wrong' }) },
  jobTokens: { find: () => null, current: () => null },
  logins: { isOpen: () => false },
  guesses: { check: () => undefined, wrong: () => undefined, right: () => undefined },
};

/** The logins that were ended, in memory. */
export class FakeEndedLogins implements EndedLogins {
  readonly stored = new Map<string, EndedLogin>();

  async all(): Promise<readonly EndedLogin[]> {
    return [...this.stored.values()];
  }

  async add(login: EndedLogin, nowMs: number): Promise<void> {
    for (const { id, untilMs } of [...this.stored.values()]) if (untilMs <= nowMs) this.stored.delete(id);
    this.stored.set(login.id, login);
  }
}
