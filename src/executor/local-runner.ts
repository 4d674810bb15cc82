/** Runs CLIs on this host: prepare → start → translate → finish. */
import type { FileHandle } from 'node:fs/promises';
import { type AppError, messageOf, wireError } from '../errors.ts';
import type { Outcome } from '../protocol/outcome.ts';
import type { ResolvedPrompt } from '../protocol/prompt.ts';
import { isUuid } from '../providers/built-in.ts';
import { parseJson } from '../providers/json.ts';
import type { LimitReport } from '../providers/provider.ts';
import type { RegisteredProvider } from '../providers/registry.ts';
import type { Claim } from '../records/ports.ts';
import { stateFolderOf } from './cli-probe.ts';
import { type ExecuteOptions, execute } from './execute.ts';
import { fallbackError, fallbackFor } from './fallback.ts';
import { checkedRequest, type PreparedExecution, type PrepareOptions, prepareFor } from './prepare.ts';
import { isCliMissing, type RunControls, type Runnable, type Runner } from './runner.ts';
import { openTranscripts } from './transcripts.ts';

export interface LocalRunnerOptions
  extends Pick<
    ExecuteOptions,
    'start' | 'limits' | 'scanner' | 'resources' | 'talk' | 'redactor' | 'logger'
  > {
  readonly prepare: PrepareOptions;
  problem(): string | null;
}

export function createLocalRunner({ prepare: options, problem, ...rest }: LocalRunnerOptions): Runner {
  async function prepareOn(
    registered: RegisteredProvider,
    request: ResolvedPrompt,
    claim: Claim,
    missing: AppError | null,
  ): Promise<Runnable> {
    const found = await prepareFor(registered, request, claim, options);
    const prepared = missing === null ? found : { ...found, sessionId: null };
    return {
      provider: prepared.provider,
      request: prepared.request,
      fallbackReason: missing === null ? null : messageOf(missing),
      run: (controls) => runHere(claim.jobId, prepared, controls),
    };
  }

  async function runHere(jobId: string, prepared: PreparedExecution, controls: RunControls) {
    const { unsaved, provider } = prepared;
    const { watchesUse, ...run } = controls;
    if (unsaved !== null) {
      const message = `${provider.name} cannot save this conversation: ${unsaved}`;
      run.emit({ kind: 'warning', code: 'session_not_saved', message }, null);
    }
    const result = await execute({ ...rest, ...run, jobId, prepared, pricing: options.pricing });
    const { windows, refused } = await reportedLimits(prepared, result.outcome, watchesUse);
    for (const window of windows) run.emit(window, null);
    return refused === null ? result : { ...result, outcome: refusedBy(refused.resetsAt, result.outcome) };
  }

  const runner: Runner = {
    async prepare(claim) {
      const request = checkedRequest(claim.request);
      const asked = options.providers.get(request.provider);
      try {
        return await prepareOn(asked, request, claim, null);
      } catch (error) {
        if (!isCliMissing(error)) throw error;
        return runner.prepareFallback(claim, error);
      }
    },
    async prepareFallback(claim, missing) {
      const asked = options.providers.get(claim.request.provider);
      const { providers, pricing } = options;
      const { registered, request } = fallbackFor(asked, claim.request, providers, missing, pricing);
      try {
        return await prepareOn(registered, request, claim, missing);
      } catch (error) {
        throw fallbackError(error, missing, registered.provider.name);
      }
    },
    lasting: null,
    accepts: () => true,
    problem,
  };
  return runner;
}

/** Failures that may be a usage limit, as far as the CLI's output shows. */
const MAY_BE_LIMIT: readonly (string | undefined)[] = ['execution.quota', 'execution.crashed'];
const NO_REPORT: LimitReport = { windows: [], refused: null };
const TAIL_BYTES = 256 * 1024;

/** What the CLI's transcript reports of usage limits, where its output does not. */
async function reportedLimits(
  { provider: { transcript, state }, env }: PreparedExecution,
  { error, nativeSessionId }: Outcome,
  watchesUse: boolean,
): Promise<LimitReport> {
  const folder = state === undefined ? null : stateFolderOf(state, env);
  if (transcript?.limits === undefined || folder === null || !isUuid(nativeSessionId)) return NO_REPORT;
  if (!MAY_BE_LIMIT.includes(error?.code) && !(watchesUse && error === null)) return NO_REPORT;
  try {
    for await (const file of openTranscripts(transcript.files(nativeSessionId), folder)) {
      const lines = await tailOf(file, TAIL_BYTES);
      return transcript.limits(lines.map(parseJson));
    }
  } catch {
    // The limit is then known by the output alone.
  }
  return NO_REPORT;
}

/** The last lines of a file. */
async function tailOf(file: FileHandle, maxBytes: number): Promise<readonly string[]> {
  const { size } = await file.stat();
  const buffer = Buffer.alloc(Math.min(size, maxBytes));
  const { bytesRead } = await file.read(buffer, 0, buffer.length, size - buffer.length);
  return buffer.toString('utf8', 0, bytesRead).split('\n');
}

/** The outcome of a run that a usage limit has ended. */
const refusedBy = (resetsAt: string | null, outcome: Outcome): Outcome => ({
  ...outcome,
  error: wireError('execution.quota', outcome.error?.message ?? '', resetsAt),
});
