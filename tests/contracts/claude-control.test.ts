/** What the real claude does with our control of it. The model is the offline model. */
import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { makeClaudeHome } from '../../scripts/offline-model/run-claude.ts';
import { startOfflineModel } from '../../scripts/offline-model/server.ts';
import type { Ask } from '../../src/providers/control.ts';
import { type ClaudeRunOptions, type RunByProvider, runByProvider } from '../helpers/claude-run.ts';
import { eventually } from '../helpers/eventually.ts';

const call = (tool: string, input: unknown, kind = 'tool'): string =>
  `[[${kind}: ${tool} ${JSON.stringify(input)}]]`;
const bash = (command: string, kind = 'tool'): string =>
  call('Bash', { command, description: 'Run a command' }, kind);
const touch = (file: string, kind = 'tool'): string => bash(`touch ${file}`, kind);

const QUESTION = {
  questions: [
    {
      question: 'Which colours?',
      header: 'Colours',
      options: [
        { label: 'red', description: 'warm' },
        { label: 'blue', description: 'cold' },
      ],
      multiSelect: true,
    },
  ],
};

const MESSAGE_ID = '0b0c58a4-9d0e-4a1f-8c3d-6f1f2d4e3f0b';
const LATE_ID = '1c0c58a4-9d0e-4a1f-8c3d-6f1f2d4e3f0b';
const waits = { code: 'execution.awaiting_approval' };

/** A model, a home and runs in it. */
async function setup() {
  await using stack = new AsyncDisposableStack();
  const model = stack.use(await startOfflineModel());
  const home = stack.use(await makeClaudeHome());
  const runs = stack.move();
  return {
    model,
    home,
    start(
      prompt: string,
      { request, ...rest }: Omit<ClaudeRunOptions, 'baseUrl' | 'home'> = {},
    ): RunByProvider {
      return runs.use(runByProvider({ baseUrl: model.url, home, ...rest, request: { prompt, ...request } }));
    },
    made: (file: string) => existsSync(join(home.workspace, file)),
    [Symbol.asyncDispose]: () => runs.disposeAsync(),
  };
}

const outputs = (run: RunByProvider): string[] =>
  run.events.flatMap((event) => (event.kind === 'tool.ended' ? [event.output] : []));

const knownAs = ({ callId, tool, input }: Ask, approvalId: string, over = false) => ({
  ...{ approvalId, callId, tool, input, over },
});

/** Parks one call as put off, and ends its process. */
async function putOff(
  place: Awaited<ReturnType<typeof setup>>,
  prompt: string,
  options: Omit<ClaudeRunOptions, 'baseUrl' | 'home'> = {},
) {
  const run = place.start(prompt, options);
  let ask = await run.ask();
  if (run.park(ask, 'A1') === 'granted') {
    ask = await run.ask();
    expect(run.park(ask, 'A1')).toBe('deferred');
  }
  const ended = await run.end();
  expect(ended.verdict.error).toMatchObject(waits);
  return { ...ended, run, ask };
}

/** A call that writes the file x. */
const writing = ({ home }: Awaited<ReturnType<typeof setup>>): string =>
  call('Write', { file_path: join(home.workspace, 'x'), content: 'hello' });

/** What claude has saved of a session so far. */
function savedOf(place: Awaited<ReturnType<typeof setup>>, nativeSessionId: string): string {
  const folder = join(place.home.home, '.claude', 'projects');
  const paths = existsSync(folder) ? readdirSync(folder, { recursive: true, encoding: 'utf8' }) : [];
  const path = paths.find((name) => name.endsWith(`${nativeSessionId}.jsonl`));
  return path === undefined ? '' : readFileSync(join(folder, path), 'utf8');
}

