/** Where one writes to a chat. Enter sends; Shift+Enter is a new line; Escape twice stops the turn. */
import { useEffect, useRef } from 'preact/hooks';
import type { Delivery } from '../../../protocol/session.ts';
import { Button } from '../../ui/button.tsx';
import { useDraft } from '../../ui/draft.ts';

interface ComposerProps {
  readonly sessionId: string;
  /** Whether a turn runs or waits. */
  readonly running: boolean;
  /** Whether the CLI takes messages into the running turn. */
  readonly steers: boolean;
  readonly onSend: (prompt: string, delivery: Delivery) => void;
  readonly onStop: () => unknown;
}

const TWICE_WITHIN_MS = 1000;
const MOST_ROWS = 12;

export function Composer({ sessionId, running, steers, onSend, onStop }: ComposerProps) {
  const [text, setText] = useDraft(`session ${sessionId}`);
  const input = useRef<HTMLTextAreaElement>(null);
  const escaped = useRef(0);
  useEffect(() => {
    // On a phone the keyboard would hide the conversation.
    if (matchMedia('(pointer: fine)').matches) input.current?.focus({ preventScroll: true });
  }, []);
  const first: Delivery = running && steers ? 'steer' : 'next';
  const send = (delivery: Delivery): void => {
    if (text.trim() === '') return;
    onSend(text, delivery);
    setText('');
    input.current?.focus();
  };
  const press = (event: KeyboardEvent): void => {
    if (event.isComposing) return;
    if (event.key === 'Enter' && !event.shiftKey) {
      event.preventDefault();
      send(first);
    } else if (event.key === 'Escape' && running && !event.repeat) {
      const now = Date.now();
      if (now - escaped.current < TWICE_WITHIN_MS) void onStop();
      escaped.current = now;
    }
  };
  const empty = text.trim() === '';
  return (
    <div class="writing">
      <textarea
        ref={input}
        class="input"
        aria-label="Message"
        aria-describedby="composer-keys"
        placeholder={placeholderOf(running, steers)}
        rows={Math.min(MOST_ROWS, Math.max(2, text.split('\n').length))}
        value={text}
        onInput={(event) => setText(event.currentTarget.value)}
        onKeyDown={press}
      />
      <div class="row">
        <span class="soft hint" id="composer-keys">
          <kbd>Enter</kbd> {running && steers ? 'steers' : running ? 'queues' : 'sends'} · <kbd>Shift</kbd>{' '}
          <kbd>Enter</kbd> new line
          {running && (
            <>
              {' '}
              · <kbd>Esc</kbd> <kbd>Esc</kbd> stops
            </>
          )}
        </span>
        <span class="spread" />
        {running && (
          <Button look="danger" onPress={onStop}>
            Stop
          </Button>
        )}
        {running && (
          <Button disabled={empty} onPress={() => send('interrupt')}>
            Interrupt and send
          </Button>
        )}
        {running && steers && (
          <Button disabled={empty} onPress={() => send('next')}>
            Queue
          </Button>
        )}
        <Button look="primary" disabled={empty} onPress={() => send(first)}>
          {!running ? 'Send' : steers ? 'Steer' : 'Queue'}
        </Button>
      </div>
    </div>
  );
}

const placeholderOf = (running: boolean, steers: boolean): string =>
  !running ? 'Write a message' : steers ? 'Say something to the running turn' : 'Write the next message';
