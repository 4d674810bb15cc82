/** Approvals, messages and interrupts, under a whole executor with the fake CLI. */
import { randomUUID } from 'node:crypto';
import { readdirSync, rmSync } from 'node:fs';
import { ulid } from 'ulid';
import { describe, expect, it } from 'vitest';
import { wireError } from '../../../src/errors.ts';
import type { ExecutorOptions } from '../../../src/executor/executor.ts';
import type { Executor } from '../../../src/executor/ports.ts';
import type { Approval, Decision } from '../../../src/protocol/approval.ts';
import { OPEN_GRANT } from '../../../src/protocol/grant.ts';
import { jobOutcome } from '../../../src/protocol/outcome.ts';
import type { ResolvedPrompt } from '../../../src/protocol/prompt.ts';
import type { NewJob } from '../../../src/records/ports.ts';
import type { NewSession } from '../../../src/records/session-ports.ts';
import type { Step } from '../../fakes/fake-cli-steps.ts';
import { eventually } from '../../helpers/eventually.ts';
import { createLatch, executorBench, KNOWN_SESSION, NATIVE_SESSION } from './bench.ts';

const HOUR = 3_600_000;
const INTERRUPTED = jobOutcome('cancelled', wireError('execution.interrupted', 'by the test'));
const CANCELLED = jobOutcome('cancelled', wireError('execution.cancelled', 'by the test'));
const BY = { actor: { id: 'ann', address: null, requestId: null }, project: 'default' };
const PATIENT = { timeoutMs: 40_000 };

const input = { command: 'touch x' };
const call = (rest: object = {}): Step => ({ tool: { name: 'Bash', input, asks: true, ...rest } });
const allow = (rest: Partial<Extract<Decision, { decision: 'allow' }>> = {}): Decision => ({
  ...{ decision: 'allow', input, rules: [] },
  ...rest,
});
const DENY: Decision = { decision: 'deny', message: 'not today' };

async function open(
  options: Pick<Partial<ExecutorOptions>, 'failpoint'> & {
    readonly holdMs?: number;
    readonly sessionIdleMs?: number;
    readonly killGraceMs?: number;
  } = {},
) {
  const { sessionIdleMs = 0, killGraceMs = HOUR } = options;
  const bench = await executorBench();
  const { rpc } = bench;
  const openExecutor = () =>
    bench.open(
      {
        ...(options.failpoint === undefined ? {} : { failpoint: options.failpoint }),
        ...(options.holdMs === undefined ? {} : { holdMs: options.holdMs }),
        warm: { maxProcesses: sessionIdleMs === 0 ? 0 : 2, idleMs: HOUR, sessionIdleMs },
        onGiven: (ids) => void deliver(ids),
      },
      { killGraceMs },
    );
  /** As workers do: each delivery is a new execution. */
  async function deliver(ids: readonly string[]): Promise<void> {
    for (const id of ids) await rpc.submissions.submit(id, `e-${ulid()}`);
    executor.kick();
    later?.kick();
  }
  let later: Executor | null = null;
  const executor = openExecutor();
  await executor.start();

  const events = (id: string) => rpc.records.events(id, 0, 1000);
  /** The approvals that a job asked for, once there are so many. */
  const asked = (id: string, count = 1): Promise<readonly Approval[]> =>
    eventually(async () => {
      const found = await rpc.approvals.ofJob(id);
      return found.length < count ? null : found;
    }, PATIENT);
  return {
    ...{ bench, rpc, executor, events, asked },
    async ask(steps: readonly Step[], rest: Partial<ResolvedPrompt> = {}, job: Partial<NewJob> = {}) {
      const id = await bench.submit({ steps, onPermissionDenied: 'ask', ...rest }, job);
      executor.kick();
      return id;
    },
    async decide(id: string, decision: Decision, scope: 'call' | 'session' = 'call') {
      const decided = await rpc.approvals.decide(id, { decision, scope }, BY);
      expect(decided.kind).toBe('decided');
      executor.kick();
      later?.kick();
    },
    waiting: (id: string) =>
      eventually(async () => expect(await bench.read(id)).toMatchObject({ status: 'waiting' }), PATIENT),
    /** A server that is started later. */
    async restart() {
      later = openExecutor();
      await later.start();
    },
    ran: () => bench.journal().flatMap((entry) => (entry.event === 'tool' ? [entry.input] : [])),
  };
}

