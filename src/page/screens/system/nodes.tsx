/** The servers on this Redis. */
import type { Node } from '../../../protocol/server-info.ts';
import { useLoad, usePoll } from '../../load.ts';
import { client } from '../../server.ts';
import { Button } from '../../ui/button.tsx';
import { Ago } from '../../ui/time.tsx';
import { act } from '../../ui/toast.tsx';
import { type DataColumn, DataTable, WhenLoaded } from './data-table.tsx';

const COLUMNS: readonly DataColumn<Node>[] = [
  { title: 'Node', cell: ({ id }) => <code>{id}</code> },
  { title: 'Status', cell: (node) => <NodeStatus node={node} /> },
  { title: 'Running', cell: ({ running }) => running, isNumber: true },
  { title: 'On their way', cell: ({ given }) => given, isNumber: true },
  { title: 'Free slots', cell: ({ free }) => free ?? '–', isNumber: true },
  { title: 'Seen', cell: ({ lastSeenAt }) => (lastSeenAt === null ? '–' : <Ago at={lastSeenAt} />) },
];

function NodeStatus({ node: { status, lastSeenAt } }: { readonly node: Node }) {
  if (lastSeenAt === null) return <span class="badge dot">stopped</span>;
  return status === 'ok' ? (
    <span class="badge dot good">takes jobs</span>
  ) : (
    <span class="badge dot warn">drained</span>
  );
}

export function NodesPart() {
  const loaded = useLoad((signal) => client.nodes({ signal }), []);
  usePoll(loaded);
  const change = (what: () => Promise<unknown>, text: string) => act(what, text).then(loaded.reload);
  return (
    <WhenLoaded loaded={loaded}>
      {(nodes) => (
        <>
          <p class="soft">
            A drained node starts no more jobs, and ends none. Other nodes run them, except those whose
            session is there.
          </p>
          <DataTable
            label="Nodes"
            columns={COLUMNS}
            rows={nodes}
            keyOf={({ id }) => id}
            actions={({ id, status }) =>
              status === 'ok' ? (
                <Button
                  small
                  label={`Drain ${id}`}
                  onPress={() => change(() => client.drainNode(id), 'Drained: it starts no more jobs')}
                >
                  Drain
                </Button>
              ) : (
                <Button
                  small
                  label={`Resume ${id}`}
                  onPress={() => change(() => client.resumeNode(id), 'It takes jobs again')}
                >
                  Resume
                </Button>
              )
            }
          />
        </>
      )}
    </WhenLoaded>
  );
}
