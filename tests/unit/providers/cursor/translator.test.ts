import { describe, expect, it } from 'vitest';
import {
  init,
  piece,
  repeated,
  result,
  run,
  said,
  thought,
  toolCompleted,
  toolStarted,
  user,
} from './cursor-lines.ts';

const kinds = (lines: readonly object[]): string =>
  run(lines)
    .events.map(({ kind }) => kind)
    .join(' ');
const texts = (lines: readonly object[]): string[] =>
  run(lines).events.flatMap((event) => (event.kind === 'text' ? [event.text] : []));

const READ = { readToolCall: { args: { path: 'README.md' } } };
const READ_DONE = {
  readToolCall: { args: { path: 'README.md' }, result: { success: { content: '# Hi', totalLines: 1 } } },
};

describe('what cursor-agent says', () => {
  it('begins with its session', () => {
    expect(run([init]).events).toEqual([
      { kind: 'session', sessionId: null, nativeSessionId: init.session_id, model: 'Composer 2.5' },
    ]);
    expect(run([init]).verdict.nativeSessionId).toBe(init.session_id);
  });

  it('has ended well also when its last line has a field of another form', () => {
    const odd = { type: 'result', subtype: 'success', is_error: false, result: 'Yes.' };
    const { verdict } = run([init, said('Yes.'), { ...odd, usage: { inputTokens: '5' } }]);
    expect(verdict).toMatchObject({ text: 'Yes.', usage: null, error: null });
    expect(run([init, said('Yes.'), { ...odd, result: {} }]).verdict.error).toBeNull();
  });

  it('is one text per message when it comes whole', () => {
    expect(texts([said('One.'), said('Two.'), said('Two.')])).toEqual(['One.', 'Two.', 'Two.']);
  });

  it('is told once when it comes in pieces and then again', () => {
    const lines = [
      piece('I look'),
      piece(' first.'),
      repeated('I look first.'),
      toolStarted('t1', READ),
      toolCompleted('t1', READ_DONE),
      piece('It says'),
      piece(' hi.'),
      said('It says hi.'),
      result('I look first.It says hi.'),
    ];
    expect(texts(lines)).toEqual(['I look first.', 'It says hi.']);
    expect(kinds(lines)).toBe(
      'text.delta text.delta text tool.started tool.ended text.delta text.delta text',
    );
  });

  it('is told once when the last repetition holds all of it', () => {
    const lines = [piece('a'), repeated('a'), toolStarted('t1', READ), piece('b'), said('ab'), said('ab')];
    expect(texts(lines)).toEqual(['a', 'b']);
  });

  it('is told when a repetition never comes', () => {
    expect(texts([piece('a'), piece('a'), toolStarted('t1', READ), piece('b'), result('ab')])).toEqual([
      'aa',
      'b',
    ]);
  });

  it('is kept as far as it came', () => {
    const { verdict } = run([init, said('First.'), piece('Sec')], { code: null, signal: 'SIGKILL' });
    expect(verdict).toMatchObject({ text: 'First.\n\nSec', error: { code: 'execution.crashed' } });
  });

  it('tells its thoughts apart', () => {
    expect(run([thought('Let me '), thought('see.'), said('Yes.')]).events).toEqual([
      { kind: 'reasoning', text: 'Let me see.' },
      { kind: 'text', text: 'Yes.' },
    ]);
  });

  it('passes on what it does not know', () => {
    const odd = [user, { type: 'interaction_query' }, { type: 'tool_call' }];
    expect(kinds(odd)).toBe('raw raw raw');
  });
});

describe('the tools of cursor-agent', () => {
  it('are named by the key of their call', () => {
    expect(run([toolStarted('t1', READ), toolCompleted('t1', READ_DONE)]).events).toEqual([
      { kind: 'tool.started', toolId: 't1', name: 'read', input: { path: 'README.md' } },
      { kind: 'tool.ended', toolId: 't1', name: 'read', isError: false, output: '# Hi' },
    ]);
  });

  it('have failed when there is no success', () => {
    const shell = (outcome: object) => ({ shellToolCall: { args: { command: 'ls' }, result: outcome } });
    const ended = (outcome: object) => run([toolCompleted('t1', shell(outcome))]).events[0];
    expect(ended({ success: { stdout: 'a\n', exitCode: 0 } })).toMatchObject({
      isError: false,
      output: 'a\n',
    });
    expect(ended({ rejected: { reason: 'no' } })).toMatchObject({
      name: 'shell',
      isError: true,
      output: '{"rejected":{"reason":"no"}}',
    });
  });

  it('may be functions with a name', () => {
    const [event] = run([toolStarted('t1', { function: { name: 'search', arguments: '{"q":1}' } })]).events;
    expect(event).toMatchObject({ name: 'search', input: '{"q":1}' });
  });
});

describe('the progress of cursor-agent', () => {
  it('counts a turn for the start and one for each answer to tools', () => {
    const lines = [
      thought('Hm.'),
      said('I look.'),
      toolStarted('t1', READ),
      toolStarted('t2', READ),
      toolCompleted('t1', READ_DONE),
      toolCompleted('t2', READ_DONE),
    ];
    expect(run([init]).progress.turns).toBe(0);
    expect(run(lines).progress.turns).toBe(1);
    expect(run([...lines, said('Done.')]).progress.turns).toBe(2);
  });

  it('has usage when the result tells it, under the model of the session', () => {
    const usage = { inputTokens: 10, outputTokens: 5, cacheReadTokens: 100 };
    const { events, verdict, progress } = run([init, said('Yes.'), result('Yes.', { usage })]);
    const tokens = { inputTokens: 10, outputTokens: 5, cacheReadTokens: 100, cacheWriteTokens: 0 };
    expect(verdict.usage).toEqual({ ...tokens, costUsd: null, costBasis: 'unknown' });
    expect(events.at(-1)).toEqual({ kind: 'usage', usage: verdict.usage });
    expect(progress.byModel['Composer 2.5']).toMatchObject(tokens);
    expect(run([init, result('Yes.')]).verdict.usage).toBeNull();
  });

  it('is done with the result', () => {
    expect(run([init, said('Yes.')]).done).toBe(false);
    expect(run([init, said('Yes.'), result('Yes.')]).done).toBe(true);
  });
});
