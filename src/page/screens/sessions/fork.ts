/** Opens a new session that goes on from here. */
import { go } from '../../router.ts';
import { client } from '../../server.ts';
import { act } from '../../ui/toast.tsx';
import { createSend } from '../../ui/unanswered.ts';

const sendOnce = createSend();

export async function fork(id: string): Promise<void> {
  await act(async () => {
    const made = await sendOnce(id, (options) => client.sessions.fork(id, options));
    go(`/sessions/${made.id}`);
  }, 'Forked');
}
