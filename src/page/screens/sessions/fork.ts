/** Opens a new session that goes on from here. */
import { go } from '../../router.ts';
import { client } from '../../server.ts';
import { act } from '../../ui/toast.tsx';

export async function fork(id: string): Promise<void> {
  await act(async () => {
    const made = await client.sessions.fork(id);
    go(`/sessions/${made.id}`);
  }, 'Forked');
}
