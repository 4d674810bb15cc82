/** What HTTP clients can do with approvals. */
import { isJobPrincipal } from '../auth/job-tokens.ts';
import { actorOf, maySee, type Principal, projectOf } from '../auth/principal.ts';
import { covers } from '../auth/tool-patterns.ts';
import { AppError } from '../errors.ts';
import type { ApprovalService } from '../http/session-ports.ts';
import type { Approval, DecideRequest, Decision } from '../protocol/approval.ts';
import type { Approvals } from '../records/approval-ports.ts';
import type { JobRecords } from '../records/ports.ts';
import type { Copier } from '../store/copier.ts';
import type { Store } from '../store/store.ts';

/** What the model reads with a denial that says nothing else. */
const DENIED = 'A person has denied this.';

export interface ApprovalServiceOptions {
  readonly approvals: Approvals;
  readonly records: Pick<JobRecords, 'read'>;
  readonly store: Store;
  readonly copier: Pick<Copier, 'catchUp' | 'catchUpSoon'>;
}

export function createApprovalService({
  approvals,
  records,
  store,
  copier,
}: ApprovalServiceOptions): ApprovalService {
  async function find(principal: Principal, id: string): Promise<Approval> {
    let approval = await approvals.read(id);
    if (approval === null) {
      await copier.catchUp();
      approval = await store.run('approvals.get', { id });
    }
    if (approval === null || !maySee(principal, approval.project)) throw notFound(id);
    // Redis keeps one that a session has to deny later for longer than its job.
    if (approval.status !== 'pending' && !(await hasJob(approval.jobId))) throw notFound(id);
    return approval;
  }

  const hasJob = async (id: string): Promise<boolean> =>
    (await records.read(id)) !== null || (await store.run('jobs.get', { id })) !== null;

  /** @throws AppError tools.denied when the job, or this caller, may not allow as much */
  async function checkRule({ jobId }: Approval, rule: string, principal: Principal): Promise<void> {
    const job = await records.read(jobId);
    for (const tools of [job?.grant?.tools ?? null, principal.grant.tools])
      if (tools !== null && !covers(tools, rule))
        throw new AppError('tools.denied', `the rule ${rule} is not covered by what may be allowed here`, {
          problems: [{ path: '/rule', message: 'is not covered by what may be allowed here' }],
        });
  }

  return {
    async list(principal, query) {
      await copier.catchUpSoon();
      return store.run('approvals.list', { project: projectOf(principal), query });
    },

    get: find,

    async decide(principal, id, request) {
      // A job that could decide would need no approvals.
      if (isJobPrincipal(principal)) throw new AppError('auth.forbidden', 'a job may not decide approvals');
      const approval = await find(principal, id);
      const decision = decisionOf(approval, request);
      const { scope = 'call' } = request;
      if (decision.decision === 'allow')
        for (const rule of decision.rules) await checkRule(approval, rule, principal);
      const by = { actor: actorOf(principal), project: approval.project };
      const result = await approvals.decide(id, { decision, scope }, by);
      switch (result.kind) {
        case 'decided':
        case 'repeated':
          return result.approval;
        case 'gone':
          // A copy of what Redis no longer has is over.
          if (approval.status === 'pending') throw notFound(id);
          throw alreadyOver(approval.status);
        case 'over':
          throw alreadyOver(result.status);
      }
    },
  };
}

const notFound = (id: string): AppError => new AppError('approval.not_found', `there is no approval ${id}`);

const alreadyOver = (status: Approval['status']): AppError =>
  new AppError('approval.already_decided', `the approval is ${status} already`);

/**
 * The decision of a request, as the CLI gets it.
 * @throws AppError request.invalid for fields that do not fit the approval, or each other
 */
export function decisionOf(approval: Approval, request: DecideRequest): Decision {
  const { decision, message, input, answers, scope = 'call', rule } = request;
  const { kind, tool } = approval;
  if (decision === 'deny') {
    for (const [name, value] of Object.entries({ input, answers, rule }))
      if (value !== undefined) throw misplaced(name, 'belongs to an allow');
    if (scope === 'session') throw misplaced('scope', 'belongs to an allow');
    return { decision, message: message ?? DENIED };
  }
  if (message !== undefined) throw misplaced('message', 'belongs to a denial');
  if (answers !== undefined && kind !== 'question') throw misplaced('answers', 'is for questions');
  if (input !== undefined && kind !== 'tool') throw misplaced('input', 'is for calls of a tool');
  if (scope === 'session' && kind !== 'tool') throw misplaced('scope', 'session is for calls of a tool');
  if (rule !== undefined && scope !== 'session') throw misplaced('rule', 'needs the scope session');
  if (rule !== undefined && rule !== tool && !rule.startsWith(`${tool}(`))
    throw misplaced('rule', `must be about ${tool}`);
  const allowed = kind === 'question' ? answered(approval, answers) : (input ?? approval.input);
  return { decision, input: allowed, rules: scope === 'session' ? [rule ?? tool] : [] };
}

/** The input of a question with its answers: one to each. Several choices become one text. */
function answered({ input, questions }: Approval, answers: DecideRequest['answers'] = {}): unknown {
  const asked = questions ?? [];
  const texts: [question: string, answer: string][] = [];
  for (const { question, multiSelect } of asked) {
    const answer = Object.hasOwn(answers, question) ? answers[question] : undefined;
    const chosen = typeof answer === 'string' ? [answer] : (answer ?? []);
    if (chosen.length === 0 || chosen.some((one) => one === ''))
      throw misplaced('answers', `has no answer to ${JSON.stringify(question)}`);
    if (chosen.length > 1 && !multiSelect)
      throw misplaced('answers', `has more than one answer to ${JSON.stringify(question)}`);
    texts.push([question, chosen.join(', ')]);
  }
  for (const question of Object.keys(answers))
    if (!asked.some((one) => one.question === question))
      throw misplaced('answers', `names a question that was not asked: ${JSON.stringify(question)}`);
  const before = typeof input === 'object' && input !== null && !Array.isArray(input) ? input : {};
  return { ...before, answers: Object.fromEntries(texts) };
}

function misplaced(name: string, message: string): AppError {
  return new AppError('request.invalid', `${name} ${message}`, {
    problems: [{ path: `/${name}`, message }],
  });
}
