/** Finds the job, the batch or the session that a person means. */
import { realpathSync } from 'node:fs';
import type { PageQuery } from '../client/answers.ts';
import type { Client } from '../client/client.ts';
import { ApiError } from '../client/errors.ts';
import type { Session } from '../protocol/session.ts';
import type { Arguments } from './arguments.ts';
import { CommandError, EXIT, usageError } from './failures.ts';

export const WHOLE_ID = /^[0-7][0-9A-HJKMNP-TV-Z]{25}$/;
/** A shorter part would often match several jobs. */
export const PART_OF_ID = /^[0-9A-HJKMNP-TV-Z]{4,25}$/;

const SEARCHED = 100;
/** How many of the newest sessions are searched for one of a folder. */
const MAX_PAGES = 5;

/**
 * The id of a job. In place of it, the first or last characters (four or more) will do when they
 * match one of the newest 100 jobs.
 * @throws CommandError when they match no job, or several
 */
export const resolveJobId = (client: Pick<Client, 'list'>, given: string): Promise<string> =>
  resolveId('job', given, (query) => client.list(query));

/** The same for a thing that `list` lists, newest first. */
export async function resolveId(
  what: 'job' | 'batch',
  given: string,
  list: (query: PageQuery) => Promise<{ readonly data: readonly { readonly id: string }[] }>,
): Promise<string> {
  const [many, listing] = what === 'job' ? ['jobs', 'bullpen jobs'] : ['batches', 'bullpen batch list'];
  const id = given.trim().toUpperCase();
  if (WHOLE_ID.test(id)) return id;
  if (!PART_OF_ID.test(id))
    throw usageError(`${JSON.stringify(given)} is no ${what} id; \`${listing}\` lists them`);
  const { data } = await list({ limit: SEARCHED });
  const [found, other] = data.filter((one) => one.id.endsWith(id) || one.id.startsWith(id));
  if (found === undefined)
    throw new CommandError(EXIT.usage, `none of the newest ${SEARCHED} ${many} has an id like ${given}`);
  if (other !== undefined) throw usageError(`${given} may be ${found.id} or ${other.id}: give more of it`);
  return found.id;
}

type Sessions = Pick<Client, 'sessions' | 'list' | 'get'>;

/**
 * A session. It may be given as the id of one of its jobs, as the first or last characters (four or
 * more) of either, or as `last`: the last session of the folder.
 * @param kind of the `last` one; null: of either kind
 * @throws CommandError when it names no session, or several
 */
export async function resolveSession(
  client: Sessions,
  given: string,
  cwd: string,
  kind: Session['kind'] | null = 'chat',
): Promise<Session> {
  if (given.trim().toLowerCase() === 'last') return lastSession(client, cwd, kind);
  const id = given.trim().toUpperCase();
  if (WHOLE_ID.test(id)) return sessionOrJob(client, id);
  if (!PART_OF_ID.test(id))
    throw usageError(`${JSON.stringify(given)} is no id of a session; \`bullpen sessions\` lists them`);
  const [sessions, jobs] = await Promise.all([
    client.sessions.list({ all: true, limit: SEARCHED }),
    client.list({ limit: SEARCHED }),
  ]);
  const isMeant = (one: { readonly id: string }): boolean => one.id.endsWith(id) || one.id.startsWith(id);
  const found = new Set([
    ...sessions.data.filter(isMeant).map((one) => one.id),
    ...jobs.data.filter(isMeant).map((job) => job.sessionId),
  ]);
  const [first, ...others] = found;
  if (first === undefined)
    throw new CommandError(
      EXIT.usage,
      `none of the newest ${SEARCHED} sessions and jobs has an id like ${given}`,
    );
  if (others.length > 0) throw usageError(`${given} may be ${[...found].join(' or ')}: give more of it`);
  return sessions.data.find((one) => one.id === first) ?? client.sessions.get(first);
}

/** A first job has the id of its session; a later one has an id of its own. */
async function sessionOrJob(client: Sessions, id: string): Promise<Session> {
  try {
    return await client.sessions.get(id);
  } catch (error) {
    if (!(error instanceof ApiError) || error.code !== 'session.not_found') throw error;
    const job = await client.get(id).catch((why: unknown) => {
      throw why instanceof ApiError && why.code === 'job.not_found' ? error : why;
    });
    return client.sessions.get(job.sessionId);
  }
}

/**
 * The session of a folder that was used last and is not closed. @throws CommandError for none
 */
async function lastSession(client: Sessions, cwd: string, kind: Session['kind'] | null): Promise<Session> {
  const folders = [cwd, realPath(cwd)];
  let cursor: string | null = null;
  for (let pages = 0; pages < MAX_PAGES; pages += 1) {
    const place: PageQuery = { limit: SEARCHED, ...(cursor === null ? {} : { cursor }) };
    const page = await client.sessions.list({ all: true, ...(kind === null ? {} : { kind }), ...place });
    const found = page.data.find((one) => folders.includes(one.cwd) && one.status !== 'closed');
    if (found !== undefined) return found;
    cursor = page.nextCursor;
    if (cursor === null) break;
  }
  const advice = '`bullpen sessions` lists those of other folders';
  const what = kind === 'terminal' ? 'terminal' : 'session';
  throw new CommandError(EXIT.usage, `there is no ${what} in ${cwd} to go on with; ${advice}`);
}

/**
 * The session that `--session` or `--continue` names, as a field of a request; with its provider,
 * unless another one is given.
 */
export async function sessionOption(
  client: Sessions,
  args: Arguments,
  cwd: string,
): Promise<{ readonly sessionId?: string; readonly provider?: string }> {
  const given = args.flag('continue') ? 'last' : args.text('session');
  if (given === undefined) return {};
  try {
    const { id, provider } = await resolveSession(client, given, cwd);
    return { sessionId: id, ...(args.text('provider') === undefined ? { provider } : {}) };
  } catch (error) {
    // A key that may make jobs need not have the right to look at sessions.
    const mayNotLook = error instanceof ApiError && error.code === 'auth.forbidden';
    if (mayNotLook && WHOLE_ID.test(given)) return { sessionId: given };
    throw error;
  }
}

function realPath(folder: string): string {
  try {
    return realpathSync(folder);
  } catch {
    return folder; // it is on another machine
  }
}
