/** The signature of a job's record: it holds for the fields that say what runs, and for whom. */
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
