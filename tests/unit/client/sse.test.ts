import { describe, expect, it } from 'vitest';
import { createSseParser, type SseItem } from '../../../src/client/sse.ts';

const parse = (...chunks: readonly string[]): SseItem[] => {
  const parser = createSseParser();
  return chunks.flatMap((chunk) => [...parser.push(chunk)]);
};
const event = (data: string, id = ''): SseItem => ({ kind: 'event', id, data });

describe('an event stream', () => {
  it('gives an event at its empty line, with its id', () => {
    expect(parse('id: 7\ndata: x\n')).toEqual([]);
    expect(parse('id: 7\ndata: x\n', '\n')).toEqual([event('x', '7')]);
  });

  it('takes every kind of line break, also one that is cut in two', () => {
    expect(parse('data: a\r\n\r\ndata: b\r\rdata: c\n\n')).toEqual(
      ['a', 'b', 'c'].map((data) => event(data)),
    );
    expect(parse('data: a\r', '\n\r', '\ndata: b\n\n')).toEqual([event('a'), event('b')]);
  });

  it('joins several lines of data, and takes one space off each', () => {
    expect(parse('data:a\ndata:  b\ndata\n\n')).toEqual([event('a\n b\n')]);
  });

  it('tells comments and leaves out fields it does not know, and events without data', () => {
    expect(parse(': alive\n\nretry: 2000\n\nevent: x\n\nnonsense\n\n')).toEqual([{ kind: 'comment' }]);
  });
});
