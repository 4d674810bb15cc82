import { describe, expect, it } from 'vitest';
import { commandsOf } from '../../../src/page/screens/job/how.ts';
import { timelineOf } from '../../../src/page/screens/job/timeline.ts';
import { quoted } from '../../../src/page/screens/jobs/commands.ts';
import type { Job } from '../../../src/protocol/job.ts';
import type { Execution } from '../../../src/protocol/outcome.ts';
import type { PromptOverrides } from '../../../src/protocol/prompt.ts';

const at = (second: number): string => new Date(Date.UTC(2026, 10, 30, 12, 0, second)).toISOString();
const ms = (second: number): number => Date.parse(at(second));

const job: Job = {
  ...{
    id: 'JOB',
    project: 'default',
    principal: 'admin',
    status: 'failed',
    finished: true,
    waitReason: null,
  },
  ...{ scheduledFor: null, provider: 'claude', priority: 0, tags: [], metadata: {}, archived: false },
  ...{ attempts: 2, sessionId: 'JOB', retryOf: null, batchId: null, customId: null, node: null },
  ...{ createdAt: at(0), startedAt: at(1), finishedAt: at(9), prompt: 'hello', model: null, cwd: '/srv' },
  ...{ permissionMode: 'default', allowedTools: [], nativeSessionId: null, cancelRequested: false },
  outcome: null,
  request: { prompt: 'hello', provider: 'claude', cwd: '/srv', permissionMode: 'default' },
  links: { self: '', events: '', cancel: '' },
};
const execution = (attempt: number, from: number, to: number): Execution => ({
  ...{ id: `E${attempt}`, attempt, status: 'failed', node: 'N', provider: 'claude', credential: null },
  ...{ nativeSessionId: null, startedAt: at(from), endedAt: at(to), usage: null, outcome: null },
});
const executions = [execution(1, 1, 3), execution(2, 8, 9)];

describe('the words of a command', () => {
  it('have nothing that a terminal obeys', () => {
    expect(quoted('\x1b[2J\u202e')).toBe("$'\\u001b[2J\\u202e'");
  });
});

describe('the commands of a job', () => {
  const url = 'http://127.0.0.1:3000';

  it('make the same job', () => {
    const more: PromptOverrides = { effort: 'high', limits: { processes: 5 }, tags: ['a b'] };
    const [how] = commandsOf({ ...job, request: { ...job.request, ...more } }, url);
    expect(how?.bullpen?.split(' \\\n  ')).toEqual([
      ...['bullpen run hello', '--provider claude', '--cwd /srv', '--permission-mode default'],
      ...['--effort high', "--tag 'a b'"],
    ]);
    expect(how?.left).toEqual(['limits']);
    const body =
      '{"prompt":"hello","provider":"claude","cwd":"/srv","permissionMode":"default","effort":"high","limits":{"processes":5},"tags":["a b"]}';
    expect(how?.curl).toContain(`  -d '${body}'`);
  });

  it('are those that make sense now', () => {
    const titles = (of: Partial<Job>) => commandsOf({ ...job, ...of }, url).map(({ title }) => title);
    expect(titles({ finished: false })).toContain('Cancel it');
    expect(titles({})).toContain('Retry it from the start: the same job again, with a link to this one');
    expect(titles({})).not.toContain('Retry it in its session');
    expect(titles({ nativeSessionId: 'x' })).toContain('Retry it in its session');
  });
});

describe('the timeline of a job', () => {
  const phase = (kind: 'queued' | 'running' | 'scheduled' | 'finished', second: number, more = {}) => ({
    ...{ jobId: 'JOB', kind, at: at(second), waitReason: null, executionId: null },
    ...more,
  });

  it('has its waits and its executions', () => {
    const phases = [
      phase('queued', 0),
      phase('running', 1, { executionId: 'E1' }),
      phase('scheduled', 3, { waitReason: 'backoff' }),
      phase('running', 8, { executionId: 'E2' }),
      phase('finished', 9),
    ];
    const spans = timelineOf(job, phases, executions, ms(60));
    expect(
      spans.map(({ label, fromMs, toMs }) => [label, (fromMs - ms(0)) / 1000, (toMs - ms(0)) / 1000]),
    ).toEqual([
      ['Waited for its turn', 0, 1],
      ['Execution 1', 1, 3],
      ['Waited before the next attempt', 3, 8],
      ['Execution 2', 8, 9],
    ]);
  });

  it('ends now, while the job runs', () => {
    const running = { ...job, finished: false, finishedAt: null };
    const spans = timelineOf(running, [phase('queued', 0), phase('running', 1)], [], ms(60));
    expect(spans.at(-1)).toMatchObject({ kind: 'run', toMs: ms(60), status: 'running' });
  });

  it('is that of the executions, where the events are gone', () => {
    const labels = timelineOf(job, [], executions, ms(60)).map(({ label }) => label);
    expect(labels).toEqual(['Waited', 'Execution 1', 'Waited', 'Execution 2']);
  });
});
