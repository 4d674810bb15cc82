/** A message to a job that runs, and the interrupt of its turn. */
import { useRef } from 'preact/hooks';
import type { Job } from '../../../protocol/job.ts';
import { useLoad } from '../../load.ts';
import { client, may } from '../../server.ts';
import type { Transcript } from '../../transcript/transcript.ts';
import { Button } from '../../ui/button.tsx';
import { useDraft } from '../../ui/draft.ts';
import { useKeys } from '../../ui/keys.tsx';
import { useOneAtATime } from '../../ui/one-at-a-time.ts';
import { act, done } from '../../ui/toast.tsx';
import { createSend } from '../../ui/unanswered.ts';

interface ComposerProps {
  readonly job: Job;
  readonly transcript: Transcript;
}

/** Outlives the screen, as the draft does. */
const sendOnce = createSend();

export function Composer({ job, transcript }: ComposerProps) {
  const [text, setText] = useDraft(`job ${job.id}`);
  const field = useRef<HTMLTextAreaElement>(null);
  const provider = job.outcome?.provider ?? job.provider;
  const canSteer = useLoad(
    async (signal) =>
      (await client.providers({ signal })).find(({ name }) => name === provider)?.capabilities['steer'] ===
      true,
    [provider],
  );
  useKeys([{ keys: 'm', does: 'write a message', act: () => field.current?.focus() }]);
  const isEmpty = text.trim() === '';
  const [send] = useOneAtATime(async (how: 'next' | 'steer') => {
    if (isEmpty) return;
    const worked = await act(
      async () => {
        if (how === 'next')
          await sendOnce([job.id, how, text], (options) => client.message(job.id, { prompt: text }, options));
        else {
          const { messageId, delivered } = await sendOnce([job.id, how, text], (options) =>
            client.steer(job.id, text, options),
          );
          transcript.name(messageId, text);
          if (delivered === 'next') done('The turn had ended: it is the next one');
        }
      },
      how === 'next' ? 'It is the next turn' : 'Sent',
    );
    if (worked) setText('');
  });
  const first = canSteer.data === true ? 'steer' : 'next';
  return (
    <form
      class="job-composer card"
      onSubmit={(event) => {
        event.preventDefault();
        void send(first);
      }}
    >
      <textarea
        ref={field}
        class="input"
        rows={2}
        aria-label="Message to the agent"
        placeholder="Message to the agent"
        value={text}
        onInput={(event) => setText(event.currentTarget.value)}
        onKeyDown={(event) => {
          if (event.key === 'Escape') event.currentTarget.blur();
          if (event.key === 'Enter' && (event.metaKey || event.ctrlKey)) {
            event.preventDefault();
            void send(first);
          }
        }}
      />
      <div class="row">
        {may('sessions:write') && (
          <Button onPress={() => act(() => client.sessions.interrupt(job.sessionId), 'Interrupted')}>
            Interrupt
          </Button>
        )}
        <span class="soft spread hint">
          <kbd>Ctrl</kbd> <kbd>Enter</kbd> sends
        </span>
        <Button
          {...(first === 'next' ? { look: 'primary' as const } : {})}
          disabled={isEmpty}
          onPress={() => send('next')}
        >
          As the next turn
        </Button>
        {canSteer.data === true && (
          <Button look="primary" disabled={isEmpty} onPress={() => send('steer')}>
            Into this turn
          </Button>
        )}
      </div>
    </form>
  );
}
