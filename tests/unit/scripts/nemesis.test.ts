/** The nemesis finds each broken promise in evidence that has it, and none in good evidence. */
import { describe, expect, it } from 'vitest';
import type { Evidence, NodeEvidence } from '../../../scripts/nemesis/evidence.ts';
import { findGrowth } from '../../../scripts/nemesis/growth.ts';
import { findViolations, INVARIANTS } from '../../../scripts/nemesis/invariants.ts';
import { FAULTS, makePlan, renderPlan } from '../../../scripts/nemesis/plan.ts';
import type { StoredEvent } from '../../../src/protocol/event.ts';
import type { Job } from '../../../src/protocol/job.ts';

const ID = 'job-1';
const outcome = { status: 'succeeded', executionId: 'run-1', text: 'hello' };
// Only what the invariants read.
const job = {
  id: ID,
  status: 'succeeded',
  finished: true,
  finishedAt: 'now',
  attempts: 1,
  tags: ['key'],
  provider: 'claude',
  outcome,
} as unknown as Job;
const events = [
  { seq: 1, kind: 'job.queued' },
  { seq: 2, kind: 'job.running', executionId: 'run-1', node: 'a' },
  { seq: 3, kind: 'execution.started', executionId: 'run-1' },
  { seq: 4, kind: 'execution.finished', executionId: 'run-1', outcome },
  { seq: 5, kind: 'job.finished', job },
] as unknown as readonly StoredEvent[];
const execution = {
  node: 'a',
  executionId: 'run-1',
  jobId: ID,
  attempt: 1,
  state: 'delivered',
  status: 'succeeded',
};
const node: NodeEvidence = {
  node: 'a',
  jobs: new Map([[ID, job]]),
  list: [job as never],
  events: new Map([[ID, events]]),
  executions: [execution],
  ledgerJobs: [{ id: ID, status: 'succeeded', attempts: 1 }],
};
const sent = {
  key: 'key',
  requests: [{ prompt: 'key', tags: ['key'] }],
  batch: false,
  answers: [[ID], [ID]],
  unclear: 1,
};
const record = { status: 'succeeded', attempt: '1', seq: '5', outcome: JSON.stringify(outcome) };
const good: Evidence = {
  sent: [sent],
  watched: new Map([[ID, events]]),
  journal: { markers: ['a/run-1'], prompts: ['key'] },
  nodes: [node],
  records: new Map([[ID, record]]),
  leftInSets: [],
};

const onNode = (change: Partial<NodeEvidence>): Partial<Evidence> => ({ nodes: [{ ...node, ...change }] });
const withJob = (change: Partial<Job>) => onNode({ jobs: new Map([[ID, { ...job, ...change }]]) });
const withEvents = (list: readonly StoredEvent[]) => onNode({ events: new Map([[ID, list]]) });

const BROKEN: readonly (readonly [keyof typeof INVARIANTS, string, Partial<Evidence>])[] = [
  [
    'one key, one job',
    'two answers with different jobs',
    { sent: [{ ...sent, answers: [[ID], ['job-2']] }] },
  ],
  ['one key, one job', 'a key without a clear answer', { sent: [{ ...sent, answers: [] }] }],
  ['no job that was not sent', 'a job that no client has', { sent: [] }],
  ['no job that was not sent', 'two jobs of one request', onNode({ list: [...node.list, ...node.list] })],
  ['one outcome for each accepted job', 'a lost job', onNode({ jobs: new Map([[ID, null]]) })],
  ['one outcome for each accepted job', 'a job without an end', withJob({ finished: false })],
  [
    'no execution is spawned twice',
    'a second process',
    { journal: { markers: ['a/run-1', 'a/run-1'], prompts: ['key'] } },
  ],
  [
    'the CLIs got each prompt at most once per attempt',
    'a second prompt',
    { journal: { markers: ['a/run-1'], prompts: ['key', 'key'] } },
  ],
  [
    'the CLIs got each prompt at most once per attempt',
    'no prompt',
    { journal: { markers: [], prompts: [] } },
  ],
  ['events have no gap and one end', 'a gap', withEvents(events.filter(({ seq }) => seq !== 3))],
  [
    'events have no gap and one end',
    'a repeated event',
    withEvents(events.flatMap((one) => (one.seq === 3 ? [one, one] : [one]))),
  ],
  ['events have no gap and one end', 'no end', withEvents(events.slice(0, -1))],
  [
    'events have no gap and one end',
    'another outcome',
    withJob({ outcome: { ...outcome, text: 'other' } as never }),
  ],
  ['a reader sees each event once', 'a reader with a gap', { watched: new Map([[ID, events.slice(1)]]) }],
  [
    'API, list, ledger and Redis agree',
    'a list that is behind',
    onNode({ list: [{ ...node.list[0], status: 'running' } as never] }),
  ],
  [
    'API, list, ledger and Redis agree',
    'a ledger that is behind',
    onNode({ ledgerJobs: [{ id: ID, status: 'running', attempts: 1 }] }),
  ],
  [
    'API, list, ledger and Redis agree',
    'a record that differs',
    { records: new Map([[ID, { ...record, status: 'failed' }]]) },
  ],
  [
    'API, list, ledger and Redis agree',
    'an outcome in the outbox',
    onNode({ executions: [{ ...execution, state: 'ended' }] }),
  ],
  ['API, list, ledger and Redis agree', 'no row for what ran', onNode({ executions: [] })],
  ['nothing waits', 'a member of a set', { leftInSets: ['running: job-1'] }],
];

describe('the invariants', () => {
  it('hold for good evidence', () => {
    expect(findViolations(good)).toEqual([]);
  });

  it.each(BROKEN)('"%s" finds %s', (invariant, _, change) => {
    expect(findViolations({ ...good, ...change }).map((one) => one.invariant)).toContain(invariant);
  });

  it('are each shown to fail', () => {
    expect(new Set(BROKEN.map(([invariant]) => invariant))).toEqual(new Set(Object.keys(INVARIANTS)));
  });

  it('find a process that has grown, beyond what the kept jobs explain', () => {
    const before = [{ part: 'redis', memoryMb: 100, files: 30 }];
    const later = (memoryMb: number, files: number) => [{ part: 'redis', memoryMb, files }];
    expect(findGrowth(before, later(110, 31), 0)).toEqual([]);
    expect(findGrowth(before, later(300, 31), 0)).toHaveLength(1);
    expect(findGrowth(before, later(300, 31), 10_000)).toEqual([]);
    expect(findGrowth(before, later(100, 90), 10_000)).toHaveLength(1);
    expect(findGrowth(before, [], 0)).toHaveLength(1);
  });
});

describe('the plan', () => {
  const minute = { durationMs: 60_000, servers: 1 };

  it('is the same for the same seed, and another one for another seed', () => {
    const plan = renderPlan(makePlan({ seed: 5, ...minute }));
    expect(renderPlan(makePlan({ seed: 5, ...minute }))).toBe(plan);
    expect(renderPlan(makePlan({ seed: 6, ...minute }))).not.toBe(plan);
  });

  it('has every kind of fault in two minutes', () => {
    const { faults } = makePlan({ seed: 7, servers: 1, durationMs: 120_000 });
    expect(new Set(faults.map(({ kind }) => kind))).toEqual(new Set(Object.keys(FAULTS)));
  });
});
