import { describe, expect, it } from 'vitest';
import { type HowItEnded, init, result, run, said } from './cursor-lines.ts';

const TRUST = `⚠ Workspace Trust Required
  To proceed, you can either:
    • Run 'agent' interactively to decide
    • Pass --trust, --yolo, or -f if you trust this directory`;

const codeOf = (lines: readonly (object | string)[], ended: HowItEnded = {}): string | null =>
  run(lines, ended).verdict.error?.code ?? null;

describe('the end of cursor-agent', () => {
  it('is a success by its result, no error in it, and exit code 0', () => {
    const { verdict } = run([init, said('Yes.'), result('Yes.')]);
    expect(verdict).toMatchObject({ text: 'Yes.', turns: null, error: null });
  });

  it('is none without a result', () => {
    expect(codeOf([init, said('Yes.')])).toBe('execution.bad_output');
  });

  it('is none with a result and another exit code', () => {
    expect(codeOf([init, result('Yes.')], { code: 1, stderr: 'rate limit' })).toBe('execution.crashed');
  });

  it('is none when the result is an error, also with exit code 0', () => {
    const { error } = run([init, result('The model broke', { is_error: true })]).verdict;
    expect(error).toMatchObject({ code: 'execution.crashed', message: 'The model broke' });
    expect(codeOf([init, result('', { subtype: 'error' })])).toBe('execution.crashed');
    expect(codeOf([init, result('Usage limit reached', { is_error: true })])).toBe('execution.quota');
  });

  it.each([
    ['Error: Not authenticated', 'auth.required'],
    ["Error: Authentication required. Please run 'agent login' first", 'auth.required'],
    ['⚠ Warning: The provided API key is invalid.', 'auth.required'],
    ["You've hit your usage limit", 'execution.quota'],
    ['ConnectError: [resource_exhausted] Error', 'execution.quota'],
    ['429 Too Many Requests', 'execution.quota'],
    ['ConnectError: [unavailable] read ECONNRESET', 'execution.overloaded'],
    ['Cannot use this model: gpt-9. Available models: auto', 'execution.invalid_request'],
    ["error: unknown option '--no-such'", 'execution.invalid_request'],
    [TRUST, 'execution.invalid_request'],
    ['Segmentation fault', 'execution.crashed'],
    ['', 'execution.crashed'],
  ])('with nothing but %j on stderr is %s', (stderr, code) => {
    expect(codeOf([], { code: 1, stderr })).toBe(code);
  });

  it('names what to do about a login and about trust', () => {
    const messageOf = (stderr: string): string | undefined =>
      run([], { code: 1, stderr }).verdict.error?.message;
    expect(messageOf('noise\nError: Not authenticated\n')).toMatch(
      /^Error: Not authenticated \(set CURSOR_API_KEY/,
    );
    expect(messageOf(TRUST)).toContain('BULLPEN_TRUSTED_ROOTS');
  });

  it('is a refusal when stdout has one as text, with any exit code', () => {
    expect(codeOf(TRUST.split('\n'))).toBe('execution.invalid_request');
    expect(codeOf(TRUST.split('\n'), { code: 1 })).toBe('execution.invalid_request');
  });

  it('by a signal is a crash, with any text on stderr', () => {
    expect(codeOf([init], { code: null, signal: 'SIGTERM', stderr: 'rate limit' })).toBe('execution.crashed');
  });
});
