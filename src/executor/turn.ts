/** What an execution asks, and in which session of its CLI. */
import { createHash } from 'node:crypto';
import { covers } from '../auth/tool-patterns.ts';
import { AppError, type ErrorCode } from '../errors.ts';
import type { Grant } from '../protocol/grant.ts';
import type { ResolvedPrompt } from '../protocol/prompt.ts';
import type { KnownCall } from '../providers/control.ts';
import type { Command, CommandContext, Provider } from '../providers/provider.ts';
import type { ApprovalRecord, RunningApprovals } from '../records/approval-ports.ts';
import type { Claim } from '../records/ports.ts';
import type { SessionRecords } from '../records/session-ports.ts';
import type { KnownApprovals } from './asks.ts';
import { cutText } from './bounded.ts';
import {
  type EarlierExecutions,
  earlierExecutions,
  hasPrompt,
  NO_EXECUTIONS,
  type ReadEvents,
} from './earlier.ts';
import type { FoundSession, KnownSessions } from './known-sessions.ts';

/** The records that {@link backgroundOf} reads. */
export interface BackgroundOptions {
  readonly sessions: Pick<KnownSessions, 'find' | 'total'>;
  readonly sessionRecords: Pick<SessionRecords, 'read'>;
  readonly approvals: Pick<RunningApprovals, 'ofJob' | 'unanswered' | 'openIn'>;
  /** Events of a job with seq > after, in order, at most `limit`. */
  readonly readEvents: ReadEvents;
}

export interface TurnOptions {
  readonly sessions: Pick<KnownSessions, 'total'>;
  /**
   * The environment of a provider's CLI: allow-listed variables of the server, and those the
   * command sets.
   */
  environment(provider: string, set: Command['env']): Readonly<Record<string, string>>;
}

/** A claim, or a job that may be claimed soon. */
export type Attempt = Omit<Claim, 'kind' | 'request' | 'waitedMs'>;

/** What the records have of a job's session, of its approvals and of its earlier executions. */
export interface Background {
  /** Null: the CLI has not begun it. */
  readonly session: FoundSession | null;
  /** Whether the session begins as a copy of `session`. */
  readonly fork: boolean;
  /** That people have given for the session. */
  readonly rules: readonly string[];
  readonly earlier: EarlierExecutions;
  /** Of the job; without those that the CLI has an answer to. */
  readonly approvals: readonly ApprovalRecord[];
  /** Whether a person has allowed the plan of the job: the CLI left plan mode then. */
  readonly hasPlan: boolean;
  /** Of the session; they were over before the CLI had an answer. */
  readonly over: readonly ApprovalRecord[];
  /** Of the session that this one is a copy of: their calls are for that one. */
  readonly ofParent: readonly ApprovalRecord[];
}

/** @throws AppError session.not_found, provider.unsupported_option, redis.unavailable */
export async function backgroundOf(
  claim: Attempt,
  request: ResolvedPrompt,
  provider: Provider,
  options: BackgroundOptions,
): Promise<Background> {
  const { jobId, attempt } = claim;
  const asks = provider.control !== undefined && provider.capabilities.approvals;
  const sessionId = request.sessionId ?? (attempt > 1 ? claim.sessionId : null);
  const [found, record, earlier, ofJob, over] = await Promise.all([
    request.sessionId === null ? null : options.sessions.find(request.sessionId),
    sessionId === null ? null : options.sessionRecords.read(sessionId),
    attempt > 1 ? earlierExecutions(claim, options.readEvents, provider) : NO_EXECUTIONS,
    asks && attempt > 1 ? options.approvals.ofJob(jobId) : [],
    asks && sessionId !== null ? options.approvals.unanswered(sessionId) : [],
  ]);
  const parent = record?.nativeSessionId === null ? record.fork?.sessionId : undefined;
  const ofParent = asks && parent !== undefined ? await waitingCallsOf(parent, options.approvals) : [];
  const approvals = ofJob.filter(isOpen);
  const open = new Set(approvals.map(idOf));
  const known = {
    ...{ rules: record?.rules ?? [], earlier, approvals },
    over: over.filter(({ id }) => !open.has(id)),
    ofParent,
    hasPlan: ofJob.some(({ kind, status, used }) => kind === 'plan' && status === 'allowed' && used),
  };
  if (request.sessionId === null || found !== null) return { ...known, session: found, fork: false };
  if (record === null)
    throw new AppError('session.not_found', `there is no session ${request.sessionId} to resume`);
  const nativeSessionId = record.nativeSessionId ?? record.fork?.nativeSessionId ?? null;
  const fork = record.nativeSessionId === null && record.fork !== null;
  if (fork && !provider.capabilities.fork)
    throw new AppError('provider.unsupported_option', `${provider.name} cannot fork a session`);
  if (nativeSessionId === null) return { ...known, session: null, fork };
  const tokens = await options.sessions.total(provider.name, nativeSessionId);
  return { ...known, session: { nativeSessionId, tokens }, fork };
}

