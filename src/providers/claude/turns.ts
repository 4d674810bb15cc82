/**
 * The turns of a claude process, and the work that goes on after its answer.
 *
 * Each turn ends with a `result` line. A process may take turns of its own: on resume about tasks
 * that died with the process before, later about a background task that has ended, or at a
 * wake-up. `docs/providers.md` has as tables how they become one outcome: to whom a result
 * belongs, which one decides, which text is the answer, and what is added up.
 */
import { Type } from '#typebox';
import { createChecker } from '../../protocol/checker.ts';
import { maybe, type ResultLine } from './lines.ts';
import type { ApiError } from './verdict.ts';

/** A turn that has ended. */
export interface Turn {
  readonly result: ResultLine;
  /** The last text of the main agent in it; empty when there was none. */
  readonly lastText: string;
  /** The API error that its last message carried. */
  readonly apiError: ApiError | null;
}

/** The result of all turns. */
export interface FoldedTurns {
  /** The turn whose result decides; null: the prompt has no result. */
  readonly deciding: Turn | null;
  /** The turns of the prompt. Their permission denials count. */
  readonly own: readonly Turn[];
  /** Whether another turn failed after the answer. The exit code is then about that turn. */
  readonly failedLater: boolean;
  readonly text: string;
  readonly structured: unknown;
  /** Model turns of all turns, including the CLI's own; null: there was no result. */
  readonly modelTurns: number | null;
}

export interface Turns {
  /** A message was sent into the prompt's turn. A turn of its own is the prompt's, too. */
  joined(uuid: string): void;
  /** `command_lifecycle` of a message. */
  lifecycle(uuid: string, state: string): void;
  /** The main agent begins or continues. */
  began(): void;
  ended(turn: Turn): Owner;
  /** Whether the prompt has its result. */
  readonly resulted: boolean;
  /** Whether the turn of the prompt is over: no more lines about it follow. */
  readonly over: boolean;
  /** Whether a turn without a result has begun or waits to begin. */
  readonly open: boolean;
  /** Whether a message that has joined waits for its answer. */
  readonly expectsAnswer: boolean;
  /** Whether the last turn ended for a call that waits in the session. */
  readonly deferred: boolean;
  fold(): FoldedTurns;
}

/** To whom a result belongs. `unclear`: it counts only when the prompt gets no other result. */
export type Owner = 'prompt' | 'other' | 'unclear';

const isBlank = (text: string | null | undefined): boolean => (text ?? '').trim() === '';

export const isFailure = ({ is_error, subtype }: ResultLine): boolean =>
  is_error || subtype.startsWith('error');

/** No model was called and there is no text: the CLI has only taken note of something. */
const isSilent = (result: ResultLine): boolean =>
  !isFailure(result) &&
  result.num_turns === 0 &&
  isBlank(result.result) &&
  (result.structured_output ?? null) === null;

/**
 * Whether the turn ended for a call that waits in the session. Put off once more, it has no
 * `terminal_reason` and a wrong `num_turns` (observed with 2.1.329).
 */
export const isDeferred = (result: ResultLine): boolean =>
  !isFailure(result) &&
  (result.deferred_tool_use ?? null) !== null &&
  (result.terminal_reason ?? 'tool_deferred') === 'tool_deferred';

/** Of a call that was put off before, a result counts what is no turn of the model. */
const modelTurnsOf = (result: ResultLine): number =>
  (result.deferred_tool_use ?? null) !== null && result.terminal_reason !== 'tool_deferred'
    ? 0
    : Math.trunc(result.num_turns ?? 0);

const textOf = ({ result, lastText }: Turn): string => {
  const said = result.result;
  return typeof said === 'string' && !isBlank(said) ? said : lastText;
};

/**
 * @param promptId id of the message with the prompt; null: it has none
 * @param waits whether the work after the answer belongs to the prompt
 */
