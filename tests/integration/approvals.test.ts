/** Approvals and messages into running turns over HTTP, on a real server with scripted CLIs. */
import { describe, expect, it } from 'vitest';
import { type Client, createClient } from '../../src/client/client.ts';
import type { Approval } from '../../src/protocol/approval.ts';
import type { PromptRequest } from '../../src/protocol/prompt.ts';
import type { Step } from '../fakes/fake-cli-steps.ts';
import { eventually } from '../helpers/eventually.ts';
import { fakePrompt } from '../helpers/fake-cli.ts';
import { sharedBench } from './fault-bench.ts';

const SLOW = { timeout: 120_000 };
const WAIT_MS = 60_000;
const QUICK = { BULLPEN_KILL_GRACE_MS: '500', BULLPEN_SWEEP_MS: '100' };
/** A CLI does not wait for its answer. */
const PARKS = { ...QUICK, BULLPEN_APPROVAL_HOLD_MS: '0', BULLPEN_APPROVAL_UNATTENDED_MS: '0' };

/** A CLI waits for its answer as long as a test takes. */
const holding = sharedBench({
  ...{ ...QUICK, BULLPEN_APPROVAL_HOLD_MS: '600000', BULLPEN_APPROVAL_UNATTENDED_MS: '600000' },
});
const parking = sharedBench(PARKS);

const push = (command: string): Step => ({ tool: { name: 'Bash', input: { command }, asks: true } });

const ask = (client: Client, steps: readonly Step[], rest: Partial<PromptRequest> = {}) =>
  client.create({ ...rest, prompt: fakePrompt(steps, 'push'), onPermissionDenied: 'ask' });

/** The pending approvals of a job, once there are so many. */
async function pending(client: Client, jobId: string, count = 1): Promise<readonly Approval[]> {
  return eventually(async () => {
    const { data } = await client.approvals.list({ jobId, status: 'pending' });
    return data.length === count && data;
  });
}

async function one(client: Client, jobId: string): Promise<Approval> {
  const [approval] = await pending(client, jobId);
  return approval ?? expect.unreachable();
}

const ended = (client: Client, id: string) => client.get(id, { waitMs: WAIT_MS });

