import type { ApprovalStatus, Decision } from '../../src/protocol/approval.ts';
import type { ApprovalRecord, RunningApprovals, SteerMessages } from '../../src/records/approval-ports.ts';

export interface FakeApprovals {
  readonly approvals: RunningApprovals;
  readonly messages: SteerMessages;
  /** All approvals, in the order in which they were asked for. */
  readonly all: ReadonlyMap<string, ApprovalRecord>;
  /** Decides one; it does not ring. */
  decide(id: string, decision: Decision): void;
  /** Sets fields of one. */
  change(id: string, fields: Partial<ApprovalRecord>): void;
  /** Puts one there, as an earlier execution left it. */
  put(record: Partial<ApprovalRecord> & Pick<ApprovalRecord, 'id' | 'jobId'>): void;
  /** Whether the jobs have a reader. */
  watched: boolean;
  /** Every call in order: `open`, `take` … */
  readonly calls: readonly string[];
  /** Runs before each call: fails it when it rejects. */
  before(hook: (call: string) => Promise<void>): void;
}

/** The records of approvals and messages, in memory, as far as the executor uses them. */
export function createFakeApprovals(): FakeApprovals {
  const all = new Map<string, ApprovalRecord>();
  const sent = new Map<string, { jobId: string; text: string; state: 'sent' | 'steered' | 'refused' }>();
  const takenMessages = new Set<string>();
  const calls: string[] = [];
  let hook: (call: string) => Promise<void> = async () => undefined;

  async function enter(call: string): Promise<void> {
    calls.push(call);
    await hook(call);
  }

  function change(id: string, fields: Partial<ApprovalRecord>): void {
    const record = all.get(id);
    if (record !== undefined) all.set(id, { ...record, ...fields });
  }

  const fake: FakeApprovals = {
    all,
    calls,
    watched: false,
    before: (next) => {
      hook = next;
    },
    change,
    decide(id, decision) {
      const status: ApprovalStatus = decision.decision === 'allow' ? 'allowed' : 'denied';
      change(id, { status, decision, decidedBy: 'ann' });
    },
    put(record) {
      all.set(record.id, {
        ...{ callId: 'call', sessionId: 's', project: 'default', kind: 'tool', tool: 'Bash', input: {} },
        ...{ questions: null, status: 'pending', decision: null, used: false, waits: 'granted' },
        ...{ createdAt: '2026-01-01T00:00:00.000Z', expiresAt: '2026-01-01T00:00:00.000Z' },
        ...{ decidedBy: null, decidedAt: null },
        ...record,
      });
    },
    approvals: {
      async open({ jobId }, { id, ask, expiresAt }) {
        await enter('open');
        const known = [...all.values()].find((one) => one.jobId === jobId && one.callId === ask.callId);
        if (known === undefined) {
          const { callId, kind, tool, input, questions } = ask;
          fake.put({
            id,
            jobId,
            callId,
            kind,
            tool,
            input,
            questions: questions && [...questions],
            waits: 'held',
          });
          change(id, { expiresAt: new Date(expiresAt).toISOString() });
        }
        return { approvalId: known?.id ?? id, watched: fake.watched };
      },
      async ofJob(jobId) {
        await enter('ofJob');
        return [...all.values()].filter((one) => one.jobId === jobId);
      },
      async unanswered(sessionId) {
        await enter('unanswered');
        return [...all.values()].filter(
          (one) => one.sessionId === sessionId && one.waits === 'deferred' && !one.used,
        );
      },
      async openIn(sessionId) {
        await enter('openIn');
        return [...all.values()].filter((one) => one.sessionId === sessionId && one.status === 'pending');
      },
      async park(id, waits, callId) {
        await enter(`park ${waits}`);
        change(id, { waits, ...(callId !== undefined && { callId }) });
      },
      async take(id) {
        await enter('take');
        const record = all.get(id);
        if (record === undefined || record.used || record.status === 'pending') return null;
        change(id, { used: true });
        return record.decision ?? { decision: 'deny', message: 'it is over' };
      },
      async withdraw(id) {
        await enter('withdraw');
        change(id, { used: true, ...(all.get(id)?.status === 'pending' && { status: 'cancelled' }) });
      },
    },
    messages: {
      async send(jobId, { id, text }) {
        sent.set(id, { jobId, text, state: 'sent' });
        return 'sent';
      },
      state: async (_jobId, id) => sent.get(id)?.state ?? 'gone',
      async withdraw(_jobId, id) {
        return !takenMessages.has(id) && sent.delete(id);
      },
      async take(jobId) {
        await enter('takeMessages');
        const found = [...sent].filter(([id, one]) => one.jobId === jobId && !takenMessages.has(id));
        for (const [id] of found) takenMessages.add(id);
        return found.map(([id, { text }]) => ({ id, text }));
      },
      async settle(_jobId, id, state) {
        await enter(`settle ${state}`);
        const message = sent.get(id);
        if (message !== undefined) sent.set(id, { ...message, state });
      },
    },
  };
  return fake;
}
