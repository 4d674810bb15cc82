/**
 * Verifies JWTs: signed with a shared secret (HS256), or with a key whose public half is in a PEM
 * or JWKS file or at an address (RS256, ES256, EdDSA). The kind of key decides the algorithm, never
 * the token alone. jose is loaded only where JWTs are accepted, because it takes 0.2 s and 10 MB.
 */
import { createPublicKey, type KeyObject } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import type { JSONWebKeySet, JWK, JWTPayload, JWTVerifyGetKey } from 'jose';
import type { Logger } from 'pino';
import type { Settings } from '../config/schema.ts';
import { AppError, messageOf } from '../errors.ts';
import { NO_LIMITS, OPEN_GRANT } from '../protocol/grant.ts';
import { SCOPES } from '../protocol/key.ts';
import { DEFAULT_PROJECT } from '../protocol/project.ts';
import { PROJECT_PATTERN } from '../protocol/schema.ts';
import { createPeriodic } from '../timing.ts';
import type { Principal } from './principal.ts';

export type JwtSettings = Pick<
  Settings,
  | 'jwtSecret'
  | 'jwtKeys'
  | 'jwtIssuer'
  | 'jwtAudience'
  | 'jwtProjectClaim'
  | 'jwtMaxLifeMs'
  | 'jwtLimits'
  | 'jwtJobsPerHour'
>;

/** What a JWT is. */
export type JwtVerdict =
  | { readonly kind: 'valid'; readonly principal: Principal }
  /** Its signature is right, but it is not or no longer valid here. Its holder guesses nothing. */
  | { readonly kind: 'ended' }
  | { readonly kind: 'wrong' };

export interface JwtVerifier {
  start(): Promise<void>;
  stop(): Promise<void>;
  /** @throws AppError auth.unavailable when the keys cannot be fetched */
  verify(token: string): Promise<JwtVerdict>;
}

/** How much the clocks of the issuer and the server may differ. */
const CLOCK_TOLERANCE_MS = 15_000;
/** A key that its issuer has removed is forgotten after this time. */
const REFRESH_MS = 5 * 60_000;
/** Fetched keys are used for this long while their address cannot be reached. */
const KEEP_KEYS_MS = 60 * 60_000;
const FETCH_MS = 5000;
/** Between two fetches because of an unknown `kid`. */
const COOLDOWN_MS = 30_000;

/** As OpenID Connect limits it. */
const SUBJECT = /^[\x21-\x7e]{1,255}$/;
const PROJECT = new RegExp(PROJECT_PATTERN);

/** Whether a token is written as a JWT. Keys have no dots. */
export const looksLikeJwt = (token: string): boolean => /^[\w-]+\.[\w-]+\.[\w-]*$/.test(token);

/** Whether the signature has its only spelling. Decoders ignore the unused bits at its end. */
function isCanonical(token: string): boolean {
  const signature = token.slice(token.lastIndexOf('.') + 1);
  return Buffer.from(signature, 'base64url').toString('base64url') === signature;
}

/** The keys of one kind of settings. */
interface KeySource {
  readonly algorithms: readonly string[];
  readonly key: JWTVerifyGetKey;
  /** Fetches the keys again; null: they do not change. */
  readonly refresh: (() => Promise<void>) | null;
}

export interface JwtVerifierOptions {
  readonly settings: JwtSettings;
  /** Default: the clock. */
  readonly now?: () => number;
  readonly logger: Logger;
}

