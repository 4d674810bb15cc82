/** What can be done with a job now. */
import { useState } from 'preact/hooks';
import type { Job } from '../../../protocol/job.ts';
import { go } from '../../router.ts';
import { client, may } from '../../server.ts';
import { Button } from '../../ui/button.tsx';
import { Dialog } from '../../ui/dialog.tsx';
import { useKeys } from '../../ui/keys.tsx';
import { Menu } from '../../ui/popover.tsx';
import { act } from '../../ui/toast.tsx';
import { retryOnce } from '../jobs/job-actions.ts';

interface ActionsProps {
  readonly job: Job;
  readonly onChanged: (job: Job) => void;
}

export function Actions({ job, onChanged }: ActionsProps) {
  const [asks, setAsks] = useState(false);
  const { id, finished, cancelRequested, archived, nativeSessionId } = job;
  const changes = (what: () => Promise<Job>, text: string) => () =>
    act(async () => onChanged(await what()), text);
  const again = (from: 'start' | 'session', text: string) => () =>
    act(async () => go(`/jobs/${(await retryOnce(id, from)).id}`), text);
  const cancel = changes(
    () => client.cancel(id, { force: cancelRequested }),
    cancelRequested ? 'The job is killed' : 'Cancel requested',
  );
  const retry = again('start', 'Retried from the start');
  const continues = again('session', 'The session goes on in a new job');
  const archive = changes(
    () => client.change(id, { archived: !archived }),
    archived ? 'Back from the archive' : 'Archived',
  );
  const change = (): void => go(`/jobs/new?from=${encodeURIComponent(id)}`);
  const canContinue = finished && nativeSessionId !== null;
  useKeys(
    !may('jobs:write')
      ? []
      : [
          ...(finished
            ? [{ keys: 'r', does: 'retry the job', act: retry }]
            : [
                {
                  keys: 'x',
                  does: cancelRequested ? 'kill the job' : 'cancel the job',
                  act: cancel,
                },
              ]),
          ...(canContinue ? [{ keys: 'o', does: 'continue the session', act: continues }] : []),
          { keys: 'e', does: 'archive the job', act: archive },
          { keys: 'a', does: 'make it again with changes', act: change },
        ],
  );
  if (!may('jobs:write')) return null;
  return (
    <div class="actions">
      {!finished && (
        <Button look="danger" shortcut="x" onPress={cancel}>
          {cancelRequested ? 'Kill now' : 'Cancel'}
        </Button>
      )}
      {finished && (
        <Button shortcut="r" onPress={retry}>
          Retry
        </Button>
      )}
      {canContinue && (
        <Button shortcut="o" onPress={continues}>
          Continue
        </Button>
      )}
      <Menu
        label="More actions"
        items={[
          { name: 'Again with changes', act: change },
          { name: archived ? 'Unarchive' : 'Archive', act: archive },
          ...(finished ? [{ name: 'Delete', act: () => setAsks(true), danger: true }] : []),
        ]}
      />
      {asks && <Remove id={id} onClose={() => setAsks(false)} />}
    </div>
  );
}

function Remove({ id, onClose }: { readonly id: string; readonly onClose: () => void }) {
  const remove = async (): Promise<void> => {
    onClose();
    if (await act(() => client.remove(id), 'The job is deleted')) go('/jobs', { replace: true });
  };
  return (
    <Dialog title="Delete this job?" onClose={onClose}>
      <p class="inside">Its events and its outcome are deleted with it. Its usage stays in the sums.</p>
      <footer>
        <Button onPress={onClose}>Keep it</Button>
        <Button look="danger" onPress={remove}>
          Delete
        </Button>
      </footer>
    </Dialog>
  );
}
