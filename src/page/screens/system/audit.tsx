/** Who did what, and whether the record of it is as it was written. */
import { useState } from 'preact/hooks';
import type { AuditAction, AuditEntry, AuditFilter, AuditVerification } from '../../../protocol/audit.ts';
import { formatNumber, formatTime } from '../../format.ts';
import { useLoad } from '../../load.ts';
import { go, type Route, useRoute, withQuery } from '../../router.ts';
import { client, may } from '../../server.ts';
import { visibleText } from '../../transcript/hostile.ts';
import { Button } from '../../ui/button.tsx';
import { CopyCode } from '../../ui/copy.tsx';
import { Empty } from '../../ui/states.tsx';
import { Ago } from '../../ui/time.tsx';
import { failed } from '../../ui/toast.tsx';
import { type DataColumn, DataTable, Nothing, WhenLoaded } from './data-table.tsx';

/** Repeated here, because the schema loads a library. The type keeps the list complete. */
const ACTIONS: Readonly<Record<AuditAction, true>> = {
  ...{ 'job.created': true, 'job.retried': true, 'job.changed': true, 'job.cancelled': true },
  ...{ 'job.deleted': true, 'job.interrupted': true, 'batch.created': true },
  ...{ 'session.created': true, 'session.closed': true, 'session.deleted': true },
  ...{ 'terminal.typed': true, 'terminal.signalled': true },
  ...{ 'approval.decided': true, 'message.steered': true },
  ...{ 'queue.paused': true, 'queue.resumed': true, 'node.drained': true, 'node.resumed': true },
  ...{ 'provider.resumed': true, 'provider.cleaned': true, 'process.terminated': true },
  ...{ 'key.created': true, 'key.revoked': true, 'key.rotated': true },
  ...{ 'login.created': true, 'login.refused': true },
};
const TEXTS = ['principal', 'project', 'target'] as const;
/** As the columns name them. */
const FIELDS = { principal: 'Who', project: 'Project', target: 'On' } as const;
const PAGE = 100;

/** `job.created` is "job created". */
const wordsOf = (action: string): string => action.replace(/[._]/g, ' ');

const COLUMNS: readonly DataColumn<AuditEntry>[] = [
  { title: 'When', cell: ({ at }) => <Ago at={at} /> },
  { title: 'Action', cell: ({ action }) => <span class="action-name">{wordsOf(action)}</span> },
  { title: 'Who', cell: ({ principal }) => <code>{visibleText(principal ?? 'not known')}</code> },
  { title: 'On', cell: ({ target }) => <Target target={target} /> },
  { title: 'Project', cell: ({ project }) => project ?? <Nothing /> },
  { title: 'From', cell: ({ address }) => address ?? <Nothing /> },
  {
    title: 'Details',
    cell: ({ details }) =>
      details === null ? <Nothing> </Nothing> : <code>{visibleText(JSON.stringify(details))}</code>,
  },
];

const Target = ({ target }: { readonly target: string | null }) =>
  target === null ? <Nothing /> : <code>{visibleText(target)}</code>;

function filterOf({ query }: Route): AuditFilter {
  const action = query.get('action');
  const texts = TEXTS.flatMap((name) => {
    const value = query.get(name)?.trim() ?? '';
    return value === '' ? [] : [[name, value]];
  });
  return {
    ...Object.fromEntries(texts),
    ...(action !== null && Object.hasOwn(ACTIONS, action) && { action: action as AuditAction }), // as: checked
  };
}

export function AuditPart() {
  const route = useRoute();
  const filter = filterOf(route);
  const [more, setMore] = useState<{ readonly of: string; readonly pages: number }>({ of: '', pages: 1 });
  const name = JSON.stringify(filter);
  const pages = more.of === name ? more.pages : 1;
  const loaded = useLoad(
    (signal) => read(filter, pages, signal),
    [name, pages],
    ({ kind }) => kind !== 'cursor',
  );
  return (
    <>
      <Filters route={route} />
      {may('admin') && <Verification />}
      <WhenLoaded loaded={loaded}>
        {({ entries, isWhole }) =>
          entries.length === 0 ? (
            <Empty title="No entry is like that">
              <p>Changes that callers make are written here, with who, when and from where.</p>
            </Empty>
          ) : (
            <>
              <DataTable label="Audit" columns={COLUMNS} rows={entries} keyOf={({ id }) => id} />
              {!isWhole && (
                <Button onPress={() => setMore({ of: name, pages: pages + 1 })}>Show older entries</Button>
              )}
            </>
          )
        }
      </WhenLoaded>
    </>
  );
}

async function read(filter: AuditFilter, pages: number, signal: AbortSignal) {
  const entries: AuditEntry[] = [];
  let cursor: string | null = null;
  for (let page = 0; page < pages; page += 1) {
    const query = { ...filter, limit: PAGE, ...(cursor === null ? {} : { cursor }) };
    const answer = await client.audit(query, { signal });
    entries.push(...answer.data);
    cursor = answer.nextCursor;
    if (cursor === null) break;
  }
  return { entries, isWhole: cursor === null };
}

function Filters({ route }: { readonly route: Route }) {
  const show = (name: string, value: string): void =>
    go(withQuery(route, { [name]: value || null }), { replace: true });
  return (
    <search class="row system-filters">
      <select
        class="input"
        aria-label="Action"
        value={route.query.get('action') ?? ''}
        onChange={(event) => show('action', event.currentTarget.value)}
      >
        <option value="">Every action</option>
        {Object.keys(ACTIONS).map((action) => (
          <option key={action} value={action}>
            {wordsOf(action)}
          </option>
        ))}
      </select>
      {TEXTS.map((name) => (
        <input
          key={name}
          class="input"
          aria-label={FIELDS[name]}
          placeholder={FIELDS[name]}
          value={route.query.get(name) ?? ''}
          onChange={(event) => show(name, event.currentTarget.value)}
        />
      ))}
    </search>
  );
}

function Verification() {
  const [found, setFound] = useState<AuditVerification | null>(null);
  const verify = async (): Promise<void> => {
    try {
      setFound(await client.verifyAudit());
    } catch (error) {
      failed(error);
    }
  };
  return (
    <div class="row">
      <Button small onPress={verify}>
        Verify
      </Button>
      {found === null ? (
        <span class="soft">Checks that no entry of this server was changed or removed.</span>
      ) : found.ok ? (
        <span class="badge dot good" role="status">
          {formatNumber(found.entries)} entries are as they were written
        </span>
      ) : (
        <span class="notice bad" role="alert">
          Entry {found.problem?.seq}: {found.problem?.why}
        </span>
      )}
      {found?.head != null && (
        <details>
          <summary>Last link, {formatTime(Date.now())}</summary>
          <CopyCode text={`${found.head.seq}:${found.head.hash}`} what="the last link" />
        </details>
      )}
    </div>
  );
}
