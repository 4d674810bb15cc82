/** Messages to sessions: the next turn, or into the running one. */
import { createHash, randomUUID } from 'node:crypto';
import { actorOf, type Principal, scopedKey } from '../auth/principal.ts';
import { AppError, wireError } from '../errors.ts';
import type { Audit, Created, Idempotency } from '../http/ports.ts';
import type { Sessions } from '../http/session-ports.ts';
import type { CallerLimiter } from '../limits/callers.ts';
import { isFinished } from '../protocol/job.ts';
import { jobOutcome } from '../protocol/outcome.ts';
import type { MessageRequest, Steered } from '../protocol/session.ts';
import type { Providers } from '../providers/registry.ts';
import type { PromptQueue } from '../queue/prompt-queue.ts';
import type { SteerMessages } from '../records/approval-ports.ts';
import type { JobRecords } from '../records/ports.ts';
import type { SessionRecords } from '../records/session-ports.ts';
import type { JobWaits } from '../rpc/job-waits.ts';
import type { Store } from '../store/store.ts';
import { toRequest } from './job-document.ts';
import type { JobService } from './job-service.ts';
import type { PromptResolver } from './resolve-prompt.ts';
import { type FoundSession, refuseTerminal, type SessionFinder } from './session-finder.ts';
import { sessionClosed } from './session-placement.ts';

/** How long a message may take on its way into the running turn. */
const STEER_MS = 5000;
/** Longest time between two looks at its state: a sign may be lost. */
const LOOK_MS = 250;
/** Turns in which a repeated request looks for its message. */
const LATEST_TURNS = 3;

export interface SessionMessagesOptions {
  readonly finder: SessionFinder;
  readonly jobs: Pick<JobService, 'create' | 'createCounted' | 'get'>;
  readonly records: Pick<JobRecords, 'read' | 'recall' | 'interrupt'>;
  readonly sessionRecords: Pick<SessionRecords, 'open'>;
  readonly steering: Pick<SteerMessages, 'send' | 'state' | 'withdraw'>;
  readonly waits: Pick<JobWaits, 'listen'>;
  readonly queue: Pick<PromptQueue, 'remove'>;
  readonly store: Store;
  readonly providers: Pick<Providers, 'get'>;
  resolverFor(principal: Principal): PromptResolver;
  readonly callers: Pick<CallerLimiter, 'refusal'>;
  readonly note: Audit['note'];
  /** Default: 5 seconds. */
  readonly steerMs?: number;
}

export interface SessionMessages extends Pick<Sessions, 'message' | 'messageJob'> {
  /**
   * Stops the turn that runs or is next; nothing, when there is none. A message stops one turn.
   * @param messageId null: it is no message, and acts each time
   * @returns whether the message has stopped a turn, or found none, before
   */
  interrupt(principal: Principal, sessionId: string, messageId: string | null): Promise<boolean>;
}