/** Calls that wait in a session, for a person or as over. */
async function waitingCallsOf(
  sessionId: string,
  approvals: BackgroundOptions['approvals'],
): Promise<readonly ApprovalRecord[]> {
  const [over, open] = await Promise.all([approvals.unanswered(sessionId), approvals.openIn(sessionId)]);
  return [...over, ...open].filter(({ waits }) => waits === 'deferred');
}

const isOpen = ({ status, used }: ApprovalRecord): boolean =>
  !used && (status === 'pending' || status === 'allowed' || status === 'denied');

/** What a job's limits leave to its next execution. @throws AppError when nothing is left */
export function whatIsLeft(
  { timeoutMs, maxTurns, maxCostUsd }: ResolvedPrompt,
  { ranMs, turns, usage }: EarlierExecutions,
): Pick<ResolvedPrompt, 'timeoutMs' | 'maxTurns' | 'maxCostUsd'> {
  const costUsd = usage?.costUsd ?? 0;
  const over = (code: ErrorCode, limit: string): AppError =>
    new AppError(code, `the earlier executions of the job used all of its ${limit}`);
  if (ranMs >= timeoutMs) throw over('execution.timed_out', `${timeoutMs} ms`);
  if (maxTurns !== null && turns >= maxTurns) throw over('execution.max_turns', `${maxTurns} turns`);
  if (maxCostUsd !== null && costUsd >= maxCostUsd) throw over('execution.budget', `$${maxCostUsd}`);
  return {
    timeoutMs: Math.ceil(timeoutMs - ranMs),
    maxTurns: maxTurns === null ? null : maxTurns - turns,
    maxCostUsd: maxCostUsd === null ? null : maxCostUsd - costUsd,
  };
}

/** What an execution asks, and in which session of the CLI. */
export interface Turn
  extends Required<Pick<CommandContext, 'fork' | 'resumesCall' | 'sessionRules' | 'deadCalls'>> {
  readonly request: ResolvedPrompt;
  readonly promptId: string;
  /** Null: a new one. */
  readonly session: FoundSession | null;
  readonly known: readonly KnownCall[];
  readonly approvals: KnownApprovals;
}

const CONTINUE = 'Continue where you left off. If your answer was complete, give it again.';

/**
 * The job's prompt; or, in the session of an earlier execution, what continues it. The prompt is
 * not sent again where the CLI has saved it: by the events, else by the CLI's own transcript.
 */
