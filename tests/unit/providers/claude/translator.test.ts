import { describe, expect, it } from 'vitest';
import { assistant, delta, fold, init, result, toolResult } from './claude-lines.ts';

const text = (value: string) => ({ type: 'text', text: value });

describe('the claude translator', () => {
  it('reports the session once, and again when it changes', () => {
    expect(fold([init(), init(), init({ model: 'haiku' })]).events).toEqual([
      { kind: 'session', sessionId: null, nativeSessionId: 's1', model: 'opus' },
      { kind: 'session', sessionId: null, nativeSessionId: 's1', model: 'haiku' },
    ]);
  });

  it('knows the account of a plan from the answer to the opening, and makes no event of it', () => {
    const hello = (account: object) => ({
      type: 'control_response',
      response: { subtype: 'success', request_id: 'hello', response: { account, pid: 1 } },
    });
    const accountOf = (...lines: Readonly<Record<string, unknown>>[]) => {
      const { translator, events } = fold(lines);
      expect(events).toEqual([]);
      return translator.account;
    };
    const plan = { email: 'ada@example.com', organization: 'Engines', subscriptionType: 'Claude Max' };
    expect(accountOf(hello(plan))).toBe('["ada@example.com","Engines"]');
    expect(accountOf(hello({ email: 'ada@example.com' }))).toBe('["ada@example.com",null]');
    expect(accountOf(hello({ tokenSource: 'none', apiKeySource: 'ANTHROPIC_API_KEY' }))).toBeNull();
    expect(accountOf({ type: 'control_response' })).toBeNull();
  });

  it('warns of each MCP server that is missing, once', () => {
    const servers = (status: string) => [{ name: 'db', status }, { name: 'ok', status: 'connected' }, 'odd'];
    const lines = ['failed', 'failed', 'needs-auth'].map((status) => init({ mcp_servers: servers(status) }));
    const warnings = fold(lines).events.filter(({ kind }) => kind === 'warning');
    expect(warnings.map((event) => 'message' in event && event.message)).toEqual([
      'the MCP server db could not be started or reached: its tools are missing',
      'the MCP server db needs a login: its tools are missing',
    ]);
    expect(fold([init({ mcp_servers: 'none' })]).events).toMatchObject([{ kind: 'session' }]);
  });

  it('warns of a session that was not saved, and does not promise a new one', () => {
    const lost = { type: 'system', subtype: 'session_writes_lost', error_code: 'ENOSPC' };
    const lines = [init(), result(), { ...lost, lost: ['transcript', 'global_config'] }];
    const folded = fold(lines);
    expect(folded.events.at(-1)).toMatchObject({
      kind: 'warning',
      code: 'session_writes_lost',
      message: expect.stringContaining('ENOSPC'),
    });
    expect(folded.end()).toMatchObject({ text: 'Done.', nativeSessionId: null, error: null });
    expect(fold(lines, { sessionId: '01J' }).end().nativeSessionId).toBe('s1');
    expect(fold([init(), result(), { ...lost, lost: ['global_config'] }]).end().nativeSessionId).toBe('s1');
  });

  it('streams deltas and then the whole block', () => {
    expect(fold([delta('Hel'), delta('lo'), assistant([text('Hello')])]).events).toEqual([
      { kind: 'text.delta', text: 'Hel' },
      { kind: 'text.delta', text: 'lo' },
      { kind: 'text', text: 'Hello' },
    ]);
  });

  it('keeps the ids of tools and finds their names again', () => {
    const lines = [
      assistant([{ type: 'tool_use', id: 't1', name: 'Read', input: { file_path: 'a' } }]),
      toolResult('t1', [text('one'), { type: 'image' }]),
      toolResult('t2', 'lost'),
    ];
    expect(fold(lines).events).toEqual([
      { kind: 'tool.started', toolId: 't1', name: 'Read', input: { file_path: 'a' } },
      { kind: 'tool.ended', toolId: 't1', name: 'Read', isError: false, output: 'one\n[image]' },
      { kind: 'tool.ended', toolId: 't2', name: null, isError: false, output: 'lost' },
    ]);
  });

  it("shows a subagent's tools but not its words as the answer", () => {
    const inside = { parent_tool_use_id: 'agent' };
    const lines = [
      delta('inner', inside),
      assistant([text('inner'), { type: 'tool_use', id: 't1', name: 'Grep', input: {} }], inside),
      toolResult('t1', 'found', inside),
    ];
    const folded = fold(lines);
    expect(folded.events.map(({ kind }) => kind)).toEqual(['raw', 'tool.started', 'tool.ended']);
    expect(folded.end({ code: null, signal: 'SIGKILL' }).text).toBe('');
  });

  it('reports reasoning, without empty blocks', () => {
    const lines = [
      assistant([
        { type: 'thinking', thinking: '' },
        { type: 'thinking', thinking: 'Hm.' },
      ]),
    ];
    expect(fold(lines).events).toEqual([{ kind: 'reasoning', text: 'Hm.' }]);
  });

  it('reports how much of each window of a plan is used', () => {
    const five_hour = { utilization: 0.85, resetsAt: 1_800_000_000, status: 'allowed' };
    const windows = { five_hour, seven_day: { utilization: 0.3, resetsAt: 1_800_000_000_000 } };
    const info = { status: 'allowed', rateLimitType: 'five_hour', unifiedWindows: windows };
    const limit = { kind: 'rate_limit', status: 'allowed', resetsAt: '2027-01-15T08:00:00.000Z' };
    expect(fold([{ type: 'rate_limit_event', rate_limit_info: info }]).events).toEqual([
      { ...limit, limit: 'five_hour', use: 0.85 },
      { ...limit, limit: 'seven_day', use: 0.3 },
    ]);
    const odd = { ...info, unifiedWindows: { five_hour: 'full' } };
    expect(fold([{ type: 'rate_limit_event', rate_limit_info: odd }]).events).toEqual([
      { ...limit, limit: 'five_hour', use: null, resetsAt: null },
    ]);
  });

  it('reports the rate limits of a plan', () => {
    const rate_limit_info = {
      status: 'allowed_warning',
      resetsAt: 1_800_000_000,
      rateLimitType: 'five_hour',
    };
    expect(fold([{ type: 'rate_limit_event', rate_limit_info }]).events).toEqual([
      {
        kind: 'rate_limit',
        status: 'allowed_warning',
        resetsAt: '2027-01-15T08:00:00.000Z',
        limit: 'five_hour',
        use: null,
      },
    ]);
  });

  it.each([
    '',
    '{',
    'null',
    '[]',
    '[SandboxDebug] something',
    '{"type":"tomorrow"}',
    '{"type":"assistant"}',
    '{"type":"system","subtype":"hook_started"}',
  ])('passes %j as it is', (line) => {
    expect(fold([]).translator.line(line)).toEqual([{ kind: 'raw', line }]);
  });

  it('passes a line with unknown blocks once, beside what it knows', () => {
    const folded = fold([assistant([{ type: 'x' }, text('Hi'), { type: 'y' }])]);
    expect(folded.events.map(({ kind }) => kind)).toEqual(['raw', 'text']);
  });

  it('still sees the end when a field beside the result has another type', () => {
    const folded = fold([init(), result({ permission_denials: 'none', usage: 7 })]);
    expect(folded.end()).toMatchObject({ text: 'Done.', error: null });
  });
});
