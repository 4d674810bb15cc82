/**
 * Everything beside the lines of a CLI that can stop it or slow it down: clocks, limits and
 * signals.
 */
import type { SpawnedProcess } from '../processes/spawned-process.ts';
import type { ExecutionEvent } from '../protocol/event.ts';
import type { Translator } from '../providers/provider.ts';
import { createDeadlines, type Deadlines } from './deadlines.ts';
import type { ExecutionLimits, StopSignals } from './execute.ts';
import type { PreparedExecution } from './prepare.ts';
import { createCpuWatch, exceededLimit, type ResourceWatch } from './resources.ts';
import type { StartedCli } from './start-cli.ts';
import type { StopReason } from './stop-race.ts';

/** All watches of one run. */
export interface Watches {
  sawOutput(bytes: number): void;
  sawEvent(event: ExecutionEvent): void;
  readonly deadlines: Pick<Deadlines, 'linger' | 'hold' | 'clear'>;
  /** For the sink of the events, when it lags. */
  readonly sinkControl: OutputFlow['sinkControl'];
  clear(): void;
}

export function startWatches(options: {
  readonly started: StartedCli;
  readonly prepared: PreparedExecution;
  readonly signals: StopSignals;
  readonly limits: ExecutionLimits;
  readonly resources: ResourceWatch;
  readonly translator: Translator;
  stop(why: StopReason, detail?: string): void;
}): Watches {
  const { started, signals, limits, translator, stop } = options;
  const { child } = started;
  const { request } = options.prepared;
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
  const cpuExcess = createCpuWatch(limits);
  const unfollow = options.resources.follow(child, started.cpuSecondsBefore, (use) => {
    const exceeded = exceededLimit(use, request.limits, limits) ?? cpuExcess(use.cpuSeconds);
    if (exceeded !== null) stop('resource_limit', exceeded);
  });
  const flow = createOutputFlow({
    child,
    maxOutputBytes: Math.min(request.limits.outputBytes ?? limits.maxOutputBytes, limits.maxOutputBytes),
    maxEvents: limits.maxEvents,
    maxEventsPerSecond: limits.maxEventsPerSecond,
    onExceeded: () => stop('output_limit'),
  });
  const onStop = (): void => stop(signals.stop.reason);
  if (signals.stop.aborted) onStop();
  else signals.stop.addEventListener('abort', onStop, { once: true });

  return {
    sawOutput(bytes) {
      deadlines.sawOutput();
      loginWatch.sawOutput();
      flow.sawBytes(bytes);
    },
    sawEvent(event) {
      deadlines.sawEvent(event);
      loginWatch.sawEvent(event);
      flow.sawEvent();
    },
    deadlines,
    sinkControl: flow.sinkControl,
    clear() {
      deadlines.clear();
      loginWatch.clear();
      unfollow();
      flow.clear();
      signals.stop.removeEventListener('abort', onStop);
    },
  };
}

/** After this much silence a question is taken for one that waits for an answer. */
const QUIET_MS = 10_000;
/** Length of the ends of stderr and of the unknown lines that are searched. */
const TAIL_CHARS = 2000;

const QUESTIONS = [
  /press (enter|return|any key) to (continue|open|log ?in|sign ?in|authenticate)/i,
  /(open|visit|go to|browse to)\b.{0,80}https?:\/\/\S*(oauth|login|auth|device|activate)/is,
  /(enter|paste) (the |your )?(authorization |verification |device |one-time )?code\b/i,
  /(choose|select) (a |an |your )?(login|auth|authentication|sign-?in) method/i,
  /how would you like to (authenticate|log ?in|sign ?in)/i,
  /waiting for (authentication|authorization|login|sign-?in)/i,
  /(please|you must|you need to) (log|sign) ?in\b/i,
  /do you trust (the |this )?(files|authors|contents|folder|directory|workspace)/i,
];

export const asksForLogin = (text: string): boolean => QUESTIONS.some((question) => question.test(text));

/**
 * Detects a CLI that asks a person to log in and waits, long before its silence would stop it. It
 * cannot be answered: the prompt was its stdin.
 *
 * A model may write the same words. So only output before the first event counts (stderr, and lines
 * that the provider does not know), and only when silence follows.
 */
export function createLoginWatch(options: {
  readonly idleTimeoutMs: number;
  stderrTail(): string;
  /** Called at most once. */
  onAsked(): void;
}) {
  const quietMs = Math.min(QUIET_MS, options.idleTimeoutMs / 2);
  let lines = '';
  let lastOutput: number | null = null;
  let timer: NodeJS.Timeout | null = null;
  let over = false;

  function check(): void {
    timer = null;
    if (over || lastOutput === null) return;
    const left = quietMs - (performance.now() - lastOutput);
    if (left > 0) {
      timer = setTimeout(check, Math.max(1, left));
      return;
    }
    lastOutput = null; // one check per silence
    if (!asksForLogin(`${lines}\n${options.stderrTail().slice(-TAIL_CHARS)}`)) return;
    over = true;
    options.onAsked();
  }

  function clear(): void {
    over = true;
    if (timer !== null) clearTimeout(timer);
    timer = null;
  }

  return {
    sawOutput() {
      if (over) return;
      lastOutput = performance.now();
      timer ??= setTimeout(check, quietMs);
    },
    sawEvent(event: ExecutionEvent): void {
      if (event.kind === 'raw') lines = `${lines}\n${event.line}`.slice(-TAIL_CHARS);
      // It has begun to work: from now on a model writes the text.
      else clear();
    },
    clear,
  };
}

export interface OutputFlow {
  sawBytes(bytes: number): void;
  sawEvent(): void;
  /** For the sink of the events, when it lags. */
  readonly sinkControl: { pause(): void; resume(): void };
  clear(): void;
}

/**
 * Bounds the output of one CLI. Too many bytes or events stop it. When events come too fast or the
 * sink lags, the executor only stops reading, so that the pipe fills and the CLI waits.
 */
export function createOutputFlow(options: {
  readonly child: Pick<SpawnedProcess, 'pauseOutput' | 'resumeOutput'>;
  readonly maxOutputBytes: number;
  readonly maxEvents: number;
  readonly maxEventsPerSecond: number;
  onExceeded(): void;
}): OutputFlow {
  const { child } = options;
  const holds = new Set<'sink' | 'rate'>();
  let bytes = 0;
  let events = 0;
  let windowStart = performance.now();
  let windowEvents = 0;
  let timer: NodeJS.Timeout | null = null;
  let over = false;

  const hold = (why: 'sink' | 'rate'): void => {
    holds.add(why);
    child.pauseOutput();
  };
  const release = (why: 'sink' | 'rate'): void => {
    holds.delete(why);
    if (holds.size === 0) child.resumeOutput();
  };

  return {
    sawBytes(count) {
      bytes += count;
      if (bytes > options.maxOutputBytes) options.onExceeded();
    },
    sawEvent() {
      events += 1;
      if (events > options.maxEvents) options.onExceeded();
      const now = performance.now();
      if (now - windowStart >= 1000) {
        windowStart = now;
        windowEvents = 0;
      }
      windowEvents += 1;
      if (windowEvents <= options.maxEventsPerSecond || timer !== null) return;
      hold('rate');
      timer = setTimeout(
        () => {
          timer = null;
          release('rate');
        },
        1000 - (now - windowStart),
      );
    },
    sinkControl: {
      pause: () => {
        if (!over) hold('sink');
      },
      resume: () => release('sink'),
    },
    clear() {
      over = true;
      if (timer !== null) clearTimeout(timer);
      holds.clear();
      child.resumeOutput(); // the process may continue with another run
    },
  };
}
