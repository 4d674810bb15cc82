import { describe, expect, it } from 'vitest';
import { resolvedPrompt } from '../../../scripts/offline-model/resolved-prompt.ts';
import type { Principal } from '../../../src/auth/principal.ts';
import { AppError } from '../../../src/errors.ts';
import type { FoundSession } from '../../../src/jobs/session-finder.ts';
import { createSessionMessages } from '../../../src/jobs/session-messages.ts';
import type { Providers } from '../../../src/providers/registry.ts';
import type { SteerMessages } from '../../../src/records/approval-ports.ts';
import type { Limited } from '../../../src/records/limit-records.ts';
import type { JobRecord } from '../../../src/records/ports.ts';
import { createJobWaits } from '../../../src/rpc/job-waits.ts';
import type { Store } from '../../../src/store/store.ts';
import { createFakeDoorbells } from '../../fakes/doorbells.ts';
import { FakeJobs } from '../../fakes/jobs.ts';
import { callerOf } from '../../fakes/principals.ts';

const ANN = callerOf('key:ann', 'web');
const SESSION = '01K9ZV4Q5A3C5E7G9J1M3P5R7T';
const RUNNING = '01K9ZV4Q4PPJ6S5V6H9Y1C3D2E';
const KEY = { key: 'k', fingerprint: 'f' };

const LIMITED: Limited = {
  ...{ limit: 'jobsPerHour', of: 'principal', retryMs: null },
  kind: 'limited',
  rate: { limit: 1, remaining: 0, resetMs: 0 },
};

type State = Awaited<ReturnType<SteerMessages['state']>>;

/** Messages to a session with a running turn, or without one. */
function setUp(
  options: { readonly running?: boolean; readonly closed?: boolean; readonly steers?: boolean } = {},
) {
  const { running = true, closed = false, steers = true } = options;
  const jobs = new FakeJobs();
  const waits = createJobWaits(createFakeDoorbells(), 'responses');
  const sent: { readonly jobId: string; readonly id: string; readonly text: string }[] = [];
  const senders: string[] = [];
  /** Whether the limits had counted each new job before. */
  const counted: boolean[] = [];
  const interrupted: string[] = [];
  const seen = new Set<string>();
  /** The jobs that were made and have not ended, in order. */
  const open: string[] = [];
  async function make(...asked: Parameters<FakeJobs['create']>) {
    const created = await jobs.create(...asked);
    if (!created.replayed) open.push(created.job.id);
    return created;
  }
  const withdrawn: string[] = [];
  const noted: string[] = [];
  /** The state of every message; a test changes it. */
  const now = {
    state: 'sent' as State,
    takesBack: true,
    running,
    made: null as string | null,
    limited: false,
    isAway: false,
  };
  const refused = { resolve: null as AppError | null };
  // as: only these fields are used
  const found = {
    row: { id: SESSION, provider: 'claude', project: 'web', status: closed ? 'closed' : 'busy' },
    record: null,
  };
  const messages = createSessionMessages({
    finder: {
      find: async () => found as unknown as FoundSession,
      options: async () => ({ provider: 'claude', cwd: '/srv', model: 'opus' }),
    },
    jobs: {
      get: jobs.get.bind(jobs),
      create(...asked) {
        counted.push(false);
        return make(...asked);
      },
      createCounted(...asked) {
        counted.push(true);
        return make(...asked);
      },
    },
    records: {
      read: async () => ({ request: resolvedPrompt({ permissionMode: 'fullAccess' }) }) as JobRecord, // as above
      recall: async () => (now.made === null ? null : { kind: 'replayed', jobId: now.made }),
      async interrupt(id, _outcome, _by, message = null) {
        if (now.isAway) throw new AppError('redis.unavailable', 'Redis cannot be reached');
        if (message !== null && seen.has(message.id)) return { kind: 'repeated' };
        if (message !== null) seen.add(message.id);
        interrupted.push(id);
        return { kind: 'requested' };
      },
    },
    sessionRecords: {
      open: async () => (now.running ? [RUNNING, ...open] : open),
    },
    steering: {
      async send(jobId, message, sender) {
        if (!now.running) return 'not_running';
        senders.push(`${sender?.project} ${sender?.id}`);
        if (now.limited) return LIMITED;
        sent.push({ jobId, ...message });
        waits.wake(jobId);
        return 'sent';
      },
      state: async () => (sent.length === 0 && now.state === 'sent' ? 'gone' : now.state),
      async withdraw(_jobId, id) {
        withdrawn.push(id);
        return now.takesBack;
      },
    },
    waits,
    queue: { remove: async () => true },
    store: { run: (async () => ({ rows: [{ id: RUNNING }] })) as unknown } as Store, // as above
    providers: {
      get: () => ({ provider: { capabilities: { steer: steers } } }),
    } as unknown as Pick<Providers, 'get'>, // as above
    resolverFor: (_principal: Principal) => async (request) => {
      if (refused.resolve !== null) throw refused.resolve;
      return resolvedPrompt({ prompt: request.prompt });
    },
    callers: { refusal: ({ limit }) => new AppError('limit.jobs_per_hour', limit) },
    note: (by, act) => void noted.push(`${by.id} ${act.action} ${act.target}`),
    steerMs: 30,
  });
  return { messages, jobs, open, sent, senders, counted, interrupted, withdrawn, noted, now, refused };
}

