/** Asks before a session is closed or deleted. */
import type { Session } from '../../../protocol/session.ts';
import { client } from '../../server.ts';
import { Button } from '../../ui/button.tsx';
import { Dialog } from '../../ui/dialog.tsx';
import { act } from '../../ui/toast.tsx';
import { nameOf } from './names.ts';

interface EndDialogProps {
  readonly session: Session;
  readonly what: 'close' | 'delete';
  readonly onClose: () => void;
  /** It was done. */
  readonly onDone: () => void;
}

export function EndDialog({ session, what, onClose, onDone }: EndDialogProps) {
  const name = nameOf(session);
  const isClose = what === 'close';
  const end = async (): Promise<void> => {
    const done = await act(
      () => (isClose ? client.sessions.close(session.id) : client.sessions.remove(session.id)),
      isClose ? `${name} is closed` : `${name} is deleted`,
    );
    onClose();
    if (done) onDone();
  };
  return (
    <Dialog title={isClose ? 'Close this session?' : 'Delete this session?'} onClose={onClose}>
      <div class="inside stack">
        <p>
          <strong>{name}</strong>
        </p>
        <p>{consequence(session, isClose)}</p>
      </div>
      <footer>
        <Button onPress={onClose}>Keep it</Button>
        <Button look="danger" onPress={end}>
          {isClose ? 'Close it' : 'Delete it'}
        </Button>
      </footer>
    </Dialog>
  );
}

function consequence({ kind }: Session, isClose: boolean): string {
  if (kind === 'terminal')
    return isClose
      ? 'Its program gets a hangup and ends. The recording and the history stay.'
      : 'Its recording and its history are deleted. Nothing brings them back.';
  return isClose
    ? 'A turn that runs is cancelled, and it takes no further message. The conversation stays.'
    : 'The conversation and its jobs are deleted. Their usage stays in the statistics.';
}
