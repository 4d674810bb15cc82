import { describe, expect, it } from 'vitest';
import { type GeminiCaseName, runGeminiCase } from '../../scripts/offline-model/gemini-cases.ts';
import type { CliRun } from '../../scripts/offline-model/run-cli.ts';

interface Line {
  readonly type: string;
  readonly [field: string]: unknown;
}

const linesOf = (run: CliRun): Line[] => run.lines.map((line) => JSON.parse(line) as Line); // every line is an object
const typesOf = (run: CliRun): string[] => linesOf(run).map(({ type }) => type);
const ofType = (run: CliRun, type: string): Line[] => linesOf(run).filter((line) => line.type === type);
const textOf = (run: CliRun): string =>
  ofType(run, 'message')
    .filter(({ role }) => role === 'assistant')
    .map(({ content }) => content)
    .join('');

describe('the gemini CLI', () => {
  it('answers a prompt from stdin with its session, its words and its usage, and exits 0', async () => {
    const { run, requests } = await runGeminiCase('success');
    expect([run.code, run.signal]).toEqual([0, null]);
    expect(ofType(run, 'init')).toMatchObject([
      { session_id: expect.any(String), model: 'gemini-2.5-flash' },
    ]);
    expect(textOf(run)).toBe('The parser is in src/parse.ts.');
    expect(ofType(run, 'result')).toMatchObject([
      { status: 'success', stats: { input_tokens: 16, input: 16, cached: 0, output_tokens: 8 } },
    ]);
    expect(requests.map(({ kind, path }) => [kind, path.split(':').at(-1)])).toEqual([
      ['turn', 'streamGenerateContent'],
    ]);
  });

  it('runs a command, goes on with its output, and counts thoughts in the total alone', async () => {
    const { run, requests } = await runGeminiCase('tool-use');
    expect(run.code).toBe(0);
    expect(ofType(run, 'tool_use')).toMatchObject([
      { tool_name: 'run_shell_command', parameters: { command: 'echo 3' } },
    ]);
    expect(ofType(run, 'tool_result')).toMatchObject([{ status: 'success', output: '3' }]);
    expect(requests.map(({ behaviour }) => behaviour)).toEqual(['tool run_shell_command', 'reply']);
    const [{ stats } = expect.unreachable()] = ofType(run, 'result');
    const {
      total_tokens: total,
      input_tokens: input,
      output_tokens: output,
    } = stats as Record<string, number>;
    expect(total).toBeGreaterThan((input ?? 0) + (output ?? 0));
  });

  it('calls a command that failed a success', async () => {
    const { run } = await runGeminiCase('tool-failed');
    expect(ofType(run, 'tool_result')).toMatchObject([{ status: 'success', output: 'no' }]);
  });

  it('does not know the shell in its default mode', async () => {
    const { run } = await runGeminiCase('tool-denied');
    expect(run.code).toBe(0);
    expect(ofType(run, 'tool_result')).toMatchObject([
      { status: 'error', error: { type: 'tool_not_registered' } },
    ]);
  });

  it('resumes a session under its id, with usage of this run alone', async () => {
    const { run, first } = await runGeminiCase('resume');
    const session = ofType(first ?? expect.unreachable(), 'init')[0]?.['session_id'];
    expect(run.code).toBe(0);
    expect(ofType(run, 'init')[0]?.['session_id']).toBe(session);
    expect(ofType(run, 'result')).toMatchObject([{ stats: { output_tokens: 3 } }]);
  });

  it.each<[GeminiCaseName, number, string]>([
    ['unknown-session', 42, 'No previous sessions found'],
    ['no-login', 41, 'GEMINI_API_KEY'],
    ['bad-argument', 1, 'Unknown argument'],
    ['untrusted', 55, 'not running in a trusted directory'],
  ])('%s: exits %i with the reason on stderr and nothing on stdout', async (name, code, said) => {
    const { run, requests } = await runGeminiCase(name);
    expect([run.code, run.lines, requests]).toEqual([code, [], []]);
    expect(run.stderr).toContain(said);
  });

  it.each<[GeminiCaseName, number, string]>([
    ['wrong-key', 400, 'API_KEY_INVALID'],
    ['unauthenticated-401', 401, 'UNAUTHENTICATED'],
    ['bad-request-400', 400, 'INVALID_ARGUMENT'],
    ['rate-limit-429', 429, 'told to answer 429'],
    ['server-500', 500, 'INTERNAL'],
    ['overloaded-503', 503, 'told to answer 503'],
  ])(
    "%s: exits with the vendor's status modulo 256, and its last line says why",
    async (name, status, said) => {
      const { run, requests } = await runGeminiCase(name);
      expect(run.code).toBe(status % 256);
      expect(typesOf(run).at(-1)).toBe('result');
      expect(ofType(run, 'result')).toMatchObject([
        { status: 'error', error: { message: expect.stringContaining(said) } },
      ]);
      expect(requests).toHaveLength(1);
    },
  );

  it('prints the delay that the vendor asks for as a field of its error, in milliseconds', async () => {
    const { run } = await runGeminiCase('rate-limit-429');
    expect(run.stderr).toMatch(/^ *retryDelayMs: 437000,$/m);
  });

  it('exits 53 at the cap of turns its settings name', async () => {
    const { run, requests } = await runGeminiCase('max-turns');
    expect(run.code).toBe(53);
    expect(ofType(run, 'result')).toMatchObject([
      { status: 'error', error: { type: 'FatalTurnLimitedError' } },
    ]);
    expect(requests).toHaveLength(1);
  });

  it('exits 0 without a last line when it is terminated in the middle of an answer', async () => {
    const { run } = await runGeminiCase('sigterm-hang');
    expect([run.code, run.signal]).toEqual([0, null]);
    expect(typesOf(run)).toEqual(['init', 'message']);
  });

  it('ends without a last line when it is killed while its tool runs', async () => {
    const { run } = await runGeminiCase('sigkill-tool');
    expect(run.signal).toBe('SIGKILL');
    expect(typesOf(run)).toEqual(['init', 'message', 'tool_use']);
  });
});