const steer = { prompt: 'Use tabs', delivery: 'steer' } as const;

async function steered(set: ReturnType<typeof setUp>, key: typeof KEY | null = null) {
  const result = await set.messages.message(ANN, SESSION, steer, key);
  return 'steered' in result ? result.steered : expect.unreachable();
}

describe('a message', () => {
  it('is the next turn, with the options of the session', async () => {
    const { messages, jobs, interrupted } = setUp();
    await messages.message(ANN, SESSION, { prompt: 'Next' }, null);
    expect(jobs.requests).toEqual([
      { provider: 'claude', cwd: '/srv', model: 'opus', prompt: 'Next', sessionId: SESSION },
    ]);
    expect(interrupted).toEqual([]);
  });

  it('that interrupts stops the running turn once, also when its request is repeated', async () => {
    const { messages, interrupted } = setUp();
    for (let i = 0; i < 2; i += 1)
      await messages.message(ANN, SESSION, { prompt: 'No', delivery: 'interrupt' }, KEY);
    expect(interrupted).toEqual([RUNNING]);
  });

  it('that interrupts, and could not, stops the turn before it when its request is repeated', async () => {
    const { messages, jobs, interrupted, now } = setUp();
    const stop = () => messages.message(ANN, SESSION, { prompt: 'No', delivery: 'interrupt' }, KEY);
    now.isAway = true;
    await expect(stop()).rejects.toMatchObject({ code: 'redis.unavailable' });
    now.isAway = false;
    await stop();
    expect([jobs.requests.length, interrupted]).toEqual([1, [RUNNING]]);
  });

  it.each(['runs', 'has ended'])('that interrupts stops no later turn when its own %s', async (which) => {
    const { messages, open, interrupted, now } = setUp();
    const stop = () => messages.message(ANN, SESSION, { prompt: 'No', delivery: 'interrupt' }, KEY);
    now.isAway = true;
    await expect(stop()).rejects.toMatchObject({ code: 'redis.unavailable' });
    Object.assign(now, { isAway: false, running: false });
    await messages.message(ANN, SESSION, { prompt: 'Later' }, null);
    if (which === 'has ended') open.shift();
    await stop();
    expect(interrupted).toEqual([]);
  });

  it('that interrupts is the next turn when nothing runs', async () => {
    const { messages, jobs, interrupted } = setUp({ running: false });
    await messages.message(ANN, SESSION, { prompt: 'Go', delivery: 'interrupt' }, null);
    expect([jobs.requests.length, interrupted]).toEqual([1, []]);
  });

  it('that interrupts is not lost when it is refused: the turn goes on', async () => {
    const { messages, jobs, interrupted } = setUp();
    jobs.failNext = new AppError('limit.jobs_per_hour', 'too many');
    const message = { prompt: 'No', delivery: 'interrupt' } as const;
    await expect(messages.message(ANN, SESSION, message, null)).rejects.toMatchObject({
      code: 'limit.jobs_per_hour',
    });
    expect(interrupted).toEqual([]);
  });
});

