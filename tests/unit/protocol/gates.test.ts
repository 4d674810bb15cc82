import { describe, expect, it } from 'vitest';
import { type ClosedGates, type GatedJob, type NodeGates, shownState } from '../../../src/protocol/gates.ts';

const AT = Date.parse('2026-11-21T12:00:00Z');
const queued: GatedJob = {
  ...{ status: 'queued', waitReason: null, scheduledFor: null, project: 'default', provider: 'claude' },
  principal: 'key:1',
  ...{ model: null, priority: 0, pin: null, failsAtLimit: false },
};
const node = (id: string, parts: Partial<NodeGates> = {}): NodeGates => ({
  ...{ id, drained: false, limits: {}, ...parts },
});
const times = (seconds: Readonly<Record<string, number>>) =>
  Object.fromEntries(Object.entries(seconds).map(([word, after]) => [word, AT + after * 1000]));
/** A node whose claude is limited, for so many seconds after {@link AT}, by words of models. */
const limited = (
  id: string,
  until: Readonly<Record<string, number>>,
  { lastModel = null, reserved = {} }: { lastModel?: string | null; reserved?: Record<string, number> } = {},
) => node(id, { limits: { claude: { lastModel, until: times(until), reserved: times(reserved) } } });
const gates = (parts: Partial<ClosedGates> = {}): ClosedGates => ({
  ...{ queue: false, projects: [], providers: [], budgets: {}, nodes: [node('n1')], ...parts },
});
const shows = (closed: ClosedGates | null, job: Partial<GatedJob> = {}) => {
  const { status, waitReason, scheduledFor } = shownState(closed, { ...queued, ...job });
  return [status, waitReason, scheduledFor];
};
const QUEUED = ['queued', null, null];
const PAUSED = ['waiting', 'paused', null];
const NO_NODE = ['waiting', 'node', null];
const noBudget = (seconds: number) => ['scheduled', 'budget', new Date(AT + seconds * 1000).toISOString()];
const quota = (seconds: number) => ['scheduled', 'quota', new Date(AT + seconds * 1000).toISOString()];

describe('a queued job', () => {
  it('shows its own state while no gate concerns it', () => {
    expect(shows(null)).toEqual(QUEUED);
    expect(shows(gates({ projects: ['other'], providers: ['codex'] }))).toEqual(QUEUED);
    expect(shows(gates({ nodes: [] }))).toEqual(QUEUED);
  });

  it.each([
    [{ default: AT + 60_000 }, noBudget(60)],
    [{ 'default|key:1': AT + 60_000 }, noBudget(60)],
    [{ 'default|key:2': AT + 60_000, other: AT + 60_000, 'other|key:1': AT + 60_000 }, QUEUED],
  ])('waits for the next day when its project or principal has spent the amount: %j', (budgets, shown) => {
    expect(shows(gates({ budgets }))).toEqual(shown);
  });

  it.each([[{ queue: true }], [{ projects: ['default'] }], [{ providers: ['codex', 'claude'] }]])(
    'waits for the end of a pause: %j',
    (parts) => {
      expect(shows(gates(parts))).toEqual(PAUSED);
    },
  );

  it('waits for a node when every node that may run it is drained', () => {
    const nodes = [node('n1', { drained: true }), node('n2')];
    expect(shows(gates({ nodes }))).toEqual(QUEUED);
    expect(shows(gates({ nodes }), { pin: 'n1' })).toEqual(NO_NODE);
    expect(shows(gates({ nodes }), { pin: 'n2' })).toEqual(QUEUED);
    expect(shows(gates({ nodes }), { pin: 'gone' })).toEqual(QUEUED);
    expect(shows(gates({ nodes: [node('n1', { drained: true })] }))).toEqual(NO_NODE);
  });

  it('waits for a limit only when every node that may run it is limited, until the first one is not', () => {
    const nodes = [limited('n1', { '': 60 }), limited('n2', { '': 30 })];
    expect(shows(gates({ nodes }))).toEqual(quota(30));
    expect(shows(gates({ nodes }), { pin: 'n1' })).toEqual(quota(60));
    expect(shows(gates({ nodes: [...nodes, node('n3')] }))).toEqual(QUEUED);
    expect(shows(gates({ nodes: [...nodes, node('n3', { drained: true })] }))).toEqual(quota(30));
    expect(shows(gates({ nodes }), { provider: 'codex' })).toEqual(QUEUED);
    expect(shows(gates({ nodes }), { failsAtLimit: true })).toEqual(QUEUED);
  });

  it('waits for the rest of a limit when its priority is negative', () => {
    const nodes = [limited('n1', {}, { reserved: { '': 60 } })];
    expect(shows(gates({ nodes }))).toEqual(QUEUED);
    expect(shows(gates({ nodes }), { priority: -1 })).toEqual(quota(60));
    const full = [limited('n1', { '': 90 }, { reserved: { '': 60 } })];
    expect(shows(gates({ nodes: full }), { priority: -1, failsAtLimit: true })).toEqual(quota(60));
  });

  it('waits for the limit of its model; without a model it is the one that ran last', () => {
    const nodes = [limited('n1', { opus: 60 })];
    expect(shows(gates({ nodes }), { model: 'claude-Opus-4' })).toEqual(quota(60));
    expect(shows(gates({ nodes }), { model: 'claude-sonnet-4' })).toEqual(QUEUED);
    expect(shows(gates({ nodes }))).toEqual(QUEUED);
    expect(shows(gates({ nodes: [limited('n1', { opus: 60 }, { lastModel: 'claude-opus-4' })] }))).toEqual(
      quota(60),
    );
    const both = [limited('n1', { opus: 60, '': 90 })];
    expect(shows(gates({ nodes: both }), { model: 'opus' })).toEqual(quota(90));
  });
});

it.each([
  [{ status: 'running' }],
  [{ status: 'scheduled', waitReason: 'delayed' }],
  [{ status: 'queued', waitReason: 'session' }],
  [{ status: 'succeeded' }],
] as const)('a job that no gate holds shows its own state: %j', (job) => {
  expect(shows(gates({ queue: true }), job)).toEqual([
    job.status,
    'waitReason' in job ? job.waitReason : null,
    null,
  ]);
});
