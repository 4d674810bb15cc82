import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';
import { constants } from 'node:fs';
import { mkdir, open, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { AppError } from '../errors.ts';
import type { Keys } from './keys.ts';
import { ADMIN_PRINCIPAL, type Principal } from './principal.ts';

const TOKEN_FILE = 'token';
const TOKEN_PREFIX = 'bp_';
const TOKEN_PATTERN = /^bp_[A-Za-z0-9_-]{43}$/;
const BEARER = /^Bearer +([^\s,]+) *$/i;

/** Authenticates callers. */
export interface Authenticator {
  /**
   * The principal of an Authorization header; undefined: none, or more than one.
   * @throws AppError auth.unauthenticated, always with the same message; redis.unavailable when
   *   whether a key is still valid is not known
   */
  authenticate(authorization: string | undefined): Principal;
  /**
   * The principal of a token without a scheme, as the login page sends it.
   * @throws AppError as `authenticate`
   */
  authenticateToken(token: string): Principal;
  /**
   * A principal that was authenticated before, as it is now; null: its key is no longer valid. For
   * logins, tickets and open streams.
   */
  current(principal: Principal): Principal | null;
}

const digest = (token: string): Buffer => createHash('sha256').update(token).digest();

/** Compares digests of tokens. A missing token takes the same time as a wrong one. */
export function createAuthenticator({
  adminToken,
  keys,
}: {
  readonly adminToken: string;
  readonly keys: Pick<Keys, 'find' | 'current'>;
}): Authenticator {
  const adminDigest = digest(adminToken);
  const authenticateToken = (token: string): Principal => {
    // timingSafeEqual throws for unequal lengths; digests always have the same.
    const isAdmin = timingSafeEqual(digest(token), adminDigest);
    const principal = isAdmin ? ADMIN_PRINCIPAL : keys.find(token);
    if (principal !== null) return principal;
    throw new AppError('auth.unauthenticated', 'send a valid token as "Authorization: Bearer <token>"');
  };
  return {
    authenticateToken,
    authenticate: (authorization) => authenticateToken(BEARER.exec(authorization ?? '')?.[1] ?? ''),
    current: (principal) => (principal.key === null ? principal : keys.current(principal.key)),
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
