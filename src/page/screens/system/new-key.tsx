/** The form of a new key. */
import { useState } from 'preact/hooks';
import type { KeyCreated, KeyRequest, Scope } from '../../../protocol/key.ts';
import { useLoad } from '../../load.ts';
import { client } from '../../server.ts';
import { Button } from '../../ui/button.tsx';
import { Dialog } from '../../ui/dialog.tsx';
import { useOneAtATime } from '../../ui/one-at-a-time.ts';
import { messageOf } from '../../ui/states.tsx';
import { keyRequestOf } from './key-request.ts';

/** What each scope allows. Repeated here, because the schema loads a library. */
const SCOPES: Readonly<Record<Scope, string>> = {
  'jobs:read': 'see jobs',
  'jobs:write': 'make and change jobs',
  'sessions:read': 'see sessions',
  'sessions:write': 'make and use sessions',
  terminals: 'type into terminals, which is as much as a shell',
  'approvals:read': 'see what waits for a person',
  'approvals:decide': 'decide it',
  'schedules:write': 'none yet',
  'webhooks:write': 'none yet',
  'usage:read': 'see tokens and costs',
  'metrics:read': 'read the metrics',
  'audit:read': 'see who did what',
  admin: 'everything, in every project',
};
const MODES = ['default', 'acceptEdits', 'plan', 'fullAccess'] as const;
const EXPIRES = {
  '': 'never',
  7: 'in 7 days',
  30: 'in 30 days',
  90: 'in 90 days',
  365: 'in a year',
} as const;
const AMOUNTS = {
  requestsPerMinute: 'Requests a minute',
  jobsPerHour: 'Jobs an hour',
  maxQueued: 'Jobs that wait',
  maxRunning: 'Jobs that run at once',
  usdPerDay: 'Dollars a day',
} as const;

interface NewKeyDialogProps {
  readonly onClose: () => void;
  readonly onMade: (key: KeyCreated) => void;
}

export function NewKeyDialog({ onClose, onMade }: NewKeyDialogProps) {
  const providers = useLoad((signal) => client.providers({ signal }), []);
  const [problem, setProblem] = useState<string | null>(null);
  const [make, busy] = useOneAtATime(async (form: HTMLFormElement) => {
    try {
      const request: KeyRequest = keyRequestOf(new FormData(form), Date.now());
      onMade(await client.createKey(request));
    } catch (error) {
      setProblem(messageOf(error));
    }
  });
  return (
    <Dialog title="New key" onClose={onClose}>
      <form
        class="new-key"
        onSubmit={(event) => {
          event.preventDefault();
          void make(event.currentTarget);
        }}
      >
        <div class="inside stack">
          {problem !== null && (
            <p class="notice bad" role="alert">
              {problem}
            </p>
          )}
          <div class="system-two">
            <Field name="name" label="Name" hint="for people: the program or the person" required />
            <Field name="project" label="Project" hint="it sees this project only; default: default" />
          </div>
          <fieldset class="system-checks">
            <legend>It may</legend>
            {Object.entries(SCOPES).map(([scope, does]) => (
              <Check key={scope} name="scopes" value={scope} hint={does} />
            ))}
          </fieldset>
          <div class="field">
            <label for="key-expires">It ends</label>
            <select class="input" id="key-expires" name="expires">
              {Object.entries(EXPIRES).map(([days, text]) => (
                <option key={days} value={days}>
                  {text}
                </option>
              ))}
            </select>
          </div>
          <details>
            <summary>Limits</summary>
            <div class="stack key-limits">
              <fieldset class="system-checks">
                <legend>Its jobs use only these providers; none checked: any</legend>
                {(providers.data ?? []).map(({ name }) => (
                  <Check key={name} name="providers" value={name} />
                ))}
              </fieldset>
              <fieldset class="system-checks">
                <legend>Its jobs have only these permission modes; none checked: any</legend>
                {MODES.map((mode) => (
                  <Check key={mode} name="permissionModes" value={mode} />
                ))}
              </fieldset>
              <Lines name="roots" label="Folders" hint="its jobs run in these only, one a line; empty: any" />
              <Lines
                name="tools"
                label="Tools"
                hint="its jobs may allow these only, one pattern a line, for example Bash(git *); empty: any"
              />
              <div class="system-two">
                {Object.entries(AMOUNTS).map(([name, label]) => (
                  <Amount key={name} name={name} label={label} />
                ))}
              </div>
            </div>
          </details>
        </div>
        <footer>
          <Button onPress={onClose}>Cancel</Button>
          <button type="submit" class="button primary" aria-busy={busy}>
            Create key
          </button>
        </footer>
      </form>
    </Dialog>
  );
}

interface FieldProps {
  readonly name: string;
  readonly label: string;
  readonly hint: string;
}

const Field = ({ name, label, hint, required = false }: FieldProps & { readonly required?: boolean }) => (
  <div class="field">
    <label for={`key-${name}`}>{label}</label>
    <input
      class="input"
      id={`key-${name}`}
      name={name}
      required={required}
      maxLength={64}
      autocomplete="off"
      aria-describedby={`key-${name}-hint`}
    />
    <span class="hint" id={`key-${name}-hint`}>
      {hint}
    </span>
  </div>
);

const Amount = ({ name, label }: Pick<FieldProps, 'name' | 'label'>) => (
  <div class="field">
    <label for={`key-${name}`}>{label}</label>
    <input
      class="input"
      id={`key-${name}`}
      name={name}
      type="number"
      min={name === 'usdPerDay' ? 0 : 1}
      step={name === 'usdPerDay' ? 'any' : 1}
      placeholder="no limit"
    />
  </div>
);

const Lines = ({ name, label, hint }: FieldProps) => (
  <div class="field">
    <label for={`key-${name}`}>{label}</label>
    <textarea
      class="input"
      id={`key-${name}`}
      name={name}
      rows={2}
      spellcheck={false}
      aria-describedby={`key-${name}-hint`}
    />
    <span class="hint" id={`key-${name}-hint`}>
      {hint}
    </span>
  </div>
);

const Check = ({
  name,
  value,
  hint,
}: {
  readonly name: string;
  readonly value: string;
  readonly hint?: string;
}) => (
  <label class="system-check">
    <input type="checkbox" name={name} value={value} />
    <span>
      {value}
      {hint !== undefined && <span class="hint"> {hint}</span>}
    </span>
  </label>
);