/** Holds an execution before its CLI is started. */
function heldStart() {
  const latch = createLatch();
  return {
    latch,
    failpoint: async (name: string): Promise<void> => {
      if (name === 'executor.intended') await latch.wait();
    },
  };
}

describe('a call that needs a person', () => {
  it.each([
    ['runs when it is allowed', allow(), [input]],
    ['runs with other input when that was edited', allow({ input: { command: 'ls' } }), [{ command: 'ls' }]],
    ['does not run when it is denied', DENY, []],
  ] as const)('%s, in the process that waits', async (_what, decision, inputs) => {
    const { bench, executor, events, ask, asked, decide, ran } = await open();
    const id = await ask([call(), { delta: 'the end' }]);
    const [approval] = await asked(id);
    expect(approval).toMatchObject({ kind: 'tool', tool: 'Bash', input, status: 'pending' });
    expect((await bench.read(id)).status).toBe('running');
    await decide(approval?.id ?? '', decision);
    executor.talk(id);
    const { outcome, attempt } = await bench.finished(id);
    expect(outcome).toMatchObject({ status: 'succeeded', text: 'the end', error: null });
    expect([attempt, ran()]).toEqual([1, inputs]);
    const kinds = (await events(id)).map(({ kind }) => kind);
    expect(kinds.filter((kind) => kind.startsWith('approval.'))).toEqual([
      'approval.requested',
      'approval.decided',
    ]);
    const output = (await events(id)).flatMap((event) => (event.kind === 'tool.ended' ? [event.output] : []));
    expect(output).toEqual([decision.decision === 'deny' ? 'not today' : 'done']);
  });

  it('waits without a process after its hold, and runs once when it is allowed', async () => {
    const { bench, executor, ask, asked, decide, waiting, ran } = await open({ holdMs: 0 });
    const id = await ask([call(), { delta: 'the end' }]);
    await waiting(id);
    expect(await bench.read(id)).toMatchObject({ waitReason: 'approval', failures: 0, node: null });
    await bench.until(() => executor.status().running === 0 && bench.survivors().length === 0);
    const [approval] = await asked(id);
    await decide(approval?.id ?? '', allow());
    const { outcome, attempt } = await bench.finished(id);
    expect(outcome).toMatchObject({ status: 'succeeded', text: 'the end', permissionDenials: [] });
    expect([attempt, ran(), bench.prompts().length]).toEqual([2, [input], 1]);
    expect(bench.started()[1]?.resume).toBe(bench.started()[0]?.sessionId);
  });

  it('that waits is denied in the session of the CLI', async () => {
    const { bench, ask, asked, decide, waiting, ran } = await open({ holdMs: 0 });
    const id = await ask([call(), { delta: 'the end' }]);
    await waiting(id);
    const [approval] = await asked(id);
    await decide(approval?.id ?? '', DENY);
    expect((await bench.finished(id)).outcome).toMatchObject({ status: 'succeeded', text: 'the end' });
    expect(ran()).toEqual([]);
  });

  it.each([
    ['allowed', allow(), 'Allowed: Bash {"command":"touch x"}'],
    ['denied', DENY, 'Denied: Bash {"command":"touch x"}\n  not today'],
  ] as const)(
    'that the model does not repeat keeps the job waiting; %s, the decision is in the next prompt, once',
    async (_what, decision, shown) => {
      const { bench, ask, asked, decide, waiting } = await open({ holdMs: 0 });
      const id = await ask([call({ repeats: false }), { delta: 'I go on without it' }]);
      await waiting(id);
      const [approval] = await asked(id);
      await decide(approval?.id ?? '', decision);
      const { outcome, attempt } = await bench.finished(id);
      expect([attempt, outcome?.status]).toEqual([2, 'succeeded']);
      expect(outcome?.text).toContain(shown);
    },
  );

  it('goes on when all calls of its message are decided: one waited in the session, the others are granted', async () => {
    const { bench, ask, asked, decide, waiting, ran } = await open({ holdMs: 0 });
    const inputs = ['a', 'b', 'c'].map((command) => ({ command }));
    const id = await ask([
      { calls: inputs.map((one) => ({ name: 'Bash', input: one })) },
      { delta: 'the end' },
    ]);
    await waiting(id);
    const approvals = await asked(id, 3);
    expect(approvals.map(({ status }) => status)).toEqual(['pending', 'pending', 'pending']);
    const [first, ...others] = approvals;
    for (const one of others) await decide(one.id, allow({ input: one.input }));
    expect((await bench.read(id)).status).toBe('waiting');
    await decide(first?.id ?? '', allow({ input: first?.input }));
    const { outcome, attempt } = await bench.finished(id);
    expect([attempt, outcome?.status, ran()]).toEqual([3, 'succeeded', [inputs[0]]]);
    expect(outcome?.text).toContain('Allowed: Bash {"command":"b"}');
    expect(outcome?.text).toContain('Allowed: Bash {"command":"c"}');
  });

  it('is still there after the server was stopped while the process waited', async () => {
    const { bench, executor, restart, ask, asked, decide, waiting } = await open();
    const id = await ask([call(), { delta: 'the end' }]);
    const [approval] = await asked(id);
    executor.abort();
    await executor.stop(0);
    await waiting(id);
    expect((await asked(id))[0]).toMatchObject({ status: 'pending' });
    await restart();
    await decide(approval?.id ?? '', allow());
    const { outcome, failures } = await bench.finished(id);
    expect([outcome?.status, failures]).toEqual(['succeeded', 0]);
    expect(outcome?.text).toContain('Allowed: Bash');
  });

  it('is answered without a doorbell, at the next look', async () => {
    const { bench, ask, asked, decide, ran } = await open();
    const id = await ask([call(), { delta: 'the end' }]);
    const [approval] = await asked(id);
    await decide(approval?.id ?? '', allow());
    expect((await bench.finished(id)).outcome).toMatchObject({ status: 'succeeded' });
    expect(ran()).toEqual([input]);
  });

  it('is put off in the session when the server stops and waits for its jobs', async () => {
    const { bench, executor, restart, ask, asked, decide, waiting, ran } = await open();
    const id = await ask([call(), { delta: 'the end' }]);
    const [approval] = await asked(id);
    await executor.stop(HOUR);
    await waiting(id);
    expect(await bench.rpc.approvals.ofJob(id)).toMatchObject([{ status: 'pending', waits: 'deferred' }]);
    await restart();
    await decide(approval?.id ?? '', allow());
    const { outcome } = await bench.finished(id);
    expect([outcome?.status, ran(), bench.prompts().length]).toEqual(['succeeded', [input], 1]);
  });

  it('that the CLI has lost from its session is granted by a prompt', async () => {
    const { bench, ask, asked, decide, waiting } = await open({ holdMs: 0 });
    const id = await ask([call(), { delta: 'the end' }]);
    await waiting(id);
    const saved = readdirSync(bench.dir).filter((name) => name.startsWith('journal.deferred-'));
    expect(saved).toHaveLength(1);
    for (const name of saved) rmSync(bench.file(name));
    const [approval] = await asked(id);
    await decide(approval?.id ?? '', allow());
    const { outcome, attempt, failures } = await bench.finished(id);
    expect([attempt, failures, outcome?.status]).toEqual([3, 0, 'succeeded']);
    expect(outcome?.text).toContain('Allowed: Bash {"command":"touch x"}');
  });

  it('is a plan: once it is allowed, a later execution is in plan mode no longer', async () => {
    const { bench, ask, asked, decide, waiting } = await open({ holdMs: 0 });
    const plan: Step = { tool: { name: 'ExitPlanMode', input: { plan: 'do it' }, asks: true } };
    const id = await ask([plan, call(), { delta: 'the end' }], { permissionMode: 'plan' });
    await waiting(id);
    const [first] = await asked(id);
    expect(first?.kind).toBe('plan');
    await decide(first?.id ?? '', allow({ input: { plan: 'do it' } }));
    const [, second] = await asked(id, 2);
    await waiting(id);
    await decide(second?.id ?? '', allow());
    expect((await bench.finished(id)).outcome).toMatchObject({ status: 'succeeded', text: 'the end' });
    const modes = bench.started().map(({ argv }) => argv.find((arg) => arg.startsWith('--permission-mode')));
    expect(modes).toEqual(['plan', 'plan', 'default'].map((mode) => `--permission-mode=${mode}`));
  });

  it('ends its job when no answer comes in time', async () => {
    const { bench, rpc, executor, ask, asked } = await open();
    const id = await ask([call()], { approvalTimeoutMs: 60_000 });
    await asked(id);
    await bench.advance(120_000);
    await rpc.upkeepOf(bench.nodeId).sweep(0, 100);
    executor.talk(id);
    const { outcome } = await bench.finished(id);
    expect(outcome).toMatchObject({ status: 'failed', error: { code: 'approval.expired' } });
  });

  it('needs no person again after a rule for its session', async () => {
    const { bench, executor, ask, asked, decide, ran } = await open();
    const id = await ask([call(), call(), { delta: 'one' }], { sessionId: KNOWN_SESSION });
    const [approval] = await asked(id);
    await decide(approval?.id ?? '', allow({ rules: ['Bash'] }), 'session');
    executor.talk(id);
    expect((await bench.finished(id)).outcome).toMatchObject({ status: 'succeeded', text: 'one' });
    expect(ran()).toHaveLength(2);
    const later = await ask([call(), { delta: 'two' }], { sessionId: KNOWN_SESSION });
    expect((await bench.finished(later)).outcome).toMatchObject({ status: 'succeeded', text: 'two' });
    expect(ran()).toHaveLength(3);
    expect(bench.started().at(-1)?.argv).toContain('--allowedTools=Bash');
  });

  it('needs one all the same where the grant of the job does not cover the rule', async () => {
    const { bench, rpc, executor, ask, asked, decide } = await open();
    const id = await ask([call(), { delta: 'one' }], { sessionId: KNOWN_SESSION });
    const [approval] = await asked(id);
    await decide(approval?.id ?? '', allow({ rules: ['Bash'] }), 'session');
    executor.talk(id);
    await bench.finished(id);
    const grant = { ...OPEN_GRANT, scopes: ['jobs:write' as const], key: null, tools: ['Read'] };
    const later = await ask([call(), { delta: 'two' }], { sessionId: KNOWN_SESSION }, { grant });
    const [again] = await asked(later);
    await decide(again?.id ?? '', DENY);
    executor.talk(later);
    await bench.finished(later);
    expect(bench.started().at(-1)?.argv).not.toContain('--allowedTools=Bash');
    expect((await rpc.sessions.read(KNOWN_SESSION))?.rules).toEqual(['Bash']);
  });

  it('that waited in the session of a cancelled job is denied when the session goes on', async () => {
    const { bench, rpc, ask, waiting, ran } = await open({ holdMs: 0 });
    const id = await ask([call(), { delta: 'never' }], { sessionId: KNOWN_SESSION });
    await waiting(id);
    await rpc.records.cancel(id, false, CANCELLED);
    expect(await bench.read(id)).toMatchObject({ status: 'cancelled' });
    const next = await ask([{ delta: 'two' }], { sessionId: KNOWN_SESSION, onPermissionDenied: 'report' });
    expect((await bench.finished(next)).outcome).toMatchObject({ status: 'succeeded', text: 'two' });
    expect([ran(), await rpc.approvals.unanswered(KNOWN_SESSION)]).toEqual([[], []]);
  });
});