export function createSessionMessages({
  finder,
  jobs,
  records,
  sessionRecords,
  steering,
  waits,
  queue,
  store,
  providers,
  resolverFor,
  callers,
  note,
  steerMs = STEER_MS,
}: SessionMessagesOptions): SessionMessages {
  async function nextTurn(
    principal: Principal,
    found: FoundSession,
    prompt: string,
    idempotency: Idempotency | null,
    counted = false,
  ): Promise<Created> {
    const request = { ...(await finder.options(found)), prompt, sessionId: found.row.id };
    return (counted ? jobs.createCounted : jobs.create)(principal, request, idempotency);
  }

  /** The job that an earlier request with the key made; null: there is none. */
  async function made(principal: Principal, idempotency: Idempotency | null): Promise<string | null> {
    const key = scopedKey(principal, idempotency);
    const known = key === null ? null : await records.recall(key);
    return known?.kind === 'replayed' ? known.jobId : null;
  }

  /**
   * A message is sent with the rights of the running turn, so its sender must be allowed as much.
   * @throws AppError as for a job with that request; provider.unsupported_option
   */
  async function checkSteer(principal: Principal, provider: string, jobId: string | null): Promise<void> {
    if (!providers.get(provider).provider.capabilities.steer) {
      const message = `${provider} takes no message into a running turn`;
      throw new AppError('provider.unsupported_option', message, {
        problems: [{ path: '/delivery', message }],
      });
    }
    const job = jobId === null ? null : await records.read(jobId);
    if (job !== null) await resolverFor(principal)({ ...toRequest(job.request), prompt: 'x' });
  }

  /** What has become of a message that may be in one of these turns. */
  async function known(messageId: string, jobIds: readonly string[]): Promise<Steered | null> {
    for (const jobId of jobIds)
      if ((await steering.state(jobId, messageId)) === 'steered')
        return { messageId, delivered: 'steered', jobId };
    return null;
  }

  /**
   * Sends a message to the running turn. `left`: it has not taken the message, which the limits
   * have counted; `not_sent`: no turn runs, and they have not.
   * @throws AppError limit.*
   */
  async function deliver(
    sender: Pick<Principal, 'id' | 'project'>,
    jobId: string,
    id: string,
    text: string,
  ): Promise<'taken' | 'left' | 'not_sent'> {
    using wait = waits.listen(jobId);
    const deadline = performance.now() + steerMs;
    const never = new AbortController().signal;
    const result = await steering.send(jobId, { id, text }, sender);
    if (result === 'not_running') return 'not_sent';
    if (result !== 'sent') throw callers.refusal(result, sender, 1);
    for (;;) {
      const state = await steering.state(jobId, id);
      if (state !== 'sent') return state === 'steered' ? 'taken' : 'left';
      const leftMs = deadline - performance.now();
      if (leftMs <= 0) break;
      await wait.next(Math.min(LOOK_MS, leftMs), never);
    }
    if (await steering.withdraw(jobId, id)) return 'left';
    // The CLI has it, and has not said yet whether this turn reads it: the job does not end before.
    const state = await steering.state(jobId, id);
    return state === 'sent' || state === 'steered' ? 'taken' : 'left';
  }

  async function steer(
    principal: Principal,
    found: FoundSession,
    prompt: string,
    idempotency: Idempotency | null,
  ): Promise<Steered> {
    const { id, provider } = found.row;
    const [head = null] = await sessionRecords.open(id);
    const messageId = messageIdOf(principal, idempotency);
    const madeBefore = await made(principal, idempotency);
    if (madeBefore !== null) return { messageId, delivered: 'next', jobId: madeBefore };
    if (idempotency !== null) {
      const query = { session: id, limit: LATEST_TURNS, cursor: null };
      const { rows } = await store.run('jobs.list', { project: found.row.project, query, gates: null });
      const before = await known(
        messageId,
        rows.map((job) => job.id),
      );
      if (before !== null) return before;
    }
    await checkSteer(principal, provider, head);
    const { project } = found.row;
    const sender = { id: principal.id, project };
    const sent = head === null ? 'not_sent' : await deliver(sender, head, messageId, prompt);
    if (head !== null && sent === 'taken') {
      note(actorOf(principal), { action: 'message.steered', project, target: head });
      return { messageId, delivered: 'steered', jobId: head };
    }
    const { job } = await nextTurn(principal, found, prompt, idempotency, sent === 'left');
    return { messageId, delivered: 'next', jobId: job.id };
  }

  async function interrupt(
    principal: Principal,
    sessionId: string,
    messageId: string | null,
    head?: string,
  ): Promise<boolean> {
    const jobId = head ?? (await sessionRecords.open(sessionId))[0] ?? NO_JOB;
    const message = messageId === null ? null : { session: sessionId, id: messageId };
    const { kind } = await records.interrupt(jobId, INTERRUPTED, actorOf(principal), message);
    if (kind === 'cancelled') await queue.remove(jobId);
    return kind === 'repeated';
  }

  /** Stops the turn before a job that takes its place, once. */
  async function interruptBefore(principal: Principal, sessionId: string, jobId: string): Promise<void> {
    const open = await sessionRecords.open(sessionId);
    // A later turn is not meant, when the job has had its own.
    if (open.indexOf(jobId) > 0) await interrupt(principal, sessionId, jobId, open[0]);
  }

  async function message(
    principal: Principal,
    id: string,
    { prompt, delivery = 'next' }: MessageRequest,
    idempotency: Idempotency | null,
  ): ReturnType<Sessions['message']> {
    const found = await finder.find(principal, id);
    refuseTerminal(found, 'takes input instead of messages');
    if (delivery === 'steer') {
      if (found.row.status === 'closed') throw sessionClosed(id);
      return { steered: await steer(principal, found, prompt, idempotency) };
    }
    const created = await nextTurn(principal, found, prompt, idempotency);
    // Also of a repeated request, whose first one may have failed after it had made the job.
    if (delivery === 'interrupt') await interruptBefore(principal, id, created.job.id);
    return { created };
  }

  return {
    interrupt,
    message,

    async messageJob(principal, jobId, request, idempotency) {
      const job = await jobs.get(principal, jobId);
      const replayed = (await made(principal, idempotency)) !== null;
      if (isFinished(job.status) && !replayed)
        throw new AppError('job.already_finished', `the job has already ended: ${job.status}`);
      return message(principal, job.sessionId, request, idempotency);
    },
  };
}

/** A UUID: the same for each request with the same Idempotency-Key. */
function messageIdOf(principal: Principal, idempotency: Idempotency | null): string {
  const key = scopedKey(principal, idempotency);
  if (key === null) return randomUUID();
  const hex = createHash('sha256').update(`${key.key}\n${key.fingerprint}`).digest('hex');
  // Version 8: made from a name by a hash of one's own choice (RFC 9562).
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-8${hex.slice(13, 16)}-a${hex.slice(17, 20)}-${hex.slice(20, 32)}`;
}

/** Without an open turn: the message is remembered, and stops no later one. */
const NO_JOB = '';

/** The outcome of a turn that is interrupted before a CLI ran for it. */
const INTERRUPTED = jobOutcome(
  'cancelled',
  wireError('execution.interrupted', 'the turn was interrupted before it ran'),
);
