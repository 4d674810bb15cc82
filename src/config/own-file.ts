/** Files that the settings come from. Another user must not have written them. */
import { closeSync, fstatSync, openSync, readFileSync, type Stats } from 'node:fs';

/**
 * Returns why a file must not be read; null: it may.
 * @param self this user; undefined on a system without owners of files
 */
type Rule = (found: Stats, self: number | undefined) => string | null;

/** It names programs to run, so no other user may write it. */
const notByOthers: Rule = ({ mode, uid }, self) => {
  if (self === undefined) return null;
  if (uid !== self && uid !== 0) return 'belongs to another user, so it is not read';
  return (mode & 0o002) === 0 ? null : 'can be written by every user, so it is not read (chmod o-w)';
};

const MAX_SECRET_FILE_BYTES = 4096;

/**
 * Every user may read a file of root: secrets of containers are mounted in that way (0444).
 */
const secret: Rule = (found, self) => {
  const { mode, uid, size } = found;
  if (size > MAX_SECRET_FILE_BYTES) return `has more than ${MAX_SECRET_FILE_BYTES} bytes, so it is not read`;
  if (uid === self && uid !== 0 && (mode & 0o004) !== 0)
    return 'can be read by every user, so it is not read (chmod o-r)';
  return notByOthers(found, self);
};

/** @throws Error of the system, and for a file that another user could have written */
export const readOwnFile = (file: string): string => readBy(notByOthers, file, process.getuid?.());

/**
 * The secrets of a file, one a line.
 * @throws Error without the path, which may be the secret itself, given by mistake. Also for a file
 * of this user that every user may read, and for one without a secret.
 */
export function readSecretFile(file: string, self = process.getuid?.()): string[] {
  const lines = readSecret(file, self).split('\n');
  const secrets = lines.map((line) => line.trim()).filter(Boolean);
  if (secrets.length === 0) throw new Error('holds no secret');
  return secrets;
}

function readSecret(file: string, self: number | undefined): string {
  try {
    return readBy(secret, file, self);
  } catch (error) {
    if (!(error instanceof Error && 'code' in error)) throw error;
    throw new Error(`names a file that cannot be read (${error.code})`);
  }
}

function readBy(rule: Rule, file: string, self: number | undefined): string {
  const opened = openSync(file, 'r');
  try {
    const why = rule(fstatSync(opened), self);
    if (why !== null) throw new Error(why);
    return readFileSync(opened, 'utf8');
  } finally {
    closeSync(opened);
  }
}
