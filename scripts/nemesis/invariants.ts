/** What must be true after every run, as functions of the evidence alone. */
import type { StoredEvent } from '../../src/protocol/event.ts';
import type { Job } from '../../src/protocol/job.ts';
import type { Evidence, NodeEvidence } from './evidence.ts';

/** A promise that was broken. */
export interface Violation {
  readonly invariant: string;
  readonly what: string;
  readonly jobIds: readonly string[];
}

export const INVARIANTS: Readonly<Record<string, (evidence: Evidence) => Violation[]>> = {
  'one key, one job': oneJobPerKey,
  'no job that was not sent': noForeignJob,
  'one outcome for each accepted job': oneOutcome,
  'no execution is spawned twice': spawnedOnce,
  'the CLIs got each prompt at most once per attempt': promptedOnce,
  'events have no gap and one end': wholeEvents,
  'a reader sees each event once': watchedOnce,
  'API, list, ledger and Redis agree': agreement,
  'nothing waits': ({ leftInSets }) =>
    leftInSets.map((member) => ({ invariant: '', what: `Redis still has ${member}`, jobIds: [] })),
};

export function findViolations(evidence: Evidence): Violation[] {
  return Object.entries(INVARIANTS).flatMap(([invariant, check]) =>
    check(evidence).map((violation) => ({ ...violation, invariant })),
  );
}

const broken = (what: string, ...jobIds: string[]): Violation => ({ invariant: '', what, jobIds });

const duplicatesIn = (list: readonly string[]): string[] => {
  const seen = new Set<string>();
  return list.filter((one) => seen.size === seen.add(one).size);
};

function countOf(list: readonly string[]): ReadonlyMap<string, number> {
  const counts = new Map<string, number>();
  for (const one of list) counts.set(one, (counts.get(one) ?? 0) + 1);
  return counts;
}

/** The jobs as the first server answers; `agreement` compares the others with it. */
function jobsOf({ nodes }: Evidence): Job[] {
  return [...(nodes[0]?.jobs.values() ?? [])].flatMap((job) => (job === null ? [] : [job]));
}

function oneJobPerKey({ sent }: Evidence): Violation[] {
  return sent.flatMap(({ key, answers, requests }) => {
    const different = new Set(answers.map((ids) => ids.join()));
    const ids = [...new Set(answers.flat())];
    if (answers.length === 0) return [broken(`key ${key} never got a clear answer`)];
    if (different.size > 1)
      return [broken(`key ${key} was answered with ${different.size} different jobs`, ...ids)];
    if (ids.length !== requests.length)
      return [broken(`key ${key} asked for ${requests.length} jobs and got ${ids.length}`, ...ids)];
    return [];
  });
}

/** The tag of each request is its key, so a job that no client knows shows whose it is. */
function noForeignJob({ sent, nodes }: Evidence): Violation[] {
  const known = new Map<string, string>();
  for (const { requests, answers } of sent)
    for (const [at, id] of (answers[0] ?? []).entries()) known.set(id, tagOf(requests[at]?.['tags']));
  return nodes.flatMap(({ node, list, jobs }) => [
    ...list.flatMap(({ id, tags }) =>
      known.get(id) === tags[0]
        ? []
        : [broken(`node ${node} lists a job of ${tags[0]} that no client has`, id)],
    ),
    ...duplicatesIn(list.map(({ tags }) => tags[0] ?? '')).map((tag) =>
      broken(`node ${node} lists two jobs of ${tag}`),
    ),
    ...[...jobs.values()].flatMap((job) =>
      job !== null && known.get(job.id) !== job.tags[0] ? [broken('a job has another request', job.id)] : [],
    ),
  ]);
}

const tagOf = (tags: unknown): string => (Array.isArray(tags) ? String(tags[0]) : '');

function oneOutcome({ nodes }: Evidence): Violation[] {
  return nodes.flatMap(({ node, jobs }) =>
    [...jobs].flatMap(([id, job]) => {
      if (job === null) return [broken(`node ${node} does not know an accepted job`, id)];
      if (!job.finished || job.outcome === null || job.finishedAt === null)
        return [broken(`node ${node}: an accepted job is ${job.status} and has no outcome`, id)];
      if (job.outcome.status !== job.status)
        return [broken(`the job is ${job.status} and its outcome ${job.outcome.status}`, id)];
      return [];
    }),
  );
}

function spawnedOnce({ journal }: Evidence): Violation[] {
  return duplicatesIn(journal.markers).map((marker) => broken(`two processes had the marker ${marker}`));
}

function promptedOnce(evidence: Evidence): Violation[] {
  const prompts = countOf(evidence.journal.prompts);
  const spawned = new Set(evidence.journal.markers.map((marker) => marker.split('/')[1] ?? ''));
  return jobsOf(evidence).flatMap((job) => {
    const [key = ''] = job.tags;
    const started = executionsOf(evidence.nodes[0], job.id).filter((id) => spawned.has(id)).length;
    const count = job.provider === 'echo' ? started : (prompts.get(key) ?? 0);
    if (count > job.attempts) return [broken(`${count} prompts for ${job.attempts} attempts`, job.id)];
    if (count === 0 && job.status === 'succeeded') return [broken('it succeeded and no CLI ran it', job.id)];
    return [];
  });
}

/** The executions of a job according to its events. */
function executionsOf(node: NodeEvidence | undefined, jobId: string): string[] {
  return (node?.events.get(jobId) ?? []).flatMap((event) =>
    event.kind === 'job.running' ? [event.executionId] : [],
  );
}

