/** Where keys are stored. Redis has the truth for all nodes; each node has a copy. */
import type { Idempotency } from '../http/ports.ts';
import type { Actor } from '../protocol/audit.ts';
import type { CallerLimits, Grant } from '../protocol/grant.ts';
import type { Scope } from '../protocol/key.ts';

/** A key without its secret. Times are milliseconds since the epoch. */
export interface KeyRecord {
  readonly id: string;
  /** Grows with every change. A newer revision replaces an older one, everywhere. */
  readonly rev: number;
  /** Grows with every rotation. */
  readonly generation: number;
  readonly name: string;
  readonly project: string;
  readonly scopes: readonly Scope[];
  /** SHA-256 of the token, in hex. */
  readonly digest: string;
  readonly createdAt: number;
  readonly createdBy: string;
  readonly expiresAt: number | null;
  readonly revokedAt: number | null;
  /** What its jobs may use; missing in older records. */
  readonly grant?: KeyGrant;
  /** Missing in older records. */
  readonly limits?: CallerLimits;
  /** Of all the other fields. Missing: none. */
  readonly signature?: string;
}

/** Each caller with a key comes from outside. */
export type KeyGrant = Omit<Grant, 'depth'>;

/** What a caller does to a key, for the audit. */
export interface KeyAct {
  readonly actor: Actor;
  readonly action: 'key.created' | 'key.revoked' | 'key.rotated';
  readonly details: Readonly<Record<string, unknown>>;
}

export type PutKey =
  | { readonly kind: 'stored' | 'outdated' | 'mismatch' }
  /** An earlier call with the same Idempotency-Key made this key. */
  | { readonly kind: 'replayed'; readonly id: string };

/** The keys in Redis. */
export interface KeyRecords {
  /** Names the state of all keys; another one after each change. null: Redis has no keys. */
  version(): Promise<string | null>;
  /** Those that can be read. */
  all(): Promise<readonly KeyRecord[]>;
  /**
   * Stores a record unless the one that is there is as new, and rings the doorbell.
   * @param idempotency as {@link scopedKey} makes it
   * @param act null, the default: no caller asked for it
   */
  put(record: KeyRecord, idempotency: Idempotency | null, act?: KeyAct | null): Promise<PutKey>;
  /** When each key was last used, in milliseconds since the epoch. */
  lastUsed(): Promise<ReadonlyMap<string, number>>;
  noteUse(uses: ReadonlyMap<string, number>): Promise<void>;
}

/** The logins that were ended before they expired, at this server. */
export interface EndedLogins {
  all(): Promise<readonly EndedLogin[]>;
  /** Stores one, and forgets those whose time was before `nowMs`. */
  add(login: EndedLogin, nowMs: number): Promise<void>;
}

/** No longer valid. From `untilMs` on its cookie would have expired. */
export interface EndedLogin {
  readonly id: string;
  readonly untilMs: number;
}

/** This node's copies. */
export interface KeyCopies {
  all(): Promise<readonly KeyRecord[]>;
  /** A copy that is as new stays. */
  put(records: readonly KeyRecord[]): Promise<void>;
}
