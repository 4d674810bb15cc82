/** What a CLI asks and what people say to it, over a control that speaks in plain JSON. */
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { AppError, wireError } from '../../../src/errors.ts';
import { type KnownApprovals, NO_APPROVALS } from '../../../src/executor/asks.ts';
import { createConversation } from '../../../src/executor/conversation.ts';
import { createLogger } from '../../../src/logger.ts';
import type { Decision } from '../../../src/protocol/approval.ts';
import type { Ask, Control, ControlStep } from '../../../src/providers/control.ts';
import { createRedactor } from '../../../src/redactor.ts';
import { createFakeApprovals } from '../../fakes/approvals.ts';
import { eventually } from '../../helpers/eventually.ts';

const logger = createLogger('fatal');
const HOLD = { approvalHoldMs: 120_000, approvalUnattendedMs: 10_000 };
const ALLOW: Decision = { decision: 'allow', input: { command: 'ls' }, rules: [] };
const DENY: Decision = { decision: 'deny', message: 'not today' };
const NOTHING: ControlStep = { write: '', asks: [], withdrawn: [], taken: [], problem: null };

/** Each line is a step; each answer is written as JSON. */
function plainControl(parksAs: (approvalId: string) => 'deferred' | 'granted'): Control {
  const say = (what: object): string => `${JSON.stringify(what)}\n`;
  return {
    line: (line) => ({ ...NOTHING, ...JSON.parse(line) }),
    interrupt: () => say({ interrupt: true }),
    steer: ({ id, text }) => (text === 'not now' ? null : say({ steer: text, id })),
    decide: (callId, decision) => say({ decide: callId, ...decision }),
    park: (callId, approvalId) => ({ write: say({ park: callId }), waits: parksAs(approvalId) }),
  };
}

const askFor = (callId: string, rest: Partial<Ask> = {}): Ask => ({
  ...{ callId, kind: 'tool', tool: 'Bash', input: { command: 'ls' }, questions: null, approvalId: null },
  ...rest,
});

function setUp({
  known = NO_APPROVALS,
  parksAs = 'granted',
}: {
  known?: KnownApprovals;
  parksAs?: 'deferred' | 'granted';
} = {}) {
  const people = createFakeApprovals();
  const written: unknown[] = [];
  const holds: boolean[] = [];
  const delivered: string[] = [];
  const stops: string[] = [];
  let ids = 0;
  const conversation = createConversation({
    control: plainControl(() => parksAs),
    execution: { jobId: 'j', executionId: 'e' },
    approvalTimeoutMs: 3_600_000,
    known,
    talk: {
      approvals: people.approvals,
      messages: people.messages,
      hold: HOLD,
      newApprovalId() {
        ids += 1;
        return `a${ids}`;
      },
    },
    redactor: createRedactor(['my-secret-of-some-length']),
    write: (text) => void written.push(JSON.parse(text)),
    onHold: (held) => void holds.push(held),
    onSteered: () => {},
    onDelivered: (id) => void delivered.push(id),
    stop: (reason) => void stops.push(reason),
    logger,
  });
  const says = async (step: Partial<ControlStep>) => {
    conversation.line(JSON.stringify(step), null);
    await passed(0);
  };
  return {
    ...{ people, written, holds, delivered, stops, conversation, says },
    ask: (callId: string, rest: Partial<Ask> = {}) => says({ asks: [askFor(callId, rest)] }),
    async ring() {
      conversation.look();
      await passed(0);
    },
  };
}

const passed = async (ms: number): Promise<void> => {
  await vi.advanceTimersByTimeAsync(ms);
};

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance', 'Date'] });
});
afterEach(() => {
  if (vi.isFakeTimers()) expect(vi.getTimerCount(), 'timers left').toBe(0);
  vi.useRealTimers();
});

