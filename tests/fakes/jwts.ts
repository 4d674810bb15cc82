/** JWTs as an issuer makes them. */
import {
  createHmac,
  createSign,
  generateKeyPairSync,
  type KeyObject,
  type KeyPairKeyObjectResult,
  sign,
} from 'node:crypto';
import type { JwtSettings } from '../../src/auth/jwt.ts';

/** A server that takes no JWTs. */
export const NO_JWTS: JwtSettings = {
  ...{ jwtSecret: null, jwtKeys: null, jwtIssuer: null, jwtAudience: null },
  ...{ jwtProjectClaim: 'project', jwtMaxLifeMs: 86_400_000 },
  ...{ jwtLimits: { maxRunning: 2 }, jwtJobsPerHour: 10 },
};

export const JWT_SECRET = 'a test secret of more than thirty-two bytes';

const encoded = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url');

/** A JWT with any header and claims; `signed` makes its signature. */
export function jwtOf(header: object, claims: object, signed: (text: string) => Buffer): string {
  const text = `${encoded(header)}.${encoded(claims)}`;
  return `${text}.${signed(text).toString('base64url')}`;
}

export const hs256 =
  (secret: string | Buffer) =>
  (text: string): Buffer =>
    createHmac('sha256', secret).update(text).digest();

export const rs256 =
  (key: KeyObject) =>
  (text: string): Buffer =>
    createSign('sha256').update(text).sign(key);

export const es256 =
  (key: KeyObject) =>
  (text: string): Buffer =>
    createSign('sha256').update(text).sign({ key, dsaEncoding: 'ieee-p1363' });

export const eddsa =
  (key: KeyObject) =>
  (text: string): Buffer =>
    sign(null, Buffer.from(text), key);

export const rsaPair = (bits = 2048): KeyPairKeyObjectResult =>
  generateKeyPairSync('rsa', { modulusLength: bits });
export const ecPair = (namedCurve = 'prime256v1'): KeyPairKeyObjectResult =>
  generateKeyPairSync('ec', { namedCurve });
export const edPair = (): KeyPairKeyObjectResult => generateKeyPairSync('ed25519');

export const pemOf = (key: KeyObject): string => key.export({ type: 'spki', format: 'pem' }).toString();
