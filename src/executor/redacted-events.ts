import type { EventKind, ExecutionEvent } from '../protocol/event.ts';
import type { Redactor } from '../redactor.ts';

/** The complete text follows its deltas, and the other ones follow that. */
const END_TEXT: readonly EventKind[] = ['text', 'reasoning', 'tool.started', 'execution.started', 'session'];
/**
 * A secret may begin in the last 3 characters that were sent. The others show the word they belong
 * to.
 */
const SENT_CHARACTERS = 64;

type Delta = Extract<ExecutionEvent, { kind: 'text.delta' }>;

export interface RedactedEvents {
  push(event: ExecutionEvent, raw: string | null): void;
  /** Passes on what is held. Call it before the end of the events. */
  flush(): void;
}

/**
 * Passes the events of one execution on without secrets. A secret may lie in several text deltas:
 * a delta that ends with 4 or more characters of one is held until the next delta, or the end of
 * the text. Events of other kinds may overtake it. An event that is changed loses its raw line.
 */
export function createRedactedEvents(
  redactor: Redactor,
  passOn: (event: ExecutionEvent, raw: string | null) => void,
): RedactedEvents {
  const send = (event: ExecutionEvent, raw: string | null): void => passOn(event, raw && redactor.text(raw));
  let held: { readonly event: Delta; readonly raw: string | null }[] = [];
  /** The last characters of the deltas that were passed on. */
  let sent = '';

  function release(isOver: boolean): void {
    const whole = sent + held.map(({ event }) => event.text).join('');
    const open = isOver ? whole.length : Math.max(redactor.openFrom(whole), sent.length);
    const closed = whole.slice(0, open);
    const clean = redactor.text(closed, sent.length);
    if (clean !== closed) {
      // One delta replaces all that had a part of it, and their raw lines are left out.
      send({ kind: 'text.delta', text: clean.slice(sent.length) }, null);
      const rest = whole.slice(open);
      held = rest === '' ? [] : [{ event: { kind: 'text.delta', text: rest }, raw: null }];
      sent = closed.slice(-SENT_CHARACTERS);
      return;
    }
    let end = sent.length;
    for (let next = held[0]; next !== undefined && end + next.event.text.length <= open; next = held[0]) {
      held.shift();
      end += next.event.text.length;
      send(next.event, next.raw);
    }
    sent = whole.slice(0, end).slice(-SENT_CHARACTERS);
  }

  const flush = (): void => {
    if (held.length > 0) release(true);
    sent = '';
  };

  return {
    push(event, raw) {
      if (event.kind === 'text.delta') {
        held.push({ event, raw });
        release(false);
        return;
      }
      if (END_TEXT.includes(event.kind)) flush();
      const clean = redactor.value(event);
      send(clean, clean === event ? raw : null);
    },
    flush,
  };
}
