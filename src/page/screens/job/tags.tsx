/** The tags of a job, and their change. */
import { useState } from 'preact/hooks';
import type { Job } from '../../../protocol/job.ts';
import { client, may } from '../../server.ts';
import { visibleText } from '../../transcript/hostile.ts';
import { Button } from '../../ui/button.tsx';
import { useOneAtATime } from '../../ui/one-at-a-time.ts';
import { act } from '../../ui/toast.tsx';

interface TagsProps {
  readonly job: Job;
  readonly onChanged: (job: Job) => void;
}

export function Tags({ job, onChanged }: TagsProps) {
  const [text, setText] = useState<string | null>(null);
  const [save] = useOneAtATime(async () => {
    const tags = [...new Set((text ?? '').split(',').map((tag) => tag.trim()))].filter((tag) => tag !== '');
    const worked = await act(async () => onChanged(await client.change(job.id, { tags })), 'Tags saved');
    if (worked) setText(null);
  });
  if (text !== null)
    return (
      <form
        class="row tags-form"
        onSubmit={(event) => {
          event.preventDefault();
          void save();
        }}
      >
        <input
          class="input"
          aria-label="Tags, with commas between them"
          placeholder="nightly, reviewed"
          value={text}
          autofocus
          onInput={(event) => setText(event.currentTarget.value)}
          onKeyDown={(event) => {
            if (event.key === 'Escape') setText(null);
          }}
        />
        <Button look="primary" onPress={save}>
          Save
        </Button>
        <Button onPress={() => setText(null)}>Leave</Button>
      </form>
    );
  return (
    <div class="row tags-of">
      {job.tags.map((tag) => (
        <a key={tag} class="tag" href={`/jobs?tag=${encodeURIComponent(tag)}`}>
          {visibleText(tag)}
        </a>
      ))}
      {may('jobs:write') && (
        <Button small look="plain" onPress={() => setText(job.tags.join(', '))}>
          {job.tags.length === 0 ? 'Add tags' : 'Edit tags'}
        </Button>
      )}
    </div>
  );
}
