/**
 * The audit as it is written: entries of the log of changes ('u'), which every node copies into its
 * ledger. A script writes one in the same step as the change, so a change has exactly one entry.
 */
import type { Redis } from 'ioredis';
import type { Actor, AuditAct, AuditHead } from '../protocol/audit.ts';
import type { Names } from '../redis/names.ts';
import { actorArguments, type ScriptRunner } from './script-runner.ts';

/** An entry of the audit. Empty texts stand for what is not known. */
export interface AuditRecord {
  /** Id of the entry of the log: milliseconds of Redis, and a number within them. */
  readonly ms: number;
  readonly n: number;
  readonly action: string;
  readonly principal: string;
  readonly project: string;
  readonly target: string;
  readonly address: string;
  readonly requestId: string;
  /** JSON of an object; '': none. */
  readonly details: string;
}

/** For acts without a change of their own, and for the heads of the nodes' chains. */
export interface AuditLog {
  append(by: Actor, act: AuditAct): Promise<void>;
  /** The last link of this node's chain, as it was noted last; null: none was. */
  head(): Promise<AuditHead | null>;
  noteHead(head: AuditHead): Promise<void>;
}

export function createAuditLog(
  redis: Pick<Redis, 'hget' | 'hset'>,
  names: Names,
  nodeId: string,
  scripts: ScriptRunner,
): AuditLog {
  return {
    async append(by, { action, project = null, target = null, details = null }) {
      const more = details === null ? null : JSON.stringify(details);
      await scripts.run('audit', { action, project, target, details: more, ...actorArguments(by) });
    },
    async head() {
      const [, seq, hash] =
        /^(\d{1,15}) ([0-9a-f]{64})$/.exec((await redis.hget(names.auditHeads, nodeId)) ?? '') ?? [];
      return seq === undefined || hash === undefined ? null : { seq: Number(seq), hash };
    },
    async noteHead({ seq, hash }) {
      await redis.hset(names.auditHeads, nodeId, `${seq} ${hash}`);
    },
  };
}

const ENTRY_ID = /^(\d{1,15})-(\d{1,15})$/;
const ACTION = /^[a-z]{1,32}\.[a-z_]{1,32}$/;
const MAX_TEXT = 300;
const MAX_DETAILS = 4096;

/** Converts an entry of the log; null: it is none that Bullpen wrote. */
export function decodeAudit([id, fields]: readonly [
  id: string,
  fields: readonly string[],
]): AuditRecord | null {
  const [, ms, n] = ENTRY_ID.exec(id) ?? [];
  const field = new Map<string, string>();
  for (let at = 2; at + 1 < fields.length; at += 2) field.set(fields[at] ?? '', fields[at + 1] ?? '');
  const text = (name: string): string => (field.get(name) ?? '').slice(0, MAX_TEXT);
  const action = field.get('k') ?? '';
  if (ms === undefined || n === undefined || !ACTION.test(action)) return null;
  return {
    ...{ ms: Number(ms), n: Number(n), action, principal: text('o'), project: text('p') },
    ...{ target: (fields[1] ?? '').slice(0, MAX_TEXT), address: text('i'), requestId: text('q') },
    details: isDetails(field.get('n') ?? '') ? (field.get('n') ?? '') : '',
  };
}

function isDetails(text: string): boolean {
  if (text === '' || text.length > MAX_DETAILS) return false;
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null && !Array.isArray(value);
  } catch {
    return false;
  }
}
