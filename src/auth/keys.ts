/**
 * The callers' keys. Every node holds all of them in memory, so a request costs no round trip. A
 * change rings a doorbell; a lost one costs two seconds. What Redis has lost, each node puts back
 * from its copies: a newer revision always wins, so a revocation is never undone.
 */
import type { Logger } from 'pino';
import { AppError, messageOf } from '../errors.ts';
import type { Idempotency } from '../http/ports.ts';
import type { Key, KeyCreated, KeyRequest } from '../protocol/key.ts';
import { DEFAULT_PROJECT } from '../protocol/project.ts';
import type { Doorbells } from '../redis/doorbells.ts';
import { createPeriodic, type Periodic } from '../timing.ts';
import { futureTime, keyDocument, principalOf, requestedRights, statusOf } from './key-document.ts';
import { createKeySigning } from './key-signing.ts';
import { digestOf, idIn, isTokenOf, newToken } from './key-token.ts';
import type { KeyAct, KeyCopies, KeyRecord, KeyRecords } from './ports.ts';
import { actorOf, type Principal, scopedKey } from './principal.ts';
import type { Signer } from './signer.ts';

const POLL_MS = 2000;
/** Without news from Redis for this long, keys are refused: one may have been revoked. */
const STALE_MS = 30_000;
const NOTE_USE_MS = 60_000;
/** Of a change, each after another one that came before it. */
const MAX_TRIES = 10;

export interface Keys {
  start(): Promise<void>;
  stop(): Promise<void>;
  /**
   * The principal of a token; null: it is not the token of a key that is valid.
   * @throws AppError redis.unavailable when it may have been revoked without this node's knowledge
   */
  find(token: string): Principal | null;
  /**
   * The key that a token names, and whether the token is its latest one, also after its end. null:
   * there is no such key.
   */
  named(token: string): { readonly id: string; readonly genuine: boolean } | null;
  /**
   * The principal of a key as it is now; null: it was revoked or rotated, or has expired.
   * @throws AppError redis.unavailable as `find`
   */
  current(key: NonNullable<Principal['key']>): Principal | null;
  /**
   * The principal of a key by its id; null: it is not active, or there is none.
   * @throws AppError redis.unavailable as `find`
   */
  byId(id: string): Principal | null;
  /** Ids of the keys that were revoked or have expired since then (ms), by their own times. */
  endedSince(since: number): readonly string[];
  /** Whether a key belongs to the project. */
  hasProject(project: string): boolean;
  /** All keys, newest first. */
  list(): Promise<readonly Key[]>;
  /** @throws AppError request.invalid, idempotency.key_reused */
  create(principal: Principal, request: KeyRequest, idempotency: Idempotency | null): Promise<KeyCreated>;
  /** The key then. Idempotent. @throws AppError key.not_found */
  revoke(principal: Principal, id: string): Promise<Key>;
  /** Gives a key another token and ends the one before. @throws AppError key.not_found */
  rotate(principal: Principal, id: string): Promise<KeyCreated>;
}

export interface KeysOptions {
  readonly records: KeyRecords;
  readonly copies: KeyCopies;
  readonly doorbells: Pick<Doorbells, 'listen' | 'onResumed'>;
  readonly channel: string;
  newId(): { readonly id: string; readonly createdAt: number };
  /** Null: records are not signed. */
  readonly signer: Signer | null;
  /** Default: the clock. */
  readonly now?: () => number;
  /** Milliseconds of a clock that never goes back. */
  readonly elapsed?: () => number;
  readonly logger: Logger;
}