describe('an interrupt', () => {
  it('stops the turn, keeps its text, and leaves the process to the next turn', async () => {
    const { bench, rpc, executor, ask, events } = await open({ sessionIdleMs: HOUR });
    const steps: Step[] = [{ delta: 'so far' }, { tool: { name: 'Bash', input, during: [{ hang: true }] } }];
    const id = await ask(steps, { sessionId: KNOWN_SESSION });
    await eventually(async () => (await events(id)).some(({ kind }) => kind === 'tool.started'), PATIENT);
    expect(await rpc.records.interrupt(id, INTERRUPTED)).toEqual({ kind: 'requested' });
    executor.lookAtCancel(id);
    const { outcome, status } = await bench.finished(id);
    expect([status, outcome?.error?.code, outcome?.text]).toEqual([
      ...['cancelled', 'execution.interrupted', 'so far'],
    ]);
    await bench.until(() => executor.starts().sessions === 1);
    const next = await ask([{ delta: 'two' }], { sessionId: KNOWN_SESSION });
    expect((await bench.finished(next)).outcome).toMatchObject({ status: 'succeeded', text: 'two' });
    expect(bench.started()).toHaveLength(1);
  });

  it('while a person is asked cancels the approval', async () => {
    const { bench, rpc, executor, ask, asked } = await open();
    const id = await ask([call(), { delta: 'never' }]);
    await asked(id);
    await rpc.records.interrupt(id, INTERRUPTED);
    executor.lookAtCancel(id);
    const { outcome } = await bench.finished(id);
    expect(outcome).toMatchObject({ status: 'cancelled', error: { code: 'execution.interrupted' } });
    expect((await asked(id))[0]?.status).toBe('cancelled');
  });

  it.each([
    [
      'that cannot be spoken with',
      { background: 'wait', onPermissionDenied: 'report' } as const,
      { hang: true as const },
    ],
    ['that does not react within the grace', {}, { stop: true as const }],
  ])('stops the process of a CLI %s', async (_what, request, step) => {
    const { bench, rpc, executor, ask } = await open({ killGraceMs: 100 });
    const id = await ask([{ delta: 'so far' }, { touch: bench.file('runs') }, step], request);
    await bench.until(() => bench.exists('runs'));
    await rpc.records.interrupt(id, INTERRUPTED);
    executor.lookAtCancel(id);
    const { outcome } = await bench.finished(id);
    expect(outcome).toMatchObject({ status: 'cancelled', error: { code: 'execution.interrupted' } });
    await bench.until(() => bench.survivors().length === 0);
  });

  it('before the CLI is started keeps it from starting', async () => {
    const { latch, failpoint } = heldStart();
    const { bench, rpc, executor, ask } = await open({ failpoint });
    const id = await ask([]);
    await latch.reached;
    await rpc.records.interrupt(id, INTERRUPTED);
    executor.lookAtCancel(id);
    await bench.until(async () => (await bench.read(id)).cancel === 'interrupt');
    latch.release();
    const { outcome } = await bench.finished(id);
    expect(outcome).toMatchObject({ status: 'cancelled', error: { code: 'execution.interrupted' } });
  });

  it('of a job that waits ends it at once', async () => {
    const { bench, rpc, ask, waiting } = await open({ holdMs: 0 });
    const id = await ask([call()]);
    await waiting(id);
    expect(await rpc.records.interrupt(id, INTERRUPTED)).toEqual({ kind: 'cancelled' });
    expect(await bench.read(id)).toMatchObject({ status: 'cancelled' });
  });
});

