/**
 * The one rule for how the turns of a claude process fold into the outcome of one prompt.
 *
 * Each turn ends with a `result` line. A process may take turns of its own: on resume about tasks that died with the
 * process before, later about a task in the background that has ended, or at a wake-up. `docs/providers.md` has the
 * rule as a table: whose a result is, which one decides, which text is the answer, and what is added up.
 */
import type { FailureSigns } from './failure.ts';
import type { ResultLine } from './result-line.ts';

export type ApiError = Pick<FailureSigns, 'status' | 'errorClass' | 'message'>;

/** A turn that has ended. */
export interface Turn {
  readonly result: ResultLine;
  /** The last thing the main agent said in it; empty when it said nothing. */
  readonly lastText: string;
  /** The API error it ended with, as its message carried it. */
  readonly apiError: ApiError | null;
}

/** What all turns amount to. */
export interface FoldedTurns {
  /** The turn whose result says how the prompt ended; null: the prompt has no result. */
  readonly deciding: Turn | null;
  /** The turns of the prompt: what was denied in them counts. */
  readonly own: readonly Turn[];
  /** Whether a turn that was not the prompt's failed after the answer: the exit code is then about that one. */
  readonly failedLater: boolean;
  readonly text: string;
  readonly structured: unknown;
  /** Model turns of all turns, the CLI's own included; null: there was no result. */
  readonly modelTurns: number | null;
}

export interface TurnFold {
  /** `command_lifecycle` of a message; others than the prompt's change nothing. */
  lifecycle(uuid: string, state: string): void;
  /** The main agent begins or goes on. */
  began(): void;
  ended(turn: Turn): Owner;
  /** Whether the prompt has its result. */
  readonly resulted: boolean;
  /** Whether the turn of the prompt is over: nothing more is to come for it. */
  readonly over: boolean;
  /** Whether a turn has begun, or waits to begin, that has no result yet. */
  readonly open: boolean;
  /** Whether the session has the answer already, from an earlier attempt: the CLI does nothing for the prompt. */
  readonly answeredBefore: boolean;
  fold(): FoldedTurns;
}

/** Whose a result is. `unclear`: nothing ties it to the prompt; it counts when the prompt gets no other. */
export type Owner = 'prompt' | 'other' | 'unclear';

const isBlank = (text: string | null | undefined): boolean => (text ?? '').trim() === '';

export const isFailure = ({ is_error, subtype }: ResultLine): boolean =>
  is_error || subtype.startsWith('error');

/** No model was asked, and there is nothing to read: what the CLI writes when it has only noticed something. */
const isSilent = (result: ResultLine): boolean =>
  !isFailure(result) &&
  result.num_turns === 0 &&
  isBlank(result.result) &&
  (result.structured_output ?? null) === null;

const textOf = ({ result, lastText }: Turn): string => {
  const said = result.result;
  return typeof said === 'string' && !isBlank(said) ? said : lastText;
};

/**
 * @param promptId id of the message with the prompt; null: it has none
 * @param waits whether what the CLI does after the answer belongs to the prompt
 */
export function createTurnFold(promptId: string | null, waits: boolean): TurnFold {
  /** Of the message whose answer is the prompt's. */
  let asked = promptId;
  /** Of the turn the CLI began last for another message. */
  let begun: string | null = null;
  let answeredBefore = false;
  const turns: (Turn & { readonly owner: Owner })[] = [];
  /** What the CLI has told of the prompt's message; null: nothing, as older ones do. */
  let told: 'queued' | 'started' | 'ended' | null = null;
  let open = true;

  const has = (owner: Owner): boolean => turns.some((turn) => turn.owner === owner);

  function ownerOf(result: ResultLine): Owner {
    if (result.parent_tool_use_id) return 'other';
    const answered = [result.user_message_uuid, ...(result.user_message_uuids ?? [])].filter(Boolean);
    if (asked !== null && answered.includes(asked)) return 'prompt';
    if ((result.origin?.kind ?? 'human') !== 'human') return 'other';
    if (asked !== null && answered.length > 0) return 'unclear';
    if (told === 'started') return 'prompt';
    if (told === 'queued') return 'unclear';
    if (told === null && isSilent(result)) return 'unclear';
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
    // A CLI that tells of the prompt's message would have told of its answer too.
    return told !== null && isSilent(unclear.result) ? [] : [unclear];
  }

  return {
    lifecycle(uuid, state) {
      if (uuid !== asked) {
        if (state === 'started') begun = uuid;
        else if (uuid === begun) begun = null;
        return;
      }
      if (state === 'completed' && told === null) {
        // The session has it from an earlier attempt. Its turn goes on as the CLI's own, or is over.
        asked = begun;
        told = begun === null ? null : 'started';
        answeredBefore = begun === null;
      } else if (state === 'queued') told ??= 'queued';
      else if (state === 'started') told = 'started';
      else if (state === 'completed' || state === 'cancelled') told = 'ended';
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
      return told === null ? has('prompt') || has('unclear') : told === 'ended';
    },
    get open() {
      return open;
    },
    get answeredBefore() {
      return answeredBefore;
    },
    fold() {
      const own = ownTurns();
      const telling = own.filter(({ result }) => !isSilent(result));
      const deciding = telling.at(-1) ?? own.at(-1) ?? null;
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
          turns.length === 0
            ? null
            : turns.reduce((sum, { result }) => sum + Math.trunc(result.num_turns ?? 0), 0),
      };
    },
  };
}
