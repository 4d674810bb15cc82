import { expect, it } from 'vitest';
import type { ResolvedPrompt } from '../../../src/protocol/prompt.ts';
import type { NewJob } from '../../../src/records/ports.ts';
import { executorBench } from '../executor/bench.ts';

const say = (...lines: readonly object[]): string =>
  lines.map((line) => `echo '${JSON.stringify(line)}'`).join('; ');
const MILLION = 1_000_000;

/** A command that reports its use twice and would run for long. */
async function run(
  output: Record<string, string>,
  script: string,
  request: Partial<ResolvedPrompt>,
  rest: Partial<NewJob> = {},
) {
  const command = {
    binary: '/bin/sh',
    args: ['-c', `${script}; [ "$2" = max ] && sleep 60; true`, 'x', '{{model}}', '{{effort}}'],
    output: { ndjson: { text: '/text', ...output } },
  };
  const bench = await executorBench({ custom: { teller: command } });
  const executor = bench.open();
  const id = await bench.submit({ prompt: 'Hi', provider: 'teller', model: 'priced', ...request }, rest);
  await executor.start();
  const record = await bench.finished(id);
  return { ...record, events: await bench.rpc.records.events(id, 0, 100) };
}

const TOKENS = { inputTokens: '/in', outputTokens: '/out' };

it('a run is ended when its tokens cost more than it may', async () => {
  const script = say({ text: 'a', in: MILLION, out: 0 }, { text: 'b', in: MILLION, out: MILLION });
  const { outcome } = await run(TOKENS, script, { maxCostUsd: 1.5, effort: 'max' });
  expect(outcome).toMatchObject({
    status: 'failed',
    text: 'ab',
    model: 'priced',
    usage: { costUsd: 2, costBasis: 'estimated' },
    error: { code: 'execution.budget', message: 'the execution cost more than its $1.5', retryable: false },
  });
});

it('a run that stays within it goes on, and its events tell the cost so far', async () => {
  const script = say({ text: 'a', in: MILLION, out: 0 }, { text: 'b', in: MILLION, out: MILLION });
  const { outcome, events } = await run(TOKENS, script, { maxCostUsd: 2 });
  expect(outcome).toMatchObject({ status: 'succeeded', usage: { costUsd: 2, costBasis: 'estimated' } });
  const reported = events.flatMap((event) => (event.kind === 'usage' ? [event.usage.costUsd] : []));
  expect(reported).toEqual([1, 2]);
});

it('a cost that the command itself reports counts without a price', async () => {
  const script = say({ text: 'a', usd: 0.5 }, { text: 'b', usd: 3 });
  const { outcome } = await run({ costUsd: '/usd' }, script, {
    maxCostUsd: 1,
    model: 'unpriced',
    effort: 'max',
  });
  expect(outcome).toMatchObject({
    usage: { costUsd: 3, costBasis: 'reported' },
    error: { code: 'execution.budget' },
  });
});

it('a cost or a count that cannot be kept ends no run', async () => {
  const script = `echo '{"text":"a","usd":1e400,"out":1e300}'; sleep 0.1`;
  const { outcome } = await run({ costUsd: '/usd', outputTokens: '/out' }, script, { maxCostUsd: 1 });
  expect(outcome).toMatchObject({ status: 'succeeded', text: 'a', usage: null });
});

it('a run is stopped when its project has spent the amount of the day, and not for what it cost before its end', async () => {
  const script = say({ text: 'a', in: MILLION, out: 0 });
  const poor = { project: 'poor' }; // CALLER_LIMITS of tests/helpers/redis-records.ts: 1 USD a day
  const stopped = await run(TOKENS, script, { effort: 'max' }, poor);
  expect(stopped.outcome).toMatchObject({
    ...{ status: 'failed', text: 'a', usage: { costUsd: 1 } },
    error: {
      ...{ code: 'execution.budget', retryable: false },
      message: 'the caller, or its project, has spent the USD of the day',
    },
  });
  expect((await run(TOKENS, script, {}, { project: 'web' })).outcome).toMatchObject({ status: 'succeeded' });
});
