/** X.509 certificates of a test, made without a program. */
import { generateKeyPairSync, type KeyObject, sign } from 'node:crypto';
import { isIPv4 } from 'node:net';

export interface Certificate {
  /** PEM. */
  readonly cert: string;
  /** PEM. */
  readonly key: string;
}

export interface CertificateAuthority {
  /** PEM. */
  readonly cert: string;
  /** @param name DNS name or IPv4 address; @param until when it expires, in ms since the epoch */
  issue(name: string, until?: number): Certificate;
}

const DAY_MS = 86_400_000;

export function createAuthority(issuer = 'authority'): CertificateAuthority {
  const { publicKey, privateKey: signer } = newKeys();
  const [isAuthority, isCritical] = [tlv(0x30, TRUE), TRUE];
  const own = extension('551d13', isAuthority, isCritical);
  return {
    cert: certificate({ name: issuer, issuer, publicKey, signer, extensions: own }),
    issue(name, until) {
      const keys = newKeys();
      const alternative = isIPv4(name)
        ? tlv(0x87, Buffer.from(name.split('.').map(Number)))
        : tlv(0x82, Buffer.from(name));
      const extensions = extension('551d11', tlv(0x30, alternative));
      return {
        cert: certificate({ name, until, issuer, publicKey: keys.publicKey, signer, extensions }),
        key: keys.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
      };
    },
  };
}

const newKeys = () => generateKeyPairSync('ec', { namedCurve: 'P-256' });

let serial = 1;

/** RFC 5280: a certificate of version 3. */
function certificate({
  name,
  issuer,
  until = Date.now() + DAY_MS,
  publicKey,
  signer,
  extensions,
}: {
  readonly name: string;
  readonly issuer: string;
  readonly until?: number | undefined;
  readonly publicKey: KeyObject;
  readonly signer: KeyObject;
  readonly extensions: Buffer;
}): string {
  serial += 1;
  const ecdsaWithSha256 = tlv(0x30, oid('2a8648ce3d040302'));
  const signed = tlv(
    0x30,
    tlv(0xa0, tlv(0x02, Buffer.from([2]))),
    tlv(0x02, Buffer.from([serial])),
    ecdsaWithSha256,
    nameOf(issuer),
    tlv(0x30, time(until - 2 * DAY_MS), time(until)),
    nameOf(name),
    publicKey.export({ type: 'spki', format: 'der' }),
    tlv(0xa3, tlv(0x30, extensions)),
  );
  const noUnusedBits = Buffer.from([0]);
  const signature = tlv(0x03, noUnusedBits, sign('sha256', signed, signer));
  const base64 = tlv(0x30, signed, ecdsaWithSha256, signature).toString('base64');
  const lines = base64.match(/.{1,64}/g) ?? [];
  return ['-----BEGIN CERTIFICATE-----', ...lines, '-----END CERTIFICATE-----', ''].join('\n');
}

/** DER: a tag, a length and a value. */
function tlv(tag: number, ...parts: readonly Uint8Array[]): Buffer<ArrayBuffer> {
  const value = Buffer.concat(parts);
  const { length } = value;
  const short =
    length < 0x80 ? [length] : length < 0x100 ? [0x81, length] : [0x82, length >> 8, length & 0xff];
  return Buffer.concat([Buffer.from([tag, ...short]), value]);
}

const TRUE = tlv(0x01, Buffer.from([0xff]));
const oid = (hex: string): Buffer => tlv(0x06, Buffer.from(hex, 'hex'));
const nameOf = (common: string): Buffer =>
  tlv(0x30, tlv(0x31, tlv(0x30, oid('550403'), tlv(0x0c, Buffer.from(common)))));
const extension = (id: string, value: Uint8Array, critical: Uint8Array = Buffer.alloc(0)): Buffer =>
  tlv(0x30, oid(id), critical, tlv(0x04, value));
/** UTCTime: `YYMMDDHHMMSSZ`. */
const time = (ms: number): Buffer =>
  tlv(0x17, Buffer.from(`${new Date(ms).toISOString().slice(2, 19).replaceAll(/[-:T]/g, '')}Z`));
