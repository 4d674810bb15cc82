/**
 * ⑤ One run of a CLI: start → translate → finish. It throws only before the first event. After that
 * it returns exactly one outcome.
 */
import type { Logger } from 'pino';
import type { Ended } from '../limits/credentials.ts';
import type { ProcScanner } from '../processes/proc-scanner.ts';
import { listenTo, type ProcessEnd } from '../processes/spawned-process.ts';
import type { Outcome, TokenCounts } from '../protocol/outcome.ts';
import type { Translator, Verdict } from '../providers/provider.ts';
import type { Redactor } from '../redactor.ts';
import type { Pricing } from '../usage/pricing.ts';
import { tokensOf, verdictOf, warningOf } from './bounded.ts';
import { type Conversation, createConversation, type TalkOptions } from './conversation.ts';
import { CLEAN_EXIT, createListener, type Listener } from './listener.ts';
import { AWAITING_APPROVAL, outcomeOf } from './outcomes.ts';
import type { PreparedExecution } from './prepare.ts';
import type { CpuSettings, ResourceSettings, ResourceWatch } from './resources.ts';
import type { RunControls } from './runner.ts';
import { inTime, type StartCli, type StartedCli } from './start-cli.ts';
import { createStopRace, type Stop, type StopRace, type StopReason } from './stop-race.ts';
import { startWatches } from './watches.ts';

/** Limits of one execution by the server's settings. */
export interface ExecutionLimits extends ResourceSettings, CpuSettings {
  readonly maxOutputBytes: number;
  readonly maxLineBytes: number;
  readonly maxEvents: number;
  readonly maxEventsPerSecond: number;
  readonly maxResultBytes: number;
  readonly killGraceMs: number;
  readonly lingerMs: number;
}

/** Stop a running execution early. */
export interface StopSignals {
  /** Its `reason` is a {@link StopReason}. */
  readonly stop: AbortSignal;
  /** Skips the grace. */
  readonly force: AbortSignal;
}

export interface ExecutionResult extends Ended {
  /** The line of the CLI's terminal event. */
  readonly finalLine: string | null;
  /**
   * What the CLI's session has used in all, this run included. Null when the CLI does not report
   * it.
   */
  readonly sessionTokens: TokenCounts | null;
  /** Whether approvals of the job have no answer yet. */
  readonly waits: boolean;
}

export interface ExecuteOptions extends Omit<RunControls, 'watchesUse'> {
  readonly jobId: string;
  readonly prepared: PreparedExecution;
  readonly start: StartCli;
  readonly limits: ExecutionLimits;
  readonly scanner: ProcScanner;
  readonly resources: ResourceWatch;
  readonly pricing: Pricing;
  readonly talk: TalkOptions;
  readonly redactor: Redactor;
  readonly logger: Logger;
}

/** @throws AppError when the process cannot be started; nothing was emitted then */
export async function execute(options: ExecuteOptions): Promise<ExecutionResult> {
  const { prepared, signals, limits, resources, pricing, emit } = options;
  const { executionId, request, provider, sessionTokens, promptId } = prepared;
  const started = await inTime(request.timeoutMs, signals.stop, (stop) => options.start(prepared, stop));
  const { child } = started;
  const translator = provider.translator(request, { sessionTokens, promptId });
  const warn = (code: string, message: string): void => emit(warningOf(code, message), null);

  const race = createStopRace({
    child,
    executionId,
    graceMs: limits.killGraceMs,
    force: signals.force,
    scanner: options.scanner,
    onLeak: () => warn('leaked_pipe', 'a process the CLI started kept its output open and was killed'),
    logger: options.logger,
  });
  const stop = (why: StopReason, detail: string | null = null): void => {
    // A CLI that has given its terminal event has succeeded or failed already. Only its exit is
    // missing.
    const reason = translator.done && why !== 'fenced' ? 'lingered' : why;
    if (race.stop(reason, detail)) warnOfBackground(translator, warn);
  };

  emit(
    {
      kind: 'execution.started',
      executionId,
      pid: child.pid,
      provider: provider.name,
      version: prepared.version,
      start: started.start,
    },
    null,
  );

  const watches = startWatches({ started, prepared, signals, limits, resources, translator, stop });
  options.onFlow(watches.sinkControl);
  const control = prepared.holdsStdin && provider.control?.(request, prepared.controlContext);
  const conversation = control
    ? createConversation({
        control,
        execution: { jobId: options.jobId, executionId },
        approvalTimeoutMs: request.approvalTimeoutMs,
        known: prepared.approvals,
        talk: options.talk,
        redactor: options.redactor,
        write: (text) => child.feed(text, true),
        onSteered: (messageId) => translator.joined?.(messageId),
        onHold: watches.deadlines.hold,
        onDelivered: (messageId) =>
          emit({ kind: 'message.delivered', messageId, delivered: 'steered' }, null),
        stop,
        logger: options.logger,
      })
    : null;
  /** Set when the CLI was asked to stop the turn. */
  let interrupted: NodeJS.Timeout | null = null;
  function interrupt(): void {
    if (translator.done || interrupted !== null) return;
    if (conversation?.interrupt() !== true) stop('interrupted');
    else interrupted = setTimeout(() => stop('interrupted'), limits.killGraceMs);
  }
  const listener = createListener({
    child,
    prepared,
    translator,
    pricing,
    watches,
    race,
    conversation,
    isInterrupted: () => interrupted !== null,
    lingerMs: limits.lingerMs,
    emit,
    stop,
  });
  listener.listen(started.earlyLines);
  options.onTalker({
    look: () => conversation?.look(),
    parkAll: () => conversation?.parkAll(),
    interrupt,
  });
  // It has exited in time. Its open output has a limit of its own.
  const release = listenTo(child.exited, () => {
    watches.deadlines.clear();
    if (child.lost) stop('launcher_died');
  });

  /** Null when the process waits for the next turn. */
  const end = await Promise.race([race.ended, listener.turnEnded]);
  release();
  watches.clear();
  if (interrupted !== null) clearTimeout(interrupted);
  await race.finish();
  const waits = (await conversation?.end(translator.deferred === true)) ?? false;
  const { outcome, tokens, limitedModel } = finish({
    end,
    started,
    prepared,
    translator,
    race,
    listener,
    conversation,
    wasInterrupted: interrupted !== null,
    waits,
    pricing,
    limits,
    redactor: options.redactor,
    warn,
  });
  if (end === null)
    setImmediate(started.keep); // half a millisecond: the outcome goes first
  else started.cleanUp();
  const { account = null } = translator;
  return { outcome, finalLine: listener.finalLine, sessionTokens: tokens, limitedModel, account, waits };
}

