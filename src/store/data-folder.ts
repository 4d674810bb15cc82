/** The data folder: who may read it, which process has it, and the node it belongs to. */
import { randomUUID } from 'node:crypto';
import { chmod, link, lstat, mkdir, open, readdir, readFile, realpath, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { ulid } from 'ulid';
import type { Settings } from '../config/schema.ts';
import { AppError, messageOf } from '../errors.ts';
import { type FileLock, tryLock } from '../file-lock.ts';
import { ULID } from '../protocol/schema.ts';
import { isInside } from '../workspace.ts';
import { readServerNote, removeServerNote, writeServerNote } from './server-note.ts';

/**
 * Creates the data folder and locks it for this process.
 * @param jobsRunHere otherwise the settings name folders of another host
 * @throws AppError config.invalid when a folder of the settings is missing, when a CLI or another
 * user could read the data folder, or when the data folder cannot be used; config.locked when
 * another server has it
 */
export async function openDataFolder(
  settings: Pick<Settings, 'home' | 'cwd' | 'roots' | 'trustedRoots' | 'databasePath'>,
  jobsRunHere = true,
): Promise<FileLock> {
  const { home, databasePath } = settings;
  const roots = jobsRunHere ? settings.roots : [];
  if (jobsRunHere) {
    // Without this check, every job in a missing root would be refused, one by one.
    await requireFolders('BULLPEN_CWD', [settings.cwd]);
    await requireFolders('BULLPEN_ROOTS', roots);
    await requireFolders('BULLPEN_TRUSTED_ROOTS', settings.trustedRoots);
  }
  await mkdir(home, { recursive: true, mode: 0o700 }).catch((error: unknown) => {
    throw unusable(home, error);
  });
  if (await isInside(await realpath(home), roots)) {
    throw new AppError(
      'config.invalid',
      `the data folder ${home} lies inside an allowed root (${roots.join(', ')}), where a CLI could read the token; start in a project's folder, or set BULLPEN_CWD or BULLPEN_HOME`,
    );
  }
  await refuseReaders(home);
  const lock = lockFolder(home);
  try {
    await restrict(home);
    const ledger = databasePath === null ? null : await lockLedger(databasePath, roots);
    return {
      release() {
        ledger?.release();
        lock.release();
      },
    };
  } catch (error) {
    lock.release();
    throw error;
  }
}

/** Locks a ledger outside the data folder, which another server could name, too. */
async function lockLedger(file: string, roots: readonly string[]): Promise<FileLock> {
  const refuse = (why: string, cause: unknown = undefined) =>
    new AppError('config.invalid', `the ledger ${file} (BULLPEN_DATABASE_PATH, DATABASE_PATH) ${why}`, {
      cause,
    });
  let lock: FileLock | null;
  try {
    await mkdir(dirname(file), { recursive: true, mode: 0o700 });
    const isPrivate = !(await isInside(await realpath(dirname(file)), roots));
    if (!isPrivate)
      throw refuse(`lies inside an allowed root (${roots.join(', ')}), where a CLI could change it`);
    lock = tryLock(`${file}.lock`);
  } catch (error) {
    throw error instanceof AppError ? error : refuse(`cannot be used: ${messageOf(error)}`, error);
  }
  if (lock !== null) return lock;
  throw new AppError('config.locked', `another Bullpen server uses the ledger ${file}; each needs its own`);
}

/**
 * Refuses a folder in which another user could read the token. It is not narrowed here, because
 * what was in it may have been read.
 */
async function refuseReaders(home: string): Promise<void> {
  const { mode, uid } = await stat(home);
  const self = process.getuid?.();
  if (self === undefined) return; // this system has no file owners
  const refuse = (why: string) =>
    new AppError('config.invalid', `the data folder ${home} ${why}, or set BULLPEN_HOME to another folder`);
  if (uid !== self) throw refuse(`belongs to another user (uid ${uid}); run \`chown -R ${self}\` on it`);
  if ((mode & 0o077) === 0) return;
  throw refuse(
    `can be read by other users (mode ${(mode & 0o777).toString(8)}); run \`chmod 700\` on it, and delete its file "token" if they may have read it`,
  );
}

/** Locks the folder and writes the note that names this process. */
function lockFolder(home: string): FileLock {
  let lock: FileLock | null = null;
  try {
    lock = tryLock(join(home, 'lock.db'));
    if (lock !== null) {
      const noted = readServerNote(home);
      const startedBy = noted?.pid === process.pid ? noted.startedBy : 'serve';
      writeServerNote(home, { startedAt: new Date().toISOString(), address: null, startedBy });
    }
  } catch (error) {
    lock?.release();
    throw unusable(home, error);
  }
  if (lock === null) throw new AppError('config.locked', heldBy(home));
  const { release } = lock;
  let released = false;
  return {
    release() {
      if (released) return;
      released = true;
      removeServerNote(home);
      release();
    },
  };
}

function heldBy(home: string): string {
  const note = readServerNote(home);
  const holder = note === null ? '' : ` (pid ${note.pid}, since ${note.startedAt})`;
  return `another Bullpen server${holder} uses the data folder ${home}; stop it, or choose another folder with BULLPEN_HOME`;
}

const unusable = (home: string, error: unknown): AppError =>
  new AppError('config.invalid', `the data folder ${home} cannot be used: ${messageOf(error)}`, {
    cause: error,
  });

/** Subfolders that Bullpen owns as a whole. In a container the CLIs' home may lie beside them. */
const OWN_FOLDERS = ['redis'];

/** Removes other users' access, which an earlier version or a restored copy may have left. */
async function restrict(
  folder: string,
  isOurs = (name: string) => OWN_FOLDERS.includes(name),
): Promise<void> {
  await restrictOne(folder);
  for (const entry of await readdir(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isFile() || entry.isSocket()) await restrictOne(path);
    else if (entry.isDirectory() && isOurs(entry.name)) await restrict(path, () => true);
    else if (entry.isDirectory()) await restrictOne(path);
  }
}

async function restrictOne(path: string): Promise<void> {
  try {
    const { mode } = await lstat(path);
    if ((mode & 0o077) !== 0) await chmod(path, mode & 0o700);
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : null;
    // Removed in between, or owned by another user. The folder around it keeps others out.
    if (code !== 'ENOENT' && code !== 'EPERM') throw error;
  }
}

async function requireFolders(setting: string, folders: readonly string[]): Promise<void> {
  for (const folder of folders) {
    const isFolder = await stat(folder).then(
      (found) => found.isDirectory(),
      () => false,
    );
    if (isFolder) continue;
    const message = `${folder} (${setting}) does not exist, or is not a folder that this user may enter`;
    throw new AppError('config.invalid', message, { problems: [{ path: setting, message }] });
  }
}

/**
 * Returns the id of the node that this data folder belongs to. The first call creates it. When
 * several processes create it at once, one of them wins and all return its id.
 *
 * @throws AppError config.invalid when the file holds something else
 */
export async function loadNodeId(home: string): Promise<string> {
  const file = join(home, 'node-id');
  const id = (await readIfPresent(file)) ?? (await createNodeId(file));
  if (ULID.test(id)) return id;
  throw new AppError(
    'config.invalid',
    `${file} does not hold a node id; restore it, or remove it to become a new node`,
  );
}

/** Writes and syncs a draft, then links it, which fails if another process was first. */
async function createNodeId(file: string): Promise<string> {
  const draft = `${file}.${randomUUID()}`;
  try {
    await using handle = await open(draft, 'wx', 0o600);
    await handle.writeFile(`${ulid()}\n`);
    await handle.sync();
    await link(draft, file).catch(ignoring('EEXIST'));
  } finally {
    await rm(draft, { force: true });
  }
  return (await readFile(file, 'utf8')).trim();
}

async function readIfPresent(file: string): Promise<string | null> {
  const text = await readFile(file, 'utf8').catch(ignoring('ENOENT'));
  return text?.trim() ?? null;
}

const ignoring =
  (code: string) =>
  (error: unknown): undefined => {
    if (!(error instanceof Error && 'code' in error && error.code === code)) throw error;
  };
