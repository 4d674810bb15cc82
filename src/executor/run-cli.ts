/** What stands between a prepared execution and its CLI: the circuit of its login, and the fallback. */
import type { AppError } from '../errors.ts';
import type { Circuits, LoginAnswer } from '../limits/circuits.ts';
import type { ExecutionEvent } from '../protocol/event.ts';
import type { Outcome } from '../protocol/outcome.ts';
import { type ExecuteOptions, type ExecutionResult, execute } from './execute.ts';
import type { StopSignals } from './execution.ts';
import { isCliMissing } from './fallback.ts';
import type { Prepared } from './prepare.ts';

export interface RunCliOptions extends ExecuteOptions {
  readonly circuits: Circuits;
  /** Waits for room with a fallback. Throws when the execution was stopped meanwhile. */
  handOn(provider: string): Promise<void>;
  /** The execution prepared anew. Its CLI was not where it had been found: an update may have moved it. */
  prepareAgain(): Promise<Prepared>;
  /** The execution with the fallback of its provider. Throws `missing` when there is none. */
  prepareFallback(missing: AppError): Promise<Prepared>;
}

/**
 * Runs a CLI, or its fallback when it cannot be started; a CLI that is gone is looked up once more.
 * @throws AppError when neither can, and auth.required while the login is not to be tried; nothing was spawned then
 */
export async function runCli(
  prepared: Prepared,
  signals: StopSignals,
  options: RunCliOptions,
): Promise<ExecutionResult> {
  try {
    return await runOne(prepared, signals, options);
  } catch (error) {
    if (!isCliMissing(error) || prepared.fallbackReason !== null) throw error;
  }
  const again = await options.prepareAgain();
  try {
    return await runOne(again, signals, options);
  } catch (error) {
    if (!isCliMissing(error) || again.fallbackReason !== null) throw error;
    return runOne(await options.prepareFallback(error), signals, options);
  }
}

async function runOne(
  prepared: Prepared,
  signals: StopSignals,
  options: RunCliOptions,
): Promise<ExecutionResult> {
  const { provider, fallbackReason, unsaved } = prepared;
  if (fallbackReason !== null) await options.handOn(provider.name);
  const pass = options.circuits.enter(prepared);
  try {
    if (fallbackReason !== null) {
      options.emit(
        { kind: 'warning', code: 'fallback', message: `${provider.name} runs this job: ${fallbackReason}` },
        null,
      );
    }
    if (unsaved !== null) {
      const message = `${provider.name} cannot save this conversation: ${unsaved}`;
      options.emit({ kind: 'warning', code: 'session_not_saved', message }, null);
    }
    const result = await execute(prepared, signals, {
      ...options,
      emit(event, raw) {
        if (provesLogin(event)) pass.proven();
        options.emit(event, raw);
      },
    });
    pass.settle(loginAnswer(result.outcome));
    return result;
  } catch (error) {
    pass.settle('untold');
    throw error;
  }
}

/** Only a vendor that took the login makes a CLI think, act or say piece after piece. */
const provesLogin = ({ kind }: ExecutionEvent): boolean =>
  kind === 'text.delta' || kind === 'reasoning' || kind === 'tool.started';

/** We ended it, whatever its login was worth. */
const UNTOLD = ['execution.cancelled', 'execution.lost'];

function loginAnswer({ error }: Outcome): LoginAnswer {
  if (error === null) return 'succeeded';
  if (error.code === 'auth.required') return 'refused';
  return UNTOLD.includes(error.code) ? 'untold' : 'other';
}
