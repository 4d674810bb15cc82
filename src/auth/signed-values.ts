import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';

/** Makes values that only this process can have made, and that end at a time. */
export interface SignedValues<T> {
  /** `expiresAtMs` is on the clock of `Date.now()`. */
  seal(value: T, expiresAtMs: number): string;
  /** The value, or null when it was changed, was made elsewhere or has ended. */
  open(sealed: string): T | null;
}

const MAX_SEALED_LENGTH = 2048;

/**
 * Values as `payload.mac` under a secret that lives and dies with the process. `purpose` keeps what was
 * sealed for one use from being taken in another.
 */
export function createSignedValues<T>(purpose: string, now: () => number = Date.now): SignedValues<T> {
  const secret = randomBytes(32);
  const macOf = (payload: string): Buffer =>
    createHmac('sha256', secret).update(`${purpose}\n${payload}`).digest();

  return {
    seal(value, expiresAtMs) {
      const payload = Buffer.from(JSON.stringify({ value, expiresAtMs })).toString('base64url');
      return `${payload}.${macOf(payload).toString('base64url')}`;
    },
    open(sealed) {
      if (sealed.length > MAX_SEALED_LENGTH) return null;
      const [payload, mac, ...rest] = sealed.split('.');
      if (payload === undefined || mac === undefined || rest.length > 0) return null;
      const given = Buffer.from(mac, 'base64url');
      const wanted = macOf(payload);
      if (given.length !== wanted.length || !timingSafeEqual(given, wanted)) return null;
      // The mac proves that `seal` above wrote this text, so its shape is known.
      const content = JSON.parse(Buffer.from(payload, 'base64url').toString()) as Sealed<T>;
      return content.expiresAtMs > now() ? content.value : null;
    },
  };
}

interface Sealed<T> {
  readonly value: T;
  readonly expiresAtMs: number;
}
