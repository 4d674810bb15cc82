/** Conversations with the real claude through a whole server: approvals, messages, interrupts. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type OfflineModel, startOfflineModel } from '../../scripts/offline-model/server.ts';
import { type Client, createClient } from '../../src/client/client.ts';
import type { Approval } from '../../src/protocol/approval.ts';
import type { Job } from '../../src/protocol/job.ts';
import { eventually } from '../helpers/eventually.ts';
import { CLAUDE } from '../helpers/real-clis.ts';
import { launchServer, type TestServer } from '../helpers/server.ts';
import { makeTempDir, removeDir } from '../helpers/temp.ts';

const PATIENCE = { timeoutMs: 60_000 };
const ASK = { onPermissionDenied: 'ask' } as const;
const HELD = { BULLPEN_APPROVAL_HOLD_MS: '600000', BULLPEN_APPROVAL_UNATTENDED_MS: '600000' };
const PARKED = { BULLPEN_APPROVAL_HOLD_MS: '1', BULLPEN_APPROVAL_UNATTENDED_MS: '1' };

const bash = CLAUDE.tool;
const touch = (file: string): string => bash(`touch ${file}`);
const call = (name: string, input: unknown): string => `[[tool: ${name} ${JSON.stringify(input)}]]`;
const QUESTION = {
  questions: [
    {
      question: 'Which colours?',
      header: 'Colours',
      options: [
        { label: 'red', description: 'warm' },
        { label: 'blue', description: 'cold' },
      ],
      multiSelect: true,
    },
  ],
};

let model: OfflineModel;
/** One server holds an ask for long, the other one lets it wait without a process. */
const held = { env: HELD, dir: makeTempDir() };
const parked = { env: PARKED, dir: makeTempDir() };
type Kind = typeof held;
const servers = new Map<Kind, TestServer>();
let server: TestServer;
let client: Client;

async function launch(kind: Kind): Promise<void> {
  const { dir, env } = kind;
  servers.set(kind, await launchServer({ dir, env: { ...CLAUDE.env(model), ...env } }));
}

/** Lets a test have this server. */
function use(kind: Kind): void {
  server = servers.get(kind) ?? expect.unreachable();
  client = createClient({ url: server.url, token: server.token });
}

/** Kills the server of a test, and starts it again. */
async function restart(kind: Kind): Promise<void> {
  await server.kill('SIGKILL');
  await launch(kind);
  use(kind);
}

beforeAll(async () => {
  model = await startOfflineModel();
  await Promise.all([launch(held), launch(parked)]);
});
afterAll(async () => {
  await Promise.all([...servers.values()].map((one) => one.stop()));
  for (const { dir } of [held, parked]) removeDir(dir);
  await model.stop();
});
beforeEach(() => model.setBehaviour(null));

const made = (file: string): boolean => existsSync(join(server.workspace, file));
const status = async (id: string): Promise<string> => (await client.get(id)).status;
/** The only approval that is pending. */
const pending = async (jobId: string): Promise<Approval> => {
  const [only] = await manyPending(jobId, 1);
  return only ?? expect.unreachable();
};
const manyPending = (jobId: string, count: number): Promise<readonly Approval[]> =>
  eventually(async () => {
    const { data } = await client.approvals.list({ jobId, status: 'pending' });
    return data.length === count && data;
  }, PATIENCE);
const becomes = (id: string, wanted: string): Promise<unknown> =>
  eventually(async () => (await status(id)) === wanted, PATIENCE);
/** The first turn of a session. */
const firstTurn = async (sessionId: string): Promise<Job> => {
  const [turn] = (await client.sessions.turns(sessionId)).data;
  return client.get(turn?.jobId ?? expect.unreachable());
};
const finished = (job: Job): Promise<Job> => client.get(job.id, { waitMs: 60_000 });
/** Waits until no process runs: a waiting job costs nothing. */
const quiet = (): Promise<unknown> =>
  eventually(async () => (await client.processes()).data.length === 0, PATIENCE);