describe('a message into the running turn', () => {
  it('is steered when the turn has taken it', async () => {
    const set = setUp();
    set.now.state = 'steered';
    expect(await steered(set)).toMatchObject({ delivered: 'steered', jobId: RUNNING });
    expect(set.sent).toMatchObject([{ jobId: RUNNING, text: 'Use tabs' }]);
    expect(set.noted).toEqual([`key:ann message.steered ${RUNNING}`]);
    expect(set.jobs.requests).toEqual([]);
  });

  it.each<State>(['refused', 'gone'])('that is %s is the next turn', async (state) => {
    const set = setUp();
    set.now.state = state;
    const { delivered, jobId } = await steered(set);
    expect(delivered).toBe('next');
    expect([jobId === RUNNING, set.jobs.requests.map(({ prompt }) => prompt)]).toEqual([false, ['Use tabs']]);
  });

  it('is the next turn when nothing runs', async () => {
    const set = setUp({ running: false });
    expect((await steered(set)).delivered).toBe('next');
    expect([set.sent, set.jobs.requests.length]).toEqual([[], 1]);
  });

  it('that no node takes in time is taken back, then the next turn', async () => {
    const set = setUp();
    expect((await steered(set)).delivered).toBe('next');
    expect([set.withdrawn.length, set.jobs.requests.length]).toEqual([1, 1]);
  });

  it('that a CLI has, and has said nothing about, is never sent again', async () => {
    const set = setUp();
    set.now.takesBack = false;
    expect((await steered(set)).delivered).toBe('steered');
    expect(set.jobs.requests).toEqual([]);
  });

  it('is sent once for each Idempotency-Key, also after its turn has ended', async () => {
    const set = setUp();
    set.now.state = 'steered';
    const first = await steered(set, KEY);
    set.now.running = false;
    expect(await steered(set, KEY)).toEqual(first);
    expect(set.jobs.requests).toEqual([]);
    const other = setUp();
    other.now.made = 'made-before';
    expect(await steered(other, KEY)).toMatchObject({ delivered: 'next', jobId: 'made-before' });
    expect([other.sent, other.jobs.requests]).toEqual([[], []]);
  });

  it('has a UUID, the same for the same key of the same caller', async () => {
    const ids = [KEY, KEY, { ...KEY, key: 'other' }, null, null].map(async (key) => {
      const set = setUp();
      set.now.state = 'refused';
      return (await steered(set, key)).messageId;
    });
    const [one, two, three, four, five] = await Promise.all(ids);
    expect(one).toBe(two);
    expect(new Set([one, three, four, five]).size).toBe(4);
    for (const id of [one, four])
      expect(id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-[48][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  });

  it('counts once for the limits of its sender in the session’s project, also as the next turn', async () => {
    const counts = [];
    for (const state of ['refused', 'gone', 'sent', null] as const) {
      const set = setUp({ running: state !== null });
      set.now.state = state ?? 'gone';
      await set.messages.message({ ...ANN, admin: true, project: 'ops' }, SESSION, steer, null);
      counts.push([...set.senders, set.counted]);
    }
    const sent = ['web key:ann', [true]];
    expect(counts).toEqual([sent, sent, sent, [[false]]]);
  });

  it('counts for the limits of its sender', async () => {
    const set = setUp();
    set.now.limited = true;
    await expect(steered(set)).rejects.toMatchObject({ code: 'limit.jobs_per_hour' });
    expect(set.jobs.requests).toEqual([]);
  });

  it('needs a CLI that takes it, rights for what the turn may do, and an open session', async () => {
    const refused = (set: ReturnType<typeof setUp>) => expect(steered(set)).rejects;
    await refused(setUp({ steers: false })).toMatchObject({ code: 'provider.unsupported_option' });
    await refused(setUp({ closed: true })).toMatchObject({ code: 'session.closed' });
    const set = setUp();
    set.now.state = 'steered';
    set.refused.resolve = new AppError('permission_mode.denied', 'not for this caller');
    await refused(set).toMatchObject({ code: 'permission_mode.denied' });
    expect(set.sent).toEqual([]);
  });
});

describe('a message to a job', () => {
  it('goes to its session while it has not ended; a repeated request has its answer also then', async () => {
    const set = setUp();
    const { job } = await set.jobs.create(ANN, { prompt: 'x', sessionId: SESSION }, null);
    await set.messages.messageJob(ANN, job.id, { prompt: 'Next' }, KEY);
    expect(set.jobs.requests[1]).toMatchObject({ prompt: 'Next', sessionId: SESSION });
    set.jobs.finish(job.id);
    await expect(set.messages.messageJob(ANN, job.id, { prompt: 'Late' }, null)).rejects.toMatchObject({
      code: 'job.already_finished',
    });
    set.now.made = 'made-before';
    await set.messages.messageJob(ANN, job.id, { prompt: 'Next' }, KEY);
    expect(set.jobs.requests).toHaveLength(2);
  });
});
