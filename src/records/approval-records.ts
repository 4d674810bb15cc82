import { randomUUID } from 'node:crypto';
import { isDeepStrictEqual } from 'node:util';
import type { Redis } from 'ioredis';
import type { Signer } from '../auth/signer.ts';
import type { ReportDamage } from '../damage.ts';
import { isDamage } from '../errors.ts';
import type { Names } from '../redis/names.ts';
import { isWrongType } from '../redis/redis-error.ts';
import { askedOf, decodeApproval, FORGED, OVER, toApproval } from './approval-codec.ts';
import type {
  ApprovalCopies,
  ApprovalRecord,
  Approvals,
  RunningApprovals,
  SteerMessages,
} from './approval-ports.ts';
import { type LimitReply, limitedOf } from './limit-records.ts';
import { damaged } from './record-codec.ts';
import { actorArguments, type ScriptRunner } from './script-runner.ts';
import { ruleSignature } from './session-records.ts';
import { askedTexts, decisionTexts } from './signatures.ts';

type Hash = Record<string, string>;

/** {@link Approvals}, {@link RunningApprovals} and {@link ApprovalCopies} over Redis. */
export function createApprovalRecords(
  redis: Redis,
  names: Names,
  scripts: ScriptRunner,
  report: ReportDamage,
  signer: Signer | null,
): Approvals & RunningApprovals & ApprovalCopies {
  /** @throws AppError record.damaged, which is reported */
  function decode(id: string, failure: unknown, hash: unknown): ApprovalRecord | null {
    try {
      if (failure === null) return decodeApproval(id, hash as Hash, signer); // of HGETALL
      throw isWrongType(failure) ? damaged('its key is no record') : failure;
    } catch (error) {
      if (isDamage(error)) report({ kind: 'approval', id, why: error.message });
      throw error;
    }
  }

  async function hashOf(id: string): Promise<Hash> {
    return redis.hgetall(names.approval(id)).catch((error: unknown) => {
      if (!isWrongType(error)) throw error;
      report({ kind: 'approval', id, why: 'its key is no record' });
      throw damaged('its key is no record');
    });
  }

  /** Those that exist and can be read, oldest first. */
  async function readAll(ids: readonly string[]): Promise<readonly ApprovalRecord[]> {
    const pipeline = redis.pipeline();
    for (const id of ids) pipeline.hgetall(names.approval(id));
    const replies = ids.length === 0 ? [] : ((await pipeline.exec()) ?? []);
    const found: ApprovalRecord[] = [];
    for (const [index, [failure, hash]] of replies.entries()) {
      try {
        const record = decode(ids[index] ?? '', failure, hash);
        if (record !== null) found.push(record);
      } catch (error) {
        if (!isDamage(error)) throw error;
      }
    }
    return found.sort((a, b) => (order(a) < order(b) ? -1 : 1));
  }

  async function read(id: string): Promise<ApprovalRecord | null> {
    return decode(id, null, await hashOf(id));
  }

  return {
    async read(id) {
      const record = await read(id);
      return record && toApproval(record);
    },

    async readMany(ids) {
      return (await readAll(ids)).map(toApproval);
    },

    async decide(id, { decision, scope }, by) {
      const hash = await hashOf(id);
      const before = decode(id, null, hash);
      if (before === null) return { kind: 'gone' };
      const { sessionId } = before;
      const text = JSON.stringify(decision);
      const rules = decision.decision === 'allow' && scope === 'session' ? decision.rules : [];
      const texts = decisionTexts(askedOf(id, hash), { sessionId, decision: text });
      const kind = await scripts.run(
        'approval-decide',
        {
          id,
          status: decision.decision === 'allow' ? 'allowed' : 'denied',
          decision: text,
          scope,
          signature: signer?.sign(texts) ?? null,
          decidedBy: by.actor.id,
          ...actorArguments(by.actor),
        },
        rules.flatMap((rule) => [rule, ruleSignature(signer, sessionId, rule)]),
      );
      const stored = await hashOf(id);
      const after = decode(id, null, stored);
      if (kind === 'gone' || after === null) return { kind: 'gone' };
      if (kind === 'decided') return { kind, approval: toApproval(after) };
      const isSame = isDeepStrictEqual(after.decision, decision) && stored['scope'] === scope;
      return isSame
        ? { kind: 'repeated', approval: toApproval(after) }
        : { kind: 'over', status: after.status };
    },

    async open({ jobId, executionId }, { id, ask, expiresAt }) {
      const { callId, kind, questions } = ask;
      const tool = ask.tool.toWellFormed();
      const createdAt = Date.now();
      const input = JSON.stringify(ask.input ?? null);
      const asked = {
        id,
        jobId,
        tool,
        input,
        questions: questions === null ? '' : JSON.stringify(questions),
      };
      const shown = {
        ...{ kind, tool, input: ask.input ?? null, questions, status: 'pending' },
        ...{ createdAt: timeOf(createdAt), expiresAt: timeOf(expiresAt), decidedBy: null, decidedAt: null },
      };
      const reply = await scripts.run('approval-open', {
        ...{ ...asked, executionId, callId, kind, createdAt, expiresAt },
        questions: asked.questions || null,
        asked: signer?.sign(askedTexts(asked)) ?? null,
        shown: JSON.stringify(shown),
      });
      const [approvalId, readers] = reply as [string?, number?]; // the script's replies
      return approvalId === undefined ? null : { approvalId, watched: Number(readers) > 0 };
    },

    async ofJob(jobId) {
      return readAll(await redis.hvals(names.approvals(jobId)).catch(none));
    },

    async unanswered(sessionId) {
      return readAll(await redis.smembers(names.unanswered(sessionId)).catch(none));
    },

    async openIn(sessionId) {
      return readAll(await redis.smembers(names.sessionAsks(sessionId)).catch(none));
    },

    async park(id, waits, callId) {
      await scripts.run('approval-park', { id, waits, callId: callId ?? null });
    },

    async take(id, executionId) {
      // A connection that breaks repeats the call: it gets the same answer then.
      const reply = await scripts.run('approval-take', { id, executionId, call: randomUUID() });
      const [kind, ...fields] = reply as string[]; // the script's replies
      if (kind === undefined) return null;
      if (kind === 'over') return OVER;
      const hash = hashFrom(fields);
      try {
        return decode(id, null, hash)?.decision ?? FORGED;
      } catch (error) {
        if (isDamage(error)) return FORGED; // reported
        throw error;
      }
    },

    async withdraw(id) {
      await scripts.run('approval-withdraw', { id });
    },
  };
}

