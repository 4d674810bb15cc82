/** Conversations of a whole server with the real codex, by app-server. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type OfflineModel, startOfflineModel } from '../../scripts/offline-model/server.ts';
import { type Client, createClient } from '../../src/client/client.ts';
import type { Approval } from '../../src/protocol/approval.ts';
import type { Job } from '../../src/protocol/job.ts';
import { eventually } from '../helpers/eventually.ts';
import { CODEX_APP_SERVER } from '../helpers/real-clis.ts';
import { launchServer, sharedServer, startServer, type TestServer } from '../helpers/server.ts';
import { tempDir } from '../helpers/temp.ts';

const WITHIN = { timeoutMs: 60_000 };

let model: OfflineModel;
beforeAll(async () => {
  model = await startOfflineModel();
});
afterAll(() => model.stop());

/** @param holdMs how long a process waits for an answer */
const optionsFor = (holdMs: number) => ({
  env: {
    ...CODEX_APP_SERVER.env(model),
    BULLPEN_WARM_PROCESSES: '4',
    BULLPEN_APPROVAL_HOLD_MS: String(holdMs),
    BULLPEN_APPROVAL_UNATTENDED_MS: String(holdMs),
  },
  config: CODEX_APP_SERVER.config(model),
});

const clientOf = (server: TestServer): Client => createClient({ url: server.url, token: server.token });
const escalated = (cmd: string): string =>
  `[[tool: exec_command ${JSON.stringify({ cmd, sandbox_permissions: 'require_escalated', justification: 'It has to.' })}]]`;
const asking = (prompt: string) => ({ provider: 'codex', prompt, onPermissionDenied: 'ask' as const });

/** The pending approval of a job. */
async function approvalOf(client: Client, { id }: Job): Promise<Approval> {
  const pending = () => client.approvals.list({ status: 'pending', jobId: id });
  await eventually(async () => (await pending()).data.length > 0, WITHIN);
  return (await pending()).data[0] ?? expect.unreachable();
}

const statusIs = (client: Client, { id }: Job, status: string): Promise<unknown> =>
  eventually(async () => (await client.get(id)).status === status, WITHIN);

const isMade = (server: TestServer, name: string): boolean => existsSync(join(server.workspace, name));

describe('while the process waits', () => {
  const shared = sharedServer(() => optionsFor(60_000));

  it('an allowed command runs, a denied one does not, and both turns go on', async () => {
    const client = clientOf(shared());
    for (const [decision, file] of [
      ['allow', 'allowed.txt'],
      ['deny', 'denied.txt'],
    ] as const) {
      const job = await client.create(asking(`${escalated(`touch ${file}`)} [[reply: over]]`));
      const approval = await approvalOf(client, job);
      expect(approval).toMatchObject({ kind: 'tool', tool: 'shell', input: { command: `touch ${file}` } });
      await client.approvals.decide(approval.id, { decision });
      expect(await client.get(job.id, { waitMs: 60_000 })).toMatchObject({
        status: 'succeeded',
        attempts: 1,
      });
      expect(isMade(shared(), file)).toBe(decision === 'allow');
    }
  });

  it('a question is answered', async () => {
    const client = clientOf(shared());
    const options = [
      { label: 'SQLite', description: 'small' },
      { label: 'Postgres', description: 'large' },
    ];
    const questions = [{ id: 'db', header: 'DB', question: 'Which db?', options }];
    const prompt = `[[tool: request_user_input ${JSON.stringify({ questions })}]] [[reply: noted]]`;
    const job = await client.create(asking(prompt));
    const approval = await approvalOf(client, job);
    expect(approval).toMatchObject({ kind: 'question', questions: [{ question: 'Which db?' }] });
    await client.approvals.decide(approval.id, { decision: 'allow', answers: { 'Which db?': 'SQLite' } });
    expect(await client.get(job.id, { waitMs: 60_000 })).toMatchObject({
      status: 'succeeded',
      outcome: { text: 'noted' },
    });
  });

  it('a rule for the session holds for later calls, also in its next process', async () => {
    const client = clientOf(shared());
    const job = await client.create(
      asking(`${escalated('touch r1')} ${escalated('touch r2')} [[reply: over]]`),
    );
    const approval = await approvalOf(client, job);
    await client.approvals.decide(approval.id, {
      decision: 'allow',
      scope: 'session',
      rule: 'shell(touch *)',
    });
    const { sessionId } = await client.get(job.id, { waitMs: 60_000 });
    await shared().api('POST', '/v1/providers/codex/cleanup');
    const next = await client.create({ ...asking(`${escalated('touch r3')} [[reply: over]]`), sessionId });
    expect((await client.get(next.id, { waitMs: 60_000 })).status).toBe('succeeded');
    expect(['r1', 'r2', 'r3'].map((name) => isMade(shared(), name))).toEqual([true, true, true]);
  });

  it('a message goes into the running turn, and an interrupt ends it and keeps the process', async () => {
    const client = clientOf(shared());
    const { id } = await client.sessions.create({ provider: 'codex', prompt: 'Hello [[reply: hi]]' });
    await client.sessions.get(id, { waitMs: 60_000 });
    const slow = await client.sessions.message(id, { prompt: 'Tell me. [[slow: 2000 tokens 50ms]]' });
    await textOf(client, slow);
    expect(await client.sessions.steer(id, 'Use tabs [[slow: 2000 tokens 50ms]]')).toMatchObject({
      delivered: 'steered',
      jobId: slow.id,
    });
    await eventually(() => model.requests.at(-1)?.lastUserText?.includes('Use tabs') === true, WITHIN);
    await client.sessions.interrupt(id);
    expect(await client.get(slow.id, { waitMs: 60_000 })).toMatchObject({
      status: 'cancelled',
      outcome: { text: expect.stringContaining('word1'), error: { code: 'execution.interrupted' } },
    });
    const next = await client.sessions.message(id, { prompt: 'And now? [[reply: now]]' });
    const { outcome } = await client.get(next.id, { waitMs: 60_000 });
    expect(outcome?.text).toBe('now');
    expect(await startOf(client, next)).toBe('session');
  });

  it('a copy of a session goes on from there, and the session itself, too', async () => {
    const client = clientOf(shared());
    const { id } = await client.sessions.create({ provider: 'codex', prompt: 'I am Ada [[reply: hi]]' });
    await client.sessions.get(id, { waitMs: 60_000 });
    const copy = await client.sessions.fork(id);
    const asked = await client.sessions.message(copy.id, { prompt: 'Who am I? [[reply: Ada]]' });
    expect((await client.get(asked.id, { waitMs: 60_000 })).status).toBe('succeeded');
    expect(model.requests.at(-1)?.userTexts).toHaveLength(2);
    const [own, parent] = await Promise.all([client.sessions.get(copy.id), client.sessions.get(id)]);
    expect(own.forkedFrom).toBe(id);
    expect(own.nativeSessionId).not.toBe(parent.nativeSessionId);
  });
});

