/** Collects what is left of the jobs of a run: from the API, the ledgers, Redis and the CLIs. */
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { setTimeout as delay } from 'node:timers/promises';
import type { StoredEvent } from '../../src/protocol/event.ts';
import type { Job, JobListItem } from '../../src/protocol/job.ts';
import type { Answer, Api, Route } from './api.ts';
import type { Sent } from './clients.ts';
import type { SupervisedServer } from './server.ts';
import type { Journal, System } from './system.ts';

/** A row of a ledger's table `executions`. */
export interface LedgerExecution {
  readonly node: string;
  readonly executionId: string;
  readonly jobId: string;
  readonly attempt: number;
  readonly state: string;
  /** Status of its outcome. */
  readonly status: string | null;
}

/** A row of a ledger's table `jobs`. */
export interface LedgerJob {
  readonly id: string;
  readonly status: string;
  readonly attempts: number;
}

/** What one server answers and has stored. */
export interface NodeEvidence {
  readonly node: string;
  /** Of every job that a client knows; null: the server did not answer with a job. */
  readonly jobs: ReadonlyMap<string, Job | null>;
  readonly list: readonly JobListItem[];
  readonly events: ReadonlyMap<string, readonly StoredEvent[]>;
  readonly executions: readonly LedgerExecution[];
  readonly ledgerJobs: readonly LedgerJob[];
}

export interface Evidence {
  readonly sent: readonly Sent[];
  readonly watched: ReadonlyMap<string, readonly StoredEvent[]>;
  readonly journal: Journal;
  readonly nodes: readonly NodeEvidence[];
  /** The records in Redis, by job. */
  readonly records: ReadonlyMap<string, Readonly<Record<string, string>>>;
  /** Members of sets and queues in Redis that should be empty now: `<key>: <member>`. */
  readonly leftInSets: readonly string[];
}

const PREFIX = '{bullpen}';
const AT_ONCE = 8;
const TRIES = 30;

export async function collect(
  system: System,
  api: Api,
  clients: { readonly sent: readonly Sent[]; readonly watched: Evidence['watched'] },
): Promise<Evidence> {
  const ids = [...new Set(clients.sent.flatMap(({ answers }) => answers.flat()))];
  const nodes: NodeEvidence[] = [];
  for (const server of system.servers) nodes.push(await collectNode(server, api, ids));
  return {
    ...clients,
    journal: system.journal(),
    nodes,
    records: await readRecords(system),
    leftInSets: await leftInSets(system),
  };
}

async function collectNode(
  server: SupervisedServer,
  api: Api,
  ids: readonly string[],
): Promise<NodeEvidence> {
  const jobs = new Map<string, Job | null>();
  const events = new Map<string, readonly StoredEvent[]>();
  const left = [...ids];
  const read = async (): Promise<void> => {
    for (let id = left.pop(); id !== undefined; id = left.pop()) {
      const job = await sure(api, server, 'GET /v1/jobs/:id', `/v1/jobs/${id}`);
      // The documented answers.
      jobs.set(id, job.status === 200 ? (job.body as Job) : null);
      const path = `/v1/jobs/${id}/events?raw=true`;
      const answer = await sure(api, server, 'GET /v1/jobs/:id/events', path, { lines: true });
      events.set(id, answer.status === 200 ? (answer.body as StoredEvent[]) : []);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, read));
  return {
    node: server.nodeId,
    jobs,
    events,
    list: await readList(server, api),
    ...readLedger(server),
  };
}

/** Asks until the answer is clear: on a busy machine Redis may be slow for a moment. */
async function sure(api: Api, ...question: Parameters<Api['ask']>): Promise<Answer> {
  for (let tries = 1; ; tries += 1) {
    const answer = await api.ask(...question);
    const clear = answer.status !== null && answer.status !== 503;
    if (clear || tries === TRIES) return answer;
    await delay(1000);
  }
}

async function readList(server: SupervisedServer, api: Api): Promise<JobListItem[]> {
  const items: JobListItem[] = [];
  const route: Route = 'GET /v1/jobs';
  for (let cursor: string | null = ''; cursor !== null; ) {
    const path: string = `/v1/jobs?limit=100${cursor === '' ? '' : `&cursor=${encodeURIComponent(cursor)}`}`;
    const { status, body } = await sure(api, server, route, path);
    if (status !== 200) break;
    const page = body as { data: JobListItem[]; nextCursor: string | null }; // the documented answer
    items.push(...page.data);
    cursor = page.nextCursor;
  }
  return items;
}

function readLedger(server: SupervisedServer): Pick<NodeEvidence, 'executions' | 'ledgerJobs'> {
  const db = new DatabaseSync(join(server.home, 'ledger.db'), { readOnly: true });
  try {
    const node = server.nodeId;
    const executions = db
      .prepare(
        `SELECT execution_id AS executionId, job_id AS jobId, attempt, state,
           json_extract(outcome, '$.status') AS status FROM executions`,
      )
      .all();
    const ledgerJobs = db.prepare('SELECT id, status, attempts FROM jobs').all();
    return {
      // The columns of the statements.
      executions: executions.map((row) => ({ node, ...row }) as unknown as LedgerExecution),
      ledgerJobs: ledgerJobs as unknown as LedgerJob[],
    };
  } finally {
    db.close();
  }
}

async function readRecords({ admin }: System): Promise<Map<string, Record<string, string>>> {
  const records = new Map<string, Record<string, string>>();
  for (const key of await admin.keys(`${PREFIX}:job:*`))
    records.set(key.slice(`${PREFIX}:job:`.length), await admin.hgetall(key));
  return records;
}

/** What waits, runs or is to be delivered according to Redis. */
export async function leftInSets({ admin }: System): Promise<string[]> {
  const keys = [
    ...['running', 'released', 'due', 'parked', 'expiries', 'pinned'].map((name) => `${PREFIX}:${name}`),
    ...(await admin.keys(`${PREFIX}:ready*`)),
    ...(await admin.keys(`${PREFIX}:lane:*`)),
    ...['wait', 'paused', 'active', 'delayed', 'prioritized'].map((name) => `${PREFIX}:prompts:${name}`),
  ];
  const left: string[] = [];
  for (const key of keys) {
    const type = await admin.type(key);
    let members: string[] = [];
    if (type === 'zset') members = await admin.zrange(key, '0', '-1');
    if (type === 'list') members = await admin.lrange(key, 0, -1);
    left.push(...members.map((member) => `${key}: ${member}`));
  }
  return left;
}
