/** What can be done with the selected jobs. */
import { useState } from 'preact/hooks';
import type { JobFilter } from '../../../protocol/job.ts';
import { formatMany } from '../../format.ts';
import { Button } from '../../ui/button.tsx';
import { Dialog } from '../../ui/dialog.tsx';
import { archiveMany, type Chosen, cancelMany, retryMany, tagMany } from './job-actions.ts';
import { NOTHING, type Selection } from './job-table.tsx';

interface BulkBarProps {
  readonly filter: JobFilter;
  readonly selection: Selection;
  readonly onSelect: (selection: Selection) => void;
  /** Whether more jobs match than those that are selected. */
  readonly more: boolean;
}

type Ask = 'cancel' | 'retry' | 'archive' | 'tag';

const WORDS: Readonly<
  Record<Ask, { readonly title: string; readonly button: string; readonly text: string }>
> = {
  cancel: {
    title: 'Cancel',
    button: 'Cancel jobs',
    text: 'Jobs that run are stopped. Jobs that have ended are left alone.',
  },
  retry: {
    title: 'Retry',
    button: 'Retry jobs',
    text: 'Each becomes a new job, which may cost money. Jobs that have a retry are left alone.',
  },
  archive: {
    title: 'Archive',
    button: 'Archive jobs',
    text: 'Archived jobs stay in the list and can be found.',
  },
  tag: { title: 'Tag', button: 'Add the tag', text: 'The tag is added to those that each job has.' },
};

const ACTS: Readonly<Record<Ask, (chosen: Chosen, tag: string) => Promise<boolean>>> = {
  cancel: cancelMany,
  retry: retryMany,
  archive: archiveMany,
  tag: tagMany,
};

export function BulkBar({ filter, selection, onSelect, more }: BulkBarProps) {
  const [ask, setAsk] = useState<Ask | null>(null);
  const [busy, setBusy] = useState(false);
  const count = selection.ids.size;
  if (!selection.all && count === 0) return null;
  const words = selection.all ? 'All jobs that match' : formatMany(count, 'job');
  const chosen: Chosen = selection.all ? { filter } : selection.ids;
  /** Its progress is shown as a message, which one can stop. */
  const run = async (what: Ask, tag = ''): Promise<void> => {
    setAsk(null);
    setBusy(true);
    if (await ACTS[what](chosen, tag)) onSelect(NOTHING);
    setBusy(false);
  };
  return (
    <div class="bulk" role="toolbar" aria-label="Selected jobs">
      <span class="count">{words}</span>
      {!selection.all && more && (
        <Button small look="plain" onPress={() => onSelect({ ids: new Set(), all: true })}>
          Select all that match
        </Button>
      )}
      <span class="spread" />
      <Button small look="danger" disabled={busy} onPress={() => setAsk('cancel')}>
        Cancel
      </Button>
      <Button small disabled={busy} onPress={() => setAsk('retry')}>
        Retry
      </Button>
      <Button small disabled={busy} onPress={() => (selection.all ? setAsk('archive') : run('archive'))}>
        Archive
      </Button>
      <Button small disabled={busy} onPress={() => setAsk('tag')}>
        Tag
      </Button>
      <Button small look="plain" label="Select nothing" onPress={() => onSelect(NOTHING)}>
        ✕
      </Button>
      {ask !== null && (
        <Question
          ask={ask}
          what={selection.all ? `all jobs that match` : words}
          onClose={() => setAsk(null)}
          onYes={(tag) => void run(ask, tag)}
        />
      )}
    </div>
  );
}

interface QuestionProps {
  readonly ask: Ask;
  readonly what: string;
  readonly onClose: () => void;
  readonly onYes: (tag: string) => void;
}

function Question({ ask, what, onClose, onYes }: QuestionProps) {
  const [tag, setTag] = useState('');
  const { title, button, text } = WORDS[ask];
  return (
    <Dialog title={`${title} ${what}?`} onClose={onClose}>
      <div class="inside stack">
        <p class="soft">{text}</p>
        {ask === 'tag' && (
          <div class="field">
            <label for="bulk-tag">Tag</label>
            <input
              id="bulk-tag"
              class="input"
              maxLength={64}
              value={tag}
              onInput={(event) => setTag(event.currentTarget.value)}
            />
          </div>
        )}
      </div>
      <footer>
        <Button onPress={onClose}>Not now</Button>
        <Button
          look={ask === 'cancel' ? 'danger' : 'primary'}
          disabled={ask === 'tag' && tag.trim() === ''}
          onPress={() => onYes(tag.trim())}
        >
          {button}
        </Button>
      </footer>
    </Dialog>
  );
}