describe('without a process', () => {
  const shared = sharedServer(() => optionsFor(1));

  it('a job waits for the answer, and goes on in its thread with the decision in its prompt', async () => {
    const client = clientOf(shared());
    const job = await client.create(asking(`${escalated('touch parked.txt')} [[reply: over]]`));
    await statusIs(client, job, 'waiting');
    expect(isMade(shared(), 'parked.txt')).toBe(false);
    const approval = await approvalOf(client, job);
    await client.approvals.decide(approval.id, { decision: 'allow' });
    const after = await client.get(job.id, { waitMs: 60_000 });
    expect(after).toMatchObject({ status: 'succeeded', attempts: 2 });
    const said = model.requests.at(-1)?.lastUserText;
    expect(said).toContain('Allowed: shell');
    expect(said).toContain('touch parked.txt');
  });

  it('a denial reaches the model with its reason', async () => {
    const client = clientOf(shared());
    const job = await client.create(asking(`${escalated('touch refused.txt')} [[reply: over]]`));
    await statusIs(client, job, 'waiting');
    const approval = await approvalOf(client, job);
    await client.approvals.decide(approval.id, { decision: 'deny', message: 'Not on a Friday' });
    expect((await client.get(job.id, { waitMs: 60_000 })).status).toBe('succeeded');
    expect(model.requests.at(-1)?.lastUserText).toContain('Not on a Friday');
    expect(isMade(shared(), 'refused.txt')).toBe(false);
  });
});

it('an approval that was open when the server was killed waits after its next start', async () => {
  const dir = tempDir();
  const first = await launchServer({ ...optionsFor(60_000), dir });
  const job = await clientOf(first).create(asking(`${escalated('touch survived.txt')} [[reply: over]]`));
  const { id } = await approvalOf(clientOf(first), job);
  await first.kill('SIGKILL');
  const server = await startServer({ ...optionsFor(60_000), dir });
  const client = clientOf(server);
  await statusIs(client, job, 'waiting');
  expect(await approvalOf(client, job)).toMatchObject({ id });
  await client.approvals.decide(id, { decision: 'allow' });
  expect((await client.get(job.id, { waitMs: 60_000 })).status).toBe('succeeded');
});

/** Resolves when the job has written text. */
async function textOf(client: Client, { id }: Job): Promise<void> {
  for await (const { kind } of client.events(id)) if (kind === 'text.delta') return;
}

async function startOf(client: Client, { id }: Job): Promise<string> {
  for await (const event of client.events(id)) if (event.kind === 'execution.started') return event.start;
  return expect.unreachable();
}