/** Without a secret and without keys no JWT is valid. @throws AppError config.invalid */
export async function createJwtVerifier(options: JwtVerifierOptions): Promise<JwtVerifier> {
  const { settings, now = Date.now, logger } = options;
  const { jwtSecret, jwtKeys, jwtIssuer, jwtAudience } = settings;
  if (jwtSecret === null && jwtKeys === null) return NO_JWTS;
  const { jwtVerify, errors } = await import('jose');
  const { algorithms, key, refresh } =
    jwtSecret !== null ? await secretSource(jwtSecret) : await publicSource(jwtKeys ?? '');
  const periodic = createPeriodic(logger);
  const claims = {
    algorithms: [...algorithms],
    clockTolerance: CLOCK_TOLERANCE_MS / 1000,
    requiredClaims: ['sub', 'exp'],
    ...(jwtIssuer !== null && { issuer: jwtIssuer }),
    ...(jwtAudience !== null && { audience: jwtAudience }),
  };

  return {
    async start() {
      if (refresh === null) return;
      await refresh().catch((error: unknown) =>
        logger.warn({ reason: messageOf(error) }, 'the keys of JWTs cannot be fetched yet'),
      );
      periodic.every(REFRESH_MS, 'fetching the keys of JWTs', refresh);
    },
    stop: async () => periodic.stop(),

    async verify(token) {
      if (!isCanonical(token)) return { kind: 'wrong' };
      let payload: JWTPayload;
      try {
        ({ payload } = await jwtVerify(token, key, { ...claims, currentDate: new Date(now()) }));
      } catch (error) {
        if (!(error instanceof errors.JOSEError)) throw error;
        logger.debug({ reason: messageOf(error) }, 'a JWT was refused');
        // These two are checked after the signature.
        const isGenuine =
          error instanceof errors.JWTExpired || error instanceof errors.JWTClaimValidationFailed;
        return { kind: isGenuine ? 'ended' : 'wrong' };
      }
      const verdict = verdictOf(payload, settings, now());
      if (typeof verdict !== 'string') return verdict;
      logger.debug({ reason: verdict }, 'a JWT was refused');
      return { kind: 'ended' };
    },
  };
}

const NO_JWTS: JwtVerifier = {
  start: async () => undefined,
  stop: async () => undefined,
  verify: async () => ({ kind: 'wrong' }),
};

/** The principal of a JWT whose signature is right and that is in time; a text: why it has none. */
function verdictOf(
  payload: JWTPayload,
  { jwtProjectClaim, jwtMaxLifeMs, jwtLimits, jwtJobsPerHour }: JwtSettings,
  now: number,
): JwtVerdict | string {
  const { sub, exp = 0, iat } = payload;
  if (typeof sub !== 'string' || !SUBJECT.test(sub)) return 'its sub is no visible ASCII text';
  const expiresAt = exp * 1000 + CLOCK_TOLERANCE_MS;
  if (expiresAt <= now) return 'it has expired';
  const issuedAt = iat === undefined ? now : iat * 1000;
  if (issuedAt > now + CLOCK_TOLERANCE_MS) return 'its iat is in the future';
  if (exp * 1000 - issuedAt > jwtMaxLifeMs + (iat === undefined ? CLOCK_TOLERANCE_MS : 0))
    return 'it lives longer than BULLPEN_JWT_MAX_LIFE_MS';
  const project = Object.hasOwn(payload, jwtProjectClaim) ? payload[jwtProjectClaim] : DEFAULT_PROJECT;
  if (typeof project !== 'string' || !PROJECT.test(project)) return 'its project is no name of a project';
  const named = scopesIn(payload['scope']);
  const scopes = SCOPES.filter((scope) => named.includes(scope));
  const admin = scopes.includes('admin');
  return {
    kind: 'valid',
    principal: {
      ...{ id: `jwt:${sub}`, project, scopes, admin, key: null },
      ...{ grant: OPEN_GRANT, expiresAt },
      limits: { ...NO_LIMITS, ...jwtLimits, jobsPerHour: jwtJobsPerHour },
    },
  };
}

/** The words of a text (RFC 8693), or a list. Those of other services are ignored. */
function scopesIn(claim: unknown): readonly unknown[] {
  if (typeof claim === 'string') return claim.split(' ');
  return Array.isArray(claim) ? claim : [];
}

