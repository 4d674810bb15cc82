/**
 * ⑤ One run of a CLI: spawn → translate → wait → outcome. Refusals throw before the first event; after it
 * nothing throws and there is exactly one outcome.
 */
import type { Logger } from 'pino';
import { messageOf } from '../errors.ts';
import type { ProcScanner } from '../processes/proc-scanner.ts';
import type { ProcessEnd } from '../processes/spawned-process.ts';
import { type Termination, terminate } from '../processes/terminate.ts';
import type { Cut, Exit } from '../protocol/cli.ts';
import type { ExecutionEvent } from '../protocol/event.ts';
import type { Outcome, TokenCounts } from '../protocol/outcome.ts';
import type { Pricing } from '../usage/pricing.ts';
import { cutText, cutWarning, eventsOf, tokensOf, useOf, verdictOf, warningOf } from './bounded.ts';
import { createDeadlines } from './deadlines.ts';
import { type StopReason, toOutcome } from './ended.ts';
import type { ExecutionLimits, PreparedExecution, StopSignals } from './execution.ts';
import { createLoginWatch } from './login-watch.ts';
import { createOutputFlow } from './output-flow.ts';
import { exceededLimit } from './resource-limits.ts';
import type { ResourceWatch } from './resource-watch.ts';
import { inTime, type StartCli, type StartedCli } from './start-cli.ts';
import { untilEnded } from './until-ended.ts';

export interface ExecuteOptions {
  readonly limits: ExecutionLimits;
  readonly start: StartCli;
  readonly scanner: ProcScanner;
  readonly resources: ResourceWatch;
  readonly pricing: Pricing;
  readonly logger: Logger;
  /** Receives every event, in order, with the CLI's line it came from. */
  emit(event: ExecutionEvent, raw: string | null): void;
  /** Hands out the way to slow the CLI down. */
  onFlow(flow: { pause(): void; resume(): void }): void;
}

export interface ExecutionResult {
  readonly outcome: Outcome;
  /** The CLI's own last word: the line of its terminal event. */
  readonly lastWord: string | null;
  /** What the CLI's session has used in all, this run included; null where the CLI does not tell. */
  readonly sessionTokens: TokenCounts | null;
}

/** @throws AppError when the process cannot be started; nothing was emitted then */
export async function execute(
  prepared: PreparedExecution,
  signals: StopSignals,
  options: ExecuteOptions,
): Promise<ExecutionResult> {
  const start = (stop: AbortSignal): Promise<StartedCli> => options.start(prepared, stop);
  return supervise(await inTime(prepared.request.timeoutMs, signals.stop, start), prepared, signals, options);
}