function wholeEvents({ nodes }: Evidence): Violation[] {
  return nodes.flatMap(({ node, events, jobs }) =>
    [...jobs.values()].flatMap((job) =>
      job === null
        ? []
        : wrongIn(events.get(job.id) ?? [], job).map((why) => broken(`node ${node}: ${why}`, job.id)),
    ),
  );
}

function wrongIn(events: readonly StoredEvent[], job: Job): string[] {
  const wrong: string[] = [];
  const gap = events.findIndex(({ seq }, index) => seq !== index + 1);
  if (gap !== -1) wrong.push(`event ${gap + 1} has the number ${events[gap]?.seq}`);
  const ends = events.filter(({ kind }) => kind === 'job.finished');
  const last = events.at(-1);
  if (ends.length !== 1) wrong.push(`it has ${ends.length} events job.finished`);
  if (last?.kind !== 'job.finished') wrong.push(`its last event is ${last?.kind}`);
  else if (JSON.stringify((last.job as Job).outcome) !== JSON.stringify(job.outcome))
    wrong.push('the outcome of its last event is not its own');
  const count = (kind: string): number => events.filter((event) => event.kind === kind).length;
  if (count('job.running') !== job.attempts)
    wrong.push(`${count('job.running')} events job.running for ${job.attempts} attempts`);
  if (count('execution.finished') !== job.attempts)
    wrong.push(`${count('execution.finished')} executions ended of ${job.attempts}`);
  return wrong;
}

/** What readers got piece by piece is what the server answers now. */
function watchedOnce({ watched, nodes }: Evidence): Violation[] {
  return [...watched].flatMap(([id, seen]) => {
    const all = nodes[0]?.events.get(id) ?? [];
    const expected = all.filter(({ kind }) => kind !== 'raw').map(({ seq, kind }) => `${seq} ${kind}`);
    const got = seen.map(({ seq, kind }) => `${seq} ${kind}`);
    const at = expected.findIndex((one, index) => one !== got[index]);
    if (at === -1 && got.length === expected.length) return [];
    return [broken(`a reader got "${got[at]}" in place of "${expected[at]}"`, id)];
  });
}

function agreement(evidence: Evidence): Violation[] {
  return evidence.nodes.flatMap((node) => [
    ...agreesWithApi(node, evidence),
    ...node.executions.flatMap((execution) => wrongInLedger(execution, node, evidence)),
    ...missingInLedger(node, evidence),
  ]);
}

function agreesWithApi(
  { node, jobs, list, ledgerJobs, events }: NodeEvidence,
  evidence: Evidence,
): Violation[] {
  const first = evidence.nodes[0]?.jobs;
  const listed = new Map(list.map((item) => [item.id, item]));
  const stored = new Map(ledgerJobs.map((row) => [row.id, row]));
  return [...jobs.values()].flatMap((job) => {
    if (job === null) return [];
    const own = `${job.status} after ${job.attempts}`;
    const record = evidence.records.get(job.id) ?? {};
    const item = listed.get(job.id);
    const row = stored.get(job.id);
    const outcome = record['outcome'] ? JSON.parse(record['outcome']) : null;
    const others: Record<string, string> = {
      'the first server': JSON.stringify(first?.get(job.id)) === JSON.stringify(job) ? own : 'another job',
      'the list': `${item?.status} after ${item?.attempts}`,
      'the ledger': `${row?.status} after ${row?.attempts}`,
      Redis: `${record['status']} after ${record['attempt']}`,
      'the outcome in Redis': `${outcome?.status} after ${record['attempt']}`,
    };
    const wrong = Object.entries(others).filter(([, other]) => other !== own);
    if (Number(record['seq']) !== events.get(job.id)?.length)
      wrong.push(['the last seq in Redis', String(record['seq'])]);
    return wrong.map(([who, other]) => broken(`node ${node}: it is ${own}, and in ${who} ${other}`, job.id));
  });
}

function wrongInLedger(
  { node, executionId, jobId, state, status }: NodeEvidence['executions'][number],
  { events }: NodeEvidence,
  { nodes }: Evidence,
): Violation[] {
  if (state !== 'delivered' && state !== 'superseded')
    return [broken(`the ledger of ${node} has ${executionId} as ${state}`, jobId)];
  const ended = (events.get(jobId) ?? []).filter(
    (event) => event.kind === 'execution.finished' && event.executionId === executionId,
  );
  const [end] = ended;
  if (state === 'superseded') {
    if (nodes.length === 1) return [broken(`${executionId} was superseded beside no other node`, jobId)];
    return [];
  }
  if (ended.length !== 1) return [broken(`${executionId} has ${ended.length} ends in the events`, jobId)];
  if (end?.kind === 'execution.finished' && end.outcome.status !== status)
    return [
      broken(`${executionId} is ${status} in the ledger and ${end.outcome.status} in the events`, jobId),
    ];
  return [];
}

/** What ran on a node is in its ledger. A loss that another node has settled need not be. */
function missingInLedger({ node, events, executions }: NodeEvidence, { nodes }: Evidence): Violation[] {
  const known = new Set(executions.map(({ executionId }) => executionId));
  return [...events].flatMap(([jobId, list]) =>
    list.flatMap((event) => {
      if (event.kind !== 'execution.started') return [];
      const running = list.find((one) => one.kind === 'job.running' && one.executionId === event.executionId);
      const here = running?.kind === 'job.running' && running.node === node;
      if (!here || known.has(event.executionId)) return [];
      return [
        broken(
          `${event.executionId} was started on ${node} of ${nodes.length} and its ledger has none`,
          jobId,
        ),
      ];
    }),
  );
}