export async function turnOf(
  request: ResolvedPrompt,
  found: {
    readonly claim: Attempt;
    readonly provider: Provider;
    readonly background: Background;
    /** All of them hold. */
    readonly grants: readonly Grant[];
  },
  options: TurnOptions,
): Promise<Turn> {
  const { claim, provider, background } = found;
  const { session, earlier, approvals, over, ofParent } = background;
  const { continues, continuePrompt = CONTINUE } = request;
  const decided = approvals.filter(({ status }) => status !== 'pending');
  const allowed = (rule: string): boolean =>
    found.grants.every(({ tools }) => tools === null || covers(tools, rule));
  const common = {
    sessionRules: background.rules.filter(allowed),
    deadCalls: [...over, ...ofParent].map(({ callId, tool }) => ({ callId, tool })),
    known: [...approvals.map(knownCall), ...over.map((one) => ({ ...knownCall(one), over: true }))],
    approvals: { open: approvals.map(idOf), reported: decided.map(idOf), deferred: [], over: over.map(idOf) },
  };
  const asAsked: Turn = {
    ...common,
    ...{ request, promptId: uuidOf(claim.jobId), session, fork: background.fork, resumesCall: false },
  };
  const nativeSessionId = earlier.nativeSessionId ?? session?.nativeSessionId ?? null;
  const again = claim.attempt > 1 && (request.retryMode !== 'restart' || approvals.length > 0);
  if (nativeSessionId === null || !(again || continues !== undefined)) return asAsked;
  const since = continues === undefined ? earlier.since : Date.parse(continues.since);
  const looked = { nativeSessionId, prompt: request.prompt, since };
  const isAsked = earlier.asked || continues?.asked === true;
  const wasHere = approvals.length > 0 && earlier.nativeSessionId !== null;
  const isSaved =
    isAsked || wasHere || (await hasPrompt(provider, options.environment(provider.name, {}), looked));
  // The CLI was killed before it saved anything: there is no conversation to resume.
  if (isSaved === null && continues !== undefined) return { ...asAsked, session: null };
  if (!isSaved) return asAsked;
  const isOwn = session === null || (background.fork && earlier.nativeSessionId !== null);
  const tokens = isOwn ? await options.sessions.total(provider.name, nativeSessionId) : session.tokens;
  const deferred = approvals.filter(({ waits }) => waits === 'deferred').map(idOf);
  const resumesCall = deferred.length > 0;
  const permissionMode =
    request.permissionMode === 'plan' && background.hasPlan ? 'default' : request.permissionMode;
  const prompt = decided.length > 0 ? decisionsPrompt(decided) : continuePrompt;
  return {
    ...common,
    request: { ...request, prompt, permissionMode, sessionId: request.sessionId ?? claim.sessionId },
    promptId: uuidOf(`${claim.jobId}/${claim.attempt}`),
    session: isOwn ? { nativeSessionId, tokens } : session,
    fork: background.fork && !isOwn,
    resumesCall,
    approvals: {
      open: approvals.map(idOf),
      reported: resumesCall ? [] : decided.map(idOf),
      deferred,
      over: over.map(idOf),
    },
  };
}

const knownCall = ({ id, callId, tool, input }: ApprovalRecord): KnownCall => ({
  ...{ approvalId: id, callId, tool, input },
});

const idOf = ({ id }: ApprovalRecord): string => id;

const MAX_SHOWN_BYTES = 8192;

/** Reports to the model what people have decided about calls that its CLI does not hold. */
function decisionsPrompt(decided: readonly ApprovalRecord[]): string {
  const lines = decided.map(({ tool, input, decision }) => {
    const call = `${tool} ${cutText(JSON.stringify(input) ?? '', MAX_SHOWN_BYTES)}`;
    return decision?.decision === 'allow'
      ? `- Allowed: ${call}\n  Make exactly the same call again.`
      : `- Denied: ${call}\n  ${decision?.message || 'Do not make it again.'}`;
  });
  return ['These tool calls waited for a person, who has decided:', ...lines, 'Then continue.'].join('\n');
}

/** Turns an id of Bullpen into a UUID. */
export function uuidOf(id: string): string {
  const hex = createHash('sha256').update(id).digest('hex');
  return hex.replace(/^(.{8})(.{4}).(.{3}).(.{3})(.{12}).*$/, '$1-$2-4$3-8$4-$5');
}
