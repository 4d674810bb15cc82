import { describe, expect, it } from 'vitest';
import {
  type ClaudeCaseName,
  type RanCase,
  runClaudeCase,
} from '../../scripts/offline-model/claude-cases.ts';
import type { ClaudeRun } from '../../scripts/offline-model/run-claude.ts';

interface Line {
  readonly type: string;
  readonly subtype?: string;
  readonly session_id?: string;
  readonly [field: string]: unknown;
}

const linesOf = (run: ClaudeRun): Line[] => run.lines.map((line) => JSON.parse(line) as Line);
const ofType = (run: ClaudeRun, type: string, subtype?: string): Line[] =>
  linesOf(run).filter((line) => line.type === type && (subtype === undefined || line.subtype === subtype));

/** The content blocks of all assistant or user lines. */
const blocksOf = (run: ClaudeRun, type: 'assistant' | 'user'): { type: string; [field: string]: unknown }[] =>
  ofType(run, type).flatMap((line) => (line['message'] as { content: { type: string }[] }).content);

async function resultOf(name: ClaudeCaseName): Promise<RanCase & { result: Line }> {
  const ran = await runClaudeCase(name);
  const [result, ...others] = ofType(ran.run, 'result');
  expect(others).toEqual([]);
  return { ...ran, result: result ?? expect.unreachable(ran.run.stderr) };
}

