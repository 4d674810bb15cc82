import { fileURLToPath } from 'node:url';
/** The real runner against the offline model, its lines read by the provider. */
import { describe, expect, it } from 'vitest';
import { resolvedPrompt } from '../../scripts/offline-model/resolved-prompt.ts';
import { type CliRun, makeCliHome, runCli } from '../../scripts/offline-model/run-cli.ts';
import { type OfflineModel, startOfflineModel } from '../../scripts/offline-model/server.ts';
import type { ExecutionEvent } from '../../src/protocol/event.ts';
import type { ResolvedPrompt } from '../../src/protocol/prompt.ts';
import { createAnthropicProvider } from '../../src/providers/anthropic-sdk/provider.ts';
import type { Progress, Verdict } from '../../src/providers/provider.ts';
import { CLOSED_PORT } from '../helpers/closed-port.ts';
import { builtInOptions } from '../unit/providers/settings.ts';

const SDK_RUNNER = {
  node: process.execPath,
  script: fileURLToPath(new URL('../../src/anthropic-runner/main.ts', import.meta.url)),
};

interface Ran {
  readonly run: CliRun;
  readonly events: readonly ExecutionEvent[];
  readonly verdict: Verdict;
  readonly progress: Progress;
}

interface Asked extends Partial<ResolvedPrompt> {
  readonly key?: string;
  readonly maxRetries?: number;
  readonly endAt?: { readonly text: string; readonly signal: NodeJS.Signals };
}

/** Runs what the provider says, and reads what came. */
async function ask(url: string, { key = 'a-key', maxRetries = 0, endAt, ...changed }: Asked): Promise<Ran> {
  const provider = createAnthropicProvider(builtInOptions({ maxRetries, sdkRunner: SDK_RUNNER }));
  const request = resolvedPrompt({ provider: provider.name, ...changed });
  await using home = await makeCliHome();
  const command = provider.command(request, {
    nativeSessionId: null,
    trustedWorkspace: false,
    scratchDir: home.home,
  });
  const run = await runCli({
    binary: provider.binaries[0] ?? expect.unreachable(),
    args: command.args,
    env: {
      HOME: home.home,
      NODE_COMPILE_CACHE: process.env['NODE_COMPILE_CACHE'] ?? '',
      ANTHROPIC_BASE_URL: url,
      ...(key === '' ? {} : { ANTHROPIC_API_KEY: key }),
    },
    cwd: home.workspace,
    prompt: command.stdin,
    ...(endAt === undefined ? {} : { endAt }),
  });
  const translator = provider.translator(request);
  const events = run.lines.flatMap((line) => translator.line(line));
  return { run, events, verdict: translator.end(run, run.stderr), progress: translator.progress };
}

/** An offline model for one test. */
async function withModel<T>(use: (model: OfflineModel) => Promise<T>): Promise<T> {
  await using model = await startOfflineModel();
  return await use(model);
}