/** {@link SteerMessages} over Redis. */
export function createSteerMessages(redis: Redis, names: Names, scripts: ScriptRunner): SteerMessages {
  return {
    async send(jobId, { id, text }, sender) {
      const { project = null, id: principal = null } = sender ?? {};
      const reply = await scripts.run('message-send', { jobId, id, text, project, principal });
      // as: the script's replies
      if (Array.isArray(reply)) return limitedOf(reply as LimitReply) ?? 'not_running';
      return reply === 1 ? 'sent' : 'not_running';
    },
    async state(jobId, messageId) {
      const state = await redis.hget(names.messages(jobId), messageId).catch(nothing);
      if (state === null) return 'gone';
      return state === 'steered' || state === 'refused' ? state : 'sent';
    },
    async withdraw(jobId, id) {
      return (await scripts.run('message-settle', { jobId, id, as: 'withdrawn' })) === 1;
    },
    async take(jobId, executionId) {
      const found = await scripts.run('message-take', { jobId, executionId });
      return (found as string[][]).map(([id = '', text = '']) => ({ id, text })); // the script's replies
    },
    async settle(jobId, id, as) {
      await scripts.run('message-settle', { jobId, id, as });
    },
  };
}

const order = ({ createdAt, id }: ApprovalRecord): string => `${createdAt} ${id}`;
const timeOf = (ms: number): string => new Date(ms).toISOString();

/** A reply of HGETALL inside a script. */
function hashFrom(fields: readonly string[]): Hash {
  const hash: Hash = {};
  for (let at = 0; at + 1 < fields.length; at += 2) hash[fields[at] ?? ''] = fields[at + 1] ?? '';
  return hash;
}

/** A key of another type has no members. */
function none(error: unknown): string[] {
  if (isWrongType(error)) return [];
  throw error;
}
function nothing(error: unknown): null {
  if (isWrongType(error)) return null;
  throw error;
}