describe('an approval of claude', () => {
  it('is given while the process waits, with another input and for the session', async () => {
    use(held);
    const job = await client.create({ ...ASK, prompt: `${touch('a1')} ${touch('b1')} [[reply: Done.]]` });
    const approval = await pending(job.id);
    expect(approval).toMatchObject({ kind: 'tool', tool: 'Bash', input: { command: 'touch a1' } });
    expect(await status(job.id)).toBe('running');
    await client.approvals.decide(approval.id, {
      decision: 'allow',
      input: { command: 'touch edited1' },
      scope: 'session',
      rule: 'Bash(touch *)',
    });
    expect(await finished(job)).toMatchObject({
      status: 'succeeded',
      attempts: 1,
      outcome: { text: 'Done.' },
    });
    expect([made('a1'), made('edited1'), made('b1'), made('.claude')]).toEqual([false, true, true, false]);
    const next = await client.create({
      ...ASK,
      sessionId: job.sessionId,
      prompt: `${touch('c1')} [[reply: Again.]]`,
    });
    expect(await finished(next)).toMatchObject({ status: 'succeeded', outcome: { text: 'Again.' } });
    expect([made('c1'), (await client.approvals.list({ jobId: next.id })).data]).toEqual([true, []]);
  });

  it('waits without a process, over the death of the server, and then runs the call once', async () => {
    use(parked);
    const before = model.requests.length;
    const prompt = `${touch('x2')} ${touch('x2')} [[reply: never]]`;
    const job = await client.create({ ...ASK, prompt });
    const approval = await pending(job.id);
    await becomes(job.id, 'waiting');
    expect(await client.get(job.id)).toMatchObject({ waitReason: 'approval', outcome: null });
    await quiet();
    expect(made('x2')).toBe(false);
    await restart(parked);
    expect(await client.approvals.get(approval.id)).toEqual(approval);
    expect(await status(job.id)).toBe('waiting');
    model.setBehaviour('[[reply: It is made.]]');
    const decided = await client.approvals.decide(approval.id, { decision: 'allow' });
    expect(decided).toMatchObject({ status: 'allowed' });
    const done = await finished(job);
    expect(done).toMatchObject({
      status: 'succeeded',
      outcome: { text: 'It is made.', permissionDenials: [], error: null },
    });
    expect(made('x2')).toBe(true);
    const executions = await client.executions(job.id);
    expect(executions.map(({ outcome }) => outcome?.error?.code ?? null)).toEqual([
      'execution.awaiting_approval',
      null,
    ]);
    // The model has the prompt once, and no message was sent to go on.
    const turns = model.requests.slice(before).filter(({ kind }) => kind === 'turn');
    expect(turns.map(({ behaviour }) => behaviour)).toEqual(['tool Bash', 'tool Bash', 'reply']);
  });

  it('that is denied while the job waits is what the model reads', async () => {
    use(parked);
    const job = await client.create({ ...ASK, prompt: `${touch('x3')} ${touch('x3')}` });
    const approval = await pending(job.id);
    await becomes(job.id, 'waiting');
    model.setBehaviour('[[reply: I will not.]]');
    await client.approvals.decide(approval.id, { decision: 'deny', message: 'Not on a Friday.' });
    const done = await finished(job);
    expect(done).toMatchObject({
      status: 'succeeded',
      outcome: { text: 'I will not.', permissionDenials: [{ tool: 'Bash' }] },
    });
    const texts: string[] = [];
    for await (const event of client.events(job.id)) {
      if (event.kind === 'tool.ended') texts.push(event.output);
    }
    expect(texts.at(-1)).toContain('Not on a Friday.');
    expect(made('x3')).toBe(false);
  });

  it('for a call that the model does not repeat is a message and a grant', async () => {
    use(parked);
    const job = await client.create({ ...ASK, prompt: `${touch('x4')} [[reply: I wait.]]` });
    const approval = await pending(job.id);
    await becomes(job.id, 'waiting');
    model.setBehaviour(`${touch('x4')} [[reply: Now it is made.]]`);
    await client.approvals.decide(approval.id, { decision: 'allow' });
    expect(await finished(job)).toMatchObject({
      status: 'succeeded',
      outcome: { text: 'Now it is made.', permissionDenials: [] },
    });
    expect(made('x4')).toBe(true);
    expect((await client.approvals.list({ jobId: job.id })).data).toHaveLength(1);
  });

  it('of two calls in one message: the job goes on when both are decided, and runs each once', async () => {
    use(parked);
    const both = `${touch('x5').replace('[[tool', '[[call')} ${touch('y5')}`;
    const job = await client.create({ ...ASK, prompt: `${both} ${both} [[reply: never]]` });
    const [x, y] = await manyPending(job.id, 2);
    await becomes(job.id, 'waiting');
    model.setBehaviour(`${touch('y5')} [[reply: Both.]]`);
    await client.approvals.decide(x?.id ?? '', { decision: 'allow' });
    expect(await status(job.id)).toBe('waiting');
    await client.approvals.decide(y?.id ?? '', { decision: 'allow' });
    expect(await finished(job)).toMatchObject({ status: 'succeeded', outcome: { text: 'Both.' } });
    expect([made('x5'), made('y5')]).toEqual([true, true]);
    expect((await client.approvals.list({ jobId: job.id })).data).toHaveLength(2);
  });

  it('that is held when the server dies is still pending, and its call is granted later', async () => {
    use(held);
    const job = await client.create({ ...ASK, prompt: `${touch('x6')} [[reply: never]]` });
    const approval = await pending(job.id);
    await restart(held);
    await becomes(job.id, 'waiting');
    expect(await client.approvals.get(approval.id)).toMatchObject({ status: 'pending' });
    model.setBehaviour(`${touch('x6')} [[reply: After all.]]`);
    await client.approvals.decide(approval.id, { decision: 'allow' });
    expect(await finished(job)).toMatchObject({ status: 'succeeded', outcome: { text: 'After all.' } });
    expect(made('x6')).toBe(true);
  });

  it('that is held when its CLI is killed is still pending, and its call is granted later', async () => {
    use(held);
    const job = await client.create({ ...ASK, prompt: `${touch('x10')} [[reply: never]]` });
    const approval = await pending(job.id);
    const cli = (await client.processes()).data.find(({ jobId }) => jobId === job.id);
    process.kill(cli?.pid ?? expect.unreachable(), 'SIGKILL');
    await becomes(job.id, 'waiting');
    expect(await client.approvals.get(approval.id)).toMatchObject({ status: 'pending' });
    model.setBehaviour(`${touch('x10')} [[reply: After all.]]`);
    await client.approvals.decide(approval.id, { decision: 'allow' });
    expect(await finished(job)).toMatchObject({ status: 'succeeded', outcome: { text: 'After all.' } });
    expect(made('x10')).toBe(true);
  });

  it.each([
    ['', {}],
    [', with a turn that waits for its background work, too', { background: 'wait' }],
  ] as const)(
    'is over with its job, and the next turn of the session begins without the call%s',
    async (_, options) => {
      use(parked);
      const job = await client.create({ ...ASK, prompt: `${touch('x7')} ${touch('x7')}` });
      const approval = await pending(job.id);
      await becomes(job.id, 'waiting');
      await client.cancel(job.id);
      expect(await finished(job)).toMatchObject({ status: 'cancelled' });
      expect(await client.approvals.get(approval.id)).toMatchObject({ status: 'cancelled' });
      const next = await client.create({
        ...options,
        permissionMode: 'acceptEdits',
        sessionId: job.sessionId,
        prompt: 'Next. [[reply: The next one.]]',
      });
      expect(await finished(next)).toMatchObject({ status: 'succeeded', outcome: { text: 'The next one.' } });
      expect(made('x7')).toBe(false);
    },
  );

  it('that gets no answer ends the job', async () => {
    use(parked);
    const job = await client.create({
      ...ASK,
      approvalTimeoutMs: 3000,
      prompt: `${touch('x8')} ${touch('x8')}`,
    });
    expect(await finished(job)).toMatchObject({
      status: 'failed',
      outcome: { error: { code: 'approval.expired' } },
    });
    const { data } = await client.approvals.list({ jobId: job.id });
    expect(data).toMatchObject([{ status: 'expired' }]);
  });
});

