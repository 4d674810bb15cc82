import { randomUUID } from 'node:crypto';
import type { Redis } from 'ioredis';
import { Type } from '#typebox';
import type { KeyRecord, KeyRecords, PutKey } from '../auth/ports.ts';
import type { ReportDamage } from '../damage.ts';
import { createChecker } from '../protocol/checker.ts';
import { grantFields, limitFields } from '../protocol/grant.ts';
import { SCOPES } from '../protocol/key.ts';
import { nullable } from '../protocol/schema.ts';
import type { Names } from '../redis/names.ts';
import { IDEMPOTENCY_MS } from './job-records.ts';
import { actorArguments, type ScriptRunner } from './script-runner.ts';

const whole = Type.Integer({ minimum: 0, maximum: 8.64e15 });
const text = Type.String({ minLength: 1, maxLength: 256 });
const storedKey = createChecker(
  Type.Object({
    ...{ id: text, rev: whole, generation: whole, name: text, project: text },
    scopes: Type.Array(Type.Enum([...SCOPES])),
    digest: Type.String({ pattern: '^[0-9a-f]{64}$' }),
    ...{ createdAt: whole, createdBy: text, expiresAt: nullable(whole), revokedAt: nullable(whole) },
    signature: Type.Optional(Type.String({ maxLength: 128 })),
    // Missing in older records.
    ...{ grant: Type.Optional(Type.Object(grantFields)), limits: Type.Optional(Type.Object(limitFields)) },
  }),
);

/** {@link KeyRecords} over Redis. */
export function createKeyRecords(
  redis: Redis,
  names: Names,
  scripts: ScriptRunner,
  report: ReportDamage,
): KeyRecords {
  return {
    version: () => redis.get(names.keysVersion),

    async all() {
      return Object.entries(await redis.hgetall(names.keys)).flatMap(([id, stored]): KeyRecord[] => {
        const record = parsed(stored);
        if (storedKey.check(record) && record.id === id) return [record];
        report({ kind: 'key', id, why: 'it is no record of a key' });
        return [];
      });
    },

    async put(record, idempotency, act = null) {
      const limits = Object.entries(record.limits ?? {}).filter(([, limit]) => limit !== null);
      const reply = await scripts.run('key-put', {
        project: record.project,
        limits: limits.length === 0 ? null : JSON.stringify(Object.fromEntries(limits)),
        ...{ id: record.id, rev: record.rev, record: JSON.stringify(record), version: randomUUID() },
        ...{ key: idempotency?.key ?? null, fingerprint: idempotency?.fingerprint ?? null },
        keyForMs: IDEMPOTENCY_MS,
        ...(act !== null && { action: act.action, details: JSON.stringify(act.details) }),
        ...actorArguments(act?.actor ?? null),
      });
      const [kind, id] = reply as ['replayed', string]; // the script's replies; only this one has an id
      return { kind, id } satisfies PutKey;
    },

    async lastUsed() {
      const stored = Object.entries(await redis.hgetall(names.keysUsed));
      return new Map(
        stored.map(([id, at]) => [id, Number(at)] as const).filter(([, at]) => at > 0 && at < 8.64e15),
      );
    },

    async noteUse(uses) {
      if (uses.size > 0) await redis.hset(names.keysUsed, new Map(uses));
    },
  };
}

/** null for no JSON. */
function parsed(stored: string): unknown {
  try {
    return JSON.parse(stored);
  } catch {
    return null;
  }
}
