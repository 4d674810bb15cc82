/** Messages that the conversation does not show yet: on their way, queued, or refused. */
import type { Turn } from '../../../protocol/session.ts';
import { visibleText } from '../../transcript/hostile.ts';
import { Button } from '../../ui/button.tsx';
import { JobStatusBadge } from '../../ui/status.tsx';
import type { Sent } from './outbox.ts';

interface OnTheWayProps {
  /** Turns that have not begun. */
  readonly waiting: readonly Turn[];
  readonly sent: readonly Sent[];
  readonly onAgain: (message: Sent) => void;
  readonly onDrop: (message: Sent) => void;
}

const SENT = { steer: 'goes into the running turn', next: 'sent', interrupt: 'interrupts the turn' } as const;

export function OnTheWay({ waiting, sent, onAgain, onDrop }: OnTheWayProps) {
  if (waiting.length === 0 && sent.length === 0) return null;
  return (
    <ul class="on-the-way" aria-label="Messages on their way">
      {waiting.map(({ jobId, prompt, status }) => (
        <li key={jobId}>
          <p class="written">{visibleText(prompt)}</p>
          <p class="row">
            <JobStatusBadge status={status} />
            <a class="soft" href={`/jobs/${jobId}`}>
              its job
            </a>
          </p>
        </li>
      ))}
      {sent.map((message) => (
        <li key={message.key}>
          <p class="written">{visibleText(message.prompt)}</p>
          {message.state === 'failed' ? (
            <p class="row problem" role="alert">
              {message.problem}
              <Button small onPress={() => onAgain(message)}>
                Send again
              </Button>
              <Button small look="plain" onPress={() => onDrop(message)}>
                Drop
              </Button>
            </p>
          ) : (
            <p class="soft">{message.state === 'sending' ? 'sending …' : SENT[message.delivery]}</p>
          )}
        </li>
      ))}
    </ul>
  );
}
