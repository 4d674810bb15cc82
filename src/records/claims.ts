import type { ReportDamage } from '../damage.ts';
import { wireError } from '../errors.ts';
import { jobOutcome } from '../protocol/outcome.ts';
import type { Claim, Claims, FinishResult, LeaseState } from './ports.ts';
import { decodeClaim, encodeEvents, readRequest, scoreOf } from './record-codec.ts';
import type { ScriptRunner } from './script-runner.ts';

/** How a job ends that waited longer than its `ttlMs`. */
export const EXPIRED = jobOutcome(
  'failed',
  wireError('queue.expired', 'the job waited longer than its ttlMs'),
);

/** How a job ends whose request cannot be read. */
const DAMAGED = jobOutcome('failed', wireError('record.damaged', 'the request of the job cannot be read'));

/** Jobs of other nodes' folders a claim may look past. */
export const WINDOW = 1000;

/** A hint is not worth moving a longer request for. */
export const PEEK_MAX_BYTES = 65_536;

/**
 * {@link Claims} over Redis, for one node.
 * @param timing `leaseMs`: how long a claim holds without being renewed
 * @param roots real paths as of now; only jobs inside one of them are claimed. null: all
 */
export function createClaims(
  scripts: ScriptRunner,
  node: string,
  timing: { readonly leaseMs: number; readonly leaderMs: number },
  roots: (() => readonly string[]) | null,
  report: ReportDamage,
): Claims {
  const expired = JSON.stringify(EXPIRED);
  const rootsText = (): string => (roots === null ? '' : JSON.stringify(roots()));

  /** Claims with a request. One without ends here: no node can run it, and it must not come again. */
  function readable(reply: unknown): Claim[] {
    const rows = (reply as unknown[][]).map(decodeClaim); // the script's replies
    for (const { jobId, executionId, request } of rows) {
      if (request !== null) continue;
      report({ kind: 'job', id: jobId, why: 'its request cannot be read' });
      const outcome = { ...DAMAGED, executionId };
      const end = { jobId, executionId, outcome, from: 0, tail: [], backoffMs: null, rawAnswer: null };
      claims.finish(end).catch(() => undefined); // `owned` brings it again
    }
    return rows.flatMap(({ request, ...row }) => (request === null ? [] : [{ ...row, request }]));
  }

  const claims: Claims = {
    async claim(max, room = {}) {
      const roomText = Object.keys(room).length === 0 ? '' : JSON.stringify(room);
      const where = [rootsText(), WINDOW, roomText];
      return readable(await scripts.run('CLAIM', [node, max, timing.leaseMs, expired, ...where]));
    },

    async peek(max) {
      const found = await scripts.run('PEEK', [node, max, rootsText(), PEEK_MAX_BYTES]);
      return (found as string[]).map(readRequest).filter((request) => request !== null); // as it was written
    },

    async owned() {
      return readable(await scripts.run('OWNED', [node]));
    },

    async renew(executions) {
      const pairs = executions.flatMap((one) => [one.jobId, one.executionId]);
      return (await scripts.run('RENEW', [node, timing.leaseMs, ...pairs])) as LeaseState[]; // the script's replies
    },

    async append(jobId, executionId, from, events) {
      const args = [jobId, executionId, from, ...encodeEvents(events)];
      const listeners = Number(await scripts.run('APPEND', args));
      if (listeners < 0) return 'fenced';
      return listeners > 0 ? 'read' : 'unread';
    },

    async finish(finish): Promise<FinishResult> {
      const reply = await scripts.run('FINISH', [
        finish.jobId,
        finish.executionId,
        finish.outcome.status,
        JSON.stringify(finish.outcome),
        finish.backoffMs !== null && finish.outcome.error?.retryable === true ? 1 : 0,
        finish.backoffMs ?? 0,
        finish.rawAnswer ?? '',
        finish.from,
        ...encodeEvents(finish.tail),
      ]);
      return reply as FinishResult; // the script's replies
    },

    async adopt(job, executionId) {
      const { request } = job;
      const args = [node, timing.leaderMs, executionId, job.id, job.principal, JSON.stringify(request)];
      const place = [scoreOf(job), job.createdAt, request.cwd, request.provider, job.project, job.sessionId];
      return (await scripts.run('ADOPT', [...args, ...place])) === 1;
    },
  };
  return claims;
}
