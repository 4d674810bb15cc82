/** The list of jobs, with every filter of the API in the address bar. */
import { useEffect, useState } from 'preact/hooks';
import type { JobFilter } from '../../../protocol/job.ts';
import { go, useRoute, withQuery } from '../../router.ts';
import { may } from '../../server.ts';
import { Empty, Failure, Loading } from '../../ui/states.tsx';
import { BatchList } from './batch-list.tsx';
import { BulkBar } from './bulk-bar.tsx';
import { type Condition, filterOf } from './filter.ts';
import { JobFilters } from './job-filters.tsx';
import { JobTable, NOTHING, type Selection } from './job-table.tsx';
import { useJobs } from './use-jobs.ts';

export function JobsScreen() {
  const route = useRoute();
  const byBatch = route.query.get('group') === 'batch';
  return (
    <>
      <header class="head">
        <h1>Jobs</h1>
        <div class="actions">
          <fieldset class="switch" aria-label="Show">
            <button
              type="button"
              aria-pressed={!byBatch}
              onClick={() => go(withQuery(route, { group: null }))}
            >
              Jobs
            </button>
            <button
              type="button"
              aria-pressed={byBatch}
              onClick={() => go(withQuery(route, { group: 'batch' }))}
            >
              Batches
            </button>
          </fieldset>
          {may('jobs:write') && (
            <a class="button primary" href="/jobs/new" aria-keyshortcuts="c">
              New job
            </a>
          )}
        </div>
      </header>
      {byBatch ? <BatchList /> : <FilteredJobs />}
    </>
  );
}

/** The jobs that the address bar names. `fixed`: conditions of the screen itself. */
export function FilteredJobs({ fixed = {} }: { readonly fixed?: JobFilter }) {
  const route = useRoute();
  const filter: JobFilter = { ...filterOf(route.query), ...fixed };
  const key = JSON.stringify(filter);
  const list = useJobs(filter);
  const [selection, setSelection] = useState<Selection>(NOTHING);
  useEffect(() => setSelection(NOTHING), [key]);
  const names = Object.keys(fixed) as Condition[]; // as: the keys of a filter
  return (
    <>
      <JobFilters route={route} filter={filter} fixed={names} />
      {!list.loaded && list.error !== null ? (
        <Failure error={list.error} retry={() => list.reload()} />
      ) : !list.loaded ? (
        <Loading lines={12} />
      ) : list.rows.length === 0 ? (
        <NoJobs filtered={Object.keys(filter).length > names.length} />
      ) : (
        <JobTable list={list} selection={selection} onSelect={setSelection} />
      )}
      <BulkBar
        filter={filter}
        selection={selection}
        onSelect={setSelection}
        more={list.nextCursor !== null || selection.ids.size < list.rows.length}
      />
    </>
  );
}

function NoJobs({ filtered }: { readonly filtered: boolean }) {
  if (filtered)
    return (
      <Empty title="No job matches">
        <p>Remove a filter, or search for other words.</p>
      </Empty>
    );
  return (
    <Empty title="No jobs yet">
      <p>A job is a prompt that a coding agent works on in the background. It appears here at once.</p>
      {may('jobs:write') && (
        <a class="button primary" href="/jobs/new">
          New job
        </a>
      )}
    </Empty>
  );
}
