import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { answerFrom, approvalView, ruleLike } from '../../../src/cli/approval-view.ts';
import { lineDiff } from '../../../src/cli/diff.ts';
import { tempDir } from '../../helpers/temp.ts';
import { at } from './answers.ts';
import { type as typed } from './harness.ts';
import { startTalkingServer } from './talking-server.ts';

const viewOf = (tool: string, input: unknown, readFile: (path: string) => string | null = () => null) =>
  approvalView({ kind: 'tool', tool, input, questions: null }, { readFile, maxLines: 40 }).map(
    ({ text }) => text,
  );

describe('what a person reads before a decision', () => {
  it('has the whole command, and every other field of the input', () => {
    const command = `${'x'.repeat(500)}\nsecond line`;
    expect(viewOf('Bash', { command, description: 'Says hi', run_in_background: true })).toEqual([
      'Bash wants to run',
      `    ${'x'.repeat(500)}`,
      '    second line',
      '  Says hi',
      '    run_in_background: true',
    ]);
  });

  it('has the lines that an edit changes', () => {
    const edit = {
      file_path: '/a',
      old_string: 'a\nb\nc\nd\ne\nf',
      new_string: 'a\nb\nc\nX\ne\nf',
      replace_all: true,
    };
    expect(viewOf('Edit', edit)).toEqual([
      'Edit wants to change /a',
      '    …',
      '    b',
      '    c',
      '  - d',
      '  + X',
      '    e',
      '    f',
      '    replace_all: true',
    ]);
  });

  it('compares a file that is written with the one that is there', () => {
    const write = { file_path: '/a', content: 'one\n2\n' };
    expect(viewOf('Write', write)).toEqual(['Write wants to change /a', '  + one', '  + 2']);
    expect(viewOf('Write', write, () => 'one\ntwo\n')).toEqual([
      'Write wants to change /a',
      '    one',
      '  - two',
      '  + 2',
    ]);
  });

  it('has all fields of a tool that it does not know', () => {
    expect(viewOf('mcp__x__y', { path: '/a', deep: { b: [1] }, text: 'l1\nl2' })).toEqual([
      'mcp__x__y wants to run',
      '    path: /a',
      ...['    deep:', '      {', '        "b": [', '          1', '        ]', '      }'],
      ...['    text:', '      l1', '      l2'],
    ]);
    expect(viewOf('odd', 'text')).toEqual(['odd wants to run', '    input: text']);
  });

  it('has the command and the changes of codex', () => {
    const command = { command: 'git push', cwd: '/work', reason: 'To publish it' };
    expect(viewOf('shell', command)).toEqual([
      'shell wants to run',
      '    git push',
      '  To publish it',
      '    cwd: /work',
    ]);
    const changes = [{ path: '/work/a', kind: { type: 'update' }, diff: '@@ -1 +1 @@\n-one\n+two\n' }];
    expect(viewOf('file_change', { changes, grantRoot: null, reason: null })).toEqual([
      'file_change wants to change files',
      '  /work/a {"type":"update"}',
      '    @@ -1 +1 @@',
      '    -one',
      '    +two',
    ]);
  });

  it('is cut for a terminal only in the middle of an edit, and says so', () => {
    const content = Array.from({ length: 100 }, (_, line) => String(line)).join('\n');
    const lines = viewOf('Write', { file_path: '/a', content, mode: 1 });
    expect(lines).toHaveLength(43);
    expect(lines.slice(-2)).toEqual(['    … 60 more lines: bullpen approvals show', '    mode: 1']);
  });
});

describe('a diff', () => {
  it.each([
    ['', 'a\n', '+a'],
    ['a\n', '', '-a'],
    ['a\nb\n', 'a\nb\n', ' …'],
    ['a\nb\nc', 'c\na\nb', '+c, a, b,-c'],
    ['same\nold\nsame', 'same\nnew\nmore\nsame', ' same,-old,+new,+more, same'],
  ])('of %j and %j', (before, after, lines) => {
    expect(
      lineDiff(before, after)
        .map(({ sign, text }) => sign + text)
        .join(),
    ).toBe(lines);
  });

  it('of long texts is whole and fast', () => {
    const many = (sign: string) => Array.from({ length: 30_000 }, (_, at) => `${sign}${at}`).join('\n');
    const lines = lineDiff(many('a'), many('b'));
    expect(lines.filter(({ sign }) => sign === '+')).toHaveLength(30_000);
    expect(lines.filter(({ sign }) => sign === '-')).toHaveLength(30_000);
  });
});

