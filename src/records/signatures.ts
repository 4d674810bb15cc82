/**
 * The signatures of records. That of a job holds for the fields that say what runs, and for whom;
 * those of an approval hold for what was asked, and for what was decided.
 */
import type { Signer } from '../auth/signer.ts';

/** Fields of a record, as Redis has them. */
interface SignedFields {
  readonly id: string;
  readonly project: string;
  readonly principal: string;
  /** JSON. */
  readonly request: string;
  /** JSON; empty in a record of an older version. */
  readonly grant: string;
}

const textsOf = ({ id, project, principal, request, grant }: SignedFields): readonly string[] => [
  ...['job', id, project, principal, request, grant],
];

/** Null: records are not signed. */
export const signatureOf = (signer: Signer | null, fields: SignedFields): string | null =>
  signer?.sign(textsOf(fields)) ?? null;

export const isForged = (
  signer: Signer | null,
  { signature, ...fields }: SignedFields & { readonly signature: string },
): boolean => signer !== null && !signer.isSigned(textsOf(fields), signature);

/** The texts of what holds for each turn of a session. options, fork: JSON; '': none */
export const sessionTexts = (
  { id, project, principal }: { readonly id: string; readonly project: string; readonly principal: string },
  options: string,
  fork: string,
): readonly string[] => ['session', id, project, principal, options, fork];

/** What an approval is about, as Redis has it. */
interface AskedFields {
  readonly id: string;
  readonly jobId: string;
  readonly tool: string;
  /** JSON. */
  readonly input: string;
  /** JSON; empty: none. */
  readonly questions: string;
}

/** The texts of what was asked. */
export const askedTexts = ({ id, jobId, tool, input, questions }: AskedFields): readonly string[] => [
  ...['approval', id, jobId, tool, input, questions],
];

/**
 * The texts of a decision.
 * @param decision JSON
 */
export const decisionTexts = (
  asked: AskedFields,
  { sessionId, decision }: { readonly sessionId: string; readonly decision: string },
): readonly string[] => ['decision', ...askedTexts(asked).slice(1), sessionId, decision];
