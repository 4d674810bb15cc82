/** The tokens of callers. */
import { useState } from 'preact/hooks';
import type { Key, KeyCreated } from '../../../protocol/key.ts';
import { formatNumber } from '../../format.ts';
import { useLoad, usePoll } from '../../load.ts';
import { client } from '../../server.ts';
import { visibleText } from '../../transcript/hostile.ts';
import { Button } from '../../ui/button.tsx';
import { CopyCode } from '../../ui/copy.tsx';
import { Dialog } from '../../ui/dialog.tsx';
import { useKeys } from '../../ui/keys.tsx';
import { Empty } from '../../ui/states.tsx';
import { Ago } from '../../ui/time.tsx';
import { act, failed } from '../../ui/toast.tsx';
import { type DataColumn, DataTable, Nothing, WhenLoaded } from './data-table.tsx';
import { NewKeyDialog } from './new-key.tsx';

const LOOKS = { active: 'good', expired: '', revoked: '', unsigned: 'bad' } as const;
const orNever = (at: string | null) => (at === null ? <span class="soft">never</span> : <Ago at={at} />);

const COLUMNS: readonly DataColumn<Key>[] = [
  {
    title: 'Name',
    cell: ({ id, name }) => (
      <span class="key-name">
        <strong>{visibleText(name)}</strong>
        <code class="soft">{id}</code>
      </span>
    ),
  },
  { title: 'Project', cell: ({ project }) => project },
  {
    title: 'May',
    cell: ({ scopes }) => (
      <span class="row">
        {scopes.map((scope) => (
          <span key={scope} class="tag">
            {scope}
          </span>
        ))}
      </span>
    ),
  },
  { title: 'Only', cell: (key) => limitsOf(key) || <Nothing /> },
  { title: 'Status', cell: ({ status }) => <span class={`badge dot ${LOOKS[status]}`}>{status}</span> },
  { title: 'Used', cell: ({ lastUsedAt }) => orNever(lastUsedAt) },
  { title: 'Expires', cell: ({ expiresAt }) => orNever(expiresAt) },
];

/** What a key is limited to, in words. */
export function limitsOf(key: Key): string {
  const lists = [
    ['providers', key.providers],
    ['in', key.roots],
    ['tools', key.tools],
    ['modes', key.permissionModes],
  ] as const;
  const amounts = [
    [key.requestsPerMinute, 'requests/min'],
    [key.jobsPerHour, 'jobs/h'],
    [key.maxQueued, 'queued'],
    [key.maxRunning, 'running'],
    [key.usdPerDay, '$/day'],
  ] as const;
  return [
    ...lists.flatMap(([name, list]) => (list === null ? [] : [`${name} ${list.join(', ') || 'none'}`])),
    ...amounts.flatMap(([amount, unit]) => (amount === null ? [] : [`${formatNumber(amount)} ${unit}`])),
  ].join(' · ');
}

type Asked = { readonly what: 'rotate' | 'revoke'; readonly key: Key };

export function KeysPart() {
  const loaded = useLoad((signal) => client.keys({ signal }), []);
  usePoll(loaded);
  const [isNew, setNew] = useState(false);
  const [asked, setAsked] = useState<Asked | null>(null);
  const [made, setMade] = useState<KeyCreated | null>(null);
  useKeys([{ keys: 'n', does: 'new key', act: () => setNew(true) }]);
  const show = (key: KeyCreated): void => {
    setNew(false);
    setAsked(null);
    setMade(key);
    loaded.reload();
  };
  return (
    <>
      <div class="row">
        <span class="soft">A key is the token of one caller, in one project.</span>
        <span class="spread" />
        <Button look="primary" onPress={() => setNew(true)}>
          New key
        </Button>
      </div>
      <WhenLoaded loaded={loaded}>
        {(keys) =>
          keys.length === 0 ? (
            <Empty title="There is no key yet">
              <p>
                Give each program and each person a key of its own, so that one of them can be ended alone.
              </p>
            </Empty>
          ) : (
            <DataTable
              label="Keys"
              columns={COLUMNS}
              rows={keys}
              keyOf={({ id }) => id}
              actions={(key) =>
                key.status !== 'revoked' && (
                  <>
                    {key.status !== 'expired' && (
                      <Button
                        small
                        label={`Rotate ${key.name}`}
                        onPress={() => setAsked({ what: 'rotate', key })}
                      >
                        Rotate…
                      </Button>
                    )}
                    <Button
                      small
                      look="danger"
                      label={`Revoke ${key.name}`}
                      onPress={() => setAsked({ what: 'revoke', key })}
                    >
                      Revoke…
                    </Button>
                  </>
                )
              }
            />
          )
        }
      </WhenLoaded>
      {isNew && <NewKeyDialog onClose={() => setNew(false)} onMade={show} />}
      {asked !== null && (
        <AskDialog
          asked={asked}
          onClose={() => {
            setAsked(null);
            loaded.reload();
          }}
          onMade={show}
        />
      )}
      {made !== null && <TokenDialog made={made} onClose={() => setMade(null)} />}
    </>
  );
}

interface AskDialogProps {
  readonly asked: Asked;
  readonly onClose: () => void;
  readonly onMade: (key: KeyCreated) => void;
}

function AskDialog({ asked: { what, key }, onClose, onMade }: AskDialogProps) {
  const rotate = async (): Promise<void> => {
    try {
      onMade(await client.rotateKey(key.id));
    } catch (error) {
      failed(error);
    }
  };
  const revoke = async (): Promise<void> => {
    if (await act(() => client.revokeKey(key.id), `${key.name} is revoked`)) onClose();
  };
  const isRotation = what === 'rotate';
  return (
    <Dialog title={`${isRotation ? 'Rotate' : 'Revoke'} ${key.name}?`} onClose={onClose}>
      <p class="inside">
        {isRotation
          ? 'The key gets another token. The one before stops working within two seconds.'
          : 'Its token stops working within two seconds, and its waiting jobs end. What runs goes on. A revoked key does not come back.'}
      </p>
      <footer>
        <Button onPress={onClose}>Keep it</Button>
        <Button look={isRotation ? 'primary' : 'danger'} onPress={isRotation ? rotate : revoke}>
          {isRotation ? 'Rotate' : 'Revoke'}
        </Button>
      </footer>
    </Dialog>
  );
}

/** The only time that the token is shown. */
function TokenDialog({ made, onClose }: { readonly made: KeyCreated; readonly onClose: () => void }) {
  return (
    <Dialog title={`Token of ${made.name}`} onClose={onClose}>
      <div class="inside stack">
        <p>
          {made.token === null
            ? 'It was shown before. Rotate the key for another one.'
            : 'Copy it now: it is shown only here, and cannot be shown again.'}
        </p>
        {made.token !== null && <CopyCode text={made.token} what="the token" />}
      </div>
      <footer>
        <Button look="primary" onPress={onClose}>
          Done
        </Button>
      </footer>
    </Dialog>
  );
}
