/** What the environment of a CLI is in a folder that is not trusted: nothing that leads to programs of the folder. */
import { delimiter, isAbsolute } from 'node:path';
import { AppError } from '../errors.ts';
import type { Launch } from '../processes/launch.ts';
import { cannotStart, spawnError, systemCode } from '../processes/spawn-error.ts';
import { gitVariables } from './git-settings.ts';

/**
 * @returns the environment with what is set for such a folder
 * @throws AppError when git's settings there cannot be known: nothing must run then
 */
export type UntrustedEnvironment = (
  cwd: string,
  env: Readonly<Record<string, string>>,
) => Promise<Readonly<Record<string, string>>>;

/** A configuration may include a pipe without a writer: git would wait for ever. */
const GIT_TIMEOUT_MS = 15_000;
const MAX_LISTING_BYTES = 1024 * 1024;
/** A process that is started ahead and the job it is for share one look. */
const REMEMBER_MS = 2000;

export function createUntrustedEnvironment({ launch }: { readonly launch: Launch }): UntrustedEnvironment {
  const looks = new Map<string, { readonly listing: Promise<string>; readonly at: number }>();

  /** What git says of its settings in the folder; '' when there is no git, or none that could run there. */
  function listing(cwd: string, env: Readonly<Record<string, string>>): Promise<string> {
    const now = performance.now();
    for (const [key, { at }] of looks) if (now - at > REMEMBER_MS) looks.delete(key);
    const key = JSON.stringify([cwd, env['HOME'], env['XDG_CONFIG_HOME'], env['PATH']]);
    const known = looks.get(key)?.listing;
    if (known !== undefined) return known;
    const asked = askGit(launch, cwd, env);
    looks.set(key, { listing: asked, at: now });
    asked.catch(() => looks.delete(key));
    return asked;
  }

  return async (cwd, env) => {
    const PATH = (env['PATH'] ?? '').split(delimiter).filter(isAbsolute).join(delimiter);
    return { ...env, PATH, ...gitVariables(await listing(cwd, { ...env, PATH }), env) };
  };
}

async function askGit(launch: Launch, cwd: string, env: Readonly<Record<string, string>>): Promise<string> {
  // It reads files and runs nothing, whatever they hold.
  const request = { binary: 'git', args: ['config', '--list', '--show-scope', '-z'], env, cwd };
  const child = await launch(request).catch((error: unknown) => {
    if (error instanceof AppError) throw error;
    if (cannotStart(systemCode(error))) return null;
    throw spawnError(error, 'git', cwd);
  });
  if (child === null) return '';
  let unknown: string | null = null;
  const giveUp = (why: string): void => {
    unknown ??= why;
    child.signalGroup('SIGKILL');
  };
  const timer = setTimeout(() => giveUp(`take git more than ${GIT_TIMEOUT_MS} ms`), GIT_TIMEOUT_MS);
  child.stdin.on('error', () => {}).end();
  child.stderr.resume();
  const closed = new Promise<void>((resolve) => child.onClose(resolve));
  const chunks: Buffer[] = [];
  let bytes = 0;
  child.stdout.on('data', (chunk: Buffer) => {
    bytes += chunk.length;
    if (bytes <= MAX_LISTING_BYTES) chunks.push(chunk);
    else giveUp(`are longer than ${MAX_LISTING_BYTES} bytes`);
  });
  await closed;
  clearTimeout(timer);
  if (unknown !== null) throw new AppError('cwd.not_allowed', `git's settings in ${cwd} ${unknown}`);
  // Killed by a signal, or lost with the launcher: it has not told what it found.
  if (child.lost || child.exit?.code == null)
    throw new AppError('execution.lost', 'git was ended while it read its settings');
  return child.exit.code === 0 ? Buffer.concat(chunks).toString() : ''; // else git refuses to run there at all
}