describe.concurrent('the claude CLI', () => {
  it('answers a prompt from stdin with init, deltas, the message and a result, and exits 0', async () => {
    const { run, result, requests } = await resultOf('success');
    expect([run.code, run.signal, run.stderr]).toEqual([0, null, '']);
    expect(linesOf(run)[0]).toMatchObject({
      type: 'system',
      subtype: 'init',
      apiKeySource: 'ANTHROPIC_API_KEY',
    });
    expect(ofType(run, 'stream_event').length).toBeGreaterThan(5);
    expect(blocksOf(run, 'assistant')).toEqual([{ type: 'text', text: 'The parser is in src/parse.ts.' }]);
    expect(result).toMatchObject({
      subtype: 'success',
      is_error: false,
      terminal_reason: 'completed',
      result: 'The parser is in src/parse.ts.',
      num_turns: 1,
      permission_denials: [],
      usage: { input_tokens: 16, output_tokens: 8 },
    });
    expect(result['total_cost_usd']).toBeGreaterThan(0);
    expect(result['model_usage_since_last_result']).toEqual(result['modelUsage']);
    expect(requests.map(({ kind }) => kind)).toEqual(['turn']);
  });

  it('runs an allowed tool and goes on with its result', async () => {
    const { run, result, requests } = await resultOf('tool-use');
    expect(run.code).toBe(0);
    expect(blocksOf(run, 'assistant').map(({ type }) => type)).toEqual([
      'thinking',
      'text',
      'tool_use',
      'text',
    ]);
    expect(blocksOf(run, 'user')).toMatchObject([{ type: 'tool_result', content: '3', is_error: false }]);
    expect(result).toMatchObject({
      subtype: 'success',
      is_error: false,
      result: 'There are 3 files.',
      num_turns: 2,
    });
    expect(requests.map(({ behaviour }) => behaviour)).toEqual(['tool Bash', 'reply']);
  });

  it('resumes a session under its id, with cost that goes on and usage that does not', async () => {
    const { run, first, result } = await resultOf('resume');
    const before =
      first === null ? expect.unreachable() : (ofType(first, 'result')[0] ?? expect.unreachable());
    expect(run.code).toBe(0);
    expect(result).toMatchObject({ session_id: before.session_id, result: 'You are Ada.', num_turns: 1 });
    const costs = Object.values(
      result['model_usage_since_last_result'] as Record<string, { costUSD: number }>,
    );
    const since = costs.reduce((sum, { costUSD }) => sum + costUSD, 0);
    expect(result['total_cost_usd']).toBeCloseTo(Number(before['total_cost_usd']) + since, 10);
  });

  it.each([
    ['auth-401', 401, 'authentication_failed', 'authentication_failed'],
    ['overloaded-529', 529, 'overloaded', 'server_error'],
  ] as const)(
    '%s: retries, then exits 1 with a result that calls itself a success and an error',
    async (name, status, retried, error) => {
      const { run, result, requests } = await resultOf(name);
      expect([run.code, run.stderr]).toEqual([1, '']);
      expect(ofType(run, 'system', 'api_retry')).toMatchObject([
        { attempt: 1, max_retries: 1, error_status: status, error: retried },
      ]);
      expect(ofType(run, 'assistant')).toMatchObject([{ error, message: { model: '<synthetic>' } }]);
      expect(result).toMatchObject({
        subtype: 'success',
        is_error: true,
        terminal_reason: 'api_error',
        api_error_status: status,
        total_cost_usd: 0,
      });
      expect(requests).toHaveLength(2);
    },
  );

  it('reports a rate limit in api_retry, waits for the given time and succeeds', async () => {
    const { run, result } = await resultOf('rate-limit-429-retry');
    const [retry] = ofType(run, 'system', 'api_retry');
    expect(retry).toMatchObject({ attempt: 1, max_retries: 2, error_status: 429, error: 'rate_limit' });
    expect(retry?.['retry_delay_ms']).toBeGreaterThanOrEqual(1000);
    expect(run.code).toBe(0);
    expect(result).toMatchObject({
      subtype: 'success',
      is_error: false,
      result: 'Here I am.',
      api_error_status: null,
    });
  });

  it('exits 143 without a result when it is terminated in the middle of an answer', async () => {
    const { run } = await runClaudeCase('sigterm-hang');
    expect([run.code, run.signal]).toEqual([143, null]);
    expect(ofType(run, 'result')).toEqual([]);
  });

  it('exits 1 for an unknown session, with the reason on stderr and a result but no init', async () => {
    const { run, result, requests } = await resultOf('unknown-session');
    expect(run.code).toBe(1);
    expect(run.stderr).toContain('No conversation found with session ID');
    expect(linesOf(run).map(({ type }) => type)).toEqual(['result']);
    expect(result).toMatchObject({ subtype: 'error_during_execution', is_error: true, num_turns: 0 });
    expect(requests).toEqual([]);
  });

  it('speaks of a task that died before in a turn of its own, and ties the answer to the prompt by its id', async () => {
    const { run } = await runClaudeCase('resume-dead-task');
    const life = ofType(run, 'command_lifecycle');
    expect(life.map((line) => line['state'])).toEqual(['queued', 'started', 'completed']);
    const [notice, answer, ...others] = ofType(run, 'result');
    expect(notice).toMatchObject({ num_turns: 0, result: '', origin: { kind: 'task-notification' } });
    expect(notice).not.toHaveProperty('user_message_uuids');
    expect(answer).toMatchObject({
      result: 'Now it is well.',
      user_message_uuids: [life[0]?.['command_uuid']],
    });
    expect(answer).not.toHaveProperty('origin');
    expect(others).toEqual([]);
    expect(linesOf(run).at(-1)).toEqual(life.at(-1));
  });

  it('stays for a task in the background with stdin closed, and leaves with 1 when its remark on it fails', async () => {
    const { run } = await runClaudeCase('background-remark-fails');
    const tasks = ofType(run, 'system', 'background_tasks_changed').map((line) => line['tasks']);
    expect(tasks).toMatchObject([[{ description: 'Run a command' }], []]);
    expect(ofType(run, 'result')).toMatchObject([
      { is_error: false, result: 'It is started.' },
      { is_error: true, origin: { kind: 'task-notification' } },
    ]);
    expect(run.code).toBe(1);
  });

  it.each([
    ['hook-blocked', 'blocked_by_hook'],
    ['hook-refused', 'stopped_by_hook'],
  ] as const)(
    'exits 0 with a success when a hook keeps the prompt from the model (%s)',
    async (name, kind) => {
      const { run, result, requests } = await resultOf(name);
      expect(ofType(run, 'system', 'informational')).toMatchObject([{ prompt_submit_outcome: { kind } }]);
      expect(result).toMatchObject({ subtype: 'success', is_error: false, num_turns: 0 });
      expect([run.code, requests]).toEqual([0, []]);
    },
  );

  it('exits 0 with a success that names another reason', async () => {
    const { run, result } = await resultOf('hook-stopped');
    expect(result).toMatchObject({ subtype: 'success', is_error: false, terminal_reason: 'hook_stopped' });
    expect(run.code).toBe(0);
  });

  it('goes on without an MCP server, which its init names', async () => {
    const { run } = await resultOf('mcp-failed');
    expect(linesOf(run).find(({ subtype }) => subtype === 'init')).toMatchObject({
      mcp_servers: [{ name: 'broken', status: 'failed' }],
    });
    expect(run.code).toBe(0);
  });
});
