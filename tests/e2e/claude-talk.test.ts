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
/** A job that asks waits without a process. */
const PARKED = { BULLPEN_APPROVAL_HOLD_MS: '1', BULLPEN_APPROVAL_UNATTENDED_MS: '1' };

const bash = CLAUDE.tool;
const touch = (file: string): string => bash(`touch ${file}`);
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

const dir = makeTempDir();
let model: OfflineModel;
let server: TestServer;
let client: Client;

async function launch(): Promise<void> {
  server = await launchServer({ dir, env: { ...CLAUDE.env(model), ...PARKED } });
  client = createClient({ url: server.url, token: server.token });
}

async function restart(): Promise<void> {
  await server.kill('SIGKILL');
  await launch();
}

beforeAll(async () => {
  model = await startOfflineModel();
  await launch();
});
afterAll(async () => {
  await server.stop();
  removeDir(dir);
  await model.stop();
});
beforeEach(() => model.setBehaviour(null));

const made = (file: string): boolean => existsSync(join(server.workspace, file));
const status = async (id: string): Promise<string> => (await client.get(id)).status;
/** The only approval that is pending. */
const pending = (jobId: string): Promise<Approval> =>
  eventually(async () => {
    const { data } = await client.approvals.list({ jobId, status: 'pending' });
    return data.length === 1 ? (data[0] ?? null) : null;
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
  it('waits without a process, over the death of the server, and then runs the call once', async () => {
    const before = model.requests.length;
    const prompt = `${touch('x2')} ${touch('x2')} [[reply: never]]`;
    const job = await client.create({ ...ASK, prompt });
    const approval = await pending(job.id);
    await becomes(job.id, 'waiting');
    expect(await client.get(job.id)).toMatchObject({ waitReason: 'approval', outcome: null });
    await quiet();
    expect(made('x2')).toBe(false);
    await restart();
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

  it('is over with its job, and the next turn begins without the call, also one that waits for its background work', async () => {
    const job = await client.create({ ...ASK, prompt: `${touch('x7')} ${touch('x7')}` });
    const approval = await pending(job.id);
    await becomes(job.id, 'waiting');
    await client.cancel(job.id);
    expect(await finished(job)).toMatchObject({ status: 'cancelled' });
    expect(await client.approvals.get(approval.id)).toMatchObject({ status: 'cancelled' });
    const next = await client.create({
      background: 'wait',
      permissionMode: 'acceptEdits',
      sessionId: job.sessionId,
      prompt: 'Next. [[reply: The next one.]]',
    });
    expect(await finished(next)).toMatchObject({ status: 'succeeded', outcome: { text: 'The next one.' } });
    expect(made('x7')).toBe(false);
  });

  it('is a question that it asks by itself, answered without a process', async () => {
    const job = await client.create({
      ...ASK,
      prompt: `[[tool: AskUserQuestion ${JSON.stringify(QUESTION)}]] [[reply: never]]`,
    });
    const approval = await pending(job.id);
    expect(approval).toMatchObject({ kind: 'question', questions: [{ question: 'Which colours?' }] });
    await becomes(job.id, 'waiting');
    model.setBehaviour('[[reply: Thanks.]]');
    const answers = { 'Which colours?': ['red', 'blue'] };
    await client.approvals.decide(approval.id, { decision: 'allow', answers });
    expect(await finished(job)).toMatchObject({ status: 'succeeded', outcome: { text: 'Thanks.' } });
    const texts: string[] = [];
    for await (const event of client.events(job.id)) {
      if (event.kind === 'tool.ended') texts.push(event.output);
    }
    expect(texts.join()).toContain('"Which colours?"="red, blue"');
  });
});

describe('a chat with claude', () => {
  it('answers a message that comes while it speaks in the same turn, which ends after that', async () => {
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

  it('leaves a call that waits to the session it is copied from', async () => {
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

  it('is interrupted, goes on as a copy and as it was, and survives the death of its server', async () => {
    const session = await client.sessions.create({ prompt: 'My name is Ada. [[slow: 600 tokens 100ms]]' });
    const { id } = await firstTurn(session.id);
    for await (const event of client.events(id)) if (event.kind === 'text.delta') break;
    await client.sessions.interrupt(session.id);
    const cut = await client.get(id, { waitMs: 60_000 });
    expect(cut).toMatchObject({ status: 'cancelled', outcome: { error: { code: 'execution.interrupted' } } });
    expect(cut.outcome?.text).toMatch(/^word1 /);

    const says = async (sessionId: string, prompt: string, text: string): Promise<string> => {
      const turn = await client.sessions.message(sessionId, { prompt: `${prompt} [[reply: ${text}]]` });
      expect(await finished(turn)).toMatchObject({ status: 'succeeded', outcome: { text } });
      return model.requests.at(-1)?.userTexts.join() ?? '';
    };
    const fork = await client.sessions.fork(session.id);
    expect(await says(fork.id, 'Who am I?', 'Ada.')).toContain('My name is Ada.');
    const next = await says(session.id, 'And you?', 'A model.');
    expect(next).toContain('My name is Ada.');
    expect(next).not.toContain('Who am I?');

    await restart();
    expect(await client.sessions.get(session.id, { waitMs: 60_000 })).toMatchObject({ status: 'ready' });
    const last = await says(session.id, 'And now?', 'I am here.');
    for (const text of ['My name is Ada.', 'And you?']) expect(last).toContain(text);
  });
});
