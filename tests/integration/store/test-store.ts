import { join } from 'node:path';
import { pino } from 'pino';
import { ulid } from 'ulid';
import { resolvedPrompt } from '../../../scripts/offline-model/resolved-prompt.ts';
import type { JobQuery } from '../../../src/protocol/job.ts';
import type { Outcome } from '../../../src/protocol/outcome.ts';
import type { ResolvedPrompt } from '../../../src/protocol/prompt.ts';
import type { JobCopy } from '../../../src/store/jobs.ts';
import { openStore, type Store } from '../../../src/store/store.ts';
import { whenOver } from '../../helpers/shared.ts';
import { tempDir } from '../../helpers/temp.ts';

/** A ledger file in a folder of the running test. */
export const ledgerFile = (): string => join(tempDir(), 'ledger.db');

/** A store that is closed when the test has finished. */
export async function testStore(file: string = ledgerFile()): Promise<Store> {
  const store = await openStore({ file, logger: pino({ enabled: false }) });
  whenOver(() => store.close());
  return store;
}

export const AT = '2026-03-01T12:00:00.000Z';

export const anIntent = (executionId: string, at: string = AT) => ({
  executionId,
  jobId: `job of ${executionId}`,
  attempt: 1,
  bootId: 'boot-1',
  provider: 'claude',
  at,
});

export const anOutcome = (overrides: Partial<Outcome> = {}): Outcome => ({
  status: 'succeeded',
  executionId: null,
  provider: 'claude',
  credential: null,
  model: null,
  text: 'the answer',
  textTruncated: false,
  structured: null,
  sessionId: null,
  nativeSessionId: null,
  turns: 1,
  durationMs: 812,
  exit: { code: 0, signal: null },
  permissionDenials: [],
  usage: {
    inputTokens: 12,
    outputTokens: 7,
    cacheReadTokens: 3,
    cacheWriteTokens: 4,
    costUsd: 0.25,
    costBasis: 'reported',
  },
  error: null,
  ...overrides,
});

export const aRequest = (overrides: Partial<ResolvedPrompt> = {}): ResolvedPrompt =>
  resolvedPrompt({ prompt: 'say hello', timeoutMs: 1000, idleTimeoutMs: 1000, ...overrides });

type JobOverrides = Partial<Omit<JobCopy, 'request'>> & { readonly request?: Partial<ResolvedPrompt> };

/** A queued job created at {@link AT}, with its parts overridden. */
export function aJob({ request, ...overrides }: JobOverrides = {}): JobCopy {
  const createdAt = overrides.createdAt ?? AT;
  const id = overrides.id ?? ulid(Date.parse(createdAt));
  return {
    id,
    rev: 1,
    kind: 'api',
    project: 'default',
    principal: 'alice',
    grant: null,
    forged: false,
    sessionId: id,
    nativeSessionId: null,
    status: 'queued',
    waitReason: null,
    scheduledFor: null,
    attempts: 0,
    failures: 0,
    retryOf: null,
    pin: null,
    batchId: null,
    archived: false,
    node: null,
    cancelRequested: false,
    createdAt,
    startedAt: null,
    finishedAt: null,
    updatedAt: createdAt,
    outcome: null,
    ...overrides,
    request: aRequest(request),
  };
}

/** A job that succeeded at `finishedAt`. */
export const aFinishedJob = (finishedAt: string = AT, overrides: JobOverrides = {}): JobCopy =>
  aJob({ createdAt: finishedAt, status: 'succeeded', finishedAt, outcome: anOutcome(), ...overrides });

export async function project(store: Store, ...jobs: readonly JobCopy[]): Promise<void> {
  await store.run('copies.apply', { jobs, removed: [], cursor: { name: 'log', value: '1-0' } });
}

export const aQuery = (overrides: Partial<JobQuery> = {}): JobQuery => ({
  limit: 20,
  cursor: null,
  ...overrides,
});

/** Nothing beside the outcome is left to deliver. */
export const NO_DELIVERY = { from: 0, tail: [], backoffMs: 0, rawAnswer: null } as const;
