/**
 * What HTTP clients can do with sessions. A turn of a session is a job, so what happens to it
 * happens to its jobs.
 */
import { actorOf, type Principal, projectOf, scopedKey } from '../auth/principal.ts';
import { AppError, keyReused } from '../errors.ts';
import type { Idempotency, Jobs } from '../http/ports.ts';
import type { Page, SessionFeed, Sessions } from '../http/session-ports.ts';
import type { NewId } from '../ids.ts';
import type { CliProcess } from '../protocol/server-info.ts';
import type { Session, SessionRequest, Turn } from '../protocol/session.ts';
import type { Provider } from '../providers/provider.ts';
import type { Providers } from '../providers/registry.ts';
import type { JobRecords } from '../records/ports.ts';
import type { SessionRecords } from '../records/session-ports.ts';
import type { Copier } from '../store/copier.ts';
import type { Store } from '../store/store.ts';
import type { PromptResolver } from './resolve-prompt.ts';
import { toSession } from './session-document.ts';
import { type FoundSession, refuseTerminal, type SessionFinder, sessionNotFound } from './session-finder.ts';
import type { SessionLimit } from './session-limit.ts';
import type { SessionMessages } from './session-messages.ts';
import type { ReviveSession } from './session-placement.ts';
import { type GivenSession, isOver, type TerminalSessions, unless } from './terminal-sessions.ts';

/** Turns that are read at once. */
const PAGE = 100;

export interface SessionServiceOptions {
  readonly finder: SessionFinder;
  readonly messages: SessionMessages;
  readonly jobs: Pick<Jobs, 'create' | 'cancel' | 'delete'>;
  readonly records: Pick<JobRecords, 'recall' | 'read'>;
  readonly sessionRecords: Pick<SessionRecords, 'create' | 'close' | 'remove' | 'open'>;
  readonly feed: SessionFeed;
  readonly revive: ReviveSession;
  readonly store: Store;
  readonly copier: Pick<Copier, 'catchUp' | 'catchUpSoon'>;
  readonly providers: Pick<Providers, 'get'>;
  resolverFor(principal: Principal): PromptResolver;
  /** The processes of CLIs on this server. */
  processes(): readonly CliProcess[];
  /** Ends the idle process of a session, if there is one. */
  endIdle(sessionId: string): Promise<unknown>;
  readonly withinLimit: SessionLimit;
  readonly terminals: TerminalSessions;
  newId(): NewId;
}