describe('a message into the running turn', () => {
  it('reaches it at the next tool, and is reported', async () => {
    const { bench, rpc, executor, ask, events } = await open();
    const steps: Step[] = [
      {
        tool: { name: 'Bash', input, during: [{ touch: bench.file('runs') }, { awaitMessage: true }] },
      },
      { delta: 'the end' },
    ];
    const id = await ask(steps);
    await bench.until(() => bench.exists('runs'));
    const message = { id: randomUUID(), text: 'use tabs' };
    expect(await rpc.messages.send(id, message)).toBe('sent');
    executor.talk(id);
    expect((await bench.finished(id)).outcome).toMatchObject({ status: 'succeeded' });
    const delivered = (await events(id)).filter(({ kind }) => kind === 'message.delivered');
    expect(delivered).toMatchObject([{ messageId: message.id, delivered: 'steered' }]);
    expect(await rpc.messages.state(id, message.id)).toBe('steered');
    expect(bench.journal()).toContainEqual(expect.objectContaining({ text: 'use tabs' }));
  });

  it('that comes before the CLI was started is in its turn', async () => {
    const { latch, failpoint } = heldStart();
    const { bench, rpc, executor, ask, events } = await open({ failpoint });
    const id = await ask([{ awaitMessage: true }, { tool: { name: 'Bash', input } }]);
    await latch.reached;
    expect(await rpc.messages.send(id, { id: randomUUID(), text: 'use tabs' })).toBe('sent');
    executor.talk(id);
    latch.release();
    expect((await bench.finished(id)).outcome).toMatchObject({ status: 'succeeded' });
    expect((await events(id)).map(({ kind }) => kind)).toContain('message.delivered');
  });

  it('finds no turn once the job has ended', async () => {
    const { bench, rpc, ask } = await open();
    const id = await ask([{ delta: 'the end' }]);
    await bench.finished(id);
    expect(await rpc.messages.send(id, { id: randomUUID(), text: 'late' })).toBe('not_running');
  });
});

