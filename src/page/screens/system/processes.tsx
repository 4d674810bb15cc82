/** What runs now on this server, with what it uses. */
import { useState } from 'preact/hooks';
import type { CliProcess } from '../../../protocol/server-info.ts';
import { formatBytes, formatDuration, shortId } from '../../format.ts';
import { useLoad, usePoll } from '../../load.ts';
import { client } from '../../server.ts';
import { visibleText } from '../../transcript/hostile.ts';
import { Button } from '../../ui/button.tsx';
import { Dialog } from '../../ui/dialog.tsx';
import { Empty } from '../../ui/states.tsx';
import { act } from '../../ui/toast.tsx';
import { type DataColumn, DataTable, WhenLoaded } from './data-table.tsx';

const orDash = (value: number | null, format: (value: number) => string): string =>
  value === null ? '–' : format(value);

const COLUMNS: readonly DataColumn<CliProcess>[] = [
  { title: 'Provider', cell: ({ provider }) => provider },
  { title: 'State', cell: (process) => <State process={process} /> },
  { title: 'Runs', cell: (process) => <Runs process={process} /> },
  { title: 'Memory', cell: ({ memoryBytes }) => orDash(memoryBytes, formatBytes), isNumber: true },
  {
    title: 'CPU time',
    cell: ({ cpuSeconds }) => orDash(cpuSeconds, (seconds) => formatDuration(seconds * 1000)),
    isNumber: true,
  },
  { title: 'Files', cell: ({ openFiles }) => orDash(openFiles, String), isNumber: true },
  { title: 'Age', cell: ({ ageMs }) => formatDuration(ageMs), isNumber: true },
  { title: 'Silent for', cell: ({ idleMs }) => formatDuration(idleMs), isNumber: true },
  { title: 'Folder', cell: ({ cwd }) => <code class="folder">{visibleText(cwd)}</code> },
];

const State = ({ process: { state, alive, pid } }: { readonly process: CliProcess }) => (
  <span class={`badge dot ${alive ? (state === 'running' ? 'info' : '') : 'bad'}`} title={`pid ${pid}`}>
    {alive ? state : 'has ended'}
  </span>
);

function Runs({ process: { jobId, sessionId, state } }: { readonly process: CliProcess }) {
  if (jobId !== null)
    return (
      <a href={`/jobs/${jobId}`} title={jobId}>
        job {shortId(jobId)}
      </a>
    );
  if (sessionId === null) return <span class="soft">waits for a job</span>;
  const isTerminal = state === 'running';
  return (
    <a href={isTerminal ? `/terminals/${sessionId}` : `/sessions/${sessionId}`} title={sessionId}>
      {isTerminal ? 'terminal' : 'session'} {shortId(sessionId)}
    </a>
  );
}

export function ProcessesPart() {
  const loaded = useLoad((signal) => client.processes({}, { signal }), []);
  usePoll(loaded);
  const [ending, setEnding] = useState<CliProcess | null>(null);
  return (
    <>
      <WhenLoaded loaded={loaded}>
        {({ data, summary }) =>
          data.length === 0 ? (
            <Empty title="Nothing runs">
              <p>The processes of CLIs on this server appear here while they run a job or wait for one.</p>
            </Empty>
          ) : (
            <>
              <div class="row">
                <span class="soft">
                  {summary.alive} alive{summary.dead > 0 && `, ${summary.dead} have ended`}
                </span>
                <span class="spread" />
                {idleProviders(data).map((name) => (
                  <Button
                    key={name}
                    small
                    onPress={() =>
                      act(() => client.cleanUpProvider(name), `Idle processes of ${name} ended`).then(
                        loaded.reload,
                      )
                    }
                  >
                    End idle ones of {name}
                  </Button>
                ))}
              </div>
              <DataTable
                label="Processes"
                columns={COLUMNS}
                rows={data}
                keyOf={({ id }) => id}
                actions={(process) => (
                  <Button
                    small
                    label={`End ${process.provider}, pid ${process.pid}`}
                    onPress={() => setEnding(process)}
                  >
                    End…
                  </Button>
                )}
              />
            </>
          )
        }
      </WhenLoaded>
      {ending !== null && (
        <EndDialog
          process={ending}
          onClose={() => {
            setEnding(null);
            loaded.reload();
          }}
        />
      )}
    </>
  );
}

const idleProviders = (processes: readonly CliProcess[]): readonly string[] => [
  ...new Set(processes.filter(({ state }) => state === 'idle').map(({ provider }) => provider)),
];

function EndDialog({ process, onClose }: { readonly process: CliProcess; readonly onClose: () => void }) {
  const { id, provider, pid, jobId, state } = process;
  const end = async (force: boolean): Promise<void> => {
    if (await act(() => client.terminateProcess(id, { force }), `${provider} is being ended`)) onClose();
  };
  return (
    <Dialog title={`End ${provider}, pid ${pid}?`} onClose={onClose}>
      <p class="inside">
        {jobId !== null
          ? 'Its job is cancelled. It may finish what it writes; with force it is killed at once.'
          : state === 'running'
            ? 'The program of the terminal ends. With force it is killed at once.'
            : 'It waits for a prompt. The next job starts another one.'}
      </p>
      <footer>
        <Button onPress={onClose}>Keep it</Button>
        <Button look="danger" onPress={() => end(true)}>
          Force
        </Button>
        <Button look="primary" onPress={() => end(false)}>
          End
        </Button>
      </footer>
    </Dialog>
  );
}