describe('an approval', () => {
  it('is shown, allowed with another input, and the tool runs in the same process', SLOW, async () => {
    const { clis, client } = await holding();
    const job = await ask(client, [push('git push')]);
    const approval = await one(client, job.id);
    expect(approval).toMatchObject({
      ...{ jobId: job.id, sessionId: job.sessionId, kind: 'tool', tool: 'Bash', questions: null },
      ...{ input: { command: 'git push' }, decidedBy: null, project: 'default' },
    });
    const daysOpen = (Date.parse(approval.expiresAt) - Date.parse(approval.createdAt)) / 86_400_000;
    expect(daysOpen).toBeCloseTo(7, 3);
    expect((await client.get(job.id)).status).toBe('running');
    expect((await client.sessions.get(job.sessionId)).status).toBe('awaiting_input');
    const input = { command: 'git push --dry-run' };
    const decided = await client.approvals.decide(approval.id, { decision: 'allow', input });
    expect(decided).toMatchObject({ status: 'allowed', decidedBy: 'admin', decidedAt: expect.any(String) });
    expect(await ended(client, job.id)).toMatchObject({
      status: 'succeeded',
      outcome: { permissionDenials: [] },
    });
    expect(clis.did('tool')).toMatchObject([{ name: 'Bash', input }]);
    expect(clis.spawns()).toHaveLength(1);
    const kinds: string[] = [];
    for await (const { kind } of client.events(job.id)) kinds.push(kind);
    expect(kinds.filter((kind) => kind.startsWith('approval'))).toEqual([
      'approval.requested',
      'approval.decided',
    ]);
  });

  it('has one decision when several people decide at the same moment', SLOW, async () => {
    const { client } = await holding();
    const job = await ask(client, [push('git push')]);
    const { id } = await one(client, job.id);
    const answers = await Promise.allSettled([
      client.approvals.decide(id, { decision: 'allow' }),
      client.approvals.decide(id, { decision: 'deny', message: 'no' }),
      client.approvals.decide(id, { decision: 'allow' }),
    ]);
    const codes = answers.map((answer) => (answer.status === 'fulfilled' ? 'ok' : answer.reason.code));
    const { status } = await client.approvals.get(id);
    const won =
      status === 'allowed' ? ['ok', 'approval.already_decided', 'ok'] : ['approval.already_decided', 'ok'];
    expect(codes.slice(0, won.length)).toEqual(won);
    const again =
      status === 'allowed' ? { decision: 'allow' as const } : { decision: 'deny' as const, message: 'no' };
    expect((await client.approvals.decide(id, again)).status).toBe(status);
    await ended(client, job.id);
    expect((await client.approvals.decide(id, again)).status).toBe(status);
  });

  it('leaves the job waiting without a process, is a change for all readers, and goes on', SLOW, async () => {
    const { clis, server, client } = await parking();
    const cursor = await firstCursor(client);
    const job = await ask(client, [push('git push')]);
    const approval = await one(client, job.id);
    await eventually(async () => (await client.get(job.id)).status === 'waiting');
    expect(await client.get(job.id)).toMatchObject({
      status: 'waiting',
      waitReason: 'approval',
      finished: false,
    });
    const { data } = await client.list({ status: ['waiting'], waitReason: ['approval'] });
    expect(data.map(({ id }) => id)).toEqual([job.id]);
    await eventually(() => clis.pids().every((pid) => !isRunning(pid)));
    const metrics = await (await server.api('GET', '/metrics')).text();
    expect(metrics).toContain('bullpen_approvals_pending 1\n');
    expect(metrics).toContain('bullpen_jobs{status="waiting"} 1\n');
    const seen: string[] = [];
    for await (const change of client.changes({ after: cursor, signal: AbortSignal.timeout(WAIT_MS) })) {
      if ('rev' in change) seen.push(`${change.status} ${change.waitReason}`);
      else if ('approvalId' in change) seen.push(`approval ${change.status}`);
      if (seen.includes('waiting approval')) break;
    }
    expect(seen).toContain('approval pending');
    const next = await client.message(job.id, { prompt: 'and then' });
    expect((await client.get(next.id)).waitReason).toBe('session');
    await client.approvals.decide(approval.id, { decision: 'allow' });
    expect((await ended(client, job.id)).status).toBe('succeeded');
    expect(clis.did('tool')).toMatchObject([{ input: { command: 'git push' } }]);
    expect((await ended(client, next.id)).status).toBe('succeeded');
  });

  it('is cancelled with its job, and cannot be decided then', SLOW, async () => {
    const { client } = await parking();
    const job = await ask(client, [push('git push')]);
    const { id } = await one(client, job.id);
    await eventually(async () => (await client.get(job.id)).status === 'waiting');
    await client.cancel(job.id);
    expect((await ended(client, job.id)).status).toBe('cancelled');
    expect((await client.approvals.get(id)).status).toBe('cancelled');
    await expect(client.approvals.decide(id, { decision: 'allow' })).rejects.toMatchObject({
      code: 'approval.already_decided',
    });
    await client.remove(job.id);
    await eventually(async () =>
      client.approvals.get(id).then(
        () => false,
        (error) => error.code === 'approval.not_found',
      ),
    );
  });

  it('without an answer in time ends the job', SLOW, async () => {
    const { client } = await parking();
    const job = await ask(client, [push('git push')], { approvalTimeoutMs: 1500 });
    expect(await ended(client, job.id)).toMatchObject({
      status: 'failed',
      outcome: { error: { code: 'approval.expired' } },
    });
    const { data } = await client.approvals.list({ jobId: job.id });
    expect(data).toMatchObject([{ status: 'expired', decidedBy: null }]);
  });

  it('for the session is a rule, which the grant of the key must cover', SLOW, async () => {
    const { clis, server, client } = await holding();
    const { token } = await client.createKey({
      ...{ name: 'limited', project: 'web', scopes: ['jobs:write', 'sessions:write', 'approvals:decide'] },
      tools: ['Bash(git *)'],
    });
    const limited = createClient({ url: server.url, token: token ?? '' });
    const job = await ask(limited, [push('git push'), push('git push again')]);
    const { id } = await one(limited, job.id);
    const decide = (rule?: string) =>
      limited.approvals.decide(id, {
        decision: 'allow',
        scope: 'session',
        ...(rule !== undefined && { rule }),
      });
    for (const rule of [undefined, 'Bash', 'Bash(rm *)', 'Bash(git *; rm *)'])
      await expect(decide(rule)).rejects.toMatchObject({ code: 'tools.denied' });
    await expect(decide('Write')).rejects.toMatchObject({ code: 'request.invalid' });
    expect((await limited.approvals.get(id)).status).toBe('pending');
    expect((await decide('Bash(git push *)')).status).toBe('allowed');
    await limited.cancel(job.id);
    await ended(limited, job.id);
    const next = await limited.sessions.message(job.sessionId, { prompt: 'go on' });
    await ended(limited, next.id);
    const argv = clis.did('start').at(-1)?.argv.join(' ');
    expect(argv).toContain('Bash(git push *)');
  });

  it('is hidden from other projects, and a reader cannot decide', SLOW, async () => {
    const { server, client } = await holding();
    const job = await ask(client, [push('git push')]);
    const { id } = await one(client, job.id);
    const as = async (project: string, scope: 'approvals:read' | 'approvals:decide') => {
      const { token } = await client.createKey({ name: 'x', project, scopes: [scope] });
      return createClient({ url: server.url, token: token ?? '' }).approvals;
    };
    const stranger = await as('ops', 'approvals:decide');
    expect((await stranger.list()).data).toEqual([]);
    await expect(stranger.decide(id, { decision: 'allow' })).rejects.toMatchObject({
      code: 'approval.not_found',
    });
    const reader = await as('default', 'approvals:read');
    expect((await reader.get(id)).status).toBe('pending');
    await expect(reader.decide(id, { decision: 'allow' })).rejects.toMatchObject({ code: 'auth.forbidden' });
    await client.cancel(job.id);
  });
});

