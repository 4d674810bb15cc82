/** The token of a key: `bp_<id>_<secret>`. Its digest is stored. */
import { hash, randomBytes, timingSafeEqual } from 'node:crypto';
import type { KeyRecord } from './ports.ts';

const TOKEN = /^bp_([0-7][0-9A-HJKMNP-TV-Z]{25})_[A-Za-z0-9_-]{43}$/;

export const newToken = (id: string): string => `bp_${id}_${randomBytes(32).toString('base64url')}`;
export const digestOf = (token: string): string => hash('sha256', token);
/** '' for another token. */
export const idIn = (token: string): string => TOKEN.exec(token)?.[1] ?? '';

/** Takes the same time for each wrong token, also of a key that does not exist. */
export function isTokenOf(record: KeyRecord | undefined, token: string): boolean {
  const wanted = Buffer.from(record?.digest ?? digestOf(''), 'hex');
  return timingSafeEqual(Buffer.from(digestOf(token), 'hex'), wanted);
}
