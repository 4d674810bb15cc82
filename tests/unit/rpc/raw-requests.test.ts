import { pino } from 'pino';
import { describe, expect, it } from 'vitest';
import { resolvedPrompt } from '../../../scripts/offline-model/resolved-prompt.ts';
import { AppError } from '../../../src/errors.ts';
import type { PromptRequest } from '../../../src/protocol/prompt.ts';
import type { NewJob } from '../../../src/records/ports.ts';
import { createRedactor } from '../../../src/redactor.ts';
import {
  createRawRequests,
  RAW_FORMAT,
  RAW_ID,
  type RawRequests,
  type RawRequestsOptions,
} from '../../../src/rpc/raw-requests.ts';
import { createFakeDoorbells } from '../../fakes/doorbells.ts';

/** Raw requests that are on. */
type Set = 'mode' | 'privateRedis' | 'signs' | 'redactor' | 'logger';
function createRaw(options: Omit<RawRequestsOptions, Set>): RawRequests {
  const given = { redactor: createRedactor(), logger: pino({ enabled: false }), signs: false } as const;
  const raw = createRawRequests({ mode: 'on', privateRedis: false, ...given, ...options });
  if (raw === null) throw new Error('raw requests are off');
  return raw;
}

/** Raw requests whose jobs are only noted; by default `resolve` accepts everything. */
async function setUp(
  resolve = async ({ prompt, metadata = {} }: PromptRequest) => resolvedPrompt({ prompt, metadata }),
) {
  const doorbells = createFakeDoorbells();
  const answers: unknown[] = [];
  await doorbells.listen('responses', (message) => void answers.push(JSON.parse(message)));
  const asked: PromptRequest[] = [];
  const adopted: { job: NewJob; executionId: string }[] = [];
  let made = 0;
  const raw = createRaw({
    claims: {
      async adopt(job, executionId) {
        adopted.push({ job, executionId });
        return true;
      },
    },
    doorbells,
    responses: 'responses',
    resolve(request) {
      asked.push(request);
      return resolve(request);
    },
    newId: () => {
      made += 1;
      return { id: `j${made}`, createdAt: 1000 + made };
    },
    newExecutionId: () => `e${made}`,
  });
  return { doorbells, raw, answers, asked, adopted };
}

describe('a raw request', () => {
  it("becomes a job of the principal 'raw', and is not answered yet", async () => {
    const { raw, adopted, answers } = await setUp();
    await raw.request({ id: 'test', prompt: 'Hello', args: ['--print'] });
    const request = resolvedPrompt({
      prompt: 'Hello',
      metadata: { [RAW_ID]: '"test"', [RAW_FORMAT]: 'text' },
    });
    expect(adopted).toMatchObject([
      { job: { id: 'j1', kind: 'raw', principal: 'raw', createdAt: 1001, request }, executionId: 'e1' },
    ]);
    expect(answers).toEqual([]);
  });

  it('its id is only echoed: the same message makes another job each time', async () => {
    const { raw, adopted } = await setUp();
    for (let i = 0; i < 3; i += 1) await raw.request({ id: 7, prompt: 'again' });
    expect(adopted.map(({ job }) => job.id)).toEqual(['j1', 'j2', 'j3']);
    expect(adopted.map(({ job }) => job.request.metadata[RAW_ID])).toEqual(['7', '7', '7']);
  });

  it('passes its fields and allowed arguments to `resolve`, and nothing else', async () => {
    const { raw, asked } = await setUp();
    const rest = { provider: 'claude', cwd: '/w', timeoutMs: 5 };
    await raw.request({ id: 1, prompt: 'p', args: ['--model=m', '--output-format', 'json'], ...rest });
    await raw.request({ id: 2, prompt: 'q' });
    expect(asked).toEqual([
      { prompt: 'p', model: 'm', ...rest, metadata: { [RAW_ID]: '1', [RAW_FORMAT]: 'json' } },
      { prompt: 'q', metadata: { [RAW_ID]: '2', [RAW_FORMAT]: 'text' } },
    ]);
  });

  it('an argument cannot replace the prompt or another field', async () => {
    const { raw, answers, asked } = await setUp();
    await raw.request({ id: 1, prompt: 'p', args: ['--permission-mode=fullAccess'] });
    expect(asked).toEqual([]);
    expect(answers).toEqual([
      { id: 1, success: false, error: 'the argument --permission-mode is not allowed in a raw request' },
    ]);
  });

  it('a refused request is answered with the reason, and makes no job', async () => {
    const { raw, adopted, answers } = await setUp(async () => {
      throw new AppError('cwd.not_allowed', 'the working directory is not allowed');
    });
    await raw.request({ id: 'x', prompt: 'p' });
    expect(answers).toEqual([{ id: 'x', success: false, error: 'the working directory is not allowed' }]);
    expect(adopted).toEqual([]);
  });

  it('a message that is no request is answered too, within the size of a message', async () => {
    const { raw, answers } = await setUp();
    await raw.refused(null, 'x'.repeat(100_000));
    expect(answers).toMatchObject([{ id: null, success: false, error: expect.stringMatching(/\[cut\]$/) }]);
  });

  it('rejects while Redis is away', async () => {
    const { doorbells } = await setUp();
    const raw = createRaw({
      claims: {
        async adopt() {
          throw new AppError('redis.unavailable', 'away');
        },
      },
      doorbells,
      responses: 'responses',
      resolve: async () => resolvedPrompt(),
      newId: () => ({ id: 'j1', createdAt: 1 }),
      newExecutionId: () => 'e1',
    });
    await expect(raw.request({ id: 1, prompt: 'p' })).rejects.toMatchObject({ code: 'redis.unavailable' });
  });
});

it('raw requests can be on, off, or on with the private Redis only', () => {
  const logged: string[] = [];
  const logger = pino({}, { write: (line: string) => void logged.push(line) });
  const isOn = (mode: RawRequestsOptions['mode'], privateRedis: boolean, signs = false): boolean =>
    createRawRequests({
      mode,
      privateRedis,
      signs,
      logger,
      claims: { adopt: async () => true },
      doorbells: createFakeDoorbells(),
      responses: 'responses',
      resolve: async () => resolvedPrompt(),
      newId: () => ({ id: 'j1', createdAt: 1 }),
      newExecutionId: () => 'e1',
      redactor: createRedactor(),
    }) !== null;
  expect([isOn('on', false), isOn('auto', true)]).toEqual([true, true]);
  expect([isOn('off', true), isOn('auto', false)]).toEqual([false, false]);
  // They are not signed, so where records are, they are on only by the word of the operator.
  expect([isOn('auto', true, true), isOn('off', true, true), logged]).toEqual([false, false, []]);
  expect([isOn('on', false, true), logged.join('')]).toEqual([
    true,
    expect.stringContaining('raw requests are on'),
  ]);
});