export function createTurns(promptId: string | null, waits: boolean): Turns {
  const turns: (Turn & { readonly owner: Owner })[] = [];
  /** State of the prompt's message; null: the CLI reports none, as older versions do. */
  let state: 'queued' | 'started' | 'ended' | null = null;
  let open = true;
  /** Messages that have joined; true: it waits for its answer. */
  const messages = new Map<string, boolean>();

  const expectsAnswer = (): boolean => state !== null && [...messages.values()].includes(true);
  const has = (owner: Owner): boolean => turns.some((turn) => turn.owner === owner);

  function ownerOf(result: ResultLine): Owner {
    if (result.parent_tool_use_id) return 'other';
    const answered = [result.user_message_uuid, ...(result.user_message_uuids ?? [])].filter(Boolean);
    if (promptId !== null && answered.includes(promptId)) return 'prompt';
    if (answered.some((id) => typeof id === 'string' && messages.has(id))) return 'prompt';
    if ((result.origin?.kind ?? 'human') !== 'human') return 'other';
    if (promptId !== null && answered.length > 0) return 'unclear';
    if (state === 'started') return 'prompt';
    if (state === 'queued') return 'unclear';
    if (state === null && isSilent(result)) return 'unclear';
    return has('prompt') ? 'other' : 'prompt';
  }

  /** The turns that count as the prompt's, in order. */
  function ownTurns(): readonly Turn[] {
    const first = turns.findIndex(({ owner }) => owner === 'prompt');
    if (first !== -1) {
      const since = turns.slice(first);
      return since.filter(
        ({ owner, result }) =>
          owner === 'prompt' || (waits && !result.parent_tool_use_id && result.num_turns !== 0),
      );
    }
    const unclear = turns.findLast(({ owner }) => owner === 'unclear');
    if (unclear === undefined) return [];
    // A CLI that reports the state of the prompt's message reports its answer, too.
    return state !== null && isSilent(unclear.result) ? [] : [unclear];
  }

  return {
    joined(uuid) {
      messages.set(uuid, true);
    },
    lifecycle(uuid, now) {
      if (messages.has(uuid) && (now === 'completed' || now === 'cancelled')) messages.set(uuid, false);
      if (uuid !== promptId) return;
      if (now === 'queued') state ??= 'queued';
      else if (now === 'started') state = 'started';
      else if (now === 'completed' || now === 'cancelled') state = 'ended';
    },
    began() {
      open = true;
    },
    ended(turn) {
      const owner = ownerOf(turn.result);
      turns.push({ ...turn, owner });
      if (!turn.result.parent_tool_use_id) open = (turn.result.queued_turn_count ?? 0) > 0;
      return owner;
    },
    get resulted() {
      return has('prompt');
    },
    get over() {
      if (state === null) return has('prompt') || has('unclear');
      return state === 'ended' && !expectsAnswer();
    },
    get open() {
      return open;
    },
    get expectsAnswer() {
      return expectsAnswer();
    },
    get deferred() {
      const last = turns.findLast(({ result }) => !result.parent_tool_use_id);
      return last !== undefined && isDeferred(last.result);
    },
    fold() {
      const own = ownTurns();
      const notable = own.filter(({ result }) => !isSilent(result));
      const deciding = notable.at(-1) ?? own.at(-1) ?? null;
      const good = own.filter(({ result }) => !isFailure(result));
      const structured = good
        .map(({ result }) => result.structured_output ?? null)
        .filter((one) => one !== null);
      const later =
        deciding === null ? [] : turns.slice(turns.findIndex(({ result }) => result === deciding.result) + 1);
      return {
        deciding,
        own,
        failedLater: later.some(({ result }) => isFailure(result)),
        text: good.map(textOf).findLast((text) => !isBlank(text)) ?? '',
        structured: structured.at(-1) ?? null,
        modelTurns:
          turns.length === 0 ? null : turns.reduce((sum, { result }) => sum + modelTurnsOf(result), 0),
      };
    },
  };
}

const WAKE_UP = 'ScheduleWakeup';

const task = createChecker(Type.Object({ task_id: maybe(Type.String()), description: maybe(Type.String()) }));
const wakeUp = createChecker(Type.Object({ scheduledFor: Type.Number() }));
const command = createChecker(Type.Object({ command: Type.String() }));

const MAX_NAME = 200;
const MAX_NAMES = 20;

/** The work that goes on after the answer: background tasks and a wake-up. */
export interface Background {
  /** The tasks that run now. */
  running(tasks: readonly unknown[]): void;
  /** A tool call has started a task. */
  started(taskId: string, toolInput: unknown): void;
  /** A tool call has ended; `result` is the CLI's own record of it. */
  toolEnded(tool: string | null, result: unknown): void;
  /** A wake-up begins a turn. */
  woke(): void;
  /** Names for a person; empty when nothing runs. */
  names(): readonly string[];
}

/** Starts empty. */
export function createBackground(): Background {
  const commands = new Map<string, string>();
  let tasks: readonly unknown[] = [];
  /** Time of the wake-up, in ms since 1970. A new wake-up replaces the one before. */
  let wakesAt: number | null = null;

  function nameOf(found: unknown): string {
    const { task_id: id, description } = task.check(found) ? found : {};
    const ran = commands.get(id ?? '');
    const name = description || ran || 'a task';
    return (ran === undefined || ran === name ? name : `${name} (${ran})`).slice(0, MAX_NAME);
  }

  return {
    running(now) {
      tasks = now;
    },
    started(taskId, toolInput) {
      if (command.check(toolInput)) commands.set(taskId, toolInput.command);
    },
    toolEnded(tool, result) {
      if (tool === WAKE_UP) wakesAt = wakeUp.check(result) ? result.scheduledFor : null;
    },
    woke() {
      wakesAt = null;
    },
    names() {
      const date = wakesAt === null ? null : new Date(wakesAt);
      const at = date === null || Number.isNaN(date.getTime()) ? 'later' : `at ${date.toISOString()}`;
      return [...tasks.slice(0, MAX_NAMES).map(nameOf), ...(wakesAt === null ? [] : [`a wake-up ${at}`])];
    },
  };
}
