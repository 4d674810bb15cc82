/** The filters of the list of sessions. The address has them. */
import { useEffect, useId, useRef, useState } from 'preact/hooks';
import type { SessionListQuery } from '../../../client/sessions.ts';
import type { SessionStatus } from '../../../protocol/session.ts';
import { go, type Route, withQuery } from '../../router.ts';
import { Button } from '../../ui/button.tsx';
import { useKeys } from '../../ui/keys.tsx';
import { useProviders } from './fields.tsx';

const STATUSES: readonly SessionStatus[] = [
  ...(['awaiting_input', 'busy', 'ready', 'starting', 'awaiting_auth'] as const),
  ...(['interrupted', 'failed', 'closed'] as const),
];
const TYPING_MS = 250;

/** What the address asks for. */
export function queryOf(query: URLSearchParams): SessionListQuery {
  const kind = query.get('kind');
  const status = STATUSES.filter((one) => query.getAll('status').includes(one));
  const [provider, q] = [query.get('provider'), query.get('q')];
  const tag = query.getAll('tag').filter((one) => one !== '');
  return {
    ...(kind === 'chat' || kind === 'terminal' ? { kind } : {}),
    ...(status.length > 0 ? { status } : {}),
    ...(provider !== null && provider !== '' ? { provider } : {}),
    ...(tag.length > 0 ? { tag } : {}),
    ...(q !== null && q !== '' ? { q } : {}),
    ...(query.get('all') === 'true' ? { all: true } : {}),
  };
}

export function Filters({ route }: { readonly route: Route }) {
  const { query } = route;
  const providers = useProviders(() => true);
  const set = (name: string, value: string): void =>
    go(withQuery(route, { [name]: value === '' ? null : value }), { replace: true });
  const isFiltered = [...query.keys()].length > 0;
  return (
    <search class="session-filters">
      <Search value={query.get('q') ?? ''} onValue={(value) => set('q', value)} />
      <Choice label="Kind" value={query.get('kind') ?? ''} onValue={(value) => set('kind', value)}>
        {[
          ['', 'Any kind'],
          ['chat', 'Chats'],
          ['terminal', 'Terminals'],
        ]}
      </Choice>
      <Choice label="Status" value={query.get('status') ?? ''} onValue={(value) => set('status', value)}>
        {[['', 'Any status'], ...STATUSES.map((one) => [one, one.replaceAll('_', ' ')])]}
      </Choice>
      <Choice
        label="Provider"
        value={query.get('provider') ?? ''}
        onValue={(value) => set('provider', value)}
      >
        {[['', 'Any provider'], ...(providers.data ?? []).map(({ name }) => [name, name])]}
      </Choice>
      {query.getAll('tag').map((tag) => (
        <Button
          key={tag}
          small
          label={`Without the tag ${tag}`}
          onPress={() => go(withQuery(route, { tag: query.getAll('tag').filter((one) => one !== tag) }))}
        >
          {tag} ✕
        </Button>
      ))}
      <label class="session-check">
        <input
          type="checkbox"
          checked={query.get('all') === 'true'}
          onChange={(event) => set('all', event.currentTarget.checked ? 'true' : '')}
        />
        Single jobs, too
      </label>
      {isFiltered && (
        <a class="button small plain" href="/sessions">
          Clear
        </a>
      )}
    </search>
  );
}

interface ChoiceProps {
  readonly label: string;
  readonly value: string;
  readonly onValue: (value: string) => void;
  readonly children: readonly (readonly (string | undefined)[])[];
}

function Choice({ label, value, onValue, children }: ChoiceProps) {
  return (
    <select
      class="input"
      aria-label={label}
      value={value}
      onChange={(event) => onValue(event.currentTarget.value)}
    >
      {children.map(([one = '', text]) => (
        <option key={one} value={one}>
          {text}
        </option>
      ))}
    </select>
  );
}

interface SearchProps {
  readonly value: string;
  readonly onValue: (value: string) => void;
}

/** Searches while one types, a moment after the last key. */
function Search({ value, onValue }: SearchProps) {
  const [typed, setTyped] = useState(value);
  const input = useRef<HTMLInputElement>(null);
  const latest = useRef(onValue);
  latest.current = onValue;
  const id = useId();
  useKeys([{ keys: '/', does: 'search', act: () => input.current?.focus() }]);
  useEffect(() => setTyped(value), [value]);
  useEffect(() => {
    if (typed === value) return;
    const timer = setTimeout(() => latest.current(typed), TYPING_MS);
    return () => clearTimeout(timer);
  }, [typed]);
  return (
    <>
      <label class="visually-hidden" for={id}>
        Search names and prompts
      </label>
      <input
        ref={input}
        id={id}
        type="search"
        class="input"
        placeholder="Search names and prompts"
        value={typed}
        onInput={(event) => setTyped(event.currentTarget.value)}
      />
    </>
  );
}
