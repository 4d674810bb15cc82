import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { ResolvedPrompt } from '../../../src/protocol/prompt.ts';
import { executorBench, KNOWN_SESSION } from './bench.ts';

type Settings = Record<string, Record<string, unknown>>;
const MISSING = '/missing/claude';
const ECHO = { binary: '/bin/sh', args: ['-c', 'printf "echo: "; cat'] };

/** claude is missing, and `echo` answers with what it was asked. */
async function benchWith(claude: Record<string, unknown>, echo: Record<string, unknown> = ECHO) {
  const settings: Settings = { claude, custom: { echo } };
  const bench = await executorBench(settings);
  const executor = bench.open();
  await executor.start();
  return {
    ...bench,
    async run(request: Partial<ResolvedPrompt> = {}) {
      const id = await bench.submit({ prompt: 'Hi', ...request });
      executor.kick();
      const record = await bench.finished(id);
      return { record, events: await bench.rpc.records.events(id, 0, 1000) };
    },
  };
}

describe('a job whose CLI is missing', () => {
  it('has a conversation that cannot go on: no session is promised', async () => {
    const talks = {
      binary: '/bin/echo',
      args: ['{"id":"c1","text":"hi"}'],
      output: { ndjson: { text: '/text', session: '/id' } },
    };
    const bench = await benchWith({ binary: MISSING, fallback: 'echo' }, talks);
    const { record, events } = await bench.run();
    const native = { sessionId: null, nativeSessionId: 'c1' };
    expect(record).toMatchObject({ outcome: native });
    expect(events.filter(({ kind }) => kind === 'session')).toMatchObject([native]);
  });

  it('is run by the fallback, which its events and its outcome name', async () => {
    const bench = await benchWith({ binary: MISSING, fallback: 'echo' });
    const { record, events } = await bench.run();
    expect(record).toMatchObject({
      status: 'succeeded',
      request: { provider: 'claude' },
      outcome: { provider: 'echo', text: 'echo: Hi', sessionId: null, error: null },
    });
    const [, , warning, started] = events;
    expect(warning).toMatchObject({
      kind: 'warning',
      code: 'fallback',
      message: expect.stringMatching(/^echo runs this job: \/missing\/claude is not installed/),
    });
    expect(started).toMatchObject({ kind: 'execution.started', provider: 'echo' });
  });

  it('is run by the fallback also when only the spawn shows that the CLI cannot be started', async () => {
    const bench = await benchWith({ fallback: 'echo' });
    const broken = join(bench.dir, 'bin', 'claude');
    writeFileSync(broken, '#!/missing/interpreter\n');
    const { record, events } = await bench.run();
    expect(record).toMatchObject({ status: 'succeeded', outcome: { provider: 'echo' } });
    const warnings = events.filter(({ kind }) => kind === 'warning');
    expect(warnings).toMatchObject([{ code: 'fallback', message: expect.stringContaining(broken) }]);
  });

  it('fails as before when there is no fallback', async () => {
    const bench = await benchWith({ binary: MISSING });
    const { record } = await bench.run();
    expect(record.outcome?.error).toMatchObject({
      code: 'execution.cli_missing',
      message: '/missing/claude is not installed: no executable file where the settings say',
    });
  });

  it('fails with the reason when the fallback cannot honour an option', async () => {
    const bench = await benchWith({ binary: MISSING, fallback: 'echo' });
    const { record } = await bench.run({ maxTurns: 3, permissionMode: 'plan' });
    expect(record.outcome?.error?.code).toBe('execution.cli_missing');
    expect(record.outcome?.error?.message).toMatch(
      /^\/missing\/claude is not installed.*; its fallback echo cannot run this job: permissionMode: .*; maxTurns: /,
    );
  });

  it('fails with the reason when it resumes a session', async () => {
    const bench = await benchWith({ binary: MISSING, fallback: 'echo' });
    const { record } = await bench.run({ sessionId: KNOWN_SESSION });
    expect(record.outcome?.error?.message).toContain('the session belongs to claude');
  });

  it('fails with both names when the fallback is missing too', async () => {
    const bench = await benchWith({ binary: MISSING, fallback: 'echo' }, { binary: '/missing/echo' });
    const { record } = await bench.run();
    expect(record.outcome?.error).toMatchObject({ code: 'execution.cli_missing' });
    expect(record.outcome?.error?.message).toMatch(/\/missing\/claude.*its fallback echo.*\/missing\/echo/);
  });

  it('is refused for what it may not do rather than for its CLI', async () => {
    const bench = await benchWith({ binary: MISSING });
    const { record } = await bench.run({ cwd: '/' });
    expect(record.outcome?.error?.code).toBe('cwd.not_allowed');
  });

  it('is not moved to the fallback for any other reason', async () => {
    const bench = await benchWith({ fallback: 'echo' });
    const { record } = await bench.run({ cwd: '/' });
    expect(record.outcome?.error?.code).toBe('cwd.not_allowed');
  });
});

describe('the model of a job that the fallback runs', () => {
  const SAYS_MODEL = { binary: '/bin/echo', args: ['{{model}}'] };

  it('stays when the caller asked for it and the fallback takes it', async () => {
    const bench = await benchWith({ binary: MISSING, fallback: 'echo', model: 'opus' }, SAYS_MODEL);
    expect((await bench.run({ model: 'sonnet' })).record.outcome?.text).toBe('sonnet');
  });

  it('is the default of the fallback when it was the default of the other', async () => {
    const echo = { ...SAYS_MODEL, model: 'small' };
    const bench = await benchWith({ binary: MISSING, fallback: 'echo', model: 'opus' }, echo);
    expect((await bench.run({ model: 'opus' })).record.outcome?.text).toBe('small');
  });

  it('is dropped when the fallback takes none', async () => {
    const bench = await benchWith({ binary: MISSING, fallback: 'echo' });
    const { record, events } = await bench.run({ model: 'sonnet' });
    expect(record.outcome).toMatchObject({ provider: 'echo', text: 'echo: Hi' });
    expect(events.find(({ kind }) => kind === 'warning')).toMatchObject({
      message: expect.stringMatching(/^echo runs this job with its default model instead of sonnet: /),
    });
  });

  it('is not run by a fallback that could not keep its cap of cost', async () => {
    const lines = { ndjson: { text: '/text', outputTokens: '/tokens' } };
    const teller = { binary: '/bin/sh', args: ['-c', 'true', '{{model}}'], output: lines };
    const bench = await benchWith({ binary: MISSING, fallback: 'echo' }, teller);
    const { record } = await bench.run({ maxCostUsd: 1, model: 'unpriced' });
    expect(record.outcome?.error?.message).toMatch(/maxCostUsd: there is no price for unpriced/);
  });
});
