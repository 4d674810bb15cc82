/** Begins a chat. */
import { useId, useState } from 'preact/hooks';
import type { PermissionMode } from '../../../protocol/prompt.ts';
import type { Session } from '../../../protocol/session.ts';
import { client } from '../../server.ts';
import { useDraft } from '../../ui/draft.ts';
import { createSend } from '../../ui/unanswered.ts';
import { given, PermissionModeField, ProviderField, TextField, useProviders } from './fields.tsx';
import { NewDialog } from './new-dialog.tsx';
import { rememberChoice, rememberedChoice } from './remembered.ts';

interface NewChatProps {
  readonly onClose: () => void;
  readonly onMade: (session: Session) => void;
}

/** Outlives the dialog, as the first message does. */
const sendOnce = createSend();

export function NewChat({ onClose, onMade }: NewChatProps) {
  const [before] = useState(() => rememberedChoice('chat'));
  const [prompt, setPrompt] = useDraft('new chat');
  const [provider, setProvider] = useState(before['provider'] ?? '');
  const [cwd, setCwd] = useState(before['cwd'] ?? '');
  const [model, setModel] = useState(before['model'] ?? '');
  const [permissionMode, setPermissionMode] = useState<PermissionMode | ''>('');
  const [asks, setAsks] = useState(true);
  const [name, setName] = useState('');
  const providers = useProviders(() => true);
  const canAsk = (providers.data ?? []).some(
    ({ name, capabilities }) => capabilities['approvals'] === true && (provider === '' || name === provider),
  );
  const id = useId();
  const begin = async (): Promise<void> => {
    const request = {
      ...given({ prompt, provider, cwd, model, permissionMode, name }),
      ...(asks && canAsk ? { onPermissionDenied: 'ask' as const } : {}),
    };
    const session = await sendOnce(request, (options) => client.sessions.create(request, options));
    rememberChoice('chat', { provider, cwd, model });
    setPrompt('');
    onClose();
    onMade(session);
  };
  return (
    <NewDialog title="New chat" verb="Begin" onClose={onClose} onSubmit={begin}>
      <div class="field">
        <label for={id}>First message</label>
        <textarea
          autofocus
          id={id}
          class="input"
          rows={3}
          value={prompt}
          onInput={(event) => setPrompt(event.currentTarget.value)}
        />
      </div>
      <TextField
        label="Folder"
        value={cwd}
        onValue={setCwd}
        mono
        hint="an absolute path on the server; empty: the server's default"
      />
      <div class="session-two">
        <ProviderField providers={providers} value={provider} onValue={setProvider} />
        <TextField label="Model" value={model} onValue={setModel} hint="empty: the CLI's own choice" />
      </div>
      <PermissionModeField value={permissionMode} onValue={setPermissionMode} />
      {canAsk && (
        <label class="session-check">
          <input type="checkbox" checked={asks} onChange={(event) => setAsks(event.currentTarget.checked)} />
          Ask a person before a tool that the rules do not allow
        </label>
      )}
      <TextField label="Name" value={name} onValue={setName} hint="for people; may be empty" />
    </NewDialog>
  );
}
