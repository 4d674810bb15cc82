import { readJobGrant } from '../auth/job-grant.ts';
import type { Signer } from '../auth/signer.ts';
import type { ReportDamage } from '../damage.ts';
import { type ErrorCode, wireError } from '../errors.ts';
import { jobOutcome, sumOfUsage } from '../protocol/outcome.ts';
import { DEFAULT_PROJECT } from '../protocol/project.ts';
import type { ResolvedPrompt } from '../protocol/prompt.ts';
import type { Claim, Claims, FinishResult, JobRecord, LeaseState, TimedEvent, WaitingJob } from './ports.ts';
import { encodeEvents, jobArguments, requestOf, sessionBegunBy, sessionOf } from './record-codec.ts';
import { actorArguments, type ScriptRunner } from './script-runner.ts';
import { isForged } from './signatures.ts';

/** The outcome of a job that waited longer than its `ttlMs`. */
export const EXPIRED = jobOutcome(
  'failed',
  wireError('queue.expired', 'the job waited longer than its ttlMs'),
);

/** The outcome of a job that waited for a usage limit longer than its `quotaTimeoutMs`. */
export const NO_QUOTA = jobOutcome(
  'failed',
  wireError('execution.quota', 'the usage limit lasted longer than quotaTimeoutMs'),
);

/** The outcome of a job that waited for a person longer than its `approvalTimeoutMs`. */
export const UNANSWERED = jobOutcome(
  'failed',
  wireError('approval.expired', 'no answer came within approvalTimeoutMs'),
);

/** The outcome of a job whose request cannot be read. */
const DAMAGED = jobOutcome(
  'failed',
  wireError('record.damaged', 'the request of the job, or what it may do, cannot be read'),
);

/** Ends that neither the prompt nor the CLI is to blame for. SETTLE_LOST knows its own. */
const INTERRUPTED: readonly ErrorCode[] = ['execution.lost', 'execution.overloaded'];

/** What APPEND answers when the execution has to stop. */
const SPENT = -2;

/** What an execution has cost so far, in USD, as these events show; null: none of them does. */
function costShownBy(events: readonly TimedEvent[]): number | null {
  const found = events.findLast(({ event }) => event.kind === 'usage' && event.usage.costUsd !== null);
  return found?.event.kind === 'usage' ? found.event.usage.costUsd : null;
}

/** How many jobs that a node may not run a claim looks past. */
export const WINDOW = 1000;

/** PEEK leaves out longer requests: it is only a hint. */
export const PEEK_MAX_BYTES = 65_536;

/**
 * {@link Claims} over Redis, for one node.
 * @param timing `leaseMs`: how long a lease holds; `leaderMs`: how long a silent node remains
 *   the one that answers raw requests
 * @param roots real paths now; only jobs inside one of them are claimed. null: all jobs
 */
