/** Runs the CLI of a claim: the one of its provider, or the fallback's when that CLI is missing. */
import { constants } from 'node:fs';
import { glob, open } from 'node:fs/promises';
import { join } from 'node:path';
import { AppError, type ErrorCode, messageOf, wireError } from '../errors.ts';
import type { Credentials } from '../limits/credentials.ts';
import type { ExecutionEvent } from '../protocol/event.ts';
import type { Outcome } from '../protocol/outcome.ts';
import type { ResolvedPrompt } from '../protocol/prompt.ts';
import { isUuid } from '../providers/built-in.ts';
import { parseJson } from '../providers/json.ts';
import type { LimitReport } from '../providers/provider.ts';
import type { Providers, RegisteredProvider } from '../providers/registry.ts';
import type { Claim } from '../records/ports.ts';
import { type Pricing, unkeptCostCap } from '../usage/pricing.ts';
import { stateFolderOf } from './cli-probe.ts';
import type { ExecutionResult } from './execute.ts';
import { checkedRequest, type PreparedExecution, type PrepareOptions, prepareFor } from './prepare.ts';

/** An execution that may be spawned. */
export interface Prepared extends PreparedExecution {
  /** Why the fallback runs it; null when the job's own provider does. */
  readonly fallbackReason: string | null;
}

type Emit = (event: ExecutionEvent, raw: string | null) => void;

/**
 * Prepares a claim. The request in Redis is not trusted: it is checked again, against the settings
 * in force.
 * @throws AppError for each reason to refuse the execution
 */
export async function prepareClaim(claim: Claim, options: PrepareOptions): Promise<Prepared> {
  const request = checkedRequest(claim.request);
  const asked = options.providers.get(request.provider);
  try {
    return { ...(await prepareFor(asked, request, claim, options)), fallbackReason: null };
  } catch (error) {
    if (!isCliMissing(error)) throw error;
    return prepareFallback(claim, error, options);
  }
}

/**
 * Prepares a claim for the fallback of its provider, whose CLI is missing.
 * @throws AppError `missing` when no fallback can run this job
 */
async function prepareFallback(claim: Claim, missing: AppError, options: PrepareOptions): Promise<Prepared> {
  const asked = options.providers.get(claim.request.provider);
  const { registered, request } = fallbackFor(
    asked,
    claim.request,
    options.providers,
    missing,
    options.pricing,
  );
  try {
    const prepared = await prepareFor(registered, request, claim, options);
    return { ...prepared, sessionId: null, fallbackReason: messageOf(missing) };
  } catch (error) {
    if (!(error instanceof AppError) || !OF_FALLBACK.includes(error.code)) throw error;
    throw withoutFallback(missing, registered.provider.name, error.message);
  }
}

/** How one claim is run. */
export interface CliRun {
  readonly claim: Claim;
  readonly prepare: PrepareOptions;
  readonly credentials: Pick<Credentials, 'enter'>;
  /** Repeats a task while Redis is away. Throws when the execution is stopped meanwhile. */
  withRedis<T>(task: () => Promise<T>): Promise<T>;
  /** Prepares the claim again, because an update may have moved its CLI. */
  prepareAgain(): Promise<Prepared>;
  /** Waits for a slot of the fallback. Throws when the execution is stopped before that. */
  waitForSlot(provider: string): Promise<void>;
  /** Starts the CLI and runs it to its end. */
  execute(prepared: Prepared, emit: Emit): Promise<ExecutionResult>;
  readonly emit: Emit;
}

/**
 * Runs a prepared execution. A CLI that cannot be started is looked up once more, then the fallback
 * runs.
 * @throws AppError when none can be started, and auth.required or execution.quota while the gate
 *   of the credential is closed; nothing was spawned then
 */
export async function runCli(prepared: Prepared, run: CliRun): Promise<ExecutionResult> {
  try {
    return await runOne(prepared, run);
  } catch (error) {
    if (!isCliMissing(error) || prepared.fallbackReason !== null) throw error;
  }
  const again = await run.prepareAgain();
  try {
    return await runOne(again, run);
  } catch (error) {
    if (!isCliMissing(error) || again.fallbackReason !== null) throw error;
    return runOne(await prepareFallback(run.claim, error, run.prepare), run);
  }
}

