import { describe, expect, it } from 'vitest';
import { ADMIN_PRINCIPAL, type Principal } from '../../../src/auth/principal.ts';
import { createApprovalService, decisionOf } from '../../../src/jobs/approvals.ts';
import type { Approval, DecideRequest } from '../../../src/protocol/approval.ts';
import { OPEN_GRANT } from '../../../src/protocol/grant.ts';
import type { Approvals, DecideResult } from '../../../src/records/approval-ports.ts';
import type { JobRecord } from '../../../src/records/ports.ts';
import type { Store } from '../../../src/store/store.ts';
import { approvalOf } from '../../fakes/approval-service.ts';
import { callerOf } from '../../fakes/principals.ts';

const CALL = approvalOf();
const QUESTION = approvalOf({
  kind: 'question',
  tool: 'AskUserQuestion',
  input: { questions: ['as asked'] },
  questions: [
    {
      question: 'Which db?',
      header: null,
      options: [{ label: 'SQLite', description: null }],
      multiSelect: false,
    },
    { question: 'Which tests?', header: null, options: [], multiSelect: true },
  ],
});
const PLAN = approvalOf({ kind: 'plan', tool: 'ExitPlanMode', input: { plan: 'x' } });
const ANSWERS = { 'Which db?': 'SQLite', 'Which tests?': ['unit', 'e2e'] };

describe('the decision of a request', () => {
  it.each<[string, Approval, DecideRequest, object]>([
    [
      'an allow has the input that was asked for',
      CALL,
      { decision: 'allow' },
      { input: CALL.input, rules: [] },
    ],
    [
      'an edited input runs instead',
      CALL,
      { decision: 'allow', input: { command: 'ls' } },
      { input: { command: 'ls' }, rules: [] },
    ],
    [
      'for the session it is a rule for the tool',
      CALL,
      { decision: 'allow', scope: 'session' },
      { input: CALL.input, rules: ['Bash'] },
    ],
    [
      'or the rule that is given',
      CALL,
      { decision: 'allow', scope: 'session', rule: 'Bash(git *)' },
      { input: CALL.input, rules: ['Bash(git *)'] },
    ],
    [
      'a question has its answers beside what was asked; several are one text',
      QUESTION,
      { decision: 'allow', answers: ANSWERS },
      {
        input: { questions: ['as asked'], answers: { 'Which db?': 'SQLite', 'Which tests?': 'unit, e2e' } },
        rules: [],
      },
    ],
    ['a plan is allowed as it is', PLAN, { decision: 'allow' }, { input: { plan: 'x' }, rules: [] }],
    ['a denial says so', PLAN, { decision: 'deny' }, { message: expect.stringMatching(/./) }],
    ['or why', CALL, { decision: 'deny', message: 'Not today' }, { message: 'Not today' }],
  ])('%s', (_name, approval, request, expected) => {
    expect(decisionOf(approval, request)).toEqual({ decision: request.decision, ...expected });
  });

  it.each<[Approval, DecideRequest, string]>([
    [CALL, { decision: 'deny', input: {} }, '/input'],
    [CALL, { decision: 'deny', rule: 'Bash' }, '/rule'],
    [CALL, { decision: 'deny', scope: 'session' }, '/scope'],
    [CALL, { decision: 'allow', message: 'yes' }, '/message'],
    [CALL, { decision: 'allow', answers: ANSWERS }, '/answers'],
    [CALL, { decision: 'allow', rule: 'Bash' }, '/rule'],
    [CALL, { decision: 'allow', scope: 'session', rule: 'Write' }, '/rule'],
    [CALL, { decision: 'allow', scope: 'session', rule: 'BashOutput' }, '/rule'],
    [PLAN, { decision: 'allow', scope: 'session' }, '/scope'],
    [PLAN, { decision: 'allow', input: {} }, '/input'],
    [QUESTION, { decision: 'allow' }, '/answers'],
    [QUESTION, { decision: 'allow', answers: { 'Which db?': 'SQLite' } }, '/answers'],
    [QUESTION, { decision: 'allow', answers: { ...ANSWERS, 'Which db?': ['A', 'B'] } }, '/answers'],
    [QUESTION, { decision: 'allow', answers: { ...ANSWERS, 'Which tests?': [] } }, '/answers'],
    [QUESTION, { decision: 'allow', answers: { ...ANSWERS, 'Which db?': '' } }, '/answers'],
    [QUESTION, { decision: 'allow', answers: { ...ANSWERS, other: 'x' } }, '/answers'],
  ])('%j does not take %j', (approval, request, path) => {
    expect(() => decisionOf(approval, request)).toThrow(
      expect.objectContaining({ code: 'request.invalid', problems: [expect.objectContaining({ path })] }),
    );
  });
});

