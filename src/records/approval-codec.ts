/**
 * Converts approvals between their Redis hash and their types. A hash may be damaged, or forged.
 */
import { Type } from '#typebox';
import type { Signer } from '../auth/signer.ts';
import {
  APPROVAL_KINDS,
  APPROVAL_STATUSES,
  type Approval,
  type Decision,
  Question,
} from '../protocol/approval.ts';
import { createChecker } from '../protocol/checker.ts';
import { DEFAULT_PROJECT } from '../protocol/project.ts';
import type { ApprovalRecord } from './approval-ports.ts';
import { damaged, numberOf, parsed } from './record-codec.ts';
import { askedTexts, decisionTexts } from './signatures.ts';

type Hash = Readonly<Record<string, string>>;

const storedQuestions = createChecker(Type.Array(Question));
const storedDecision = createChecker(
  Type.Union([
    Type.Object({
      decision: Type.Literal('allow'),
      input: Type.Unknown(),
      rules: Type.Array(Type.String()),
    }),
    Type.Object({ decision: Type.Literal('deny'), message: Type.String() }),
  ]),
);
const anything = createChecker(Type.Unknown());

/** What the CLI gets in place of a decision that cannot be read, or that no server has signed. */
export const FORGED: Decision = {
  decision: 'deny',
  message: 'The decision cannot be read, or no server has signed it. It does not count.',
};

/** What the CLI gets for a call whose approval is over. */
export const OVER: Decision = {
  decision: 'deny',
  message: 'No answer came: the request for approval is no longer open.',
};

/** The fields that the signatures hold for. */
export const askedOf = (id: string, hash: Hash) => ({
  id,
  jobId: hash['job'] ?? '',
  tool: hash['tool'] ?? '',
  input: hash['input'] ?? '',
  questions: hash['questions'] ?? '',
});

/**
 * A hash of HGETALL as a record; null when there is none.
 * @throws AppError record.damaged, also when it should be signed and is not
 */
export function decodeApproval(id: string, hash: Hash, signer: Signer | null): ApprovalRecord | null {
  if (Object.keys(hash).length === 0) return null;
  const asked = askedOf(id, hash);
  if (signer !== null && !signer.isSigned(askedTexts(asked), hash['asked'] ?? ''))
    throw damaged('it is not signed');
  const kind = APPROVAL_KINDS.find((one) => one === hash['kind']);
  const status = APPROVAL_STATUSES.find((one) => one === hash['status']);
  if (kind === undefined || status === undefined) throw damaged('its kind or status is none');
  const { waits, decidedAt, decidedBy } = hash;
  return {
    id,
    jobId: asked.jobId,
    sessionId: hash['session'] ?? '',
    project: hash['project'] || DEFAULT_PROJECT,
    kind,
    tool: asked.tool,
    input: parsed('input', asked.input, anything),
    // as: checked by the schema
    questions:
      asked.questions === ''
        ? null
        : (parsed('questions', asked.questions, storedQuestions) as Approval['questions']),
    status,
    createdAt: timeOf('createdAt', hash['createdAt']),
    expiresAt: timeOf('expiresAt', hash['expiresAt']),
    decidedBy: decidedBy || null,
    decidedAt: decidedAt ? timeOf('decidedAt', decidedAt) : null,
    callId: hash['callId'] ?? '',
    waits: waits === 'deferred' || waits === 'granted' ? waits : 'held',
    decision: decisionOf(id, hash, signer),
    used: (hash['used'] ?? '') !== '',
  };
}

/** The decision in a hash; null: there is none, or it is not signed as it should be. */
function decisionOf(id: string, hash: Hash, signer: Signer | null): Decision | null {
  const { decision: text = '', status, signature = '', session: sessionId = '' } = hash;
  if (text === '' || (status !== 'allowed' && status !== 'denied')) return null;
  // as: checked by the schema
  const decision = parsed('decision', text, storedDecision) as Decision;
  if ((decision.decision === 'allow') !== (status === 'allowed')) return null;
  if (signer === null) return decision;
  const texts = decisionTexts(askedOf(id, hash), { sessionId, decision: text });
  return signer.isSigned(texts, signature) ? decision : null;
}

/** An approval as callers see it. */
export function toApproval(record: ApprovalRecord): Approval {
  const { callId: _call, waits: _waits, decision, used: _used, ...approval } = record;
  return decision?.decision === 'allow' ? { ...approval, input: decision.input } : approval;
}

const timeOf = (name: string, text: string | undefined): string =>
  new Date(numberOf(name, text)).toISOString();
