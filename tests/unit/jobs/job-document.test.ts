import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { Compile } from '#typebox/compile';
import { AppError } from '../../../src/errors.ts';
import { freshJob, toJob } from '../../../src/jobs/job-document.ts';
import { retryRequest } from '../../../src/jobs/retry-request.ts';
import { Job } from '../../../src/protocol/job.ts';
import { PromptRequest, promptOptions, type ResolvedPrompt } from '../../../src/protocol/prompt.ts';
import { createProviders } from '../../../src/providers/registry.ts';
import { random } from '../../helpers/random.ts';
import { randomRequest } from '../../helpers/random-requests.ts';
import { PROVIDER_HOST, providerSettings } from '../providers/settings.ts';
import { setUp } from './resolver.ts';

const ID = '01K9ZV4Q4S9V0M0X2T6D8Y3B7C';
const OTHER = '01K9ZV4Q4S9V0M0X2T6D8Y3B7D';
const REQUESTS = 400;
const PROVIDERS = {
  claude: { mode: 'plan', timeoutMs: 5000, limits: { processes: 9999, lineBytes: 500 } },
  custom: { echo: { binary: '/bin/cat', output: 'text' } },
};
const [isRequest, isJob] = [Compile(PromptRequest), Compile(Job)];

/** The copy of a new job of this request. */
const fresh = (request: ResolvedPrompt, createdAt = Date.now()) => ({
  ...freshJob({
    ...{ id: ID, kind: 'api', project: 'default', principal: 'admin', grant: null, sessionId: ID },
    ...{ request, retryOf: null, pin: null, createdAt, idempotency: null },
  }),
});
const shown = (request: ResolvedPrompt, changes: Partial<ReturnType<typeof fresh>> = {}) =>
  toJob({ ...fresh(request), ...changes }, null);

describe('the request of a job', () => {
  it('makes the same job again, whatever was asked for', async () => {
    const { root, resolve } = setUp({ model: 'sonnet' }, PROVIDERS);
    mkdirSync(join(root, "it's \\ $HOME"));
    const from = { providers: ['claude', 'codex', 'echo'], folders: [root, join(root, "it's \\ $HOME")] };
    const next = random(1);
    const seen = new Set<string>();
    for (let made = 0; made < REQUESTS; ) {
      const asked = randomRequest(next, from);
      const resolved = await resolve(asked).catch((error: unknown) => {
        if (error instanceof AppError) return null; // this provider cannot do that
        throw error;
      });
      if (resolved === null) continue;
      made += 1;
      const job = JSON.parse(JSON.stringify(shown(resolved))) as Job;
      expect(isJob.Errors(job)).toEqual([]);
      expect(isRequest.Errors(job.request)).toEqual([]);
      const { delayMs: _, runAt, ...again } = await resolve(job.request);
      const { delayMs, ...before } = resolved;
      expect(again).toEqual(before);
      expect(runAt ?? null).toBe(delayMs > 0 ? job.scheduledFor : null);
      for (const name of Object.keys(job.request)) seen.add(name);
    }
    const others = Object.keys(promptOptions).filter((name) => !seen.has(name));
    expect(others).toEqual(['sessionId', 'delayMs']);
  });

  it('has what the settings have decided, and nothing that was not asked for', async () => {
    const { root, resolve } = setUp();
    expect(shown(await resolve({ prompt: 'x' })).request).toEqual({
      ...{ prompt: 'x', provider: 'claude', cwd: root, permissionMode: 'default' },
      ...{ timeoutMs: 3_600_000, idleTimeoutMs: 900_000 },
    });
  });

  it('names the time of a job only while the job waits for it', async () => {
    const { resolve } = setUp();
    const runAt = new Date(Date.now() + 3_600_000).toISOString();
    const request = await resolve({ prompt: 'x', runAt });
    expect(shown(request).request.runAt).toBe(runAt);
    // It was moved, it waits for something else, it has run.
    const scheduledFor = '2026-12-01T00:00:00.000Z';
    expect(shown(request, { scheduledFor }).request.runAt).toBe(scheduledFor);
    for (const waitReason of ['backoff', 'quota'])
      expect(shown(request, { waitReason }).request.runAt).toBeUndefined();
    const ended = { status: 'succeeded', waitReason: null, scheduledFor: null } as const;
    expect(shown(request, ended).request).not.toHaveProperty('runAt');
    expect(shown(await resolve({ prompt: 'x', delayMs: 1000 }), ended).request).not.toHaveProperty('delayMs');
  });

  it('names a session only that the job continues', async () => {
    const { resolve } = setUp();
    expect(shown(await resolve({ prompt: 'x' })).request).not.toHaveProperty('sessionId');
    expect(shown(await resolve({ prompt: 'x', sessionId: OTHER })).request.sessionId).toBe(OTHER);
    const { providers } = { providers: createProviders(providerSettings({}), PROVIDER_HOST) };
    const ended = { ...fresh(await resolve({ prompt: 'x' })), updatedAt: '', rev: 1 };
    const { request, continues } = retryRequest({ ...ended, nativeSessionId: 'n' }, {}, providers);
    const retry = shown({ ...(await resolve(request)), ...(continues && { continues }) });
    expect(retry.request).toMatchObject({ prompt: 'x', sessionId: ID });
    expect(retry.request).not.toHaveProperty('continues');
  });

  it('has no name within a batch, but its retry has it', async () => {
    const { resolve } = setUp();
    const resolved = await resolve({ prompt: 'x', customId: 'mine' });
    expect(shown(resolved)).toMatchObject({
      customId: 'mine',
      request: expect.not.objectContaining({ customId: 'mine' }),
    });
    const providers = createProviders(providerSettings({}), PROVIDER_HOST);
    const ended = { ...fresh(resolved), updatedAt: '', rev: 1 };
    expect(retryRequest(ended, { from: 'start' }, providers).request.customId).toBe('mine');
  });

  it('of a record that an older server or another program wrote shows what is there', () => {
    const old = {
      ...{ prompt: 'x', provider: 'claude', model: null, cwd: '/srv', sessionId: null },
      ...{ permissionMode: 'default', priority: 0, tags: [], metadata: {} },
    };
    const of = (more: object) => shown({ ...old, ...more } as unknown as ResolvedPrompt).request; // as: only these are checked
    const least = { prompt: 'x', provider: 'claude', cwd: '/srv', permissionMode: 'default' };
    expect(of({})).toEqual(least);
    expect(of({ maxAttempts: 'many', limits: 5, later: true })).toEqual({
      ...{ ...least, limits: 5, later: true, retry: { maxAttempts: 'many' } },
    });
  });
});