async function supervise(
  started: StartedCli,
  prepared: PreparedExecution,
  signals: StopSignals,
  { limits, scanner, resources, pricing, logger, emit, onFlow }: ExecuteOptions,
): Promise<ExecutionResult> {
  const { child } = started;
  const { executionId, request, provider } = prepared;
  const { sessionTokens: usedBefore, promptId } = prepared;
  const translator = provider.translator(request, { sessionTokens: usedBefore, promptId });
  const maxTurns = request.maxTurns ?? Number.POSITIVE_INFINITY;
  /** A CLI without such a cap of its own is stopped when it begins one turn too many. */
  const capsTurns = request.maxTurns !== null && provider.streamCaps.includes('maxTurns');
  const capsCost = request.maxCostUsd !== null && provider.streamCaps.includes('maxCostUsd');
  const maxCostUsd = request.maxCostUsd ?? Number.POSITIVE_INFINITY;
  let model: string | null = null;
  let reason: StopReason | null = null;
  let lastWord: string | null = null;
  let exceeded: string | null = null;
  let ending: Promise<Termination> | null = null;

  let over = false;
  let holdsStdin = prepared.holdsStdin;
  let askedAgain = false;

  const stuck = Promise.withResolvers<ProcessEnd>();
  /** The turn has its answer and the process waits for the next one. */
  const turn = Promise.withResolvers<null>();
  /** Ends the process and all it started; a look at /proc that fails must not take the server along. */
  const end = async (how: { graceMs: number; force?: AbortSignal }): Promise<Termination> => {
    try {
      const done = await terminate(child, { ...how, scanner });
      // The kernel would not end it (a dead mount), or nothing tells of its end (a launcher that hangs): its slot is free.
      if (child.exitedAtUptimeS === null) stuck.resolve({ code: null, signal: 'SIGKILL', leakedPipe: true });
      return done;
    } catch (error) {
      logger.error({ executionId, reason: messageOf(error) }, 'ending a process failed');
      return { forced: true, killed: [], survivors: [] };
    }
  };

  const warn = (code: string, message: string): void => emit(warningOf(code, message), null);

  /** The one race: whoever comes first says why; everybody waits for the same end. */
  const stop = (why: StopReason): void => {
    if (reason !== null) return;
    // A CLI that has said its last word has succeeded or failed already; only its exit is missing.
    reason = translator.done && why !== 'fenced' ? 'lingered' : why;
    const { background = [] } = translator;
    if (background.length > 0 && (translator.done || translator.answered === true))
      warn('background_stopped', `still at work behind the answer, and stopped: ${background.join('; ')}`);
    ending = end({ graceMs: limits.killGraceMs, force: signals.force });
  };

  /** The event with what only the executor knows. */
  const completed = (event: ExecutionEvent): ExecutionEvent => {
    if (event.kind === 'session') return { ...event, sessionId: prepared.sessionId };
    if (event.kind !== 'usage') return event;
    const { byModel } = tokensOf(translator.progress);
    return { ...event, usage: pricing.priced({ usage: event.usage, byModel }) ?? event.usage };
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

  const deadlines = createDeadlines({
    timeoutMs: Math.max(0, request.timeoutMs - (performance.now() - started.since)),
    idleTimeoutMs: request.idleTimeoutMs,
    busy: () => translator.busy,
    stop,
  });
  const loginWatch = createLoginWatch({
    idleTimeoutMs: request.idleTimeoutMs,
    stderrTail: child.stderrTail,
    onAsked: () => stop('asks_login'),
  });
  const unfollow = resources.follow(child, started.cpuSecondsBefore, (use) => {
    exceeded ??= exceededLimit(use, request.limits, limits);
    if (exceeded !== null) stop('resource_limit');
  });
  const maxOutputBytes = Math.min(request.limits.outputBytes ?? limits.maxOutputBytes, limits.maxOutputBytes);
  const flow = createOutputFlow(child, { ...limits, maxOutputBytes }, () => stop('output_limit'));
  onFlow(flow.sinkControl);
  const onStop = (): void => stop(signals.stop.reason);
  if (signals.stop.aborted) onStop();
  else signals.stop.addEventListener('abort', onStop, { once: true });

  child.onOutput((bytes) => {
    deadlines.sawOutput();
    loginWatch.sawOutput();
    flow.sawBytes(bytes);
  });
  const maxTextBytes = Math.max(prepared.maxLineBytes, prepared.maxTextBytes);
  const hear = (line: string, cut: Cut | null): void => {
    if (reason === 'output_limit') return; // what a flood still has in its pipe is not worth keeping
    if (cut !== null) emit(cutWarning(cut, prepared.maxLineBytes), null);
    const raw = cut === null ? line : cutText(line, prepared.maxLineBytes);
    const wasDone = translator.done;
    const events = eventsOf(() => translator.line(line, cut), raw, maxTextBytes);
    for (const [index, event] of events.entries()) {
      deadlines.sawEvent(event);
      loginWatch.sawEvent(event);
      if (event.kind === 'session') model = event.model ?? model;
      emit(completed(event), index === 0 && event.kind !== 'raw' ? raw : null);
      flow.sawEvent();
    }
    if (translator.hopeless !== null) stop('hopeless');
    if (capsTurns && translator.progress.turns > maxTurns) stop('max_turns');
    if (capsCost && (pricing.priced(useOf(translator.progress))?.costUsd ?? 0) > maxCostUsd) stop('budget');
    if (translator.done && !wasDone) lastWord = line;
    if (translator.done !== wasDone) deadlines.linger(translator.done ? limits.lingerMs : null);
    const again = translator.asksAgain ?? null;
    if (holdsStdin && again !== null && !askedAgain) {
      askedAgain = true;
      child.feed(again, true);
    }
    if (holdsStdin && (translator.answered ?? translator.done)) endTurn();
  };
  for (const { line, cut } of started.heard) hear(line, cut);
  child.onLine(hear);
  child.resumeOutput();

  /** Only a process that has succeeded and has nothing more to do waits for the next turn; another one may leave. */
  function endTurn(): void {
    holdsStdin = false; // a turn ends once, whatever is said after it
    const stays = prepared.staysOpen && reason === null;
    const clean = stays && translator.done && (translator.background ?? []).length === 0;
    const { verdict } = verdictOf(() => translator.end(LEFT_WELL, child.stderrTail()));
    if (clean && verdict.error === null) turn.resolve(null);
    else child.feed('', false);
  }

  // It has left in time, whatever it left behind: that has a limit of its own.
  void child.exited.then(() => {
    deadlines.clear();
    if (child.lost) stop('launcher_died');
  });
  const ended = untilEnded(child, stuck.promise, () => {
    if (over) return;
    warn('leaked_pipe', 'a process the CLI started kept its output open and was ended');
    ending ??= end({ graceMs: 0 });
  });
  const gone = await Promise.race([ended, turn.promise]);
  over = true;
  deadlines.clear();
  loginWatch.clear();
  unfollow();
  flow.clear();
  signals.stop.removeEventListener('abort', onStop);
  const { survivors } = (await ending) ?? { survivors: [] };
  if (survivors.length > 0) {
    logger.error({ executionId, pids: survivors }, 'processes survived their execution');
  }

  const durationMs = Math.round((performance.now() - started.since) * 1000) / 1000;
  const exit: Exit = { code: gone?.code ?? null, signal: gone?.signal ?? null };
  // A lingering process was ended by us, and one that waits goes on: its last word counts as if it had left.
  const leftWell = reason === 'lingered' || gone === null;
  const { verdict, refused } = verdictOf(() =>
    translator.end(leftWell ? LEFT_WELL : exit, child.stderrTail()),
  );
  if (refused !== null) warn('value_refused', refused);
  if (gone === null) started.keep();
  else started.over();
  const { byModel, sessionTokens } = tokensOf(translator.progress);
  return {
    outcome: toOutcome({
      prepared,
      verdict,
      translator,
      reason,
      exceeded,
      model,
      usage: pricing.priced({ usage: verdict.usage, byModel }),
      exit,
      durationMs,
      limits,
    }),
    lastWord,
    sessionTokens,
  };
}

const LEFT_WELL: Exit = { code: 0, signal: null };
