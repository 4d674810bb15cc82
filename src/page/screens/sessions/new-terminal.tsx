/** Opens a terminal: a CLI in its interactive mode, or a command of the settings. */
import { useState } from 'preact/hooks';
import type { PermissionMode } from '../../../protocol/prompt.ts';
import type { Session } from '../../../protocol/session.ts';
import { client } from '../../server.ts';
import { useSend } from '../../ui/unanswered.ts';
import { given, PermissionModeField, ProviderField, TextField, useProviders } from './fields.tsx';
import { NewDialog } from './new-dialog.tsx';
import { rememberChoice, rememberedChoice } from './remembered.ts';

interface NewTerminalProps {
  readonly onClose: () => void;
  readonly onMade: (session: Session) => void;
}

export function NewTerminal({ onClose, onMade }: NewTerminalProps) {
  const [before] = useState(() => rememberedChoice('terminal'));
  const [runs, setRuns] = useState(before['runs'] === 'provider' ? 'provider' : 'command');
  const [command, setCommand] = useState(before['command'] ?? '');
  const [provider, setProvider] = useState(before['provider'] ?? '');
  const [cwd, setCwd] = useState(before['cwd'] ?? '');
  const [model, setModel] = useState('');
  const [permissionMode, setPermissionMode] = useState<PermissionMode | ''>('');
  const [name, setName] = useState('');
  const providers = useProviders(({ capabilities }) => capabilities['terminal'] === true);
  const sendOnce = useSend();
  const isCommand = runs === 'command';
  const open = async (): Promise<void> => {
    const program = isCommand ? { command } : given({ provider, model, permissionMode });
    const request = { kind: 'terminal' as const, ...program, ...given({ cwd, name }) };
    const session = await sendOnce(request, (options) => client.sessions.create(request, options));
    rememberChoice('terminal', { runs, command, provider, cwd });
    onClose();
    onMade(session);
  };
  const choice = (value: 'command' | 'provider', text: string) => (
    <label>
      <input type="radio" name="runs" checked={runs === value} onChange={() => setRuns(value)} />
      {text}
    </label>
  );
  return (
    <NewDialog title="New terminal" verb="Open" onClose={onClose} onSubmit={open}>
      <fieldset class="what-runs">
        <legend class="visually-hidden">What runs in it</legend>
        {choice('command', 'A command, such as a shell')}
        {choice('provider', 'A CLI')}
      </fieldset>
      {isCommand ? (
        <TextField
          label="Command"
          value={command}
          onValue={setCommand}
          required
          mono
          first
          hint="its name in “terminals.commands” of the settings file"
        />
      ) : (
        <>
          <ProviderField providers={providers} value={provider} onValue={setProvider} />
          <TextField label="Model" value={model} onValue={setModel} hint="empty: the CLI's own choice" />
          <PermissionModeField value={permissionMode} onValue={setPermissionMode} />
        </>
      )}
      <TextField
        label="Folder"
        value={cwd}
        onValue={setCwd}
        mono
        hint="an absolute path on the server; empty: the server's default"
      />
      <TextField label="Name" value={name} onValue={setName} hint="for people; may be empty" />
    </NewDialog>
  );
}