describe('the rule for calls like one', () => {
  it.each([
    ['Bash', { command: 'git push origin main' }, 'Bash(git push *)'],
    ['Bash', { command: 'ls -l' }, 'Bash(ls *)'],
    ['shell', { command: 'npm test' }, 'shell(npm test *)'],
    ['Bash', { command: 'npm test' }, 'Bash(npm test *)'],
    ['Bash', { command: 'git push; rm -rf /' }, null],
    ['Bash', { command: 'echo $(id)' }, null],
    ['Bash', { command: 'a\nb' }, null],
    ['Edit', { file_path: '/a' }, 'Edit'],
  ])('of %s %j is %j', (tool, input, rule) => {
    expect(ruleLike({ kind: 'tool', tool, input })).toBe(rule);
  });

  it('does not exist for questions and plans', () => {
    expect(ruleLike({ kind: 'plan', tool: 'ExitPlanMode', input: {} })).toBeNull();
  });
});

describe('an answer', () => {
  const option = (label: string) => ({ label, description: null });
  const one = { question: 'Q', header: null, options: [option('Yes'), option('No')], multiSelect: false };
  const many = { ...one, multiSelect: true };

  it.each([
    [one, '2', 'No'],
    [one, 'yes', 'Yes'],
    [one, '3', '3'],
    [one, 'perhaps', 'perhaps'],
    [many, '1, no', ['Yes', 'No']],
    [many, '2', ['No']],
    [many, '1, perhaps', ['1, perhaps']],
  ])('to %j from %j', (question, words, answer) => {
    expect(answerFrom(question, words)).toEqual(answer);
  });
});

/** A server whose jobs wait for answers to these prompts, and the ids of their approvals. */
async function asking(...prompts: readonly string[]) {
  const server = await startTalkingServer();
  onTestFinished(() => server.stop());
  for (const prompt of prompts) {
    const body = JSON.stringify({ prompt, cwd: '/work' });
    await fetch(`${server.url}/v1/jobs`, { method: 'POST', body });
  }
  const run = (...args: string[]) => typed(args, at(server.url));
  const decided = () => server.changes.filter(({ path }) => path.endsWith('/decide')).map(({ body }) => body);
  return { server, run, decided, ids: [...server.approvals.keys()] };
}

