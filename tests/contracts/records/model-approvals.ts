/** The approvals and messages of the model: plain lists, without Redis. */
import { isDeepStrictEqual } from 'node:util';
import type { Approval, Decision } from '../../../src/protocol/approval.ts';
import type { EventBody } from '../../../src/protocol/event.ts';
import type { JobRecord } from '../../../src/records/ports.ts';
import type { RandomSteps } from './random.ts';

const MAX_OFFERS = 3; // as in approvals.lua
const OVER = 'No answer came: the request for approval is no longer open.';

type Job = Pick<JobRecord, 'id' | 'status' | 'executionId' | 'attempt' | 'sessionId' | 'project'>;

interface Stored {
  readonly approval: { -readonly [Key in keyof Approval]: Approval[Key] };
  readonly callId: string;
  readonly expiresAt: number;
  waits: 'held' | 'deferred' | 'granted';
  decision: Decision | null;
  scope: 'call' | 'session';
  /** Executions of its job when it was decided. */
  attempt: number;
  used: boolean;
  /** Its call waits in the session of the CLI, although it is over. */
  unanswered: boolean;
}

/** What is left of a job's approvals. */
export interface Left {
  pending: number;
  expiresAt: number;
  unused: Stored[];
}

export interface ModelApprovals extends Pick<RandomSteps, 'approvals' | 'messages'> {
  leftOf(job: Job): Left;
  dropOffered(left: Left, attempt: number): void;
  /** @param ends whether the job ends, too */
  closeAll(job: Job, ends: boolean): void;
  /** The job ends. */
  leave(job: Job): void;
  /** The job is deleted. */
  remove(job: Job): void;
  /** Its execution ends. */
  refuseMessages(job: Job): void;
  sweep(): void;
  pending(): number;
}