describe('what claude asks by itself', () => {
  const answers = { 'Which colours?': ['red', 'blue'] };

  it.each([
    ['while the process waits', held],
    ['without a process', parked],
  ])('is a question, answered %s', async (_, kind) => {
    use(kind);
    const job = await client.create({
      ...ASK,
      prompt: `${call('AskUserQuestion', QUESTION)} [[reply: Thanks.]]`,
    });
    const approval = await pending(job.id);
    expect(approval).toMatchObject({ kind: 'question', questions: [{ question: 'Which colours?' }] });
    if (kind === parked) await becomes(job.id, 'waiting');
    model.setBehaviour('[[reply: Thanks.]]');
    await client.approvals.decide(approval.id, { decision: 'allow', answers });
    expect(await finished(job)).toMatchObject({ status: 'succeeded', outcome: { text: 'Thanks.' } });
    const texts: string[] = [];
    for await (const event of client.events(job.id)) {
      if (event.kind === 'tool.ended') texts.push(event.output);
    }
    expect(texts.join()).toContain('"Which colours?"="red, blue"');
  });

  it.each([
    ['while the process waits', held],
    ['without a process', parked],
  ])('is a plan, approved %s', async (_, kind) => {
    use(kind);
    const job = await client.create({
      ...ASK,
      permissionMode: 'plan',
      prompt: `${call('ExitPlanMode', {})} [[reply: Done.]]`,
    });
    const approval = await pending(job.id);
    expect(approval.kind).toBe('plan');
    if (kind === parked) await becomes(job.id, 'waiting');
    model.setBehaviour('[[reply: Done.]]');
    await client.approvals.decide(approval.id, { decision: 'allow' });
    expect(await finished(job)).toMatchObject({ status: 'succeeded', outcome: { text: 'Done.' } });
  });
});

