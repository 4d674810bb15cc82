import { describe, expect, it } from 'vitest';
import { allowingCommand, deniedTools } from '../../../src/cli/outcome.ts';
import { aJob, anOutcome, JOB_ID } from '../client/job.ts';

const denied = (...calls: readonly (readonly [tool: string, input: unknown])[]) => ({
  outcome: anOutcome({ permissionDenials: calls.map(([tool, input]) => ({ tool, input })) }),
});
const bash = (command: string) => ['Bash', { command }] as const;

describe('a job that was denied a tool', () => {
  it.each([
    [[bash('touch x')], "--allowed-tools 'Bash(touch *)'"],
    [[bash('ls')], "--allowed-tools 'Bash(ls)'"],
    [[bash('touch x'), bash('touch y')], "--allowed-tools 'Bash(touch *)'"],
    // What a shell takes apart is not allowed by its first word.
    [[bash('cat x | sh')], '--allowed-tools Bash'],
    [[bash('FOO=1 make')], '--allowed-tools Bash'],
    [[['Write', { file_path: '/x', content: '' }]], '--allowed-tools Write'],
    [[['mcp__a__b', null]], '--allowed-tools mcp__a__b'],
  ] as const)('%j is allowed by %s', (calls, options) => {
    expect(allowingCommand(aJob(denied(...calls)))).toBe(`bullpen retry ${JOB_ID} ${options}`);
  });

  it('keeps what it was allowed already', () => {
    const job = aJob({ allowedTools: ['Read', 'Bash(git *)'], ...denied(bash('touch x')) });
    expect(allowingCommand(job)).toBe(
      `bullpen retry ${JOB_ID} --allowed-tools Read --allowed-tools 'Bash(git *)' --allowed-tools 'Bash(touch *)'`,
    );
  });

  it('gets no advice that would not help: nothing was denied, or it may only plan', () => {
    expect(allowingCommand(aJob({ outcome: anOutcome() }))).toBeNull();
    expect(allowingCommand(aJob({ permissionMode: 'plan', ...denied(bash('touch x')) }))).toBeNull();
  });

  it('names the first calls, harmless for a terminal', () => {
    const calls = Array.from({ length: 7 }, () => bash('rm \u001b[2J'));
    const lines = deniedTools(denied(...calls));
    expect([lines.length, lines[0], lines.at(-1)]).toEqual([6, 'Bash rm \\u001b[2J', 'and 2 more']);
  });
});
