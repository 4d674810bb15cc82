/**
 * ⑤ One run of a CLI: spawn → translate → wait → outcome. Refusals throw before the first event; after it
 * nothing throws and there is exactly one outcome.
 */
import type { Logger } from 'pino';
import { messageOf } from '../errors.ts';
import type { ExecutionEvent } from '../protocol/event.ts';
import type { Outcome } from '../protocol/outcome.ts';
import type { Exit } from '../providers/provider.ts';
import { createDeadlines } from './deadlines.ts';
import { type StopReason, toOutcome } from './ended.ts';
import type { ExecutionLimits, PreparedExecution, StopSignals } from './execution.ts';
import { createLoginWatch } from './login-watch.ts';
import { createOutputFlow } from './output-flow.ts';
import type { Launch } from './process/launch.ts';
import type { ProcScanner } from './process/proc-scanner.ts';
import { spawnProcess } from './process/spawn.ts';
import type { SpawnedProcess } from './process/spawned-process.ts';
import { type Termination, terminate } from './process/terminate.ts';
import type { ProcessEnd } from './process/wait.ts';
import { exceededLimit } from './resource-limits.ts';
import type { ResourceWatch } from './resource-watch.ts';

/** Output still open this long after the exit is held by something the CLI left behind. */
const LEAK_AFTER_MS = 1000;

export interface ExecuteOptions {
  readonly limits: ExecutionLimits;
  readonly launch: Launch;
  readonly scanner: ProcScanner;
  readonly resources: ResourceWatch;
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
}

/** @throws AppError when the process cannot be started; nothing was emitted then */
export async function execute(
  prepared: PreparedExecution,
  signals: StopSignals,
  options: ExecuteOptions,
): Promise<ExecutionResult> {
  const { limits, launch } = options;
  const child = await spawnProcess(
    {
      binary: prepared.binary,
      args: prepared.command.args,
      env: prepared.env,
      cwd: prepared.cwd,
      stdin: prepared.command.stdin,
      marker: prepared.marker,
      maxLineBytes: lineBytes(prepared, limits),
    },
    launch,
  );
  return supervise(child, prepared, signals, options);
}

async function supervise(
  child: SpawnedProcess,
  prepared: PreparedExecution,
  signals: StopSignals,
  { limits, scanner, resources, logger, emit, onFlow }: ExecuteOptions,
): Promise<ExecutionResult> {
  const { request, provider } = prepared;
  const translator = provider.translator(request);
  const maxTurns = request.maxTurns ?? Number.POSITIVE_INFINITY;
  /** A CLI without such a cap of its own is stopped when it begins one turn too many. */
  const capsTurns = request.maxTurns !== null && provider.streamCaps.includes('maxTurns');
  let reason: StopReason | null = null;
  let lastWord: string | null = null;
  let exceeded: string | null = null;
  let ending: Promise<Termination> | null = null;

  const stuck = Promise.withResolvers<ProcessEnd>();
  /** Ends the process and all it started; a look at /proc that fails must not take the server along. */
  const end = async (how: { graceMs: number; force?: AbortSignal }): Promise<Termination> => {
    try {
      const done = await terminate(child, { ...how, scanner });
      // The kernel would not end it (a dead mount): its slot must not wait for it.
      if (done.survivors.includes(child.pid))
        stuck.resolve({ code: null, signal: 'SIGKILL', leakedPipe: true });
      return done;
    } catch (error) {
      logger.error(
        { executionId: prepared.executionId, reason: messageOf(error) },
        'ending a process failed',
      );
      return { forced: true, killed: [], survivors: [] };
    }
  };

  /** The one race: whoever comes first says why; everybody waits for the same end. */
  const stop = (why: StopReason): void => {
    if (reason !== null) return;
    // A CLI that has said its last word has succeeded or failed already; only its exit is missing.
    reason = translator.done && why !== 'fenced' ? 'lingered' : why;
    ending = end({ graceMs: limits.killGraceMs, force: signals.force });
  };

  emit(
    {
      kind: 'execution.started',
      executionId: prepared.executionId,
      pid: child.pid,
      provider: provider.name,
      version: prepared.version,
    },
    null,
  );

  const deadlines = createDeadlines({
    timeoutMs: request.timeoutMs,
    idleTimeoutMs: request.idleTimeoutMs,
    stop,
  });
  const loginWatch = createLoginWatch({
    idleTimeoutMs: request.idleTimeoutMs,
    stderrTail: child.stderrTail,
    onAsked: () => stop('asks_login'),
  });
  const unfollow = resources.follow(prepared.marker, (use) => {
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
  child.onLine((line, truncated) => {
    if (reason === 'output_limit') return; // what a flood still has in its pipe is not worth keeping
    if (truncated)
      emit(
        {
          kind: 'warning',
          code: 'line_truncated',
          message: `a line was cut at ${lineBytes(prepared, limits)} bytes`,
        },
        null,
      );
    const wasDone = translator.done;
    const events = translator.line(line);
    for (const [index, event] of events.entries()) {
      deadlines.sawEvent(event);
      loginWatch.sawEvent(event);
      emit(withSession(event, prepared.sessionId), index === 0 && event.kind !== 'raw' ? line : null);
      flow.sawEvent();
    }
    if (translator.hopeless !== null) stop('hopeless');
    if (capsTurns && translator.progress.turns > maxTurns) stop('max_turns');
    if (translator.done) lastWord = line;
    if (translator.done !== wasDone) deadlines.linger(translator.done ? limits.lingerMs : null);
  });

  const gone = await untilEnded(child, stuck.promise, () => {
    emit(
      {
        kind: 'warning',
        code: 'leaked_pipe',
        message: 'a process the CLI started kept its output open and was ended',
      },
      null,
    );
    ending ??= end({ graceMs: 0 });
  });
  deadlines.clear();
  loginWatch.clear();
  unfollow();
  flow.clear();
  signals.stop.removeEventListener('abort', onStop);
  const { survivors } = (await ending) ?? { survivors: [] };
  if (survivors.length > 0) {
    logger.error(
      { executionId: prepared.executionId, pids: survivors },
      'processes survived their execution',
    );
  }

  const durationMs = Math.round((performance.now() - child.startedAt) * 1000) / 1000;
  const exit: Exit = { code: gone.code, signal: gone.signal };
  // A lingering process was ended by us: its last word counts as if it had left by itself.
  const verdict = translator.end(
    reason === 'lingered' ? { code: 0, signal: null } : exit,
    child.stderrTail(),
  );
  return {
    outcome: toOutcome({ prepared, verdict, translator, reason, exceeded, exit, durationMs, limits }),
    lastWord,
  };
}

/**
 * The end of a process and of its output. What it started may hold its pipes open: after a moment that is a
 * leak, told once, and whoever hears of it ends the holders.
 */
async function untilEnded(
  child: SpawnedProcess,
  stuck: Promise<ProcessEnd>,
  onLeak: () => void,
): Promise<ProcessEnd> {
  await Promise.race([child.exited, stuck]);
  const timer = setTimeout(onLeak, LEAK_AFTER_MS);
  try {
    return await Promise.race([child.ended, stuck]);
  } finally {
    clearTimeout(timer);
  }
}

const withSession = (event: ExecutionEvent, sessionId: string): ExecutionEvent =>
  event.kind === 'session' ? { ...event, sessionId } : event;

const lineBytes = ({ request }: PreparedExecution, { maxLineBytes }: ExecutionLimits): number =>
  Math.min(request.limits.lineBytes ?? maxLineBytes, maxLineBytes);