async function secretSource(secret: string): Promise<KeySource> {
  const algorithm = { name: 'HMAC', hash: 'SHA-256' };
  const key = await crypto.subtle.importKey('raw', Buffer.from(secret), algorithm, false, ['verify']);
  return { algorithms: ['HS256'], key: async () => key, refresh: null };
}

const PUBLIC_ALGORITHMS = ['RS256', 'ES256', 'EdDSA', 'Ed25519'];

/** @throws AppError config.invalid */
async function publicSource(place: string): Promise<KeySource> {
  if (!place.startsWith('/')) return addressSource(new URL(place));
  const text = await readFile(place, 'utf8').catch((error: unknown) => {
    throw unusable(place, `cannot be read: ${messageOf(error)}`);
  });
  if (!text.trimStart().startsWith('{')) return pemSource(place, text);
  const jwks = keySetIn(text);
  if (jwks === null) throw unusable(place, 'is no JWKS: it needs a list `keys` of public keys');
  // A symmetric key has `k`, the private half of a pair `d`.
  if (jwks.keys.some((key) => 'd' in key || 'k' in key)) {
    throw unusable(place, 'holds a private or symmetric key; keep only public ones in it');
  }
  const { createLocalJWKSet } = await import('jose');
  return { algorithms: PUBLIC_ALGORITHMS, key: createLocalJWKSet(jwks), refresh: null };
}

function keySetIn(text: string): JSONWebKeySet | null {
  try {
    const set: { readonly keys?: unknown } = JSON.parse(text);
    const keys: unknown[] = Array.isArray(set.keys) ? set.keys : [];
    const isKey = (key: unknown): key is JWK => typeof key === 'object' && key !== null && 'kty' in key;
    return keys.length > 0 && keys.every(isKey) ? { keys } : null;
  } catch {
    return null;
  }
}

function pemSource(place: string, text: string): KeySource {
  // Node would derive the public half.
  if (text.includes('PRIVATE KEY')) throw unusable(place, 'holds a private key; give the public one');
  let key: KeyObject;
  try {
    key = createPublicKey(text);
  } catch {
    throw unusable(place, 'is neither a public key in PEM nor a JWKS');
  }
  const algorithms = algorithmsOf(key);
  if (algorithms === null) throw unusable(place, 'must be RSA of 2048 or more bits, EC P-256 or Ed25519');
  return { algorithms, key: () => key, refresh: null };
}

function algorithmsOf({ asymmetricKeyType, asymmetricKeyDetails = {} }: KeyObject): readonly string[] | null {
  const { modulusLength = 0, namedCurve } = asymmetricKeyDetails;
  if (asymmetricKeyType === 'rsa' && modulusLength >= 2048) return ['RS256'];
  if (asymmetricKeyType === 'ec' && namedCurve === 'prime256v1') return ['ES256'];
  return asymmetricKeyType === 'ed25519' ? ['EdDSA', 'Ed25519'] : null;
}

async function addressSource(url: URL): Promise<KeySource> {
  const { createRemoteJWKSet, errors } = await import('jose');
  const remote = createRemoteJWKSet(url, {
    timeoutDuration: FETCH_MS,
    cooldownDuration: COOLDOWN_MS,
    cacheMaxAge: KEEP_KEYS_MS,
  });
  return {
    algorithms: PUBLIC_ALGORITHMS,
    refresh: remote.reload,
    async key(header, token) {
      try {
        return await remote(header, token);
      } catch (error) {
        const noKey =
          error instanceof errors.JWKSNoMatchingKey || error instanceof errors.JWKSMultipleMatchingKeys;
        if (noKey) throw error;
        const message = 'the keys of JWTs cannot be fetched, so whether this one is valid is not known';
        throw new AppError('auth.unavailable', message, { cause: error });
      }
    },
  };
}

const unusable = (place: string, why: string): AppError =>
  new AppError('config.invalid', `jwtKeys (BULLPEN_JWT_KEYS): ${place} ${why}`);
