import { describe, expect, it } from 'vitest';
import { createGeminiProvider } from '../../../../src/providers/gemini/provider.ts';
import { replay } from '../recorded.ts';
import { builtInOptions } from '../settings.ts';

const gemini = createGeminiProvider(builtInOptions());

describe('a recorded run of gemini', () => {
  it('that succeeds has its session, its text in pieces and whole, and tokens of unknown cost', () => {
    const { events, verdict, translator } = replay(gemini, 'success');
    expect(events[0]).toEqual({
      kind: 'session',
      sessionId: null,
      nativeSessionId: '00000000-0000-4000-8000-000000000001',
      model: 'gemini-2.5-flash',
    });
    const deltas = events.flatMap((event) => (event.kind === 'text.delta' ? [event.text] : []));
    expect(deltas).toEqual(['The', ' parser', ' is', ' in', ' src/parse.ts.']);
    expect(events.slice(-2).map(({ kind }) => kind)).toEqual(['text', 'usage']);
    const tokens = { inputTokens: 16, outputTokens: 8, cacheReadTokens: 0, cacheWriteTokens: 0 };
    expect(verdict).toEqual({
      text: 'The parser is in src/parse.ts.',
      structured: null,
      nativeSessionId: '00000000-0000-4000-8000-000000000001',
      turns: 1,
      usage: { ...tokens, costUsd: null, costBasis: 'unknown' },
      permissionDenials: [],
      error: null,
    });
    expect(translator.done).toBe(true);
    expect(translator.progress.byModel).toEqual({ 'gemini-2.5-flash': tokens });
  });

  it('shows tools and their output, counts the turn after them, and thoughts as output', () => {
    const { events, verdict } = replay(gemini, 'tool-use');
    expect(events.filter(({ kind }) => kind !== 'text.delta').slice(1, -1)).toMatchObject([
      { kind: 'text', text: 'I will count them.' },
      { kind: 'tool.started', name: 'run_shell_command', input: { command: 'echo 3' } },
      { kind: 'tool.ended', name: 'run_shell_command', isError: false, output: '3' },
      { kind: 'text', text: 'There are 3 files.' },
    ]);
    // 15 tokens were said and 3 thought
    expect(verdict).toMatchObject({
      text: 'There are 3 files.',
      turns: 2,
      usage: { outputTokens: 18 },
      error: null,
    });
  });

  it('succeeds although a command of it failed', () => {
    const { events, verdict } = replay(gemini, 'tool-failed');
    expect(events).toContainEqual(expect.objectContaining({ kind: 'tool.ended', output: 'no' }));
    expect(verdict.error).toBeNull();
  });

  it('reports a tool that its mode does not have as a denial', () => {
    const { events, verdict } = replay(gemini, 'tool-denied');
    expect(events).toContainEqual(
      expect.objectContaining({ kind: 'tool.ended', name: 'run_shell_command', isError: true }),
    );
    expect(verdict).toMatchObject({
      permissionDenials: [{ tool: 'run_shell_command', input: { command: 'touch made' } }],
      error: null,
    });
  });

  it('that resumed a session has what it used itself', () => {
    expect(replay(gemini, 'resume', { sessionId: '01K' }).verdict).toMatchObject({
      text: 'You are Ada.',
      usage: { outputTokens: 3 },
      error: null,
    });
  });

  it.each([
    ['unknown-session', 'execution.invalid_request', 'No previous sessions found for this project'],
    ['wrong-key', 'auth.required', 'API key not valid. Please pass a valid API key. (run `gemini`'],
    ['no-login', 'auth.required', 'GEMINI_API_KEY'],
    ['unauthenticated-401', 'auth.required', 'to answer 401'],
    ['rate-limit-429', 'execution.quota', 'to answer 429'],
    ['server-500', 'execution.overloaded', 'to answer 500.'],
    ['overloaded-503', 'execution.overloaded', 'to answer 503'],
    ['bad-request-400', 'execution.invalid_request', 'to answer 400'],
    ['max-turns', 'execution.max_turns', 'max session turns'],
    ['bad-argument', 'execution.invalid_request', 'Unknown arguments: such-flag'],
    ['untrusted', 'execution.invalid_request', 'trustedRoots'],
    ['sigterm-hang', 'execution.bad_output', 'without a result'],
    ['sigkill-tool', 'execution.crashed', 'was killed by SIGKILL'],
  ])('%s is %s', (name, code, said) => {
    const { verdict } = replay(gemini, name);
    const resetsAt = name === 'rate-limit-429' ? '2026-01-01T00:07:17.000Z' : null; // after 437 s
    expect(verdict.error).toMatchObject({ code, resetsAt });
    expect(verdict.error?.message).toContain(said);
    expect(verdict.error?.message).not.toMatch(/256-color|Ripgrep|YOLO|Commands:/);
  });

  it('has no line that passes as raw', () => {
    for (const name of ['success', 'tool-use', 'tool-denied', 'resume', 'max-turns', 'server-500']) {
      expect(replay(gemini, name).kinds).not.toContain('raw');
    }
  });
});