describe.concurrent('an approval of claude', () => {
  it('is asked only when needed, is repeated, put off, and decided in a later process', async () => {
    await using place = await setup();
    const list = bash('ls');
    const run = place.start(`${list} ${touch('x')} ${touch('x')} [[reply: never]]`);
    const first = await run.ask();
    expect(first).toMatchObject({ kind: 'tool', tool: 'Bash', questions: null, approvalId: null });
    expect(run.park(first, 'A1')).toBe('granted');
    const again = await run.ask();
    expect(again).toMatchObject({ input: first.input, approvalId: 'A1' });
    expect(again.callId).not.toBe(first.callId);
    expect(run.park(again, 'A1')).toBe('deferred');
    const parked = await run.end();
    expect([parked.code, run.translator.deferred, place.made('x')]).toEqual([0, true, false]);
    expect(parked.verdict).toMatchObject({ error: waits, permissionDenials: [], turns: 3 });

    const context = {
      nativeSessionId: parked.nativeSessionId,
      known: [knownAs(again, 'A1')],
      resumesCall: true,
    };
    const later = place.start('not sent', { context });
    const resumed = await later.ask();
    expect(resumed).toMatchObject({ callId: again.callId, approvalId: 'A1' });
    later.allow(resumed);
    const done = await later.end();
    expect(done.nativeSessionId).toBe(parked.nativeSessionId);
    expect(done.verdict).toMatchObject({ error: null, permissionDenials: [], turns: 1 });
    expect([done.code, later.translator.deferred, place.made('x')]).toEqual([0, false, true]);
    // Three calls of the model before, one after: a hook that answers early costs no further one.
    const turns = place.model.requests.filter(({ kind }) => kind === 'turn');
    expect(turns).toHaveLength(4);
    expect(turns.flatMap(({ userTexts }) => userTexts)).not.toContain('not sent');
    const costs = [...parked.lines, ...done.lines].flatMap((line) => {
      const { type, total_cost_usd: cost } = JSON.parse(line) as { type: string; total_cost_usd: number };
      return type === 'result' ? [cost] : [];
    });
    expect(costs[1]).toBeGreaterThan(costs[0] ?? 0);
  });

  it('can be put off again and again, which asks the model nothing and counts as no turn; denied at last, it is a denial of the job', async () => {
    await using place = await setup();
    const { nativeSessionId, ask } = await putOff(place, `${touch('x')} ${touch('x')}`);
    const before = place.model.requests.length;
    const context = { nativeSessionId, known: [knownAs(ask, 'A1')], resumesCall: true };
    const again = place.start('', { context });
    expect(again.park(await again.ask(), 'A1')).toBe('deferred');
    const ended = await again.end();
    expect(ended.verdict).toMatchObject({ error: waits, turns: 0 });
    expect(place.model.requests).toHaveLength(before);
    const last = place.start('', { context });
    last.deny(await last.ask(), 'Not on a Friday.');
    const { verdict } = await last.end();
    expect(outputs(last).join()).toContain('Not on a Friday.');
    expect(verdict).toMatchObject({ error: null, permissionDenials: [{ tool: 'Bash', input: ask.input }] });
    expect(place.made('x')).toBe(false);
  });

  it('is given or denied while the process waits, with another input, and with a reason; then none waits', async () => {
    await using place = await setup();
    const run = place.start(`${touch('a')} ${touch('b')} [[reply: Done.]]`);
    const first = await run.ask();
    run.allow(first, { command: 'touch edited', description: 'Edited' });
    run.deny(await run.ask(), 'Not today.');
    const { verdict, nativeSessionId } = await run.end();
    expect([place.made('a'), place.made('edited'), place.made('b')]).toEqual([false, true, false]);
    expect(outputs(run)).toContain('Not today.');
    expect(verdict).toMatchObject({
      text: 'Done.',
      error: null,
      permissionDenials: [{ tool: 'Bash', input: { command: 'touch b' } }],
    });

    const context = { nativeSessionId, known: [knownAs(first, 'A1')], resumesCall: true };
    expect(await place.start('', { context }).over()).toMatch(/^execution\.lost: /);
  });

  it('for the session holds in the process and in later ones, and writes no settings', async () => {
    await using place = await setup();
    const run = place.start(`${touch('a')} ${touch('b')} ${bash('mkdir c')} [[reply: Done.]]`);
    const first = await run.ask();
    run.allow(first, first.input, ['Bash(touch *)']);
    const other = await run.ask();
    expect(other.input).toMatchObject({ command: 'mkdir c' });
    run.deny(other, 'No.');
    const { nativeSessionId } = await run.end();
    expect([place.made('a'), place.made('b'), place.made('.claude')]).toEqual([true, true, false]);
    expect(readdirSync(join(place.home.home, '.claude'))).not.toContain('settings.json');

    const later = place.start(`${touch('d')} [[reply: Done.]]`, {
      context: { nativeSessionId, sessionRules: ['Bash(touch *)'] },
    });
    await later.end();
    expect(place.made('d')).toBe(true);
  });

  it('for the session holds in the process that resumes the call, too', async () => {
    await using place = await setup();
    const { nativeSessionId, ask } = await putOff(place, `${touch('x')} ${touch('x')}`);
    place.model.setBehaviour(`${touch('y')} [[reply: Done.]]`);
    const context = { nativeSessionId, known: [knownAs(ask, 'A1')], resumesCall: true };
    const later = place.start('', { context });
    later.allow(await later.ask(), { command: 'touch edited' }, ['Bash(touch *)']);
    expect((await later.end()).verdict).toMatchObject({ text: 'Done.', error: null });
    expect([place.made('x'), place.made('edited'), place.made('y')]).toEqual([false, true, true]);
  });

  it('for which the model did not repeat the call is a grant for exactly that call, once', async () => {
    await using place = await setup();
    const run = place.start(`${touch('x')} [[reply: I wait.]]`);
    const ask = await run.ask();
    expect(run.park(ask, 'A1')).toBe('granted');
    const { verdict, nativeSessionId } = await run.end();
    expect(verdict).toMatchObject({ error: null, permissionDenials: [] });

    const later = place.start(`Allowed. ${touch('y')} ${touch('x')} ${touch('x')} [[reply: Done.]]`, {
      context: { nativeSessionId, known: [knownAs(ask, 'A1')] },
    });
    const other = await later.ask();
    expect(other).toMatchObject({ input: { command: 'touch y' }, approvalId: null });
    later.deny(other, 'No.');
    const granted = await later.ask();
    expect(granted).toMatchObject({ input: ask.input, approvalId: 'A1' });
    later.allow(granted);
    const unknown = await later.ask();
    expect(unknown).toMatchObject({ input: ask.input, approvalId: null });
    later.deny(unknown, 'Once.');
    await later.end();
    expect([place.made('x'), place.made('y')]).toEqual([true, false]);
  });

  it('of two calls in one message: one is put off, the other one is a grant', async () => {
    await using place = await setup();
    const both = `${touch('x', 'call')} ${touch('y')}`;
    const run = place.start(`${both} ${both} [[reply: never]]`);
    const [x, y] = [await run.ask(), null];
    expect(y).toBe(null); // claude asks about the second one when the first is decided
    expect(run.park(x, 'X')).toBe('granted');
    expect(run.park(await run.ask(), 'Y')).toBe('granted');
    const again = await run.ask();
    expect([again.approvalId, run.park(again, 'X')]).toEqual(['X', 'deferred']);
    const other = await run.ask();
    expect([other.approvalId, run.park(other, 'Y')]).toEqual(['Y', 'granted']);
    const { nativeSessionId, verdict } = await run.end();
    expect(verdict).toMatchObject({ error: waits, permissionDenials: [] });

    place.model.setBehaviour(`${touch('y')} [[reply: Both.]]`);
    const known = [knownAs(again, 'X'), knownAs(other, 'Y')];
    const later = place.start('', { context: { nativeSessionId, known, resumesCall: true } });
    const asked: (string | null)[] = [];
    for (let count = 0; count < 2; count += 1) {
      const ask = await later.ask();
      asked.push(ask.approvalId);
      later.allow(ask);
    }
    expect((await later.end()).verdict).toMatchObject({ error: null, text: 'Both.' });
    expect([asked, place.made('x'), place.made('y')]).toEqual([['X', 'Y'], true, true]);
  });

  it('of two calls at once: one may be put off while the other one is held', async () => {
    await using place = await setup();
    const fetch = (host: string, kind = 'tool'): string =>
      call('WebFetch', { url: `http://${host}.invalid`, prompt: 'Read' }, kind);
    const both = `${fetch('a', 'call')} ${fetch('b')}`;
    const run = place.start(`${both} ${both} [[reply: never]]`);
    const [first, second] = [await run.ask(), await run.ask()];
    expect([run.park(first, 'A'), run.park(second, 'B')]).toEqual(['granted', 'granted']);
    const [a, b] = [await run.ask(), await run.ask()];
    expect(run.park(b, b.approvalId ?? '')).toBe('deferred');
    run.deny(a, 'Not this one.');
    const { verdict, nativeSessionId } = await run.end();
    expect(verdict.error).toMatchObject(waits);
    const known = [knownAs(b, 'B')];
    const later = place.start('', { context: { nativeSessionId, known, resumesCall: true } });
    expect(await later.ask()).toMatchObject({ callId: b.callId, approvalId: 'B' });
  });

  it('of a subagent is never put off: claude would end the subagent without a word', async () => {
    await using place = await setup();
    const agent = {
      description: 'Sub',
      prompt: `Go. ${touch('x')} ${touch('x')} [[reply: I am done.]]`,
      subagent_type: 'general-purpose',
      run_in_background: false,
    };
    const run = place.start(`${call('Agent', agent)} [[reply: All done.]]`);
    expect(run.park(await run.ask(), 'A1')).toBe('granted');
    const again = await run.ask();
    expect([again.approvalId, run.park(again, 'A1')]).toEqual(['A1', 'granted']);
    expect((await run.end()).verdict).toMatchObject({
      text: 'All done.',
      error: null,
      permissionDenials: [],
    });
    expect(place.made('x')).toBe(false);
  });

  it('is lost with a process that is killed while it holds the call', async () => {
    await using place = await setup();
    const run = place.start(`${touch('x')} [[reply: never]]`);
    const ask = await run.ask();
    const nativeSessionId = /"session_id":"([^"]+)"/.exec(run.lines.join())?.[1] ?? '';
    await eventually(() => savedOf(place, nativeSessionId).includes(ask.callId));
    await run.kill();
    const known = [knownAs(ask, 'A1')];
    const next = place.start(`Allowed. ${touch('x')} [[reply: Done.]]`, {
      context: { nativeSessionId, known },
    });
    next.allow(await next.ask());
    expect((await next.end()).verdict.text).toBe('Done.');
    expect(place.made('x')).toBe(true);
  });

  it('survives a process that is killed once the call is put off, also if a rule of the user asks about it', async () => {
    await using place = await setup();
    const args = [`--settings=${JSON.stringify({ permissions: { ask: ['Bash(touch:*)'] } })}`];
    const run = place.start(`${touch('x')} ${touch('x')} [[reply: never]]`, { args });
    run.park(await run.ask(), 'A1');
    const ask = await run.ask();
    run.park(ask, 'A1');
    await run.over();
    await run.kill();
    const { nativeSessionId } = run.translator.end({ code: null, signal: 'SIGKILL' }, '');
    const known = [knownAs(ask, 'A1')];
    const later = place.start('', { args, context: { nativeSessionId, known, resumesCall: true } });
    later.allow(await later.ask());
    expect((await later.end()).verdict.error).toBe(null);
    expect(place.made('x')).toBe(true);
  });

  it('needs no answer for what acceptEdits allows', async () => {
    await using place = await setup();
    const run = place.start(`${writing(place)} [[reply: Done.]]`, {
      request: { permissionMode: 'acceptEdits' },
    });
    expect((await run.end()).verdict).toMatchObject({ text: 'Done.', error: null, permissionDenials: [] });
    expect(place.made('x')).toBe(true);
  });
});