describe('a call that a person has to decide', () => {
  it('is recorded, and answered once it is decided; the clocks stand still until then', async () => {
    const { people, written, holds, ask, ring, conversation } = setUp();
    await ask('c1');
    expect(people.all.get('a1')).toMatchObject({ status: 'pending', callId: 'c1', waits: 'held' });
    await passed(4000);
    expect([written, holds]).toEqual([[], [true]]);
    people.decide('a1', ALLOW);
    await ring();
    expect(written).toEqual([{ decide: 'c1', ...ALLOW }]);
    expect(holds).toEqual([true, false]);
    expect(conversation.heldMs).toBeGreaterThanOrEqual(4000);
    expect(people.all.get('a1')?.used).toBe(true);
    expect(await conversation.end(false)).toBe(false);
  });

  it.each([
    ['10 s while the job has no reader', false, HOLD.approvalUnattendedMs],
    ['2 min while it has one', true, HOLD.approvalHoldMs],
  ])('is held for %s; then it waits without a process', async (_what, watched, ms) => {
    const { people, written, ask, conversation } = setUp();
    people.watched = watched;
    await ask('c1');
    await passed(ms - 1);
    expect(written).toEqual([]);
    await passed(1);
    expect(written).toEqual([{ park: 'c1' }]);
    expect(people.all.get('a1')).toMatchObject({ status: 'pending', waits: 'granted' });
    expect(conversation.isOpen).toBe(true);
    expect(await conversation.end(false)).toBe(true);
  });

  it('is held for the whole time when a reader has come in the short one', async () => {
    const { people, written, ask, conversation } = setUp();
    await ask('c1');
    people.watched = true;
    await passed(HOLD.approvalHoldMs - 1);
    expect(written).toEqual([]);
    await passed(1);
    expect(written).toEqual([{ park: 'c1' }]);
    await conversation.end(false);
  });

  it('that was decided in the last moment of its hold is not parked, even without a doorbell', async () => {
    const { people, written, ask, conversation } = setUp();
    await ask('c1');
    people.decide('a1', DENY);
    await passed(HOLD.approvalUnattendedMs);
    expect(written).toEqual([{ decide: 'c1', ...DENY }]);
    expect(await conversation.end(false)).toBe(false);
  });

  it('gets its answer when the model makes it again after it was parked', async () => {
    const { people, written, ask, conversation } = setUp();
    await ask('c1');
    await passed(HOLD.approvalUnattendedMs);
    people.decide('a1', ALLOW);
    await ask('c2', { approvalId: 'a1' });
    expect(written).toEqual([{ park: 'c1' }, { decide: 'c2', ...ALLOW }]);
    expect(await conversation.end(false)).toBe(false);
  });

  it('is parked again when it comes again undecided, and waits in the session of the CLI', async () => {
    const { people, written, ask, conversation } = setUp({ parksAs: 'deferred' });
    await ask('c1');
    await passed(HOLD.approvalUnattendedMs);
    await ask('c2', { approvalId: 'a1' });
    expect(written).toEqual([{ park: 'c1' }, { park: 'c2' }]);
    expect(people.all.get('a1')?.waits).toBe('held'); // until the CLI has said that it waits
    expect(await conversation.end(true)).toBe(true);
    expect(people.all.get('a1')).toMatchObject({ waits: 'deferred', callId: 'c2' });
  });

  it('is not parked for a turn that ended otherwise', async () => {
    const { people, ask, conversation } = setUp({ parksAs: 'deferred' });
    await ask('c1');
    await passed(HOLD.approvalUnattendedMs);
    expect(await conversation.end(false)).toBe(true);
    expect(people.calls).not.toContain('park deferred');
  });

  it('is denied when its approval was used for another call', async () => {
    const { people, written, ask, conversation } = setUp({ known: { ...NO_APPROVALS, open: ['a0'] } });
    people.put({ id: 'a0', jobId: 'j', status: 'allowed', decision: ALLOW, used: true });
    await ask('c1', { approvalId: 'a0' });
    expect(written).toEqual([{ decide: 'c1', decision: 'deny', message: expect.stringContaining('used') }]);
    await conversation.end(false);
  });

  it('is asked for while Redis is away, and recorded when it is back', async () => {
    vi.useRealTimers();
    const { people, written, conversation } = setUp();
    let away = true;
    people.before(async () => {
      if (away) throw new AppError('redis.unavailable', 'away');
    });
    conversation.line(JSON.stringify({ asks: [askFor('c1')] }), null);
    await eventually(() => people.calls.length > 1);
    expect([...people.all]).toEqual([]);
    away = false;
    await eventually(() => people.all.get('a1')?.status === 'pending');
    people.decide('a1', ALLOW);
    conversation.look();
    await eventually(() => expect(written).toEqual([{ decide: 'c1', ...ALLOW }]));
    await conversation.end(false);
  });

  it('is denied when it cannot be recorded at all', async () => {
    const { people, written, ask, conversation } = setUp();
    people.before(async () => {
      throw new AppError('record.damaged', 'no hash');
    });
    await ask('c1');
    expect(written).toMatchObject([{ decide: 'c1', decision: 'deny' }]);
    expect(await conversation.end(false)).toBe(false);
  });

  it('that the CLI asks about twice at the same time has one approval, and stops the clocks once', async () => {
    const { people, holds, ask, ring, conversation } = setUp();
    await ask('c1');
    await ask('c1');
    expect([people.all.size, holds]).toEqual([1, [true]]);
    people.decide('a1', ALLOW);
    await ring();
    await passed(HOLD.approvalUnattendedMs);
    expect(holds).toEqual([true, false]);
    await conversation.end(false);
  });

  it('with a secret of the server is denied: no person sees it', async () => {
    const { people, written, ask, conversation } = setUp();
    await ask('c1', { input: { command: 'curl -H my-secret-of-some-length' } });
    expect(written).toEqual([{ decide: 'c1', decision: 'deny', message: expect.stringContaining('secret') }]);
    expect([people.all.size, await conversation.end(false)]).toEqual([0, false]);
  });

  it('that the CLI withdraws is over', async () => {
    const { people, written, holds, ask, says, conversation } = setUp();
    await ask('c1');
    await says({ withdrawn: ['c1', 'unknown'] });
    expect(people.all.get('a1')).toMatchObject({ status: 'cancelled' });
    expect([written, holds]).toEqual([[], [true, false]]);
    expect(await conversation.end(false)).toBe(false);
  });

  it('that the CLI withdraws while it is recorded is over, too', async () => {
    const { people, says, conversation } = setUp();
    const opening = Promise.withResolvers<void>();
    people.before(() => opening.promise);
    await says({ asks: [askFor('c1')] });
    await says({ withdrawn: ['c1'] });
    opening.resolve();
    await passed(0);
    expect(people.all.get('a1')).toMatchObject({ status: 'cancelled' });
    expect(await conversation.end(false)).toBe(false);
  });

  it('that expires ends the run, held or parked', async () => {
    for (const ms of [0, HOLD.approvalUnattendedMs]) {
      const { people, stops, ask, ring, conversation } = setUp();
      await ask('c1');
      await passed(ms);
      people.change('a1', { status: 'expired' });
      await ring();
      expect(stops).toContain('approval_expired');
      await conversation.end(false);
    }
  });

  it('waits beside others, each for its own answer', async () => {
    const { people, written, holds, says, ring, conversation } = setUp();
    await says({ asks: [askFor('c1'), askFor('c2'), askFor('c3')] });
    people.decide('a2', ALLOW);
    await ring();
    people.decide('a1', DENY);
    await ring();
    expect(written).toEqual([
      { decide: 'c2', ...ALLOW },
      { decide: 'c1', ...DENY },
    ]);
    await passed(HOLD.approvalUnattendedMs);
    expect(written.slice(2)).toEqual([{ park: 'c3' }]);
    expect(holds).toEqual([true, false]);
    expect(await conversation.end(false)).toBe(true);
  });

  it('leaves nothing behind when the run ends while it is held', async () => {
    const { people, written, ask, conversation } = setUp();
    await ask('c1');
    expect(await conversation.end(false)).toBe(true);
    expect(written).toEqual([]);
    expect(people.all.get('a1')).toMatchObject({ status: 'pending', used: false });
  });
});

