/** Runs CLIs in an executor on another host: prepare → submit → follow → the same result. */
import type { Logger } from 'pino';
import { AppError, messageOf } from '../errors.ts';
import type { ExecutionResult } from '../executor/execute.ts';
import { fallbackError, fallbackFor } from '../executor/fallback.ts';
import { permit } from '../executor/permit.ts';
import { checkedRequest, type PrepareOptions } from '../executor/prepare.ts';
import type { RunControls, Runnable, Runner } from '../executor/runner.ts';
import { refuseUnsupported } from '../executor/unsupported.ts';
import { type Failpoint, noFailpoint } from '../failpoint.ts';
import { RENEW_WITHIN_MS, STREAM_MS, type Submission } from '../protocol/executor-service.ts';
import type { ResolvedPrompt } from '../protocol/prompt.ts';
import type { RegisteredProvider } from '../providers/registry.ts';
import type { Claim } from '../records/ports.ts';
import { namedWorkspace } from '../workspace.ts';
import type { Breaker } from './breaker.ts';
import type { ExecutorClient } from './client.ts';
import { followToEnd } from './follow.ts';
import { createRemoteResult } from './result.ts';
import { remoteIdOf, submissionOf } from './submission.ts';
import { notKnown, submit } from './submit.ts';

/**
 * Milliseconds. By then the executor has ended an execution that it cannot be asked for: a stream
 * whose reader has vanished renews it until its end, then it looks every few seconds, and a CLI has
 * its grace.
 */
export const LOST_AFTER_MS = RENEW_WITHIN_MS + STREAM_MS + 30_000;

export interface HttpRunnerOptions {
  readonly client: ExecutorClient;
  readonly breaker: Breaker;
  readonly prepare: Pick<PrepareOptions, 'providers' | 'pricing' | 'rights' | 'settings' | 'background'>;
  readonly maxResultBytes: number;
  /** Runs what was never sent, while the executor is away; null: it waits. */
  readonly instead: Runner | null;
  /** For one answer of the executor. */
  readonly timeoutMs: number;
  /** Default: {@link LOST_AFTER_MS}. */
  readonly lostAfterMs?: number;
  /** Why the executor is not used. Default: what the breaker says. */
  readonly problem?: () => string | null;
  readonly failpoint?: Failpoint | undefined;
  readonly logger: Logger;
}