export function createClaims(
  scripts: ScriptRunner,
  node: string,
  timing: { readonly leaseMs: number; readonly leaderMs: number },
  roots: (() => readonly string[]) | null,
  report: ReportDamage,
  signer: Signer | null,
): Claims {
  const expired = JSON.stringify(EXPIRED);
  const quota = JSON.stringify(NO_QUOTA);
  const unanswered = JSON.stringify(UNANSWERED);
  const rootsJson = (): string | null => (roots === null ? null : JSON.stringify(roots()));

  /** Claims with a readable request. The others end here, because no node can run them. */
  function readable(reply: unknown): Claim[] {
    const rows = (reply as unknown[][]).map((row) => decodeClaim(row, signer)); // the script's replies
    for (const { jobId, executionId, request } of rows) {
      if (request !== null) continue;
      report({ kind: 'job', id: jobId, why: 'its request cannot be read' });
      const outcome = { ...DAMAGED, executionId };
      const end = { jobId, executionId, outcome, from: 0, tail: [], backoffMs: null, rawAnswer: null };
      claims.finish(end).catch(() => undefined); // `owned` returns it again
    }
    return rows.flatMap(({ request, ...row }) => (request === null ? [] : [{ ...row, request }]));
  }

  const claims: Claims = {
    async claim(max, room = {}) {
      const found = await scripts.run('claim', {
        node,
        max,
        leaseMs: timing.leaseMs,
        expired,
        quota,
        unanswered,
        window: WINDOW,
        roots: rootsJson(),
        room: Object.keys(room).length === 0 ? null : JSON.stringify(room),
      });
      const [claims, given] = found as [unknown, readonly string[]]; // the script's replies
      return { claims: readable(claims), given };
    },

    async giveBack() {
      await scripts.run('give-back', { node });
    },

    async peek(max) {
      const found = await scripts.run('peek', { node, max, roots: rootsJson(), maxBytes: PEEK_MAX_BYTES });
      return (found as unknown[][])
        .map((row) => decodeWaiting(row, signer)) // the script's replies
        .filter((job) => job !== null);
    },

    async owned() {
      return readable(await scripts.run('owned', { node }));
    },

    async renew(executions, credentials) {
      const list = executions.flatMap((one) => [one.jobId, one.executionId]);
      const named = credentials === undefined ? null : JSON.stringify(credentials);
      const args = { node, leaseMs: timing.leaseMs, credentials: named };
      return (await scripts.run('renew', args, list)) as LeaseState[]; // the script's replies
    },

    async append(jobId, executionId, from, events) {
      const readers = Number(
        await scripts.run(
          'append',
          {
            ...{ id: jobId, executionId, from },
            nativeSessionId: sessionBegunBy(events),
            costUsd: costShownBy(events),
          },
          encodeEvents(events),
        ),
      );
      if (readers === SPENT) return 'spent';
      if (readers < 0) return 'fenced';
      return readers > 0 ? 'read' : 'unread';
    },

    async finish(finish): Promise<FinishResult> {
      const { jobId, executionId, outcome, earlierUsage = null } = finish;
      const { backoffMs, quotaMs = null, parked = false, rawAnswer, from, tail } = finish;
      const usage = sumOfUsage(earlierUsage, outcome.usage);
      const stopped = (code: ErrorCode, message: string): string =>
        JSON.stringify({ ...outcome, usage, status: 'cancelled', error: wireError(code, message) });
      const args = {
        id: jobId,
        executionId,
        status: outcome.status,
        outcome: JSON.stringify(outcome),
        jobOutcome: earlierUsage === null ? null : JSON.stringify({ ...outcome, usage }),
        usage: usage === null ? null : JSON.stringify(usage),
        interrupted: INTERRUPTED.some((code) => code === outcome.error?.code) ? 1 : null,
        lost: outcome.error?.code === 'execution.lost',
        parked,
        ifCancelled: parked ? stopped('execution.cancelled', 'the job was cancelled') : null,
        ifInterrupted: parked ? stopped('execution.interrupted', 'the turn was interrupted') : null,
        nativeSessionId: sessionBegunBy(tail),
        costUsd: outcome.usage?.costUsd ?? null,
        retryable: backoffMs !== null && outcome.error?.retryable === true,
        backoffMs: backoffMs ?? 0,
        quotaMs,
        rawAnswer: rawAnswer === '' ? null : rawAnswer,
        from,
      };
      return (await scripts.run('finish', args, encodeEvents(tail))) as FinishResult; // the script's replies
    },

    async adopt(job, executionId) {
      // A raw request has no delay, no time limit for waiting, no lane and no retry.
      const once = { ...jobArguments(job, signer), delayMs: 0, ttlMs: null, lanes: null, maxAttempts: 1 };
      const by = actorArguments(job.by ?? null);
      const args = { node, leaderMs: timing.leaderMs, executionId, ...once, ...by };
      return (await scripts.run('adopt', args)) === 1;
    },
  };
  return claims;
}

/** A row of a reply of CLAIM or OWNED. `request` is null when it or the grant cannot be read. */
function decodeClaim(
  row: readonly unknown[],
  signer: Signer | null,
): Omit<Claim, 'request'> & { request: ResolvedPrompt | null } {
  const [jobId, executionId, attempt, kind, principal, sessionId, text, project, granted] = row;
  const [signature, waitedMs] = row.slice(9);
  const { request, grant } = readGranted(String(text), String(granted));
  const texts = { id: String(jobId), project: String(project), principal: String(principal) };
  return {
    jobId: String(jobId),
    executionId: String(executionId),
    attempt: Number(attempt),
    kind: kind === 'raw' ? 'raw' : 'api',
    project: String(project) || DEFAULT_PROJECT,
    principal: String(principal),
    grant,
    forged: isForged(signer, {
      ...{ ...texts, request: String(text), grant: String(granted) },
      signature: String(signature),
    }),
    sessionId: String(sessionId) || sessionOf(String(jobId), request ?? { sessionId: null }),
    request,
    ...(typeof waitedMs === 'number' && { waitedMs }),
  };
}

/** A row of a reply of PEEK; null when it cannot be read. */
function decodeWaiting(row: readonly unknown[], signer: Signer | null): WaitingJob | null {
  const [id = '', principal = '', text = '', project = '', granted = '', signature = ''] = row.map(String);
  const { request, grant } = readGranted(text, granted);
  if (request === null) return null;
  const forged = isForged(signer, { id, project, principal, request: text, grant: granted, signature });
  return { jobId: id, project: project || DEFAULT_PROJECT, principal, grant, forged, request };
}

/** A request for the executor, which checks it again; null when it or its grant cannot be read. */
function readGranted(
  request: string,
  grant: string,
): Pick<JobRecord, 'grant'> & { request: ResolvedPrompt | null } {
  try {
    return { request: requestOf(request), grant: readJobGrant(grant) };
  } catch {
    return { request: null, grant: null };
  }
}
