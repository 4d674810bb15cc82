/** The frame of the dialogs that begin a session: a form, and why the server has refused it. */
import type { ComponentChildren } from 'preact';
import { useState } from 'preact/hooks';
import { ApiError } from '../../../client/errors.ts';
import { Button } from '../../ui/button.tsx';
import { Dialog } from '../../ui/dialog.tsx';
import { useOneAtATime } from '../../ui/one-at-a-time.ts';
import { messageOf } from '../../ui/states.tsx';

interface NewDialogProps {
  readonly title: string;
  /** The word on the button. */
  readonly verb: string;
  readonly onClose: () => void;
  /** Rejects with what the server says. */
  readonly onSubmit: () => Promise<void>;
  readonly children: ComponentChildren;
}

export function NewDialog({ title, verb, onClose, onSubmit, children }: NewDialogProps) {
  const [problem, setProblem] = useState<unknown>(null);
  const [submit, busy] = useOneAtATime(async () => {
    setProblem(null);
    try {
      await onSubmit();
    } catch (error) {
      setProblem(error);
    }
  });
  return (
    <Dialog title={title} onClose={onClose}>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          void submit();
        }}
      >
        <div class="inside stack">
          {children}
          {problem !== null && (
            <p class="notice bad" role="alert">
              {explain(problem)}
            </p>
          )}
        </div>
        <footer>
          <Button onPress={onClose}>Cancel</Button>
          <button type="submit" class="button primary" aria-busy={busy}>
            {verb}
          </button>
        </footer>
      </form>
    </Dialog>
  );
}

const explain = (problem: unknown): string =>
  problem instanceof ApiError && problem.code === 'terminal.disabled'
    ? 'Terminals are switched off on this server. “terminals: {enabled: true}” in its settings file switches them on.'
    : messageOf(problem);