/** The outcome of a run that is over. */
function finish(options: {
  /** Null when the process waits for the next turn. */
  readonly end: ProcessEnd | null;
  readonly started: StartedCli;
  readonly prepared: PreparedExecution;
  readonly translator: Translator;
  readonly race: StopRace;
  readonly listener: Listener;
  readonly conversation: Conversation | null;
  readonly wasInterrupted: boolean;
  /** Whether approvals of the job have no answer yet. */
  readonly waits: boolean;
  readonly pricing: Pricing;
  readonly limits: ExecutionLimits;
  readonly redactor: Redactor;
  warn(code: string, message: string): void;
}): { readonly outcome: Outcome; readonly tokens: TokenCounts | null; readonly limitedModel: string | null } {
  const { end, started, translator, conversation } = options;
  const { stopped } = options.race;
  // Waiting for people is no time of the run.
  const ranMs = performance.now() - started.since - (conversation?.heldMs ?? 0);
  const durationMs = Math.round(ranMs * 1000) / 1000;
  const exit = { code: end?.code ?? null, signal: end?.signal ?? null };
  // Neither a CLI that we stopped after its terminal event nor one that stays open has failed.
  const counted = stopped?.reason === 'lingered' || end === null ? CLEAN_EXIT : exit;
  // Before it is cut: an error keeps only its end.
  const stderr = options.redactor.text(started.child.stderrTail());
  const { verdict: reported, refused } = verdictOf(() => translator.end(counted, stderr));
  if (refused !== null) options.warn('value_refused', refused);
  const verdict = options.waits && !options.wasInterrupted ? waiting(reported) : reported;
  const { byModel, sessionTokens } = tokensOf(translator.progress);
  const outcome = outcomeOf({
    prepared: options.prepared,
    verdict,
    hopeless: translator.hopeless ?? conversation?.problem ?? null,
    stopped: options.wasInterrupted && verdict.error !== null ? interruption(stopped) : stopped,
    model: options.listener.model,
    usage: options.pricing.priced({ usage: verdict.usage, byModel }),
    exit,
    durationMs,
    limits: options.limits,
  });
  return { outcome, tokens: sessionTokens, limitedModel: verdict.limitedModel ?? null };
}

/** A turn that ended because it was interrupted, unless its process was stopped for a reason. */
const interruption = (stopped: Stop | null): Stop =>
  stopped === null || stopped.reason === 'lingered' ? { reason: 'interrupted', detail: null } : stopped;

/** A control may interrupt the turn, too: for a call that waits for a person. */
const waiting = (verdict: Verdict): Verdict =>
  verdict.error?.code === 'execution.interrupted' ? { ...verdict, error: AWAITING_APPROVAL } : verdict;

/** Names the work behind an answer that a stop ends too. */
function warnOfBackground(translator: Translator, warn: (code: string, message: string) => void): void {
  const { background = [] } = translator;
  if (background.length === 0 || !(translator.done || translator.answered === true)) return;
  warn('background_stopped', `still at work behind the answer, and stopped: ${background.join('; ')}`);
}