describe.concurrent('what claude asks by itself', () => {
  const answers = { 'Which colours?': ['red', 'blue'] };
  const answered = '"Which colours?"="red, blue"';

  it.each([
    ['default', false],
    ['fullAccess, which allows a call before', true],
  ])('is a question, answered at once, in mode %s', async (_, fullAccess) => {
    await using place = await setup();
    const before = fullAccess ? writing(place) : '';
    const run = place.start(`${before} ${call('AskUserQuestion', QUESTION)} [[reply: Thanks.]]`, {
      request: { permissionMode: fullAccess ? 'fullAccess' : 'default' },
    });
    const ask = await run.ask();
    expect(ask).toMatchObject({
      kind: 'question',
      questions: [{ question: 'Which colours?', header: 'Colours', multiSelect: true }],
      approvalId: null,
    });
    run.allow(ask, { ...QUESTION, answers });
    expect((await run.end()).verdict).toMatchObject({ text: 'Thanks.', error: null, permissionDenials: [] });
    expect(outputs(run).join()).toContain(answered);
    expect(place.made('x')).toBe(fullAccess);
  });

  it('is a question, put off without a further call of the model, and answered later', async () => {
    await using place = await setup();
    const { nativeSessionId, ask } = await putOff(
      place,
      `${call('AskUserQuestion', QUESTION)} [[reply: never]]`,
    );
    expect(place.model.requests.filter(({ kind }) => kind === 'turn')).toHaveLength(1);
    const context = { nativeSessionId, known: [knownAs(ask, 'A1')], resumesCall: true };
    const later = place.start('', { context });
    later.allow(await later.ask(), { ...QUESTION, answers });
    expect((await later.end()).verdict.error).toBe(null);
    expect(outputs(later).join()).toContain(answered);
  });

  it('is a plan, whose approval ends the plan mode; then edits are asked about', async () => {
    await using place = await setup();
    const run = place.start(`${call('ExitPlanMode', {})} ${touch('x')} [[reply: Done.]]`, {
      request: { permissionMode: 'plan' },
    });
    const plan = await run.ask();
    expect(plan).toMatchObject({ kind: 'plan', tool: 'ExitPlanMode' });
    run.allow(plan);
    const edit = await run.ask();
    expect(edit).toMatchObject({ kind: 'tool', input: { command: 'touch x' } });
    run.allow(edit);
    expect((await run.end()).verdict).toMatchObject({ text: 'Done.', error: null });
  });

  it('is a plan, put off and approved in a later process, which is in plan mode again', async () => {
    await using place = await setup();
    const request = { permissionMode: 'plan' } as const;
    const { nativeSessionId, ask } = await putOff(place, `${call('ExitPlanMode', {})} [[reply: never]]`, {
      request,
    });
    const context = { nativeSessionId, known: [knownAs(ask, 'A1')], resumesCall: true };
    const later = place.start('', { request, context });
    later.allow(await later.ask());
    expect((await later.end()).verdict.error).toBe(null);
    expect(outputs(later).join()).toContain('You can now proceed');
    expect(later.lines.join('\n')).toContain('"permissionMode":"default"');
  });

  it.each([
    ['a question', call('AskUserQuestion', QUESTION), 'default', true],
    ['a call that nothing else stops', `${touch('x')} ${touch('x')}`, 'fullAccess', false],
    ['the same in a trusted folder', `${touch('x')} ${touch('x')}`, 'fullAccess', true],
  ] as const)('and was cancelled (%s) is denied before the next task', async (_, prompt, mode, trusted) => {
    await using place = await setup();
    const trust = { trustedWorkspace: trusted };
    const { nativeSessionId, ask } = await putOff(place, prompt, { context: trust });
    const deadCalls = [{ callId: ask.callId, tool: ask.tool }];
    const next = place.start('[[reply: The next task.]]', {
      request: { onPermissionDenied: 'report', permissionMode: mode },
      context: { nativeSessionId, known: [knownAs(ask, 'A1', true)], deadCalls, ...trust },
      denial: 'It is over.',
    });
    const { verdict } = await next.end();
    expect(outputs(next).join()).toMatch(/The approval of this call is over\.|It is over\./);
    expect(verdict).toMatchObject({ text: 'The next task.', error: null });
    expect(place.made('x')).toBe(false);
  });
});

