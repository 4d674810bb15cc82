/**
 * Signatures of requests to an executor on another host. Both schemes use the headers
 * `X-Claude-Timestamp` (milliseconds since the epoch), `X-Claude-Signature` and `X-Claude-Nonce`;
 * the signature is the HMAC-SHA256 of a text with the shared secret, as 64 hex digits.
 *
 * - original, `POST /execute`: `timestamp:body`, or `timestamp:nonce:body` with a nonce
 * - v2, every other route: `v2:timestamp:nonce:METHOD:path?query:sha256(body)`
 *
 * A text of one scheme is never a text of the other: the original's begins with a digit.
 */
import { createHash, createHmac, timingSafeEqual } from 'node:crypto';
import { AppError, type ErrorCode } from '../errors.ts';

/** Milliseconds. How far a timestamp may be from the clock of the executor, in both directions. */
export const SIGNATURE_WINDOW_MS = 30_000;

export const TIMESTAMP_HEADER = 'x-claude-timestamp';
export const SIGNATURE_HEADER = 'x-claude-signature';
export const NONCE_HEADER = 'x-claude-nonce';

export type SignatureScheme = 'original' | 'v2';

/** What a signature binds. */
export interface SignedRequest {
  /** As it is sent: `POST`. */
  readonly method: string;
  /** As it is sent: `/v1/executions?after=1`. */
  readonly pathAndQuery: string;
  /** The bytes of the body; empty when there is none. */
  readonly body: Buffer;
}

type SignatureHeader = typeof TIMESTAMP_HEADER | typeof SIGNATURE_HEADER | typeof NONCE_HEADER;

/** The headers of a request to the executor's own routes. `nonce`: new for each request. */
export function signRequest({
  secret,
  now,
  nonce,
  ...request
}: SignedRequest & {
  readonly secret: string;
  /** Milliseconds since the epoch. */
  readonly now: number;
  readonly nonce: string;
}): Readonly<Record<SignatureHeader, string>> {
  const timestamp = String(Math.trunc(now));
  const signature = hmac(secret, v2Text({ ...request, timestamp, nonce })).toString('hex');
  return { [TIMESTAMP_HEADER]: timestamp, [SIGNATURE_HEADER]: signature, [NONCE_HEADER]: nonce };
}

/** A signature that is valid now. The caller accepts each one once. */
export interface ValidSignature {
  /** 64 hex digits. */
  readonly signature: string;
  /** Milliseconds since the epoch, by the clock of the sender. */
  readonly timestampMs: number;
}

/** Decimal, without sign, point, exponent or leading zero; always a safe integer. */
const TIMESTAMP = /^[1-9]\d{0,14}$/;
const SIGNATURE = /^[0-9a-f]{64}$/;
/**
 * Without a colon, a space, a brace or a quote: so no nonce can be moved into a JSON body, and no
 * part of a JSON body can be moved into the nonce. Without a comma: Node joins repeated headers.
 */
const NONCE = /^[A-Za-z0-9._~+/=-]{1,128}$/;

/** Answers of 401 are the same text for every cause but the code. */
const REFUSALS = {
  'signature.missing': 'sign the request',
  'signature.invalid': 'the request is not signed as it must be',
  'signature.expired': 'sign the request again; if that does not help, compare the clocks',
  'signature.replayed': 'sign each request again, also one that is repeated',
} as const satisfies Partial<Record<ErrorCode, string>>;

export const refusedSignature = (code: keyof typeof REFUSALS): AppError => new AppError(code, REFUSALS[code]);

/**
 * Checks a signature against each secret. Which part is wrong is not revealed, and `expired` only
 * to a sender that has a secret.
 * @throws AppError signature.missing, signature.invalid, signature.expired
 */
export function verifySignature({
  scheme,
  secrets,
  headers,
  now,
  ...request
}: SignedRequest & {
  readonly scheme: SignatureScheme;
  /** All of them verify; at least one. */
  readonly secrets: readonly string[];
  /** Of the request, with names in lower case. */
  readonly headers: Readonly<Record<string, string | readonly string[] | undefined>>;
  /** Milliseconds since the epoch. */
  readonly now: number;
}): ValidSignature {
  const { [TIMESTAMP_HEADER]: timestamp, [SIGNATURE_HEADER]: signature, [NONCE_HEADER]: nonce } = headers;
  if (timestamp === undefined || signature === undefined) throw refusedSignature('signature.missing');
  if (nonce === undefined && scheme === 'v2') throw refusedSignature('signature.missing');
  if (!matches(timestamp, TIMESTAMP) || !matches(signature, SIGNATURE)) {
    throw refusedSignature('signature.invalid');
  }
  if (nonce !== undefined && !matches(nonce, NONCE)) throw refusedSignature('signature.invalid');

  const text =
    scheme === 'v2'
      ? v2Text({ ...request, timestamp, nonce: nonce ?? '' })
      : Buffer.concat([
          Buffer.from(nonce === undefined ? `${timestamp}:` : `${timestamp}:${nonce}:`),
          request.body,
        ]);
  const given = Buffer.from(signature, 'hex');
  // Every secret is tried: the time does not depend on which one it was.
  let valid = false;
  for (const secret of secrets) valid = timingSafeEqual(hmac(secret, text), given) || valid;
  if (!valid) throw refusedSignature('signature.invalid');

  const timestampMs = Number(timestamp);
  if (Math.abs(now - timestampMs) > SIGNATURE_WINDOW_MS) throw refusedSignature('signature.expired');
  return { signature, timestampMs };
}

const matches = (value: string | readonly string[], pattern: RegExp): value is string =>
  typeof value === 'string' && pattern.test(value);

const v2Text = ({
  timestamp,
  nonce,
  method,
  pathAndQuery,
  body,
}: SignedRequest & { readonly timestamp: string; readonly nonce: string }): Buffer =>
  Buffer.from(
    `v2:${timestamp}:${nonce}:${method}:${pathAndQuery}:${createHash('sha256').update(body).digest('hex')}`,
  );

const hmac = (secret: string, text: Buffer): Buffer => createHmac('sha256', secret).update(text).digest();