export function createHttpRunner(options: HttpRunnerOptions): Runner {
  const { client, breaker, prepare, instead, timeoutMs, logger } = options;
  const { lostAfterMs = LOST_AFTER_MS, problem = breaker.problem, failpoint = noFailpoint } = options;
  const { providers, pricing, rights, settings } = prepare;
  /** Executions that a server before this one began. */
  const begunBefore = new Set<string>();

  /** @param missing why the fallback runs it; null: the job's own provider does */
  async function prepareFor(
    registered: RegisteredProvider,
    asked: ResolvedPrompt,
    claim: Claim,
    missing: AppError | null,
  ): Promise<Runnable> {
    const { provider } = registered;
    const grants = rights.of(claim);
    const background = prepare.background(claim, asked, provider);
    background.catch(() => undefined); // awaited below, unless the check refuses the request
    refuseUnsupported(asked);
    const { request } = await permit(asked, { principal: claim.principal, grants }, provider, {
      ...{ settings, pricing },
      workspaceOf: async (cwd) => namedWorkspace(cwd, settings),
    });
    const isFallback = missing !== null;
    const submission = submissionOf(claim, { request, grants, background: await background, isFallback });
    return {
      ...{ provider, request },
      fallbackReason: missing === null ? null : messageOf(missing),
      run: (controls) => run(claim, submission, missing, controls),
    };
  }

  async function run(claim: Claim, submission: Submission, missing: AppError | null, controls: RunControls) {
    const { stop } = controls.signals;
    for (;;) {
      const submitted = await submit({
        ...{ client, breaker, submission, lostAfterMs, stop, logger },
        timeoutMs: submission.request.timeoutMs,
        mayRunHere: instead !== null,
      }).catch(endLost(submission.id));
      if (submitted === 'never' && instead !== null) return runHere(instead, claim, missing, controls);
      const takenBy = client.node;
      await failpoint('executor.submitted');
      const result = await follow(claim, missing !== null, takenBy, controls);
      if (result !== null) return result;
      logger.info({ jobId: claim.jobId }, 'the executor has restarted before it began the execution');
    }
  }

  async function runHere(here: Runner, claim: Claim, missing: AppError | null, controls: RunControls) {
    logger.info({ jobId: claim.jobId }, 'the executor is away: this server runs the job');
    const runnable = await (missing === null ? here.prepare(claim) : here.prepareFallback(claim, missing));
    return runnable.run(controls);
  }

  /** Null: the executor, which is still the same, has not begun it and does not know it. */
  async function follow(
    { executionId, jobId }: Claim,
    isFallback: boolean,
    takenBy: string | null,
    controls: RunControls,
  ): Promise<ExecutionResult | null> {
    const result = createRemoteResult({
      ...{ executionId, isFallback, controls },
      maxResultBytes: options.maxResultBytes,
    });
    const id = remoteIdOf(executionId, isFallback);
    try {
      controls.onElsewhere();
      const ended = await followToEnd({
        ...{ client, id, jobId, takenBy, lostAfterMs, logger },
        signals: controls.signals,
        lostAfterForceMs: Math.min(2 * timeoutMs, lostAfterMs),
        onFlow: controls.onFlow,
        onEvent: result.saw,
      }).catch(endLost(id));
      return ended === null ? null : result.of(ended);
    } catch (error) {
      return result.lost(error);
    }
  }

  const runner: Runner = {
    async prepare(claim) {
      const request = checkedRequest(claim.request);
      return prepareFor(providers.get(request.provider), request, claim, null);
    },
    async prepareFallback(claim, missing) {
      const asked = providers.get(claim.request.provider);
      const { registered, request } = fallbackFor(asked, claim.request, providers, missing, pricing);
      if (begunBefore.has(claim.executionId)) return goOn(claim, registered, request, missing);
      try {
        return await prepareFor(registered, request, claim, missing);
      } catch (error) {
        throw fallbackError(error, missing, registered.provider.name);
      }
    },
    lasting: {
      goOn(claim) {
        begunBefore.add(claim.executionId);
        return goOn(claim, providers.get(claim.request.provider), claim.request, null);
      },
      async abandon(executionId) {
        begunBefore.delete(executionId);
        await Promise.all([false, true].map((isFallback) => cancel(remoteIdOf(executionId, isFallback))));
      },
    },
    accepts: () => instead !== null || breaker.state === 'closed',
    problem: () => (instead === null ? problem() : null),
  };

  function goOn(
    claim: Claim,
    { provider }: RegisteredProvider,
    request: ResolvedPrompt,
    missing: AppError | null,
  ): Runnable {
    return {
      ...{ provider, request },
      fallbackReason: missing === null ? null : messageOf(missing),
      async run(controls) {
        const result = await follow(claim, missing !== null, null, controls);
        if (result !== null) return result;
        throw notKnown();
      },
    };
  }

  /**
   * Also the executor ends an execution that is lost here: requests may arrive, and renew it, where
   * their answers do not; and one that is still on its way must not start it.
   */
  const endLost = (id: string) => async (error: unknown) => {
    if (error instanceof AppError && error.code === 'execution.lost') await cancel(id);
    throw error;
  };

  async function cancel(id: string): Promise<void> {
    try {
      await client.cancel(id, { reason: 'cancelled', force: true });
    } catch (error) {
      logger.warn({ executionId: id, reason: messageOf(error) }, 'an execution could not be cancelled');
    }
  }

  return runner;
}