describe.concurrent('a message into a running turn of claude', () => {
  it('joins the turn at the next call of a tool', async () => {
    await using place = await setup();
    const run = place.start(`${touch('x')} [[reply: Both.]]`);
    const ask = await run.ask();
    expect(run.steer(MESSAGE_ID, 'Be quick.')).toBe(true);
    await run.until((line) => line.includes(MESSAGE_ID));
    run.allow(ask);
    const { verdict } = await run.end();
    expect(run.taken).toEqual([MESSAGE_ID]);
    expect(verdict).toMatchObject({ text: 'Both.', error: null });
    const results = run.lines.filter((line) => line.includes('"type":"result"'));
    expect(results).toHaveLength(1);
    expect(results[0]).toContain(MESSAGE_ID);
  });

  it('that comes while the answer streams is answered in a turn of its own, which belongs to the run and reads no file', async () => {
    await using place = await setup();
    writeFileSync(join(place.home.workspace, 'secret.txt'), 'the-content-of-the-file');
    const run = place.start('[[slow: 10 tokens 100ms]]');
    await run.until((line) => line.includes('text_delta'));
    expect(run.steer(MESSAGE_ID, 'And now, see @secret.txt. [[reply: The second answer.]]')).toBe(true);
    const { verdict, nativeSessionId } = await run.end();
    expect(run.taken).toEqual([MESSAGE_ID]);
    expect(verdict).toMatchObject({ text: 'The second answer.', error: null, turns: 2 });
    expect(run.steer(LATE_ID, 'too late')).toBe(false);
    const transcript = savedOf(place, nativeSessionId);
    expect(transcript).toContain('And now, see @secret.txt.');
    expect(transcript).not.toContain('the-content-of-the-file');
  });

  it('is not lost behind a call that is put off: the call is repeated first', async () => {
    await using place = await setup();
    const run = place.start(`${touch('x')} ${touch('x')} ${touch('x')} [[reply: never]]`);
    run.park(await run.ask(), 'A1');
    const again = await run.ask();
    expect(run.steer(MESSAGE_ID, 'Be quick.')).toBe(true);
    expect(run.park(again, 'A1')).toBe('granted');
    const third = await run.ask();
    expect([third.approvalId, run.park(third, 'A1')]).toEqual(['A1', 'deferred']);
    expect(run.steer(LATE_ID, 'too late')).toBe(false);
    const { verdict } = await run.end();
    expect([verdict.error?.code, run.taken]).toEqual([waits.code, [MESSAGE_ID]]);
  });
});

