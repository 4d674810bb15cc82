/**
 * The executions of a job: by its events, which every node has, and by the ledger of this node,
 * which keeps them for longer.
 */
import { eventsOf, type ReadEvents } from '../executor/earlier.ts';
import type { StoredEvent } from '../protocol/event.ts';
import type { Execution, Outcome } from '../protocol/outcome.ts';
import type { ExecutionRow } from '../store/executions.ts';

export interface ExecutionSources {
  readonly readEvents: ReadEvents;
  /** The job's executions in the ledger. */
  readonly rows: readonly ExecutionRow[];
  /** Of the node whose ledger that is. */
  readonly nodeId: string;
}

/** The executions of a job by attempt. The events win over the ledger. */
export async function executionsOf(
  jobId: string,
  { readEvents, rows, nodeId }: ExecutionSources,
): Promise<readonly Execution[]> {
  const found = new Map(rows.map((row) => [row.attempt, ofLedger(row, nodeId)]));
  for await (const event of eventsOf(jobId, readEvents)) {
    const { attempt } = event;
    const known = found.get(attempt);
    if (event.kind === 'job.running') {
      const { executionId: id, node } = event;
      found.set(attempt, { ...NOTHING_YET, id, attempt, node });
    } else if (known !== undefined) found.set(attempt, { ...known, ...shownBy(event) });
  }
  return [...found.values()].toSorted((a, b) => a.attempt - b.attempt);
}

const NOTHING_YET = {
  status: 'running',
  provider: null,
  credential: null,
  nativeSessionId: null,
  startedAt: null,
  endedAt: null,
  usage: null,
  outcome: null,
} as const;

function shownBy(event: StoredEvent): Partial<Execution> {
  switch (event.kind) {
    case 'execution.started':
      return { provider: event.provider, startedAt: event.at };
    case 'session':
      return { nativeSessionId: event.nativeSessionId };
    case 'usage':
      return { usage: event.usage };
    case 'execution.finished':
      return ending(event.outcome, event.at);
    default:
      return {};
  }
}

function ending(outcome: Outcome, endedAt: string): Partial<Execution> {
  const { status, provider, credential, nativeSessionId, usage } = outcome;
  return {
    ...{ status, credential, endedAt, outcome },
    // A lost execution has only what its events show.
    ...(provider === null ? {} : { provider }),
    ...(nativeSessionId === null ? {} : { nativeSessionId }),
    ...(usage === null ? {} : { usage }),
  };
}

function ofLedger(row: ExecutionRow, node: string): Execution {
  const { executionId: id, attempt, provider, startedAt } = row;
  const ended = 'outcome' in row && row.outcome !== null ? ending(row.outcome, row.endedAt) : {};
  return { ...NOTHING_YET, id, attempt, node, provider, startedAt, ...ended };
}