describe('the commands for approvals', () => {
  it('list what is open, and what was decided', async () => {
    const { run, ids, server } = await asking('ask git push', 'choose');
    const { out, err } = await run('approvals');
    expect(out.split('\n')[0]).toMatch(/^ID +JOB +AGE +LEFT +ASKS$/);
    expect(out).toMatch(new RegExp(`^${ids[0]} .* 2m +7d +Bash git push$`, 'm'));
    expect(out).toMatch(/question: Which database\?$/m);
    expect(err).toContain('bullpen approve ID, bullpen deny ID, bullpen answer ID TEXT');
    server.decide(ids[0] ?? '', { decision: 'allow' });
    expect((await run('approvals', '--status', 'all')).out).toMatch(/allowed .* key:other/);
    expect(JSON.parse((await run('approvals', '--json')).out).data).toHaveLength(1);
  });

  it('say when nothing waits, and refuse a status that does not exist', async () => {
    const { run } = await asking();
    expect((await run('approvals')).err).toBe('no job waits for an answer\n');
    expect((await run('approvals', '--status', 'open')).code).toBe(64);
    expect((await run('approve')).code).toBe(64);
  });

  it('show all of one', async () => {
    const { run, ids } = await asking('edit');
    const { out } = await run('approvals', 'show', ids[0] ?? '');
    expect(out).toContain('status    pending\n');
    expect(out).toContain('Edit wants to change /work/a.txt\n    one\n  - two\n  + 2\n    three\n');
  });

  it('decide by the id of an approval or of its job, or by a part of it', async () => {
    const { run, decided, ids, server } = await asking('ask one', 'ask two', 'ask three');
    const [first = '', second = '', third = ''] = ids;
    expect((await run('approve', first)).code).toBe(0);
    expect((await run('deny', second.slice(-5), '-m', 'Not on a Friday')).code).toBe(0);
    expect((await run('approve', server.approvals.get(third)?.jobId ?? '')).err).toContain(
      'allowed: Bash three',
    );
    expect(decided()).toEqual([
      { decision: 'allow' },
      { decision: 'deny', message: 'Not on a Friday' },
      { decision: 'allow' },
    ]);
  });

  it('do not guess which one is meant', async () => {
    const { run, decided } = await asking('ask one', 'ask two');
    expect(await run('approve', '01K9')).toMatchObject({ code: 64, err: expect.stringContaining('may be') });
    expect((await run('approve', 'ZZZZ')).code).toBe(64);
    expect(decided()).toEqual([]);
  });

  it('report that one is over', async () => {
    const { run, ids } = await asking('ask one');
    await run('approve', ids[0] ?? '');
    const again = await run('deny', ids[0] ?? '');
    expect([again.code, again.err]).toEqual([64, expect.stringContaining('approval.already_decided')]);
  });

  it('allow other input, or such calls in the rest of the session', async () => {
    const { run, decided, ids } = await asking('ask one', 'ask two', 'ask three');
    const file = join(tempDir(), 'input.json');
    writeFileSync(file, '\ufeff{"command": "ls"}'); // as some editors save it
    await run('approve', ids[0] ?? '', '--input', file);
    await run('approve', ids[1] ?? '', '--rule', 'Bash(npm *)');
    await run('approve', ids[2] ?? '', '--for-session');
    expect(decided()).toEqual([
      { decision: 'allow', input: { command: 'ls' } },
      { decision: 'allow', scope: 'session', rule: 'Bash(npm *)' },
      { decision: 'allow', scope: 'session' },
    ]);
    writeFileSync(file, '[]');
    expect((await run('approve', ids[0] ?? '', '--input', file)).code).toBe(64);
  });

  it('answer questions by number, by label, or in own words', async () => {
    const { run, decided, ids } = await asking('choose');
    const [id = ''] = ids;
    expect((await run('answer', id, 'SQLite')).err).toContain('has 2 questions: Which database?');
    expect((await run('answer', id, 'a folder', '1,2')).code).toBe(0);
    const answers = { 'Which database?': 'a folder', 'Which features?': ['Search', 'Export'] };
    expect(decided()).toEqual([{ decision: 'allow', answers }]);
  });

  it('do not answer what is no question', async () => {
    const { run, ids } = await asking('ask one');
    expect((await run('answer', ids[0] ?? '', 'yes')).err).toContain('is no question: bullpen approve');
  });
});

describe('the command for sessions', () => {
  it('lists, shows, sends, forks, closes and deletes', async () => {
    const { run, server } = await asking('hello');
    const [id = ''] = server.sessions.keys();
    expect((await run('sessions')).out).toMatch(
      new RegExp(`^${id} +chat +ready +claude +1 +1m .*/work$`, 'm'),
    );
    expect((await run('sessions', 'show', 'last')).out).toMatch(
      /^ +1 +\S+ +succeeded +hello +You said: hello$/m,
    );

    expect((await run('sessions', 'send', id, 'work')).out).toMatch(/^\S{26}\n$/);
    const steered = await run('sessions', 'send', id, 'use tabs', '--delivery', 'steer');
    expect(steered.err).toContain('the running turn has it');
    await run('sessions', 'send', id, 'work');
    expect((await run('sessions', 'interrupt', id)).code).toBe(0);
    expect((await run('sessions', 'send', id, 'x', '--delivery', 'now')).code).toBe(64);

    const fork = (await run('sessions', 'fork', id)).out.trim();
    expect(server.sessions.get(fork)?.forkedFrom).toBe(id);
    await run('sessions', 'close', fork);
    expect(server.sessions.get(fork)?.status).toBe('closed');
    expect((await run('chat', '--session', fork)).err).toContain('is closed');
    await run('sessions', 'delete', fork);
    expect([...server.sessions.keys()]).toEqual([id]);
  });

  it.each([
    [['--status', 'open'], '--status takes starting'],
    [['--kind', 'x'], '--kind takes chat or terminal'],
    [['drop', 'last'], 'sessions takes options, or show, send'],
    [['show'], 'which session?'],
    [['send', 'last'], 'bullpen sessions send ID TEXT'],
  ])('refuses %j', async (args, why) => {
    const { run } = await asking();
    expect(await run('sessions', ...args)).toMatchObject({ code: 64, err: expect.stringContaining(why) });
  });
});
