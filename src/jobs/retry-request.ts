/** The request of a job that retries a finished one: in its session, or from the start. */
import { UNSIGNED } from '../auth/job-rights.ts';
import { AppError } from '../errors.ts';
import type { Outcome } from '../protocol/outcome.ts';
import type { BatchPrompt, PromptOverrides, ResolvedPrompt, RetryRequest } from '../protocol/prompt.ts';
import type { Provider } from '../providers/provider.ts';
import type { Providers } from '../providers/registry.ts';
import type { JobCopy } from '../store/jobs.ts';
import { toRequest } from './job-document.ts';

/** A request that is still to be resolved. */
export interface Requested extends Pick<ResolvedPrompt, 'continues'> {
  readonly request: BatchPrompt;
  /** Of the job that is retried; its retry belongs there, too. Left out: the caller's. */
  readonly project?: string;
}

/**
 * @throws AppError auth.unsigned; provider.unsupported_option, session.not_found: the session was
 *   asked for and cannot be continued
 */
export function retryRequest(
  job: JobCopy,
  { from, ...overrides }: RetryRequest,
  providers: Pick<Providers, 'get'>,
): Requested {
  // It would be signed then.
  if (job.forged) throw new AppError('auth.unsigned', UNSIGNED);
  const { customId } = job.request;
  const request: BatchPrompt = {
    ...toRequest(job.request),
    ...overrides,
    ...(customId === undefined ? {} : { customId }),
  };
  const { provider } = providers.get(job.request.provider);
  const isSame = request.provider === provider.name && request.cwd === job.request.cwd;
  const begun = job.nativeSessionId !== null && isSame && overrides.sessionId === undefined;
  const continues = provider.transcript !== undefined;
  const { project } = job;
  if (from === 'start' || (from === undefined && !(begun && continues)))
    return { project, ...fromStart(job, request, overrides) };
  if (!continues) {
    const message = `${provider.name} cannot continue a session after a failure`;
    throw new AppError('provider.unsupported_option', message, { problems: [{ path: '/from', message }] });
  }
  if (!begun)
    throw new AppError('session.not_found', 'the job has begun no session that this one could continue');
  const inSession = { ...request, sessionId: job.sessionId };
  return overrides.prompt === undefined
    ? { project, request: inSession, continues: promptIn(job, provider) }
    : { project, request: inSession };
}

/** The session of a job that continued another one was not asked for by the caller. */
function fromStart(
  { request: before }: JobCopy,
  request: BatchPrompt,
  overrides: PromptOverrides,
): Requested {
  if (before.continues === undefined || overrides.sessionId !== undefined) return { request };
  const { sessionId: _, ...fresh } = request;
  return { request: fresh };
}

/** What is known of the prompt in the session of a job. */
function promptIn(job: JobCopy, provider: Provider): NonNullable<ResolvedPrompt['continues']> {
  const { continues } = job.request;
  return {
    asked: continues?.asked === true || (job.outcome !== null && showsAsked(job.outcome, provider)),
    since: continues?.since ?? job.startedAt ?? job.createdAt,
  };
}

const showsAsked = (outcome: Outcome, { provesAsked }: Provider): boolean =>
  outcome.text !== '' ||
  provesAsked?.({ kind: 'execution.finished', executionId: outcome.executionId ?? '', outcome }) === true;
