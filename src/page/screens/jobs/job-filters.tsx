/** Search, states, and every other filter of the list of jobs. */
import { useEffect, useRef, useState } from 'preact/hooks';
import type { JobFilter } from '../../../protocol/job.ts';
import { formatTime } from '../../format.ts';
import { useLoad } from '../../load.ts';
import { go, type Route, withQuery } from '../../router.ts';
import { client } from '../../server.ts';
import { Button } from '../../ui/button.tsx';
import { useKeys } from '../../ui/keys.tsx';
import { Popover } from '../../ui/popover.tsx';
import { WAIT_REASONS, waitText } from '../../ui/status.tsx';
import { type Condition, conditionsOf, LISTS, NAMES, queryValues, valuesOf } from './filter.ts';

const STATUSES = ['queued', 'scheduled', 'waiting', 'running', 'succeeded', 'failed', 'cancelled'];
const SEARCH_AFTER_MS = 250;

interface FiltersProps {
  readonly route: Route;
  readonly filter: JobFilter;
  /** Conditions that the screen itself sets. */
  readonly fixed?: readonly Condition[];
}

const setValues = (route: Route, name: Condition, values: readonly string[]): void =>
  go(withQuery(route, { [name]: queryValues(values) }), { replace: true });

export function JobFilters({ route, filter, fixed = [] }: FiltersProps) {
  const statuses = valuesOf(filter, 'status');
  const toggle = (status: string): void =>
    setValues(
      route,
      'status',
      statuses.includes(status) ? statuses.filter((one) => one !== status) : [...statuses, status],
    );
  const shown = conditionsOf(filter).filter(
    ({ name }) => name !== 'status' && name !== 'q' && !fixed.includes(name),
  );
  return (
    <div class="job-filters">
      <Search key={filter.q === undefined ? 'none' : 'some'} route={route} q={filter.q ?? ''} />
      <fieldset class="states" aria-label="Status">
        {STATUSES.map((status) => (
          <button
            key={status}
            type="button"
            class="chip"
            aria-pressed={statuses.includes(status)}
            onClick={() => toggle(status)}
          >
            {status}
          </button>
        ))}
      </fieldset>
      <Popover text="Filter" label="Add a filter" look="button small">
        {(close) => <AddFilter route={route} filter={filter} fixed={fixed} close={close} />}
      </Popover>
      {shown.length > 0 && (
        <ul class="active" aria-label="Active filters">
          {shown.map(({ name, value }) => (
            <li key={`${name} ${value}`} class="chip on">
              <span class="clip">
                {NAMES[name]}: <bdi>{valueText(name, value)}</bdi>
              </span>
              <button
                type="button"
                class="drop"
                aria-label={`Remove the filter ${NAMES[name]}: ${value}`}
                onClick={() =>
                  setValues(
                    route,
                    name,
                    valuesOf(filter, name).filter((one) => one !== value),
                  )
                }
              >
                ✕
              </button>
            </li>
          ))}
          <li>
            <Button
              small
              look="plain"
              onPress={() => {
                const names = [...Object.keys(NAMES)];
                go(withQuery(route, Object.fromEntries(names.map((name) => [name, null]))), {
                  replace: true,
                });
              }}
            >
              Clear all
            </Button>
          </li>
        </ul>
      )}
    </div>
  );
}

function valueText(name: Condition, value: string): string {
  if (name === 'waitReason') return waitText(value);
  if (name === 'archived') return value === 'true' ? 'yes' : 'no';
  if (name === 'createdAfter' || name === 'createdBefore')
    return Number.isNaN(Date.parse(value)) ? value : formatTime(value);
  return value;
}

function Search({ route, q }: { readonly route: Route; readonly q: string }) {
  const [text, setText] = useState(q);
  const latest = useRef(route);
  const box = useRef<HTMLInputElement>(null);
  useKeys([{ keys: '/', does: 'search', act: () => box.current?.focus() }]);
  latest.current = route;
  useEffect(() => {
    if (text.trim() === q) return;
    const timer = setTimeout(() => {
      go(withQuery(latest.current, { q: text.trim() === '' ? null : text.trim() }), { replace: true });
    }, SEARCH_AFTER_MS);
    return () => clearTimeout(timer);
  }, [text, q]);
  return (
    <input
      ref={box}
      class="input search"
      type="search"
      aria-label="Search prompts and answers"
      placeholder="Search prompts and answers"
      maxLength={256}
      value={text}
      onInput={(event) => setText(event.currentTarget.value)}
    />
  );
}

interface AddFilterProps extends FiltersProps {
  readonly close: () => void;
}

function AddFilter({ route, filter, fixed = [], close }: AddFilterProps) {
  const names = (Object.keys(NAMES) as Condition[]) // as: the keys of the table
    .filter((name) => name !== 'status' && name !== 'q' && !fixed.includes(name));
  const [name, setName] = useState<Condition>('tag');
  const [value, setValue] = useState('');
  const providers = useLoad((signal) => client.providers({ signal }), []);
  const add = (): void => {
    const text = isTime(name) && value !== '' ? new Date(value).toISOString() : value.trim();
    if (text === '') return;
    const isList = (LISTS as readonly string[]).includes(name); // as: its own values are strings
    setValues(route, name, isList ? [...new Set([...valuesOf(filter, name), text])] : [text]);
    close();
  };
  const options = choicesOf(name, providers.data?.map((one) => one.name) ?? []);
  return (
    <form
      class="add-filter"
      onSubmit={(event) => {
        event.preventDefault();
        add();
      }}
    >
      <div class="field">
        <label for="filter-name">Filter by</label>
        <select
          id="filter-name"
          class="input"
          value={name}
          onChange={(event) => {
            setName(names.find((one) => one === event.currentTarget.value) ?? name);
            setValue('');
          }}
        >
          {names.map((one) => (
            <option key={one} value={one}>
              {NAMES[one]}
            </option>
          ))}
        </select>
      </div>
      <div class="field">
        <label for="filter-value">Value</label>
        {isTime(name) ? (
          <input
            id="filter-value"
            class="input"
            type="datetime-local"
            value={value}
            onInput={(event) => setValue(event.currentTarget.value)}
          />
        ) : options === null ? (
          <input
            id="filter-value"
            class="input"
            value={value}
            onInput={(event) => setValue(event.currentTarget.value)}
          />
        ) : (
          <select
            id="filter-value"
            class="input"
            value={value}
            onChange={(event) => setValue(event.currentTarget.value)}
          >
            <option value="">Choose …</option>
            {options.map((one) => (
              <option key={one} value={one}>
                {valueText(name, one)}
              </option>
            ))}
          </select>
        )}
      </div>
      <button type="submit" class="button primary" disabled={value.trim() === ''}>
        Add
      </button>
    </form>
  );
}

const isTime = (name: Condition): boolean => name === 'createdAfter' || name === 'createdBefore';

function choicesOf(name: Condition, providers: readonly string[]): readonly string[] | null {
  if (name === 'waitReason') return WAIT_REASONS;
  if (name === 'provider') return providers;
  if (name === 'archived') return ['true', 'false'];
  return null;
}
