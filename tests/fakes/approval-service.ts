import { isDeepStrictEqual } from 'node:util';
import { ulid } from 'ulid';
import { maySee, type Principal } from '../../src/auth/principal.ts';
import { AppError } from '../../src/errors.ts';
import type { ApprovalQuery, ApprovalService } from '../../src/http/session-ports.ts';
import type { Approval, DecideRequest } from '../../src/protocol/approval.ts';

export const approvalOf = (change: Partial<Approval> = {}): Approval => ({
  ...{ id: ulid(), jobId: ulid(), sessionId: ulid(), project: 'default' },
  ...{ kind: 'tool', tool: 'Bash', input: { command: 'git push' }, questions: null, status: 'pending' },
  ...{ createdAt: '2026-11-21T12:00:01.000Z', expiresAt: '2026-11-28T12:00:01.000Z' },
  ...{ decidedBy: null, decidedAt: null },
  ...change,
});

/** The ApprovalService port in memory. */
export class FakeApprovalService implements ApprovalService {
  readonly queries: ApprovalQuery[] = [];
  readonly decisions = new Map<string, DecideRequest>();
  readonly #held = new Map<string, Approval>();

  add(change: Partial<Approval> = {}): Approval {
    const approval = approvalOf(change);
    this.#held.set(approval.id, approval);
    return approval;
  }

  async list(principal: Principal, query: ApprovalQuery) {
    this.queries.push(query);
    const data = [...this.#held.values()].filter(({ project }) => maySee(principal, project));
    return { data, nextCursor: null };
  }

  async get(principal: Principal, id: string): Promise<Approval> {
    const approval = this.#held.get(id);
    if (approval !== undefined && maySee(principal, approval.project)) return approval;
    throw new AppError('approval.not_found', 'there is no approval with this id');
  }

  async decide(principal: Principal, id: string, request: DecideRequest): Promise<Approval> {
    const approval = await this.get(principal, id);
    const before = this.decisions.get(id);
    if (before !== undefined) {
      if (isDeepStrictEqual(before, request)) return approval;
      throw new AppError('approval.already_decided', 'the approval is decided already');
    }
    this.decisions.set(id, request);
    const status = request.decision === 'allow' ? 'allowed' : 'denied';
    const decided = { ...approval, status, decidedBy: principal.id, decidedAt: approval.createdAt } as const;
    this.#held.set(id, decided);
    return decided;
  }
}