describe('a chat with claude', () => {
  it('takes a message into its running turn', async () => {
    use(held);
    const session = await client.sessions.create({ ...ASK, prompt: `${touch('x11')} [[reply: Both.]]` });
    const job = await firstTurn(session.id);
    const approval = await pending(job.id);
    const steered = await client.sessions.steer(session.id, 'Be quick.');
    expect(steered.delivered).toBe('steered');
    await client.approvals.decide(approval.id, { decision: 'allow' });
    expect(await finished(job)).toMatchObject({ outcome: { text: 'Both.' } });
  });

  it('answers a message that comes while it speaks in the same turn, which ends after that', async () => {
    use(held);
    const session = await client.sessions.create({ prompt: '[[slow: 20 tokens 100ms]]' });
    const job = await firstTurn(session.id);
    for await (const event of client.events(job.id)) if (event.kind === 'text.delta') break;
    const steered = await client.sessions.steer(session.id, 'And now? [[reply: The second answer.]]');
    expect(steered.delivered).toBe('steered');
    const done = await finished(job);
    expect(done).toMatchObject({ status: 'succeeded', outcome: { text: 'The second answer.' } });
    expect((await client.sessions.turns(session.id)).data).toHaveLength(1);
    const kinds: string[] = [];
    for await (const event of client.events(job.id)) kinds.push(event.kind);
    expect(kinds).toContain('message.delivered');
  });

  it('is interrupted and goes on, with what it had said', async () => {
    use(held);
    const session = await client.sessions.create({ prompt: '[[slow: 600 tokens 100ms]]' });
    const { id } = await firstTurn(session.id);
    for await (const event of client.events(id)) if (event.kind === 'text.delta') break;
    await client.sessions.interrupt(session.id);
    const cut = await client.get(id, { waitMs: 60_000 });
    expect(cut).toMatchObject({ status: 'cancelled', outcome: { error: { code: 'execution.interrupted' } } });
    expect(cut.outcome?.text).toMatch(/^word1 /);
    const next = await client.sessions.message(session.id, { prompt: 'And now? [[reply: I am here.]]' });
    expect(await finished(next)).toMatchObject({ status: 'succeeded', outcome: { text: 'I am here.' } });
    expect(model.requests.at(-1)?.userTexts.join()).toContain('[[slow: 600 tokens 100ms]]');
  });

  it('leaves a call that waits to the session it is copied from', async () => {
    use(parked);
    const session = await client.sessions.create({ ...ASK, prompt: `${touch('x9')} ${touch('x9')}` });
    const job = await firstTurn(session.id);
    const approval = await pending(job.id);
    await becomes(job.id, 'waiting');
    const fork = await client.sessions.fork(session.id);
    const free = { sessionId: fork.id, permissionMode: 'acceptEdits' } as const;
    const copied = await client.create({ ...free, prompt: 'Go on. [[reply: Without it.]]' });
    expect(await finished(copied)).toMatchObject({ status: 'succeeded', outcome: { text: 'Without it.' } });
    expect([made('x9'), await status(job.id)]).toEqual([false, 'waiting']);
    await client.approvals.decide(approval.id, { decision: 'allow' });
    expect(await finished(job)).toMatchObject({ status: 'succeeded' });
    expect(made('x9')).toBe(true);
  });

  it('goes on as a copy, and stays as it was', async () => {
    use(held);
    const session = await client.sessions.create({ prompt: 'My name is Ada. [[reply: Hello Ada.]]' });
    await client.sessions.get(session.id, { waitMs: 60_000 });
    const fork = await client.sessions.fork(session.id);
    const turn = await client.sessions.message(fork.id, { prompt: 'Who am I? [[reply: Ada.]]' });
    expect(await finished(turn)).toMatchObject({ status: 'succeeded', outcome: { text: 'Ada.' } });
    expect(model.requests.at(-1)?.userTexts.join()).toContain('My name is Ada.');
    const next = await client.sessions.message(session.id, { prompt: 'And you? [[reply: A model.]]' });
    expect(await finished(next)).toMatchObject({ status: 'succeeded', outcome: { text: 'A model.' } });
    expect(model.requests.at(-1)?.userTexts.join()).not.toContain('Who am I?');
  });

  it('survives the death of its server with its history', async () => {
    use(held);
    const session = await client.sessions.create({ prompt: 'My name is Ada. [[reply: Hello Ada.]]' });
    await client.sessions.get(session.id, { waitMs: 60_000 });
    await restart(held);
    expect(await client.sessions.get(session.id, { waitMs: 60_000 })).toMatchObject({ status: 'ready' });
    const next = await client.sessions.message(session.id, { prompt: 'Who am I? [[reply: Ada.]]' });
    expect(await finished(next)).toMatchObject({ status: 'succeeded', outcome: { text: 'Ada.' } });
    expect(model.requests.at(-1)?.userTexts.join()).toContain('My name is Ada.');
  });
});