describe.concurrent('an interrupt of claude', () => {
  it('ends the turn, keeps what was said, and drops a message that waits', async () => {
    await using place = await setup();
    const run = place.start('[[slow: 200 tokens 100ms]]');
    await run.until((line) => line.includes('text_delta'));
    run.steer(MESSAGE_ID, 'And now?');
    await run.until((line) => line.includes(MESSAGE_ID));
    run.interrupt();
    const { verdict } = await run.end();
    expect(verdict.text).toMatch(/^word1 /);
    expect(verdict.error).not.toBe(null);
    expect(run.taken).toEqual([]);
    expect(run.steer(LATE_ID, 'too late')).toBe(false);
    expect(place.model.requests.filter(({ kind }) => kind === 'turn')).toHaveLength(1);
  });

  it('ends the turn while a person is asked, who is asked no longer', async () => {
    await using place = await setup();
    const run = place.start(`${touch('x')} [[reply: never]]`);
    const ask = await run.ask();
    run.interrupt();
    await run.end();
    expect(run.withdrawn).toEqual([ask.callId]);
    expect(place.made('x')).toBe(false);
  });

  it('ends a turn that has not begun', async () => {
    await using place = await setup();
    const run = place.start('[[reply: never]]');
    run.interrupt();
    const { verdict } = await run.end();
    expect(verdict.text).toBe('');
    expect(verdict.error).not.toBe(null);
    expect(place.model.requests.filter(({ kind }) => kind === 'turn')).toEqual([]);
  });
});

it('claude goes on with a copy of a session, and leaves the session as it was', async () => {
  await using place = await setup();
  const parent = await place.start('My name is Ada. [[reply: Hello Ada.]]').end();
  const { nativeSessionId } = parent;
  const fork = await place
    .start('Who am I? [[reply: Ada.]]', { context: { nativeSessionId, fork: true } })
    .end();
  expect(fork.nativeSessionId).not.toBe(nativeSessionId);
  const transcripts = execFileSync('grep', [
    '-rlF',
    'Who am I?',
    join(place.home.home, '.claude', 'projects'),
  ]);
  expect(String(transcripts)).not.toContain(nativeSessionId);
  const next = await place
    .start('And you? [[reply: A model.]]', { context: { nativeSessionId: fork.nativeSessionId } })
    .end();
  expect(next.verdict.text).toBe('A model.');
  expect(place.model.requests.at(-1)?.userTexts).toEqual([
    expect.stringContaining('My name is Ada.'),
    expect.stringContaining('Who am I?'),
    expect.stringContaining('And you?'),
  ]);
});
