/** The signature of a key's record, which holds for all its fields. */
import type { KeyRecord } from './ports.ts';
import type { Signer } from './signer.ts';

const textsOf = (record: KeyRecord): readonly string[] => ['key', JSON.stringify(record)];

/** @param signer null: records are not signed, and each counts as signed */
export function createKeySigning(signer: Signer | null) {
  /** Of records that were checked: a check takes 10 µs, and each request of a key needs it. */
  const known = new WeakMap<KeyRecord, boolean>();

  return {
    /** The record with its signature. */
    signed: ({ signature: _, ...record }: KeyRecord): KeyRecord =>
      signer === null ? record : { ...record, signature: signer.sign(textsOf(record)) },

    /** Whether this server, or another one with its secret, has written the record. */
    isSigned(record: KeyRecord): boolean {
      const { signature = '', ...fields } = record;
      const found = known.get(record) ?? (signer === null || signer.isSigned(textsOf(fields), signature));
      known.set(record, found);
      return found;
    },
  };
}
