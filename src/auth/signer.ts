/** Signs records in Redis, so that writing to Redis is not the same as running commands. */
import { createHmac, timingSafeEqual } from 'node:crypto';

export interface Signer {
  /** The signature of some texts, of which the first says what they are. */
  sign(texts: readonly string[]): string;
  /** Whether this is the signature of these texts; it may be any text. */
  isSigned(texts: readonly string[], signature: string): boolean;
}

/** HMAC-SHA256 with a secret that all servers of a Redis share; null: records are not signed. */
export function createSigner(secret: string | null): Signer | null {
  if (secret === null) return null;
  const macOf = (texts: readonly string[]): Buffer => {
    const mac = createHmac('sha256', secret);
    // With their lengths no two lists of texts are the same bytes.
    for (const text of texts) mac.update(`${Buffer.byteLength(text)}:`).update(text);
    return mac.digest();
  };
  return {
    sign: (texts) => macOf(texts).toString('base64url'),
    isSigned(texts, signature) {
      const [given, wanted] = [Buffer.from(signature, 'base64url'), macOf(texts)];
      return given.length === wanted.length && timingSafeEqual(given, wanted);
    },
  };
}
