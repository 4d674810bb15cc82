/** Fields of the dialogs that begin a chat or a terminal. */
import { useId } from 'preact/hooks';
import type { PermissionMode } from '../../../protocol/prompt.ts';
import type { ProviderReport } from '../../../protocol/server-info.ts';
import { type Loaded, useLoad } from '../../load.ts';
import { client } from '../../server.ts';

interface TextFieldProps {
  readonly label: string;
  readonly value: string;
  readonly onValue: (value: string) => void;
  readonly hint?: string;
  readonly required?: boolean;
  readonly mono?: boolean;
  /** The dialog begins with it. */
  readonly first?: boolean;
}

export function TextField({ label, value, onValue, hint, required, mono = false, first }: TextFieldProps) {
  const id = useId();
  return (
    <div class="field">
      <label for={id}>{label}</label>
      <input
        autofocus={first}
        id={id}
        class={mono ? 'input mono' : 'input'}
        value={value}
        required={required}
        autocomplete="off"
        spellcheck={!mono}
        aria-describedby={hint === undefined ? undefined : `${id}-hint`}
        onInput={(event) => onValue(event.currentTarget.value)}
      />
      {hint !== undefined && (
        <span class="hint" id={`${id}-hint`}>
          {hint}
        </span>
      )}
    </div>
  );
}

/** The providers of the server that are fit for it. */
export const useProviders = (
  fits: (provider: ProviderReport) => boolean,
): Loaded<readonly ProviderReport[]> =>
  useLoad(async (signal) => (await client.providers({ signal })).filter(fits), []);

interface ProviderFieldProps {
  readonly providers: Loaded<readonly ProviderReport[]>;
  readonly value: string;
  readonly onValue: (value: string) => void;
}

export function ProviderField({ providers, value, onValue }: ProviderFieldProps) {
  const id = useId();
  return (
    <div class="field">
      <label for={id}>Provider</label>
      <select id={id} class="input" value={value} onChange={(event) => onValue(event.currentTarget.value)}>
        <option value="">the server's default</option>
        {(providers.data ?? []).map(({ name, available }) => (
          <option key={name} value={name}>
            {available ? name : `${name} (not installed)`}
          </option>
        ))}
      </select>
    </div>
  );
}

const MODES: readonly { readonly mode: PermissionMode; readonly does: string }[] = [
  { mode: 'default', does: 'default' },
  { mode: 'plan', does: 'plan: it reads, and changes nothing' },
  { mode: 'acceptEdits', does: 'acceptEdits: it edits files without asking' },
  { mode: 'fullAccess', does: 'fullAccess: it does everything without asking' },
];

interface PermissionModeFieldProps {
  readonly value: PermissionMode | '';
  readonly onValue: (value: PermissionMode | '') => void;
}

export function PermissionModeField({ value, onValue }: PermissionModeFieldProps) {
  const id = useId();
  return (
    <div class="field">
      <label for={id}>Permission mode</label>
      <select
        id={id}
        class="input"
        value={value}
        onChange={(event) =>
          onValue(MODES.find(({ mode }) => mode === event.currentTarget.value)?.mode ?? '')
        }
      >
        <option value="">the server's default</option>
        {MODES.map(({ mode, does }) => (
          <option key={mode} value={mode}>
            {does}
          </option>
        ))}
      </select>
    </div>
  );
}

/** The fields that are not empty. */
export const given = <T extends Readonly<Record<string, string>>>(
  fields: T,
): { [K in keyof T]?: Exclude<T[K], ''> } =>
  // as: fromEntries forgets the names
  Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== '')) as {
    [K in keyof T]?: Exclude<T[K], ''>;
  };