export function createKeys(options: KeysOptions): Keys {
  const { records, copies, doorbells, channel, newId, signer, now = Date.now, logger } = options;
  const { elapsed = () => performance.now() } = options;
  const known = new Map<string, KeyRecord>();
  /** Not on this node's disk yet. */
  const uncopied = new Map<string, KeyRecord>();
  const used = new Map<string, number>();
  const { signed, isSigned } = createKeySigning(signer);
  let version: string | null = null;
  let freshAt = Number.NEGATIVE_INFINITY;
  let turn: Promise<unknown> = Promise.resolve();
  let periodic: Periodic | null = null;
  let leave: (() => void)[] = [];

  const statusNow = (record: KeyRecord): Key['status'] => {
    const status = statusOf(record, now());
    return status === 'active' && !isSigned(record) ? 'unsigned' : status;
  };

  /** Reads the keys again if they have changed. One read after the other. */
  function refresh(): Promise<void> {
    const next = turn.then(read, read);
    turn = next.catch(() => undefined);
    return next;
  }

  async function read(): Promise<void> {
    const startedAt = elapsed();
    const current = await records.version();
    if (current === null ? known.size > 0 : current !== version) await readAll();
    version = current;
    freshAt = startedAt;
    await copySoon();
  }

  async function readAll(): Promise<void> {
    const stored = new Map((await records.all()).map((record) => [record.id, record]));
    let restored = 0;
    for (const record of known.values()) {
      const there = stored.get(record.id);
      const isForged = there !== undefined && !isSigned(there) && isSigned(record);
      if (record.rev <= (there?.rev ?? 0) && !isForged) continue;
      const right = isForged && there.rev >= record.rev ? signed({ ...record, rev: there.rev + 1 }) : record;
      const { kind } = await records.put(right, null);
      if (right !== record) learn(right);
      if (kind === 'stored') restored += 1;
    }
    if (restored > 0) logger.warn({ keys: restored }, 'Redis had lost keys, which are back');
    for (const record of stored.values()) learn(record);
  }

  /** Takes over a record that is newer. A revocation holds at once, even while the disk is full. */
  function learn(record: KeyRecord): void {
    const before = known.get(record.id);
    if (before !== undefined && (record.rev <= before.rev || (isSigned(before) && !isSigned(record)))) return;
    known.set(record.id, record);
    uncopied.set(record.id, record);
  }

  async function copy(): Promise<void> {
    const records = [...uncopied.values()];
    if (records.length === 0) return;
    await copies.put(records);
    for (const record of records) if (uncopied.get(record.id) === record) uncopied.delete(record.id);
  }

  /** Never rejects: each refresh tries again what is not on the disk yet. */
  const copySoon = (): Promise<void> =>
    copy().catch((error: unknown) =>
      logger.debug({ reason: messageOf(error) }, 'the keys are not copied yet'),
    );

  const refreshLater = (): void => {
    refresh().catch((error: unknown) => logger.debug({ reason: messageOf(error) }, 'the keys are not read'));
  };

  async function noteUse(): Promise<void> {
    const uses = new Map(used);
    await records.noteUse(uses);
    for (const [id, at] of uses) if (used.get(id) === at) used.delete(id);
  }

  const valid = (record: KeyRecord | undefined): Principal | null =>
    record !== undefined && statusNow(record) === 'active' ? principalOf(record) : null;

  const refuseIfStale = (): void => {
    if (elapsed() - freshAt <= STALE_MS) return;
    throw new AppError('redis.unavailable', 'whether the key is still valid is not known');
  };
  const byId = (id: string): Principal | null => {
    refuseIfStale();
    return valid(known.get(id));
  };

  /** Changes a key. Another change at the same time comes before or after this one. */
  async function change(
    principal: Principal,
    id: string,
    action: KeyAct['action'],
    of: (record: KeyRecord) => Partial<KeyRecord>,
  ): Promise<KeyRecord> {
    for (let tries = 0; tries < MAX_TRIES; tries += 1) {
      await refresh();
      const before = known.get(id);
      if (before === undefined) throw new AppError('key.not_found', `there is no key ${id}`);
      const changes = of(before);
      if (Object.keys(changes).length === 0) return before;
      const record = signed({ ...before, ...changes, rev: before.rev + 1 });
      const { kind } = await records.put(record, null, { actor: actorOf(principal), action, details: {} });
      if (kind !== 'stored') continue;
      learn(record);
      return record;
    }
    throw new AppError('record.damaged', 'the record of the key cannot be read or changed');
  }

  const shown = (record: KeyRecord, lastUsed: ReadonlyMap<string, number>): Key =>
    keyDocument(record, used.get(record.id) ?? lastUsed.get(record.id) ?? null, statusNow(record));

  return {
    async start() {
      for (const record of await copies.all()) known.set(record.id, record);
      leave.push(doorbells.onResumed(refreshLater));
      const unlisten = await doorbells.listen(channel, refreshLater);
      leave.push(() => void unlisten().catch(() => undefined)); // Redis may be gone already
      await refresh();
      periodic = createPeriodic(logger);
      periodic.every(POLL_MS, 'reading the keys', refresh);
      periodic.every(NOTE_USE_MS, 'noting the use of keys', noteUse);
    },

    async stop() {
      periodic?.stop();
      for (const one of leave) one();
      leave = [];
      await turn;
      await noteUse().catch(() => undefined); // Redis may be gone already
    },

    find(token) {
      const record = known.get(idIn(token));
      if (!isTokenOf(record, token)) return null;
      refuseIfStale();
      const principal = valid(record);
      if (record !== undefined && principal !== null) used.set(record.id, now());
      return principal;
    },

    named(token) {
      const record = known.get(idIn(token));
      return record === undefined ? null : { id: record.id, genuine: isTokenOf(record, token) };
    },

    current: ({ id, generation }) => (known.get(id)?.generation === generation ? byId(id) : null),
    byId,

    endedSince: (since) =>
      [...known.values()].flatMap((record) => {
        if (statusOf(record, now()) === 'active') return [];
        return (record.revokedAt ?? record.expiresAt ?? 0) >= since ? [record.id] : [];
      }),

    hasProject: (project) => [...known.values()].some((record) => record.project === project),

    async list() {
      await refresh();
      const lastUsed = await records.lastUsed();
      const newestFirst = [...known.values()].sort((a, b) => (a.id < b.id ? 1 : -1));
      return newestFirst.map((record) => shown(record, lastUsed));
    },

    async create(principal, request, idempotency) {
      const { name, project = DEFAULT_PROJECT, scopes, expiresAt = null } = request;
      const { id, createdAt } = newId();
      const token = newToken(id);
      const expires = expiresAt === null ? null : futureTime(expiresAt, now());
      const record = signed({
        ...{ id, rev: 1, generation: 1, name, project, scopes: [...new Set(scopes)] },
        ...{ digest: digestOf(token), createdAt, createdBy: principal.id },
        ...{ expiresAt: expires, revokedAt: null, ...requestedRights(request) },
      });
      const details = { scopes: record.scopes };
      const act = { actor: actorOf(principal), action: 'key.created', details } as const;
      const result = await records.put(record, scopedKey(principal, idempotency), act);
      if (result.kind === 'mismatch') {
        const message = 'the Idempotency-Key was used with another request';
        throw new AppError('idempotency.key_reused', message);
      }
      if (result.kind === 'replayed') {
        await refresh();
        const earlier = known.get(result.id);
        if (earlier === undefined)
          throw new AppError('key.not_found', 'the key of this Idempotency-Key is gone');
        return { ...shown(earlier, await records.lastUsed()), token: null };
      }
      learn(record);
      await copySoon(); // only this answer has the token: nothing may fail from here on
      return { ...shown(record, new Map()), token };
    },

    async revoke(principal, id) {
      const record = await change(principal, id, 'key.revoked', ({ revokedAt }) =>
        revokedAt === null ? { revokedAt: now() } : {},
      );
      await copy(); // a revocation that is confirmed also outlives the data of Redis
      return shown(record, await records.lastUsed());
    },

    async rotate(principal, id) {
      const token = newToken(id);
      const lastUsed = await records.lastUsed();
      const record = await change(principal, id, 'key.rotated', (before) => {
        const status = statusOf(before, now());
        if (status !== 'active')
          throw new AppError('key.not_active', `the key is ${status}; create another one`);
        return { digest: digestOf(token), generation: before.generation + 1 };
      });
      await copySoon(); // as in `create`
      return { ...shown(record, lastUsed), token };
    },
  };
}
