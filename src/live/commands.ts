/** What each command does, and who may send it. */
import { mayUse, type Principal } from '../auth/principal.ts';
import { AppError } from '../errors.ts';
import { fingerprintOf } from '../fingerprint.ts';
import type { Idempotency, Jobs, RequestLimits } from '../http/ports.ts';
import type { ApprovalService, Sessions, Terminals } from '../http/session-ports.ts';
import type { Scope } from '../protocol/key.ts';
import type { LiveAnswer, LiveRequest } from '../protocol/live.ts';
import { invalid } from '../protocol/problem.ts';
import { checkPromptText } from '../protocol/prompt.ts';
import { ULID } from '../protocol/schema.ts';
import type { MessageRequest } from '../protocol/session.ts';

export interface LiveServices {
  readonly jobs: Pick<Jobs, 'cancel'>;
  readonly sessions: Pick<Sessions, 'get' | 'message' | 'messageJob' | 'interrupt'>;
  readonly terminals: Terminals;
  readonly approvals: Pick<ApprovalService, 'decide'>;
  readonly limits: RequestLimits;
}

type Command = Extract<LiveRequest, { type: 'command' }>;
type Named<Name> = Extract<Command['data'], { command: Name }>;
/** A request that something is done with. */
export type ActingRequest = Command | Extract<LiveRequest, { type: 'cancel' }>;

/**
 * The scopes, as the routes of HTTP have them. A request that HTTP counts for the requests a minute
 * is counted here, too, but for those that only read.
 */
export const LIVE_ACCESS = {
  prompt: 'sessions:write',
  promptJob: 'jobs:write',
  interrupt: 'sessions:write',
  cancelJob: 'jobs:write',
  decide: 'approvals:decide',
  terminal: 'terminals',
  readSession: 'sessions:read',
  readJob: 'jobs:read',
} as const satisfies Record<string, Scope>;

/** @throws AppError auth.forbidden */
export function demand(principal: Principal, scope: Scope): void {
  if (mayUse(principal, scope)) return;
  throw new AppError('auth.forbidden', `this needs a token with the scope ${scope}`);
}

/** Does everything but `subscribe` and `unsubscribe`. */
export function createCommands(services: LiveServices) {
  const { jobs, sessions, terminals, approvals, limits } = services;

  async function prompt(
    principal: Principal,
    request: Command,
    { prompt: text, delivery }: Named<'prompt'>,
  ): Promise<LiveAnswer> {
    const { session_id, job_id, message_id: key } = request;
    const message: MessageRequest = { prompt: text, ...(delivery !== undefined && { delivery }) };
    if (session_id === undefined && job_id === undefined) throw missing('session_id');
    demand(principal, job_id === undefined ? LIVE_ACCESS.prompt : LIVE_ACCESS.promptJob);
    checkPromptText(message);
    await limits.takeRequest(principal);
    // The same request over HTTP with this key is the same message.
    const keyFor = (path: string): Idempotency => ({
      ...{ key, fingerprint: fingerprintOf(`POST ${path}/messages`, message) },
    });
    const result =
      job_id === undefined
        ? await sessions.message(principal, sessionOf(request), message, keyFor(`/v1/sessions/${session_id}`))
        : await sessions.messageJob(principal, jobOf(request), message, keyFor(`/v1/jobs/${job_id}`));
    if ('steered' in result)
      return { command: 'prompt', jobId: result.steered.jobId, delivered: result.steered.delivered };
    return { command: 'prompt', jobId: result.created.job.id, delivered: 'next' };
  }

  /** Stops the running turn of a chat, or what runs in the foreground of a terminal. */
  async function interrupt(principal: Principal, request: ActingRequest): Promise<boolean> {
    const id = sessionOf(request);
    if (!mayUse(principal, LIVE_ACCESS.terminal)) demand(principal, LIVE_ACCESS.interrupt);
    const { kind } = await sessions.get(principal, id);
    demand(principal, kind === 'terminal' ? LIVE_ACCESS.terminal : LIVE_ACCESS.interrupt);
    await limits.takeRequest(principal);
    const messageId = request.message_id;
    if (kind === 'terminal')
      return (await terminals.ask(principal, id, { kind: 'signal', signal: 'INT', messageId })).repeated;
    return sessions.interrupt(principal, id, messageId);
  }

  async function cancel(principal: Principal, request: ActingRequest, force: boolean): Promise<LiveAnswer> {
    if (request.job_id === undefined) {
      await interrupt(principal, request);
      return { command: 'cancel' };
    }
    demand(principal, LIVE_ACCESS.cancelJob);
    await limits.takeRequest(principal);
    await jobs.cancel(principal, jobOf(request), force);
    return { command: 'cancel' };
  }

  async function inTerminal(
    principal: Principal,
    request: Command,
    data: Named<'input' | 'resize' | 'signal'>,
  ): Promise<LiveAnswer> {
    demand(principal, LIVE_ACCESS.terminal);
    const id = sessionOf(request);
    const messageId = request.message_id;
    switch (data.command) {
      case 'input': {
        const { data: typed, clientSeq = null } = data;
        const ask = { kind: 'input', data: typed, clientSeq, messageId } as const;
        return { command: 'input', ...(await terminals.ask(principal, id, ask)) };
      }
      case 'resize': {
        const ask = { kind: 'resize', cols: data.cols, rows: data.rows, messageId } as const;
        return { command: 'resize', ...(await terminals.ask(principal, id, ask)) };
      }
      case 'signal': {
        const ask = { kind: 'signal', signal: data.signal, messageId } as const;
        return { command: 'signal', ...(await terminals.ask(principal, id, ask)) };
      }
    }
  }

  async function decide(principal: Principal, data: Named<'decide'>): Promise<LiveAnswer> {
    const { command: _, approvalId, ...decision } = data;
    demand(principal, LIVE_ACCESS.decide);
    await limits.takeRequest(principal);
    if (!ULID.test(approvalId)) throw new AppError('approval.not_found', 'there is no approval with this id');
    return { command: 'decide', approval: await approvals.decide(principal, approvalId, decision) };
  }

  return async function act(principal: Principal, request: ActingRequest): Promise<LiveAnswer> {
    if (request.type === 'cancel') return cancel(principal, request, request.data?.force ?? false);
    const { data } = request;
    switch (data.command) {
      case 'prompt':
        return prompt(principal, request, data);
      case 'input':
      case 'resize':
      case 'signal':
        return inTerminal(principal, request, data);
      case 'interrupt':
        return { command: 'interrupt', repeated: await interrupt(principal, request) };
      case 'decide':
        return decide(principal, data);
      case 'subscribe':
      case 'unsubscribe':
        throw new AppError('internal.error', `${data.command} is done by the subscriptions`);
    }
  };
}

/** @throws AppError request.invalid, session.not_found */
export function sessionOf({ session_id }: Pick<ActingRequest, 'session_id'>): string {
  if (session_id === undefined) throw missing('session_id');
  if (ULID.test(session_id)) return session_id;
  throw new AppError('session.not_found', 'there is no session with this id');
}

/** @throws AppError request.invalid, job.not_found */
export function jobOf({ job_id }: Pick<ActingRequest, 'job_id'>): string {
  if (job_id === undefined) throw missing('job_id');
  if (ULID.test(job_id)) return job_id;
  throw new AppError('job.not_found', 'there is no job with this id');
}

const missing = (name: string): AppError => invalid([{ path: `/${name}`, message: 'is required' }]);
