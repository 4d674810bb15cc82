/** Reads the output of one run: line → events → caps → end of the turn. */
import type { SpawnedProcess } from '../processes/spawned-process.ts';
import type { Cut, Exit } from '../protocol/cli.ts';
import type { ExecutionEvent } from '../protocol/event.ts';
import type { Translator } from '../providers/provider.ts';
import type { Pricing } from '../usage/pricing.ts';
import { cutText, cutWarning, eventsOf, tokensOf, useOf, verdictOf } from './bounded.ts';
import type { Conversation } from './conversation.ts';
import type { PreparedExecution } from './prepare.ts';
import type { EarlyLine } from './start-cli.ts';
import type { StopRace, StopReason } from './stop-race.ts';
import type { Watches } from './watches.ts';

export interface Listener {
  /** Reads the lines that were kept so far, then those that follow. */
  listen(kept: readonly EarlyLine[]): void;
  /** Resolves with null when the turn has its answer and the process waits for the next turn. */
  readonly turnEnded: Promise<null>;
  /** As the CLI named it. */
  readonly model: string | null;
  /** The line of the CLI's terminal event. */
  readonly finalLine: string | null;
}

export const CLEAN_EXIT: Exit = { code: 0, signal: null };

export function createListener(options: {
  readonly child: Pick<SpawnedProcess, 'feed' | 'onLine' | 'onOutput' | 'resumeOutput' | 'stderrTail'>;
  readonly prepared: PreparedExecution;
  readonly translator: Translator;
  readonly pricing: Pricing;
  readonly watches: Pick<Watches, 'sawOutput' | 'sawEvent' | 'deadlines'>;
  readonly race: Pick<StopRace, 'stopped'>;
  /** Null: the CLI cannot be spoken with. */
  readonly conversation: Pick<Conversation, 'line' | 'turnOver' | 'isOpen'> | null;
  /** Whether the turn was interrupted: it fails, and the process can go on. */
  isInterrupted(): boolean;
  /** Time to exit after the terminal event. */
  readonly lingerMs: number;
  emit(event: ExecutionEvent, raw: string | null): void;
  stop(reason: StopReason): void;
}): Listener {
  const { child, prepared, translator, pricing, watches, race, conversation, emit, stop } = options;
  const { maxLineBytes } = prepared;
  const maxTextBytes = Math.max(maxLineBytes, prepared.maxTextBytes);
  const turn = Promise.withResolvers<null>();
  let model: string | null = null;
  let finalLine: string | null = null;
  let { holdsStdin } = prepared;

  function onLine(line: string, cut: Cut | null): void {
    if (race.stopped?.reason === 'output_limit') return; // the rest of a flood is not worth keeping
    const wasDone = translator.done;
    conversation?.line(line, cut);
    emitEvents(line, cut);
    checkCaps();
    if (translator.done && !wasDone) finalLine = line;
    if (translator.done !== wasDone) watches.deadlines.linger(translator.done ? options.lingerMs : null);
    answerOnStdin();
  }

  function emitEvents(line: string, cut: Cut | null): void {
    if (cut !== null) emit(cutWarning(cut, maxLineBytes), null);
    const raw = cut === null ? line : cutText(line, maxLineBytes);
    const events = eventsOf(() => translator.line(line, cut), raw, maxTextBytes);
    for (const [index, event] of events.entries()) {
      if (event.kind === 'session') model = event.model ?? model;
      emit(completed(event), index === 0 && event.kind !== 'raw' ? raw : null);
      watches.sawEvent(event);
    }
  }

  /** Adds to an event what only the executor knows. */
  function completed(event: ExecutionEvent): ExecutionEvent {
    if (event.kind === 'session') return { ...event, sessionId: prepared.sessionId };
    if (event.kind !== 'usage') return event;
    const { byModel } = tokensOf(translator.progress);
    return { ...event, usage: pricing.priced({ usage: event.usage, byModel }) ?? event.usage };
  }

  /**
   * Stops a CLI that has no such cap of its own when it exceeds one, and a CLI that cannot succeed.
   */
  function checkCaps(): void {
    const { maxTurns, maxCostUsd } = prepared.request;
    const { streamCaps } = prepared.provider;
    const { progress } = translator;
    if (translator.hopeless !== null) stop('hopeless');
    if (maxTurns !== null && streamCaps.includes('maxTurns') && progress.turns > maxTurns) stop('max_turns');
    if (maxCostUsd === null || !streamCaps.includes('maxCostUsd')) return;
    if ((pricing.priced(useOf(progress))?.costUsd ?? 0) > maxCostUsd) stop('budget');
  }

  /**
   * Ends the turn once it has its answer, while stdin is open. A process that stays must have
   * written its last line about the turn.
   */
  function answerOnStdin(): void {
    if (!holdsStdin) return;
    const { done, answered = done } = translator;
    if (answered || (done && !prepared.staysOpen)) endTurn();
  }

  /**
   * A process that has succeeded and has nothing more to do waits for the next turn. Others may
   * exit.
   */
  function endTurn(): void {
    holdsStdin = false; // a turn ends once
    conversation?.turnOver();
    const mayStay = prepared.staysOpen && race.stopped === null && translator.done;
    const isIdle = (translator.background ?? []).length === 0 && conversation?.isOpen !== true;
    const { verdict } = verdictOf(() => translator.end(CLEAN_EXIT, child.stderrTail()));
    const isWell = verdict.error === null || options.isInterrupted();
    if (mayStay && isIdle && isWell) turn.resolve(null);
    else child.feed('', false);
  }

  return {
    listen(kept) {
      child.onOutput(watches.sawOutput);
      for (const { line, cut } of kept) onLine(line, cut);
      child.onLine(onLine);
      child.resumeOutput();
    },
    turnEnded: turn.promise,
    get model() {
      return model;
    },
    get finalLine() {
      return finalLine;
    },
  };
}
