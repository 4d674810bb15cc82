import { describe, expect, it } from 'vitest';
import { type CodexCaseName, runCodexCase } from '../../scripts/offline-model/codex-cases.ts';
import type { CliRun } from '../../scripts/offline-model/run-cli.ts';

interface Line {
  readonly type: string;
  readonly [field: string]: unknown;
}

const linesOf = (run: CliRun): Line[] => run.lines.map((line) => JSON.parse(line) as Line);
/** The types of the lines, the warning about an unknown model left out. */
const typesOf = (run: CliRun): string[] =>
  linesOf(run)
    .filter(({ item }) => (item as { type?: string } | undefined)?.type !== 'error')
    .map(({ type, item }) => (item === undefined ? type : `${type} ${(item as { type: string }).type}`));
const ofType = (run: CliRun, type: string): Line[] => linesOf(run).filter((line) => line.type === type);

describe('the codex CLI', () => {
  it('answers a prompt from stdin with its thread, the message and its usage, and exits 0', async () => {
    const { run, requests } = await runCodexCase('success');
    expect([run.code, run.signal]).toEqual([0, null]);
    expect(typesOf(run)).toEqual([
      'thread.started',
      'turn.started',
      'item.completed agent_message',
      'turn.completed',
    ]);
    expect(ofType(run, 'turn.completed')).toMatchObject([
      { usage: { input_tokens: 16, cached_input_tokens: 0, output_tokens: 8 } },
    ]);
    expect(requests.map(({ kind }) => kind)).toEqual(['turn']);
  });

  it('runs a command and goes on with its output', async () => {
    const { run, requests } = await runCodexCase('tool-use');
    expect(run.code).toBe(0);
    expect(typesOf(run)).toEqual([
      'thread.started',
      'turn.started',
      'item.completed reasoning',
      'item.completed agent_message',
      'item.started command_execution',
      'item.completed command_execution',
      'item.completed agent_message',
      'turn.completed',
    ]);
    expect(ofType(run, 'item.completed')).toContainEqual(
      expect.objectContaining({
        item: expect.objectContaining({ aggregated_output: '3\n', exit_code: 0, status: 'completed' }),
      }),
    );
    expect(requests.map(({ behaviour }) => behaviour)).toEqual(['tool exec_command', 'reply']);
  });

  it('resumes a thread under its id, with usage that goes on from what the thread had', async () => {
    const { run, first } = await runCodexCase('resume');
    const thread = ofType(first ?? expect.unreachable(), 'thread.started')[0]?.['thread_id'];
    expect(run.code).toBe(0);
    expect(ofType(run, 'thread.started')[0]?.['thread_id']).toBe(thread);
    const output = (one: CliRun): number => {
      const [last = expect.unreachable()] = ofType(one, 'turn.completed');
      return (last['usage'] as { output_tokens: number }).output_tokens;
    };
    expect(output(run)).toBe(output(first ?? expect.unreachable()) + 3);
  });

  it('exits 1 for an unknown thread, with the reason on stderr and nothing on stdout', async () => {
    const { run, requests } = await runCodexCase('unknown-session');
    expect([run.code, run.lines, requests]).toEqual([1, [], []]);
    expect(run.stderr).toContain('no rollout found for thread id');
  });

  it.each<[CodexCaseName, string]>([
    ['wrong-key', 'unexpected status 401'],
    ['rate-limit-429', '429'],
    ['server-500', 'experiencing high demand'],
    ['bad-request-400', '400'],
  ])('%s: exits 1 with turn.failed, which says why', async (name, said) => {
    const { run } = await runCodexCase(name);
    expect(run.code).toBe(1);
    expect(typesOf(run).at(-1)).toBe('turn.failed');
    expect(JSON.stringify(ofType(run, 'turn.failed'))).toContain(said);
  });

  it('reports its own retries in text only', async () => {
    const { run } = await runCodexCase('wrong-key');
    expect(ofType(run, 'error')[0]?.['message']).toMatch(/^Reconnecting\.\.\. 1\/1 \(unexpected status 401/);
  });

  it('exits 2 for an argument it does not know', async () => {
    const { run } = await runCodexCase('bad-argument');
    expect([run.code, run.lines]).toEqual([2, []]);
    expect(run.stderr).toContain("unexpected argument '--no-such-flag'");
  });

  it('ends without a last line when it is terminated in the middle of an answer', async () => {
    const { run } = await runCodexCase('sigterm-hang');
    expect([run.code, run.signal]).toEqual([null, 'SIGTERM']);
    expect(typesOf(run)).toEqual(['thread.started', 'turn.started']);
  });

  it('ends without a last line when it is killed while its tool runs', async () => {
    const { run } = await runCodexCase('sigkill-tool');
    expect(run.code === 137 || run.signal === 'SIGKILL').toBe(true);
    expect(typesOf(run).at(-1)).toBe('item.started command_execution');
  });
});
