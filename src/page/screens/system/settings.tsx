/** The settings in force on this server. */
import type { SettingInForce } from '../../../protocol/server-info.ts';
import { formatBytes, formatMany, formatWholeDuration } from '../../format.ts';
import { useLoad } from '../../load.ts';
import { go, useRoute, withQuery } from '../../router.ts';
import { client } from '../../server.ts';
import { Empty } from '../../ui/states.tsx';
import { type DataColumn, DataTable, Nothing, WhenLoaded } from './data-table.tsx';

const COLUMNS: readonly DataColumn<SettingInForce>[] = [
  { title: 'Name', cell: ({ name }) => <code>{name}</code> },
  { title: 'Value', cell: (setting) => <Value setting={setting} /> },
  {
    title: 'From',
    cell: ({ source }) => (
      <span class={source === 'default' ? 'soft' : 'badge info'}>
        {source === 'file' ? 'settings file' : source}
      </span>
    ),
  },
  {
    title: 'Variable',
    cell: ({ variable }) => (variable === null ? <Nothing /> : <code>{variable}</code>),
  },
];

/** Longer values are folded. */
const FOLDED_FROM_LINES = 6;
const MAX_LINE = 60;

function textOf(value: unknown): string {
  if (typeof value !== 'object') return String(value);
  const line = JSON.stringify(value);
  return line.length <= MAX_LINE ? line : JSON.stringify(value, null, 1);
}

/** With its unit, where the name has one. */
function Value({ setting: { name, value } }: { readonly setting: SettingInForce }) {
  const text = textOf(value);
  const lines = text.split('\n').length;
  if (value === null || text === '[]' || text === '{}') return <span class="soft">none</span>;
  if (lines >= FOLDED_FROM_LINES)
    return (
      <details>
        <summary>{formatMany(lines, 'line')}</summary>
        <code class="setting-value">{text}</code>
      </details>
    );
  return (
    <>
      <code class="setting-value">{text}</code>
      {typeof value === 'number' && value > 0 && <span class="soft"> {unitOf(name, value)}</span>}
    </>
  );
}

function unitOf(name: string, value: number): string {
  if (name.endsWith('Ms')) return formatWholeDuration(value);
  return name.endsWith('Bytes') ? formatBytes(value) : '';
}

export function SettingsPart() {
  const route = useRoute();
  const words = route.query.get('q') ?? '';
  const onlyChanged = route.query.get('changed') === 'true';
  const loaded = useLoad((signal) => client.settings({ signal }), []);
  const show = (changes: Record<string, string | null>): void =>
    go(withQuery(route, changes), { replace: true });
  return (
    <>
      <search class="row system-filters">
        <input
          class="input"
          type="search"
          aria-label="Search the settings"
          placeholder="Search name, variable or value"
          value={words}
          onInput={(event) => show({ q: event.currentTarget.value || null })}
        />
        <label class="system-check">
          <input
            type="checkbox"
            checked={onlyChanged}
            onChange={(event) => show({ changed: event.currentTarget.checked ? 'true' : null })}
          />
          Only those that are set
        </label>
      </search>
      <WhenLoaded loaded={loaded}>
        {(settings) => {
          const shown = settings.filter(
            (one) => (!onlyChanged || one.source !== 'default') && isFound(one, words),
          );
          return shown.length === 0 ? (
            <Empty title="No setting is like that">
              <p>Names, variables and values are searched.</p>
            </Empty>
          ) : (
            <DataTable label="Settings" columns={COLUMNS} rows={shown} keyOf={({ name }) => name} />
          );
        }}
      </WhenLoaded>
    </>
  );
}

const isFound = ({ name, variable, value }: SettingInForce, words: string): boolean => {
  const text = `${name} ${variable ?? ''} ${textOf(value)}`.toLowerCase();
  return words
    .toLowerCase()
    .split(/\s+/)
    .every((word) => text.includes(word));
};