export function createModelApprovals(host: {
  now(): number;
  job(id: string): Job | undefined;
  isStopped(id: string): boolean;
  emit(jobId: string, body: EventBody): void;
  note(entry: string): void;
  /** A person has given a rule for a session. */
  onRule(sessionId: string): void;
  /** One of the job's approvals is over. */
  onOver(jobId: string): void;
}): ModelApprovals {
  const all = new Map<string, Stored>();
  const messages = new Map<string, { jobId: string; text: string; state: string }>();
  const ofJob = (jobId: string): Stored[] =>
    [...all.values()].filter(({ approval }) => approval.jobId === jobId).sort(byId);
  const shown = ({ approval, decision }: Stored): Approval =>
    decision?.decision === 'allow' ? { ...approval, input: decision.input } : { ...approval };
  const recordOf = ({ approval, callId, waits, decision, used }: Stored) => ({
    ...{ ...approval, callId, waits, decision, used },
  });

  function over(one: Stored, status: 'expired' | 'cancelled'): void {
    const { id, jobId } = one.approval;
    one.approval.status = status;
    host.note(`q ${id}`);
    host.emit(jobId, { kind: 'approval.decided', approvalId: id, status, decidedBy: null });
  }
  function leaveUnanswered(one: Stored): void {
    if (one.waits === 'deferred' && !one.used) one.unanswered = true;
  }
  function closeAll({ id }: Job, ends: boolean): void {
    for (const one of ofJob(id)) {
      if (one.approval.status !== 'pending') continue;
      over(one, ends && one.expiresAt <= host.now() ? 'expired' : 'cancelled');
      leaveUnanswered(one);
    }
  }

  return {
    leftOf({ id }) {
      const left: Left = { pending: 0, expiresAt: Number.POSITIVE_INFINITY, unused: [] };
      for (const one of ofJob(id)) {
        const { status } = one.approval;
        if (status === 'pending' || status === 'expired') {
          left.pending += 1;
          left.expiresAt = Math.min(left.expiresAt, one.expiresAt);
        } else if (status !== 'cancelled' && !one.used) left.unused.push(one);
      }
      return left;
    },
    dropOffered(left, attempt) {
      for (const one of left.unused) one.used = one.attempt + MAX_OFFERS <= attempt;
      left.unused = left.unused.filter(({ used }) => !used);
    },
    closeAll,
    leave(job) {
      closeAll(job, true);
      for (const one of ofJob(job.id)) leaveUnanswered(one);
    },
    remove({ id }) {
      for (const one of ofJob(id)) if (!one.unanswered) all.delete(one.approval.id);
    },
    refuseMessages({ id }) {
      for (const one of messages.values())
        if (one.jobId === id && one.state === 'sent') one.state = 'refused';
    },
    sweep() {
      const due = [...all.values()].filter(
        ({ approval, expiresAt }) => approval.status === 'pending' && expiresAt <= host.now(),
      );
      for (const one of due.sort((a, b) => a.expiresAt - b.expiresAt || byId(a, b)))
        if (host.job(one.approval.jobId)?.status !== 'waiting') over(one, 'expired');
    },
    pending: () => [...all.values()].filter(({ approval }) => approval.status === 'pending').length,

    approvals: {
      async read(id) {
        const one = all.get(id);
        return one === undefined ? null : shown(one);
      },
      async open({ jobId, executionId }, { id, ask, expiresAt }) {
        const job = host.job(jobId);
        if (job?.status !== 'running' || job.executionId !== executionId) return null;
        const known = ofJob(jobId).find(({ callId }) => callId === ask.callId);
        if (known !== undefined) return { approvalId: known.approval.id, watched: false };
        const { callId, kind, tool, input } = ask;
        const at = (ms: number): string => new Date(ms).toISOString();
        const approval: Approval = {
          ...{ id, jobId, sessionId: job.sessionId, project: job.project, kind, tool, input },
          ...{ questions: null, status: 'pending', createdAt: at(host.now()), expiresAt: at(expiresAt) },
          ...{ decidedBy: null, decidedAt: null },
        };
        all.set(id, {
          ...{ approval: { ...approval }, callId, expiresAt, waits: 'held', decision: null, scope: 'call' },
          ...{ attempt: 0, used: false, unanswered: false },
        });
        host.note(`q ${id}`);
        host.emit(jobId, { kind: 'approval.requested', approval });
        return { approvalId: id, watched: false };
      },
      async decide(id, { decision, scope }, by) {
        const one = all.get(id);
        if (one === undefined) return { kind: 'gone' };
        const { approval } = one;
        const job = host.job(approval.jobId);
        if (approval.status !== 'pending' || job === undefined) {
          const isSame = isDeepStrictEqual(one.decision, decision) && one.scope === scope;
          return isSame
            ? { kind: 'repeated', approval: shown(one) }
            : { kind: 'over', status: approval.status };
        }
        const status = decision.decision === 'allow' ? 'allowed' : 'denied';
        const decidedBy = by.actor.id;
        Object.assign(one, { decision, scope, attempt: job.attempt });
        Object.assign(approval, { status, decidedBy, decidedAt: new Date(host.now()).toISOString() });
        host.note(`q ${id}`);
        host.note(`u ${id}`);
        host.emit(approval.jobId, { kind: 'approval.decided', approvalId: id, status, decidedBy });
        if (status === 'allowed' && scope === 'session') host.onRule(approval.sessionId);
        host.onOver(approval.jobId);
        return { kind: 'decided', approval: shown(one) };
      },
      ofJob: async (jobId) => (host.job(jobId) === undefined ? [] : ofJob(jobId).map(recordOf)),
      unanswered: async (sessionId) =>
        [...all.values()]
          .filter((one) => one.unanswered && one.approval.sessionId === sessionId)
          .sort(byId)
          .map(recordOf),
      openIn: async (sessionId) =>
        [...all.values()]
          .filter((one) => one.approval.status === 'pending' && one.approval.sessionId === sessionId)
          .sort(byId)
          .map(recordOf),
      async park(id, waits) {
        const one = all.get(id);
        if (one !== undefined) one.waits = waits;
      },
      async take(id, executionId) {
        const one = all.get(id);
        if (one === undefined || one.approval.status === 'pending' || one.used) return null;
        const job = host.job(one.approval.jobId);
        const isOurs = job?.status === 'running' && job.executionId === executionId;
        if (!one.unanswered && (!isOurs || one.decision === null)) return null;
        const decision = one.unanswered ? ({ decision: 'deny', message: OVER } as const) : one.decision;
        Object.assign(one, { used: true, unanswered: false });
        return decision;
      },
      async withdraw(id) {
        const one = all.get(id);
        if (one === undefined) return;
        Object.assign(one, { used: true, unanswered: false });
        if (one.approval.status !== 'pending') return;
        over(one, 'cancelled');
        host.onOver(one.approval.jobId);
      },
    },

    messages: {
      async send(jobId, { id, text }) {
        if (host.job(jobId)?.status !== 'running' || host.isStopped(jobId)) return 'not_running';
        messages.set(id, { jobId, text, state: 'sent' });
        return 'sent';
      },
      async state(jobId, id) {
        const one = messages.get(id);
        if (one?.jobId !== jobId) return 'gone';
        return one.state === 'steered' || one.state === 'refused' ? one.state : 'sent';
      },
      async withdraw(jobId, id) {
        const one = messages.get(id);
        if (one?.jobId !== jobId || (one.state !== 'sent' && one.state !== 'refused')) return false;
        return messages.delete(id);
      },
      async take(jobId, executionId) {
        const job = host.job(jobId);
        if (job?.status !== 'running' || job.executionId !== executionId) return [];
        const found = [...messages].filter(([, one]) => one.jobId === jobId && one.state === 'sent');
        for (const [, one] of found) one.state = 'taken';
        return found.map(([id, { text }]) => ({ id, text }));
      },
      async settle(jobId, id, as) {
        const one = messages.get(id);
        if (one?.jobId === jobId && (one.state === 'sent' || one.state === 'taken')) one.state = as;
      },
    },
  };
}

const byId = (a: Stored, b: Stored): number => (a.approval.id < b.approval.id ? -1 : 1);