describe('approvals of earlier executions', () => {
  it('that the prompt reports are over with the run; others keep the job waiting', async () => {
    const known = { ...NO_APPROVALS, open: ['a0', 'b0'], reported: ['a0'] };
    const { people, conversation } = setUp({ known });
    people.put({ id: 'a0', jobId: 'j', status: 'allowed', decision: ALLOW });
    people.put({ id: 'b0', jobId: 'j' });
    expect(await conversation.end(false)).toBe(true);
    expect(people.all.get('a0')?.used).toBe(true);
    expect(people.all.get('b0')?.used).toBe(false);
  });

  it('that the prompt reports do not keep the process from its next turn', async () => {
    const { people, conversation } = setUp({ known: { ...NO_APPROVALS, open: ['a0'], reported: ['a0'] } });
    people.put({ id: 'a0', jobId: 'j', status: 'denied', decision: DENY });
    expect(conversation.isOpen).toBe(false);
    expect(await conversation.end(false)).toBe(false);
  });

  it('that the CLI has lost from its session are granted from now on', async () => {
    const { people, says, conversation } = setUp({
      known: { ...NO_APPROVALS, open: ['a0'], deferred: ['a0'] },
    });
    people.put({ id: 'a0', jobId: 'j', status: 'allowed', decision: ALLOW, waits: 'deferred' });
    await says({ problem: wireError('execution.lost', 'the call is gone') });
    expect(await conversation.end(false)).toBe(true);
    expect(people.all.get('a0')).toMatchObject({ waits: 'granted', used: false });
  });

  it('of the session that are over are denied, once', async () => {
    const { people, written, ask, conversation } = setUp();
    people.put({ id: 'a0', jobId: 'other', status: 'cancelled' });
    await ask('c1', { approvalId: 'a0' });
    expect(written).toEqual([{ decide: 'c1', decision: 'deny', message: 'it is over' }]);
    expect(people.all.get('a0')?.used).toBe(true);
    expect(await conversation.end(false)).toBe(false);
  });
});