describe('a message into the running turn', () => {
  it('is taken by it, once, or becomes the next turn', SLOW, async () => {
    const { clis, client } = await holding();
    const during: Step = { waitFor: clis.latch('go') };
    const steps: Step[] = [
      { tool: { name: 'Read', input: {}, during: [during] } },
      { waitFor: clis.latch('end') },
    ];
    const { id } = await client.sessions.create({ prompt: fakePrompt(steps, 'work') });
    await eventually(() => clis.prompted() > 0);
    const [turn] = (await client.sessions.turns(id)).data;
    const jobId = turn?.jobId ?? expect.unreachable();
    const key = { idempotencyKey: 'k' };
    const sent = client.sessions.steer(id, 'Use tabs', key);
    clis.open('go');
    expect(await sent).toMatchObject({ delivered: 'steered', jobId });
    expect(await client.sessions.steer(id, 'Use tabs', key)).toEqual(await sent);
    clis.open('end');
    await ended(client, jobId);
    expect(await client.sessions.steer(id, 'Use tabs', key)).toEqual(await sent);
    const delivered: string[] = [];
    for await (const event of client.events(jobId))
      if (event.kind === 'message.delivered') delivered.push(event.messageId);
    expect(delivered).toEqual([(await sent).messageId]);
    // In the turn, or after it as one of its own: that is the CLI's choice.
    const taken = clis.did('steered').map(({ text }) => text);
    const asked = clis.did('prompt').map(({ firstLine }) => firstLine);
    expect([...taken, ...asked].filter((text) => text === 'Use tabs')).toHaveLength(1);
    const late = await client.sessions.steer(id, 'Later');
    expect([late.delivered, late.jobId === jobId]).toEqual(['next', false]);
    expect(await ended(client, late.jobId)).toMatchObject({
      status: 'succeeded',
      prompt: 'Later',
      sessionId: id,
    });
  });

  it(
    'is refused for a CLI that takes none, and for a caller with fewer rights than the turn',
    SLOW,
    async () => {
      const { clis, server, client } = await holding();
      const echo = await client.create({ provider: 'echo', prompt: 'x', delayMs: 60_000 });
      await expect(client.steer(echo.id, 'y')).rejects.toMatchObject({ code: 'provider.unsupported_option' });
      const job = await client.create({ prompt: clis.held('go', 'x'), allowedTools: ['Bash'] });
      const { token } = await client.createKey({
        ...{ name: 'x', project: 'default', scopes: ['jobs:write'], tools: ['Read'] },
      });
      const limited = createClient({ url: server.url, token: token ?? '' });
      await expect(limited.steer(job.id, 'rm -rf')).rejects.toMatchObject({ code: 'tools.denied' });
      clis.open('go');
      await ended(client, job.id);
    },
  );
});

/** Where a reader of all changes begins. */
async function firstCursor(client: Client): Promise<string> {
  for await (const { cursor } of client.changes()) return cursor;
  return expect.unreachable();
}

function isRunning(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}