describe('a session', () => {
  const newSession = (bench: { workspace: string }, rest: Partial<NewSession> = {}): NewSession => ({
    ...{ id: ulid(), kind: 'chat', name: null, status: 'ready', project: 'default', principal: 'admin' },
    ...{ options: { provider: 'claude', cwd: bench.workspace }, fork: null, node: null, tags: [] },
    ...{ metadata: {}, createdAt: Date.now(), by: BY.actor },
    ...rest,
  });

  it('that its CLI has not begun is begun by its first job', async () => {
    const { bench, rpc, ask } = await open();
    const session = newSession(bench);
    await rpc.sessions.create(session);
    const id = await ask([{ delta: 'hello' }], { sessionId: session.id });
    expect((await bench.finished(id)).outcome).toMatchObject({ status: 'succeeded', sessionId: session.id });
    expect(bench.started()[0]?.resume).toBe(null);
  });

  it('that goes on from another one begins as a copy of that', async () => {
    const { bench, rpc, ask } = await open();
    const fork = { sessionId: KNOWN_SESSION, nativeSessionId: NATIVE_SESSION };
    const session = newSession(bench, { fork });
    await rpc.sessions.create(session);
    const id = await ask([{ delta: 'hello' }], { sessionId: session.id });
    const { outcome } = await bench.finished(id);
    expect(outcome).toMatchObject({ status: 'succeeded', sessionId: session.id });
    expect(outcome?.nativeSessionId).not.toBe(NATIVE_SESSION);
    expect(bench.started()[0]?.argv).toEqual(
      expect.arrayContaining([`--resume=${NATIVE_SESSION}`, '--fork-session']),
    );
    const next = await ask([{ delta: 'again' }], { sessionId: session.id });
    await bench.finished(next);
    expect(bench.started()[1]?.argv).toContain(`--resume=${outcome?.nativeSessionId}`);
    expect(bench.started()[1]?.argv).not.toContain('--fork-session');
  });
});