describe('a message into the running turn', () => {
  const message = { id: 'm1', text: 'use tabs' };

  it('is written once, and delivered when the CLI has taken it', async () => {
    const { people, written, delivered, says, ring, conversation } = setUp();
    await people.messages.send('j', message);
    await ring();
    await ring();
    expect(written).toEqual([{ steer: 'use tabs', id: 'm1' }]);
    expect([delivered, await people.messages.state('j', 'm1')]).toEqual([[], 'sent']);
    expect(conversation.isOpen).toBe(true);
    await says({ taken: ['m1', 'm1'] });
    expect([delivered, await people.messages.state('j', 'm1')]).toEqual([['m1'], 'steered']);
    expect(conversation.isOpen).toBe(false);
    await conversation.end(false);
  });

  it.each([
    ['that the CLI cannot take now', { id: 'm1', text: 'not now' }, () => {}],
    ['that comes after the turn', message, (one: { turnOver(): void }) => one.turnOver()],
    ['that comes after an interrupt', message, (one: { interrupt(): void }) => one.interrupt()],
  ])('is refused: one %s', async (_what, sent, before) => {
    const { people, written, delivered, ring, conversation } = setUp();
    before(conversation);
    await people.messages.send('j', sent);
    await ring();
    expect(written).not.toContainEqual(expect.objectContaining({ steer: expect.anything() }));
    expect([delivered, await people.messages.state('j', 'm1')]).toEqual([[], 'refused']);
    await conversation.end(false);
  });

  it('is refused when the run ends before the CLI has taken it', async () => {
    const { people, ring, conversation } = setUp();
    await people.messages.send('j', message);
    await ring();
    await conversation.end(false);
    expect(await people.messages.state('j', 'm1')).toBe('refused');
  });
});

describe('a control', () => {
  it('has its answers written at once', async () => {
    const { written, says, conversation } = setUp();
    await says({ write: '{"answer":1}' });
    expect(written).toEqual([{ answer: 1 }]);
    await conversation.end(false);
  });

  it('that cannot go on stops the run, with its first reason', async () => {
    const { stops, says, conversation } = setUp();
    await says({ problem: wireError('execution.crashed', 'first') });
    await says({ problem: wireError('execution.crashed', 'second') });
    expect(conversation.problem?.message).toBe('first');
    expect(stops[0]).toBe('hopeless');
    await conversation.end(false);
  });
});
