/** What is paused: all jobs, those of a provider, or those of a project. */
import { useState } from 'preact/hooks';
import type { Pause, PauseScope } from '../../../protocol/server-info.ts';
import { useLoad, usePoll } from '../../load.ts';
import { client, may } from '../../server.ts';
import { Button } from '../../ui/button.tsx';
import { Empty } from '../../ui/states.tsx';
import { Ago } from '../../ui/time.tsx';
import { act } from '../../ui/toast.tsx';
import { type DataColumn, DataTable, WhenLoaded } from './data-table.tsx';

const nameOf = ({ provider, project }: Pick<Pause, 'provider' | 'project'>): string =>
  provider !== null ? `jobs of ${provider}` : project !== null ? `jobs of project ${project}` : 'all jobs';

const COLUMNS: readonly DataColumn<Pause>[] = [
  { title: 'Paused', cell: nameOf },
  { title: 'Since', cell: ({ since }) => <Ago at={since} /> },
];

const scopeOf = ({ provider, project }: Pick<Pause, 'provider' | 'project'>): PauseScope => ({
  ...(provider !== null && { provider: provider as NonNullable<PauseScope['provider']> }), // as the server named it
  ...(project !== null && { project }),
});

export function QueuePart() {
  const loaded = useLoad((signal) => client.paused({ signal }), []);
  usePoll(loaded);
  const change = (what: () => Promise<unknown>, text: string) => act(what, text).then(loaded.reload);
  return (
    <>
      {may('admin') && <PauseForm pause={(scope, text) => change(() => client.pauseQueue(scope), text)} />}
      <WhenLoaded loaded={loaded}>
        {(paused) =>
          paused.length === 0 ? (
            <Empty title="Nothing is paused">
              <p>Jobs start as slots become free. A pause starts no more of them; what runs goes on.</p>
            </Empty>
          ) : (
            <DataTable
              label="Pauses"
              columns={COLUMNS}
              rows={paused}
              keyOf={nameOf}
              actions={(pause) =>
                may('admin') && (
                  <Button
                    small
                    label={`Resume ${nameOf(pause)}`}
                    onPress={() =>
                      change(() => client.resumeQueue(scopeOf(pause)), `Resumed: ${nameOf(pause)}`)
                    }
                  >
                    Resume
                  </Button>
                )
              }
            />
          )
        }
      </WhenLoaded>
    </>
  );
}

interface PauseFormProps {
  readonly pause: (scope: PauseScope, text: string) => Promise<unknown>;
}

function PauseForm({ pause }: PauseFormProps) {
  const providers = useLoad((signal) => client.providers({ signal }), []);
  const [provider, setProvider] = useState('');
  const [project, setProject] = useState('');
  const names = (providers.data ?? []).filter(({ available }) => available).map(({ name }) => name);
  const all = { provider: null, project: null };
  return (
    <section class="card inside pause-form" aria-label="Pause">
      <Button onPress={() => pause({}, 'Paused: all jobs')}>Pause {nameOf(all)}</Button>
      <form
        class="row"
        onSubmit={(event) => {
          event.preventDefault();
          if (provider === '') return;
          void pause(scopeOf({ provider, project: null }), `Paused: jobs of ${provider}`);
        }}
      >
        <select
          class="input"
          aria-label="Provider"
          value={provider}
          onChange={(event) => setProvider(event.currentTarget.value)}
        >
          <option value="">A provider…</option>
          {names.map((name) => (
            <option key={name}>{name}</option>
          ))}
        </select>
        <button type="submit" class="button" disabled={provider === ''}>
          Pause provider
        </button>
      </form>
      <form
        class="row"
        onSubmit={(event) => {
          event.preventDefault();
          if (project.trim() === '') return;
          void pause({ project: project.trim() }, `Paused: jobs of project ${project.trim()}`);
        }}
      >
        <input
          class="input"
          aria-label="Project"
          placeholder="A project…"
          maxLength={64}
          value={project}
          onInput={(event) => setProject(event.currentTarget.value)}
        />
        <button type="submit" class="button" disabled={project.trim() === ''}>
          Pause project
        </button>
      </form>
    </section>
  );
}
