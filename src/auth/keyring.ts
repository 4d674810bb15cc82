import { hash, randomBytes, timingSafeEqual } from 'node:crypto';
import { constants } from 'node:fs';
import { mkdir, open, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { isLoopback } from '../config/hostnames.ts';
import { AppError } from '../errors.ts';
import type { LoginLink } from '../protocol/key.ts';
import type { Guesses } from './guesses.ts';
import { isJobPrincipal, type JobTokens } from './job-tokens.ts';
import { type JwtVerdict, type JwtVerifier, looksLikeJwt } from './jwt.ts';
import type { Keys } from './keys.ts';
import { createLoginLinks } from './login-links.ts';
import type { LoginSessions } from './logins.ts';
import { ADMIN_PRINCIPAL, type Principal } from './principal.ts';

const TOKEN_FILE = 'token';
const TOKEN_PREFIX = 'bp_';
const TOKEN_PATTERN = /^bp_[A-Za-z0-9_-]{43}$/;
const BEARER = /^Bearer +([^\s,]+) *$/i;

/** Authenticates callers: the one verifier of all routes, streams, pages and the board. */
export interface Authenticator {
  /**
   * The principal of an Authorization header; undefined: none, or more than one.
   * @param from the caller's address
   * @throws AppError auth.unauthenticated, always with the same message; auth.too_many_attempts;
   *   redis.unavailable or auth.unavailable when whether a token is still valid is not known
   */
  authenticate(authorization: string | undefined, from: string): Promise<Principal>;
  /**
   * The principal of a token without a scheme, as the login page sends it.
   * @throws AppError as `authenticate`
   */
  authenticateToken(token: string, from: string): Promise<Principal>;
  /** A link with which a browser logs in as this caller. */
  createLink(principal: Principal): LoginLink;
  /**
   * The principal of the code of a link, which is used up then.
   * @throws AppError auth.unauthenticated, auth.too_many_attempts; as `current`: it can come again
   */
  authenticateLink(code: string, from: string): Principal;
  /**
   * A principal that was authenticated before, as it is now; null: its login, its key, its JWT or
   * the execution of its job is over. For logins, tickets and open streams.
   * @throws AppError redis.unavailable when whether its key is still valid is not known
   */
  current(principal: Principal): Principal | null;
}

export interface AuthenticatorOptions {
  readonly adminToken: string;
  readonly keys: Pick<Keys, 'find' | 'named' | 'current'>;
  readonly jwts: Pick<JwtVerifier, 'verify'>;
  readonly jobTokens: Pick<JobTokens, 'find' | 'current'>;
  readonly logins: Pick<LoginSessions, 'isOpen'>;
  readonly guesses: Guesses;
  /** Default: the clock. */
  readonly now?: () => number;
}

const refused = (): AppError =>
  new AppError('auth.unauthenticated', 'send a valid token as "Authorization: Bearer <token>"');

const linkRefused = (): AppError =>
  new AppError(
    'auth.unauthenticated',
    'the link was used before or is older than a minute; make another one',
  );

const digest = (token: string): Buffer => hash('sha256', token, 'buffer');

/** Compares digests of tokens. A missing token takes the same time as a wrong one. */
export function createAuthenticator(options: AuthenticatorOptions): Authenticator {
  const { keys, jwts, jobTokens, logins, guesses, now = Date.now } = options;
  const links = createLoginLinks(now);
  const adminDigest = digest(options.adminToken);
  // timingSafeEqual throws for unequal lengths; digests always have the same.
  const isAdmin = (token: string): boolean => timingSafeEqual(digest(token), adminDigest);

  async function authenticateToken(token: string, from: string): Promise<Principal> {
    // Other programs of this machine must not keep its user out.
    if (isLoopback(from) && isAdmin(token)) return ADMIN_PRINCIPAL;
    const ofJob = jobTokens.find(token); // null also for one that is made up, which is counted below
    if (ofJob === 'ended') throw refused();
    if (ofJob !== null) return ofJob.principal;
    const named = keys.named(token);
    const attempt = { token, from, keyId: named?.id ?? null };
    guesses.check(attempt);
    const verdict = looksLikeJwt(token)
      ? await jwts.verify(token)
      : verdictOf(token, named?.genuine === true);
    if (verdict.kind === 'valid') {
      guesses.right(attempt);
      return verdict.principal;
    }
    if (verdict.kind === 'wrong' && token !== '') guesses.wrong(attempt);
    throw refused();
  }

  function verdictOf(token: string, genuine: boolean): JwtVerdict {
    const principal = isAdmin(token) ? ADMIN_PRINCIPAL : keys.find(token);
    if (principal !== null) return { kind: 'valid', principal };
    return { kind: genuine ? 'ended' : 'wrong' };
  }

  function current(principal: Principal): Principal | null {
    const { login } = principal;
    if (login === undefined) return currentOf(principal);
    const known = logins.isOpen(login) ? currentOf(principal) : null;
    return known === null ? null : { ...known, login };
  }

  function currentOf(principal: Principal): Principal | null {
    if (isJobPrincipal(principal)) return jobTokens.current(principal);
    if (principal.key !== null) return keys.current(principal.key);
    return principal.expiresAt === null || principal.expiresAt > now() ? principal : null;
  }

  return {
    authenticateToken,
    createLink: links.create,
    authenticateLink(code, from) {
      const found = links.take(code, current);
      if (found !== null) return found;
      const attempt = { token: code, from, keyId: null };
      guesses.check(attempt);
      guesses.wrong(attempt);
      throw linkRefused();
    },
    authenticate: (authorization, from) =>
      authenticateToken(BEARER.exec(authorization ?? '')?.[1] ?? '', from),
    current,
  };
}

/**
 * The admin token in `homeDir/token`. The first start creates it: mode 0600, 32 random bytes. A
 * crash between create and write leaves an empty file, which is replaced. The caller holds the
 * folder's lock.
 * @throws AppError config.invalid when the file has other content
 */
export async function loadOrCreateAdminToken(homeDir: string): Promise<string> {
  await mkdir(homeDir, { recursive: true, mode: 0o700 });
  const path = join(homeDir, TOKEN_FILE);
  const stored = await readToken(path);
  if (stored !== null && stored !== '') return stored;
  if (stored === '') await rm(path);
  const token = TOKEN_PREFIX + randomBytes(32).toString('base64url');
  await using file = await open(path, 'wx', 0o600);
  await file.writeFile(`${token}\n`);
  await file.sync();
  return token;
}

/** The token; '': the file is empty; null: there is no file. Restores mode 0600. */
async function readToken(path: string): Promise<string | null> {
  const flags = constants.O_RDONLY | constants.O_NOFOLLOW;
  const file = await open(path, flags).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return null;
    throw new AppError('config.invalid', `the token file ${path} cannot be read`, { cause: error });
  });
  if (file === null) return null;
  try {
    const { mode } = await file.stat();
    if ((mode & 0o077) !== 0) await file.chmod(0o600);
    const token = (await file.readFile('utf8')).trim();
    if (token === '' || TOKEN_PATTERN.test(token)) return token;
  } finally {
    await file.close();
  }
  throw new AppError('config.invalid', `the token file ${path} holds no token; delete it to get a new one`);
}