/** The service over one approval, of a job with this grant. */
function setUp(approval: Approval, tools: readonly string[] | null = null, copy: Approval | null = null) {
  const decided: unknown[] = [];
  let result: DecideResult = { kind: 'decided', approval };
  const approvals: Approvals = {
    read: async (id) => (id === approval.id && copy === null ? approval : null),
    async decide(_id, decision) {
      decided.push(decision);
      return result;
    },
  };
  // as: only these fields and operations are used
  const job = { grant: { ...OPEN_GRANT, tools, scopes: [], key: null } } as unknown as JobRecord;
  const run = (async (_name: string, { id }: { id: string }) =>
    id === copy?.id ? copy : null) as Store['run'];
  const service = createApprovalService({
    approvals,
    records: { read: async () => job },
    store: { run } as Store,
    copier: { catchUp: async () => undefined, catchUpSoon: async () => undefined },
  });
  return { service, decided, answer: (next: DecideResult) => (result = next) };
}

describe('a decision', () => {
  const allow = { decision: 'allow' } as const;

  it('is made in the records; the same one again is its answer, another one is refused', async () => {
    const { service, decided, answer } = setUp(CALL);
    expect(await service.decide(ADMIN_PRINCIPAL, CALL.id, allow)).toBe(CALL);
    expect(decided).toEqual([{ decision: decisionOf(CALL, allow), scope: 'call' }]);
    answer({ kind: 'repeated', approval: CALL });
    expect(await service.decide(ADMIN_PRINCIPAL, CALL.id, allow)).toBe(CALL);
    for (const status of ['denied', 'expired', 'cancelled'] as const) {
      answer({ kind: 'over', status });
      await expect(service.decide(ADMIN_PRINCIPAL, CALL.id, allow)).rejects.toMatchObject({
        code: 'approval.already_decided',
        message: expect.stringContaining(status),
      });
    }
  });

  it('is never taken from a job, whatever its scopes', async () => {
    const { service, decided } = setUp(CALL);
    const job: Principal = { ...callerOf('job:01K9ZV4Q4PPJ6S5V6H9Y1C3D2E', 'default'), scopes: ['admin'] };
    await expect(service.decide(job, CALL.id, allow)).rejects.toMatchObject({ code: 'auth.forbidden' });
    expect(decided).toEqual([]);
  });

  it('is hidden from another project, and so is the approval', async () => {
    const { service, decided } = setUp(CALL);
    const stranger = callerOf('key:x', 'ops');
    await expect(service.get(stranger, CALL.id)).rejects.toMatchObject({ code: 'approval.not_found' });
    await expect(service.decide(stranger, CALL.id, allow)).rejects.toMatchObject({
      code: 'approval.not_found',
    });
    expect(decided).toEqual([]);
  });

  it('for the session is no more than the job, and who decides, may allow', async () => {
    const rule = { decision: 'allow', scope: 'session', rule: 'Bash(git push *)' } as const;
    const limited = (tools: readonly string[]): Principal => ({
      ...callerOf('key:x', 'default'),
      grant: { ...OPEN_GRANT, tools },
    });
    const may = async (
      ofJob: readonly string[] | null,
      principal: Principal,
      request: DecideRequest = rule,
    ) => {
      const { service, decided } = setUp(CALL, ofJob);
      const code = await service.decide(principal, CALL.id, request).then(
        () => null,
        (error) => error.code,
      );
      expect(decided).toHaveLength(code === null ? 1 : 0);
      return code;
    };
    expect(await may(null, ADMIN_PRINCIPAL)).toBeNull();
    expect(await may(['Bash(git *)'], limited(['Bash']))).toBeNull();
    expect(await may(['Bash(ls *)'], ADMIN_PRINCIPAL)).toBe('tools.denied');
    expect(await may([], ADMIN_PRINCIPAL)).toBe('tools.denied');
    expect(await may(null, limited(['Read']))).toBe('tools.denied');
    expect(await may(['Bash(git *)'], ADMIN_PRINCIPAL, { decision: 'allow', scope: 'session' })).toBe(
      'tools.denied',
    );
    // One call is what a person decides.
    expect(await may([], limited([]), { decision: 'allow' })).toBeNull();
  });

  it('of one that only the copies have is over', async () => {
    const copy: Approval = { ...CALL, status: 'expired' };
    const { service, answer } = setUp(CALL, null, copy);
    answer({ kind: 'gone' });
    expect(await service.get(ADMIN_PRINCIPAL, copy.id)).toEqual(copy);
    await expect(service.decide(ADMIN_PRINCIPAL, copy.id, allow)).rejects.toMatchObject({
      code: 'approval.already_decided',
    });
  });
});
