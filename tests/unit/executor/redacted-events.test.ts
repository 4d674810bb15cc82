import { describe, expect, it } from 'vitest';
import { createRedactedEvents } from '../../../src/executor/redacted-events.ts';
import type { ExecutionEvent } from '../../../src/protocol/event.ts';
import { createRedactor } from '../../../src/redactor.ts';
import { random } from '../../helpers/random.ts';

const SECRET = 'correct-horse-battery';
const delta = (text: string): ExecutionEvent => ({ kind: 'text.delta', text });
const line = (text: string): string => JSON.stringify({ delta: text });
const END: ExecutionEvent = { kind: 'text', text: 'the end' };

/** The events behind the redactor, with their raw lines. */
function passedOn() {
  const passed: { event: ExecutionEvent; raw: string | null }[] = [];
  const events = createRedactedEvents(createRedactor([SECRET]), (event, raw) => passed.push({ event, raw }));
  return {
    ...events,
    passed,
    texts: () => passed.flatMap(({ event }) => (event.kind === 'text.delta' ? [event.text] : [])),
    say(...texts: readonly string[]) {
      for (const text of texts) events.push(delta(text), line(text));
    },
  };
}

describe('text deltas', () => {
  it('without a secret pass at once and unchanged', () => {
    const { say, passed } = passedOn();
    for (const [index, text] of [
      'a',
      'cor',
      '',
      'rection',
      ' ta',
      'sk',
      '-force-management-number-2',
    ].entries()) {
      say(text);
      expect(passed[index]).toEqual({ event: delta(text), raw: line(text) });
    }
  });

  it('that may hold the beginning of a secret wait for the next one', () => {
    const { say, texts, passed } = passedOn();
    say('it is corr');
    expect(texts()).toEqual([]);
    say('ectly so');
    expect(texts()).toEqual(['it is corr', 'ectly so']);
    expect(passed.map(({ raw }) => raw)).toEqual([line('it is corr'), line('ectly so')]);
  });

  it('with a secret in all of them become one without raw line', () => {
    const { say, passed } = passedOn();
    say('it is corr', 'ect-horse-', 'battery', '.');
    expect(passed).toEqual([
      { event: delta('it is [redacted]'), raw: null },
      { event: delta('.'), raw: line('.') },
    ]);
  });

  it('lose no text when the text ends, or the execution', () => {
    const ended = passedOn();
    ended.say('it is corr');
    ended.push(END, null);
    expect(ended.passed.map(({ event }) => event)).toEqual([delta('it is corr'), END]);
    const stopped = passedOn();
    stopped.say('it is corr');
    stopped.flush();
    expect(stopped.texts()).toEqual(['it is corr']);
  });

  it('are overtaken by events that say nothing of the text', () => {
    const { say, push, passed } = passedOn();
    say('it is corr');
    push({ kind: 'raw', line: 'unknown' }, null);
    say('ect-horse-battery');
    expect(passed.map(({ event }) => event)).toEqual([
      { kind: 'raw', line: 'unknown' },
      delta('it is [redacted]'),
    ]);
  });

  it('hide a JWT of some thousand characters', () => {
    const { say, push, texts } = passedOn();
    const token = ['eyJhbGciOiJSUzI1NiJ9', 'eyJ'.repeat(1500), 'aB3_-'.repeat(300)].join('.');
    say('token: ', ...(token.match(/.{1,50}/g) ?? []), ', and more');
    push(END, null);
    expect(texts().join('')).toBe('token: [redacted], and more');
  });

  it('hide a secret wherever it is divided; at most its first three characters are left', () => {
    const next = random(13);
    const key = `sk-ant-api03-${'aB3_-'.repeat(8)}`;
    const whole = `begin ${SECRET} middle ${key} and ${SECRET}${SECRET} end. `;
    for (let round = 0; round < 500; round += 1) {
      const stream = passedOn();
      for (let at = 0; at < whole.length; ) {
        const length = 1 + Math.floor(next() * (1 + (round % 40)));
        stream.say(whole.slice(at, at + length));
        at += length;
      }
      stream.push(END, null);
      const text = stream.texts().join('');
      expect(text.replaceAll(/(c|co|cor|s|sk|sk-)?\[redacted\]/g, '#')).toMatch(
        /^begin #+ middle #+ and #+ end\. $/,
      );
      expect(JSON.stringify(stream.passed)).not.toMatch(/corr.*ect-h|horse|battery|aB3_/);
    }
  });
});

describe('other events', () => {
  it('lose their secrets, and then their raw line', () => {
    const { push, passed } = passedOn();
    const tool = (output: string): ExecutionEvent => ({
      ...{ kind: 'tool.ended', toolId: 't', name: null, isError: false },
      output,
    });
    push(tool(`TOKEN=${SECRET}`), line(SECRET));
    push(tool('nothing'), line(`elsewhere: ${SECRET}`));
    push({ kind: 'raw', line: line(SECRET) }, null);
    expect(passed).toEqual([
      { event: tool('TOKEN=[redacted]'), raw: null },
      { event: tool('nothing'), raw: line('elsewhere: [redacted]') },
      { event: { kind: 'raw', line: line('[redacted]') }, raw: null },
    ]);
  });
});
