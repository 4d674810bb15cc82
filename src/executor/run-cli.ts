/** Runs the CLI of a claim: the one of its provider, or the fallback's when that CLI is missing. */
import type { Credentials } from '../limits/credentials.ts';
import type { ExecutionEvent } from '../protocol/event.ts';
import type { Claim } from '../records/ports.ts';
import type { ExecutionResult } from './execute.ts';
import { type Emit, isCliMissing, type RunControls, type Runnable, type Runner } from './runner.ts';

/** How one claim is run. */
export interface CliRun {
  readonly claim: Claim;
  readonly runner: Pick<Runner, 'prepareFallback'>;
  readonly controls: Omit<RunControls, 'watchesUse' | 'emit'>;
  readonly credentials: Pick<Credentials, 'enter'>;
  /** Whether it began before: its gate is not asked again. */
  readonly isUnderWay: boolean;
  /** Repeats a task while Redis is away. Throws when the execution is stopped meanwhile. */
  withRedis<T>(task: () => Promise<T>): Promise<T>;
  /** Prepares the claim again, because an update may have moved its CLI. */
  prepareAgain(): Promise<Runnable>;
  /** Waits for a slot of the fallback. Throws when the execution is stopped before that. */
  waitForSlot(provider: string): Promise<void>;
  readonly emit: Emit;
}

/**
 * Runs a prepared execution. A CLI that cannot be started is looked up once more, then the fallback
 * runs.
 * @throws AppError when none can be started, and auth.required or execution.quota while the gate
 *   of the credential is closed; nothing was spawned then
 */
export async function runCli(prepared: Runnable, run: CliRun): Promise<ExecutionResult> {
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
    return runOne(await run.runner.prepareFallback(run.claim, error), run);
  }
}

/** Runs one CLI, whose answer opens or closes the gate of its credential. */
async function runOne(prepared: Runnable, run: CliRun): Promise<ExecutionResult> {
  const { provider, request, fallbackReason } = prepared;
  if (fallbackReason !== null) await run.waitForSlot(provider.name);
  const pass = await run.withRedis(() =>
    run.credentials.enter(run.claim, provider, request.model, run.isUnderWay),
  );
  const see: Emit = (event, raw) => {
    if (provesLogin(event)) pass.proven();
    if (event.kind === 'rate_limit') pass.reported(event);
    run.emit(event, raw);
  };
  let result: ExecutionResult;
  try {
    if (fallbackReason !== null) {
      const asked = run.claim.request.model;
      const model = asked === request.model ? '' : ` with its default model instead of ${asked}`;
      const message = `${provider.name} runs this job${model}: ${fallbackReason}`;
      run.emit({ kind: 'warning', code: 'fallback', message }, null);
    }
    result = await prepared.run({ ...run.controls, watchesUse: pass.watchesUse, emit: see });
  } catch (error) {
    await pass.abandon();
    throw error;
  }
  const { outcome } = result;
  const settled = await run.withRedis(() => pass.settle(result)).catch(() => outcome);
  return { ...result, outcome: settled };
}

/** Only a vendor that accepted the login makes a CLI think, act or stream text. */
const provesLogin = ({ kind }: ExecutionEvent): boolean =>
  kind === 'text.delta' || kind === 'reasoning' || kind === 'tool.started';