/** Runs one CLI, whose answer opens or closes the gate of its credential. */
async function runOne(prepared: Prepared, run: CliRun): Promise<ExecutionResult> {
  const { provider, fallbackReason, unsaved } = prepared;
  if (fallbackReason !== null) await run.waitForSlot(provider.name);
  const pass = await run.withRedis(() => run.credentials.enter(run.claim, provider, prepared.request.model));
  const warn = (code: string, message: string): void => run.emit({ kind: 'warning', code, message }, null);
  const see = (event: ExecutionEvent, raw: string | null): void => {
    if (provesLogin(event)) pass.proven();
    if (event.kind === 'rate_limit') pass.reported(event);
    run.emit(event, raw);
  };
  let result: ExecutionResult;
  try {
    if (fallbackReason !== null) warn('fallback', `${provider.name} runs this job: ${fallbackReason}`);
    if (unsaved !== null) {
      warn('session_not_saved', `${provider.name} cannot save this conversation: ${unsaved}`);
    }
    result = await run.execute(prepared, see);
  } catch (error) {
    await pass.abandon();
    throw error;
  }
  const { windows, refused } = await reportedLimits(prepared, result.outcome, pass.watchesUse);
  for (const window of windows) see(window, null);
  const outcome = refused === null ? result.outcome : refusedBy(refused.resetsAt, result.outcome);
  const settled = await run.withRedis(() => pass.settle({ ...result, outcome })).catch(() => outcome);
  return { ...result, outcome: settled };
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
    for await (const name of glob(transcript.files(nativeSessionId), { cwd: folder })) {
      const lines = await tailOf(join(folder, name), TAIL_BYTES);
      return transcript.limits(lines.map(parseJson));
    }
  } catch {
    // The limit is then known by the output alone.
  }
  return NO_REPORT;
}

/** The last lines of a file; none of what is no file, such as a pipe that a job has put there. */
async function tailOf(path: string, maxBytes: number): Promise<readonly string[]> {
  await using file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
  const found = await file.stat();
  if (!found.isFile()) return [];
  const { size } = found;
  const buffer = Buffer.alloc(Math.min(size, maxBytes));
  const { bytesRead } = await file.read(buffer, 0, buffer.length, size - buffer.length);
  return buffer.toString('utf8', 0, bytesRead).split('\n');
}

/** The outcome of a run that a usage limit has ended. */
const refusedBy = (resetsAt: string | null, outcome: Outcome): Outcome => ({
  ...outcome,
  error: wireError('execution.quota', outcome.error?.message ?? '', resetsAt),
});

/** Only a vendor that accepted the login makes a CLI think, act or stream text. */
const provesLogin = ({ kind }: ExecutionEvent): boolean =>
  kind === 'text.delta' || kind === 'reasoning' || kind === 'tool.started';

/** Why a fallback cannot run a job that its own provider could. */
const OF_FALLBACK: readonly ErrorCode[] = ['execution.cli_missing', 'provider.denied'];

/** The CLI is not installed, or cannot be started. */
const isCliMissing = (error: unknown): error is AppError =>
  error instanceof AppError && error.code === 'execution.cli_missing';

/** A job as another provider runs it. */
interface Fallback {
  readonly registered: RegisteredProvider;
  readonly request: ResolvedPrompt;
}

/**
 * Fits a job to the fallback of its provider. No option is dropped, except a model that the
 * fallback does not accept: its default model is used then.
 * @throws AppError `missing`, with the reason why there is no fallback for this job
 */
function fallbackFor(
  asked: RegisteredProvider,
  request: ResolvedPrompt,
  providers: Providers,
  missing: AppError,
  pricing: Pick<Pricing, 'knows'>,
): Fallback {
  if (asked.fallback === null) throw missing;
  const registered = providers.get(asked.fallback);
  const { provider } = registered;
  if (request.sessionId !== null) {
    throw withoutFallback(missing, provider.name, `the session belongs to ${asked.provider.name}`);
  }
  const moved: ResolvedPrompt = { ...request, provider: provider.name };
  const refused = provider.unsupported(moved);
  // A default model of the settings is meant for one CLI. The caller did not ask for it.
  const isDefault = request.model !== null && request.model === asked.defaults.model;
  const keepsModel = !isDefault && !refused.some(({ option }) => option === 'model');
  const mapped = keepsModel ? moved : { ...moved, model: registered.defaults.model };
  const left = [...provider.unsupported(mapped), ...unkeptCostCap(provider, mapped, pricing)];
  if (left.length > 0) {
    const why = left.map(({ option, reason }) => `${option}: ${reason}`).join('; ');
    throw withoutFallback(missing, provider.name, why);
  }
  return { registered, request: mapped };
}

/** The first provider's error, with the reason why its fallback cannot run the job. */
const withoutFallback = (missing: AppError, name: string, why: string): AppError =>
  new AppError(missing.code, `${missing.message}; its fallback ${name} cannot run this job: ${why}`, {
    cause: missing,
  });
