import { randomUUID } from 'node:crypto';
import { link, open, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { ulid } from 'ulid';
import { AppError } from '../errors.ts';
import { ULID } from '../protocol/schema.ts';

/**
 * The id of the node this data folder belongs to: minted once, then always the same. Of several processes
 * that mint at the same time one wins, and all answer its id.
 *
 * @throws AppError config.invalid when the file holds something else
 */
export async function loadNodeId(dir: string): Promise<string> {
  const file = join(dir, 'node-id');
  const id = (await readIfThere(file)) ?? (await mint(file));
  if (ULID.test(id)) return id;
  throw new AppError(
    'config.invalid',
    `${file} does not hold a node id; restore it, or remove it to become a new node`,
  );
}

/** Written whole and synced under another name, then linked, which fails if another was first. */
async function mint(file: string): Promise<string> {
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

async function readIfThere(file: string): Promise<string | null> {
  const text = await readFile(file, 'utf8').catch(ignoring('ENOENT'));
  return text?.trim() ?? null;
}

const ignoring =
  (code: string) =>
  (error: unknown): undefined => {
    if (!(error instanceof Error && 'code' in error && error.code === code)) throw error;
  };