export function createSessionService({
  finder,
  messages,
  jobs,
  records,
  sessionRecords,
  feed,
  revive,
  store,
  copier,
  providers,
  resolverFor,
  processes,
  endIdle,
  withinLimit,
  terminals,
  newId,
}: SessionServiceOptions): Sessions {
  const get = async (principal: Principal, id: string): Promise<Session> =>
    toSession((await finder.find(principal, id)).row, processes());

  /** Makes a session, once for each Idempotency-Key. */
  async function make(
    principal: Principal,
    idempotency: Idempotency | null,
    given: () => Promise<GivenSession>,
  ) {
    const key = scopedKey(principal, idempotency);
    const known = key === null ? null : await records.recall(key);
    if (known?.kind === 'mismatch') throw keyReused();
    const earlier = known?.jobId ?? null;
    if (earlier !== null && (await exists(principal, earlier))) return { id: earlier, replayed: true };
    const { begin, ...session } = await given();
    const { id, createdAt } = newId();
    const record = {
      ...{ project: principal.project, ...session, id, createdAt, principal: principal.id },
      idempotency: key === null || earlier === null ? key : { ...key, deleted: earlier },
      by: actorOf(principal),
    };
    const result = await withinLimit(principal, () => sessionRecords.create(record));
    if (result.kind === 'mismatch') throw keyReused();
    // Another call with this key was faster.
    if (result.kind === 'replayed') return { id: result.id, replayed: true };
    await begin?.(id);
    return { id, replayed: false };
  }

  async function exists(principal: Principal, id: string): Promise<boolean> {
    try {
      await finder.find(principal, id);
      return true;
    } catch (error) {
      if (error instanceof AppError && error.code === 'session.not_found') return false;
      throw error;
    }
  }

  /** The first turn of a session. A repeated request finds the job of the earlier one. */
  async function firstTurn(
    principal: Principal,
    id: string,
    prompt: string,
    idempotency: Idempotency | null,
  ): Promise<void> {
    const request = { ...(await finder.options(await finder.find(principal, id))), prompt, sessionId: id };
    const key = idempotency && { ...idempotency, key: `${idempotency.key} first turn` };
    await jobs.create(principal, request, key);
  }

  const byOf = (principal: Principal, { row }: FoundSession) => ({
    actor: actorOf(principal),
    project: row.project,
  });

  return {
    get,
    message: messages.message,
    messageJob: messages.messageJob,

    async create(principal, request, idempotency) {
      const { prompt } = request;
      const { id, replayed } = await make(principal, idempotency, async () => {
        if (request.kind === 'terminal') return terminals.given(principal, request);
        const options = optionsOf(request);
        const resolved = await resolverFor(principal)({ ...options, prompt: prompt ?? 'x' });
        const { provider, cwd } = resolved;
        refuseUnless('resume', providers.get(provider).provider, 'keeps no session');
        return {
          ...{ kind: 'chat', name: request.name ?? null, options: { ...options, provider, cwd } },
          ...{ fork: null, node: null },
          status: prompt === undefined ? 'ready' : 'starting',
          ...{ tags: request.tags ?? [], metadata: request.metadata ?? {} },
        };
      });
      if (prompt !== undefined) {
        try {
          await firstTurn(principal, id, prompt, idempotency);
        } catch (error) {
          // A refused request leaves no session behind. Other failures may have made the job.
          const isRefused = error instanceof AppError && (error.status < 500 || error.code === 'queue.full');
          const by = { actor: actorOf(principal), project: principal.project };
          if (!replayed && isRefused) await sessionRecords.remove(id, by);
          throw error;
        }
      }
      return { session: await get(principal, id), replayed };
    },

    async wait(principal, id, { until, waitMs }, signal) {
      const { record, row } = await finder.find(principal, id);
      // The number is read before the state: no change is missed.
      const after = record?.lastSeq ?? (await records.read(id))?.lastSeq ?? 0;
      const session = record === null ? await get(principal, id) : toSession(row, processes());
      const ended = AbortSignal.any([signal, AbortSignal.timeout(waitMs)]);
      if (session.status === until || ended.aborted) return session;
      for await (const events of feed.read(id, after, ended)) {
        if (!events.some(({ kind }) => MOVES.test(kind))) continue;
        const now = await get(principal, id);
        if (now.status === until) return now;
      }
      return get(principal, id);
    },

    async list(principal, query) {
      await copier.catchUpSoon();
      const all = processes();
      const live = all.flatMap(({ sessionId, alive }) => (alive && sessionId) || []);
      const project = projectOf(principal);
      const { data, nextCursor } = await store.run('sessions.list', { project, query, live });
      return { data: data.map((row) => toSession(row, all)), nextCursor };
    },

    async turns(principal, id, page) {
      await finder.find(principal, id);
      return store.run('sessions.turns', { id, ...page });
    },

    async interrupt(principal, id, messageId) {
      const { row } = await finder.find(principal, id);
      if (row.kind !== 'terminal') return messages.interrupt(principal, id, messageId);
      await terminals.interrupt(principal, id);
      return false;
    },

    async fork(principal, id, idempotency) {
      return make(principal, idempotency, async () => {
        const found = await finder.find(principal, id);
        refuseTerminal(found, 'is not forked');
        const { nativeSessionId, node, project, tags, metadata, provider } = found.row;
        refuseUnless('fork', providers.get(provider).provider, 'cannot go on from another session');
        const options = await finder.options(found);
        await resolverFor(principal)({ ...options, prompt: 'x' });
        if (nativeSessionId === null)
          throw new AppError('session.not_found', 'its CLI has not begun the session yet');
        const fork = { sessionId: id, nativeSessionId };
        return { kind: 'chat', name: null, project, options, fork, node, status: 'ready', tags, metadata };
      }).then(async (made) => ({ session: await get(principal, made.id), replayed: made.replayed }));
    },

    async close(principal, id) {
      const found = await finder.find(principal, id);
      if (isTerminal(found) && !isOver(found.row.status)) await terminals.close(principal, id);
      if (found.record === null) await revive(id);
      const { open, found: exists } = await sessionRecords.close(id, byOf(principal, found));
      if (!exists) throw sessionNotFound(id);
      for (const jobId of open)
        await unless(['job.already_finished', 'job.not_found'], jobs.cancel(principal, jobId, false));
      await endIdle(id);
      return get(principal, id);
    },

    async delete(principal, id) {
      const found = await finder.find(principal, id);
      if (isTerminal(found) && !isOver(found.row.status)) throw notFinished('its program runs');
      const open = await sessionRecords.open(id);
      if (open.length > 0) throw notFinished(OPEN_TURN);
      if (found.record === null) await revive(id);
      // From here on no turn is added.
      const by = byOf(principal, found);
      const closed = await sessionRecords.close(id, by);
      if (closed.open.length > 0) throw notFinished(OPEN_TURN);
      await endIdle(id);
      await copier.catchUp();
      for (let cursor: string | null = null; ; ) {
        const page: Page<Turn> = await store.run('sessions.turns', { id, limit: PAGE, cursor });
        for (const { jobId } of page.data) await unless(['job.not_found'], jobs.delete(principal, jobId));
        if (page.nextCursor === null) break;
        cursor = page.nextCursor;
      }
      if (isTerminal(found)) await terminals.removeFiles(principal, id);
      if (!(await sessionRecords.remove(id, by))) throw notFinished(OPEN_TURN);
      await copier.catchUp();
    },
  };
}

/** Events after which a session may have another state. */
const MOVES = /^(session\.status|job\.|approval\.)/;

/** What of the request for a chat holds for every turn. */
function optionsOf(
  request: SessionRequest,
): Omit<SessionRequest, 'kind' | 'name' | 'tags' | 'metadata' | 'prompt'> {
  const { kind: _kind, name: _name, tags: _tags, metadata: _metadata, prompt: _prompt, ...options } = request;
  return options;
}

/** @throws AppError provider.unsupported_option */
function refuseUnless(can: 'resume' | 'fork', { name, capabilities }: Provider, otherwise: string): void {
  if (capabilities[can]) return;
  const message = `${name} ${otherwise}`;
  throw new AppError('provider.unsupported_option', message, { problems: [{ path: '/provider', message }] });
}

const isTerminal = ({ row }: FoundSession): boolean => row.kind === 'terminal';

const OPEN_TURN = 'a turn of the session has not ended';
const notFinished = (why: string): AppError =>
  new AppError('session.not_finished', `${why}; close the session first`);