describe.concurrent('the runner of the Messages API', () => {
  it('answers with deltas, the text, its usage and a result, and exits 0', () =>
    withModel(async (model) => {
      const { run, events, verdict, progress } = await ask(model.url, {
        prompt: '[[reply: The parser is in src/parse.ts.]]',
        appendSystemPrompt: 'Be brief.',
      });
      expect([run.code, run.signal, run.stderr]).toEqual([0, null, '']);
      const deltas = events.flatMap((event) => (event.kind === 'text.delta' ? [event.text] : []));
      expect(deltas.length).toBeGreaterThan(1);
      expect(deltas.join('')).toBe('The parser is in src/parse.ts.');
      expect(events).toContainEqual({ kind: 'text', text: 'The parser is in src/parse.ts.' });
      expect(events.filter(({ kind }) => kind === 'raw')).toEqual([]);
      expect(verdict).toMatchObject({ text: 'The parser is in src/parse.ts.', turns: 1, error: null });
      expect(verdict.usage).toMatchObject({ outputTokens: 8, costUsd: null, costBasis: 'unknown' });
      expect(progress.byModel['claude-sonnet-5-5']).toMatchObject({ outputTokens: 8 });
      expect(model.requests).toMatchObject([{ kind: 'turn', model: 'claude-sonnet-5-5' }]);
    }));

  it('separates what the model thought from what it said', () =>
    withModel(async (model) => {
      const { events, verdict } = await ask(model.url, { prompt: '[[think: Hm.]] [[reply: Yes.]]' });
      expect(events).toContainEqual({ kind: 'reasoning', text: 'Hm.' });
      expect(verdict).toMatchObject({ text: 'Yes.', error: null });
    }));

  it('gives structured output as a value', () =>
    withModel(async (model) => {
      const { verdict } = await ask(model.url, {
        prompt: '[[reply: {"answer":"yes"}]]',
        outputSchema: {
          type: 'object',
          properties: { answer: { type: 'string' } },
          required: ['answer'],
          additionalProperties: false,
        },
      });
      expect(verdict).toMatchObject({ structured: { answer: 'yes' }, error: null });
    }));

  it.each([
    ['wrong-key', 'The API key is invalid. (set ANTHROPIC_API_KEY)', 1],
    ['', 'there is no key for the API (set ANTHROPIC_API_KEY)', 0],
  ])('needs a login when the key is %j, and does not try again', (key, message, requests) =>
    withModel(async (model) => {
      const { run, verdict } = await ask(model.url, { key, maxRetries: 2 });
      expect([run.code, run.stderr]).toEqual([1, '']);
      expect(verdict.error).toMatchObject({ code: 'auth.required', message });
      expect(model.requests).toHaveLength(requests);
    }),
  );

  it('is overloaded with 529', () =>
    withModel(async (model) => {
      const { run, verdict } = await ask(model.url, { prompt: '[[error: 529]]' });
      expect([run.code, run.stderr]).toEqual([1, '']);
      expect(verdict.error?.code).toBe('execution.overloaded');
    }));

  it('says when a rate limit is over, and does not wait for it when that takes long', () =>
    withModel(async (model) => {
      const before = Date.now();
      const { run, verdict } = await ask(model.url, {
        prompt: '[[error: 429 retry-after=3600]]',
        maxRetries: 2,
      });
      expect(run.code).toBe(1);
      expect(verdict.error?.code).toBe('execution.quota');
      expect(Date.parse(verdict.error?.resetsAt ?? '')).toBeGreaterThanOrEqual(before + 3_600_000);
      expect(model.requests).toHaveLength(1);
    }));

  it('retries as often as asked, and reports each retry', () =>
    withModel(async (model) => {
      const { events, verdict } = await ask(model.url, {
        prompt: '[[error: 500 times=1 key=once]] [[reply: Here I am.]]',
        maxRetries: 1,
      });
      expect(events).toContainEqual({
        kind: 'api_retry',
        retry: 1,
        maxRetries: 1,
        delayMs: null,
        status: 500,
        reason: 'the API answered 500',
      });
      expect(verdict).toMatchObject({ text: 'Here I am.', error: null });
    }));

  it('is overloaded when no server listens', async () => {
    const { run, verdict } = await ask(`http://127.0.0.1:${CLOSED_PORT}`, {});
    expect([run.code, run.stderr]).toEqual([1, '']);
    expect(verdict.error).toMatchObject({
      code: 'execution.overloaded',
      message: expect.stringContaining('ECONNREFUSED'),
    });
  });

  it('is overloaded when the API goes away while it answers', async () => {
    const model = await startOfflineModel();
    const asked = ask(model.url, { prompt: '[[hang]]' });
    await model.waitForRequests(1);
    await model.stop();
    const { run, verdict } = await asked;
    expect([run.code, run.stderr]).toEqual([1, '']);
    expect(verdict.error?.code).toBe('execution.overloaded');
  });

  it('ends by SIGTERM while it waits for the rest, with the text so far', () =>
    withModel(async (model) => {
      const { run, verdict } = await ask(model.url, {
        prompt: '[[slow: 1000 tokens 50ms]]',
        endAt: { text: 'text_delta', signal: 'SIGTERM' },
      });
      expect([run.code, run.signal]).toEqual([null, 'SIGTERM']);
      expect(verdict.error?.code).toBe('execution.crashed');
      expect(verdict.text).not.toBe('');
      expect(verdict.usage).not.toBeNull();
    }));
});
