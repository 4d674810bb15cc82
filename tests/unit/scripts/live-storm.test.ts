/** Breaks each rule of the storm in prepared evidence, and expects it to be found. */
import { describe, expect, it } from 'vitest';
import { findFaults, type Truth } from '../../../scripts/live-storm/checks.ts';
import type { SessionEvent, SessionStoredEvent } from '../../../src/protocol/event.ts';

const AT = '2026-11-30T12:00:00.000Z';
const stored = (sessionId: string, seq: number, event: SessionEvent): SessionStoredEvent => ({
  ...{ seq, sessionId, at: AT },
  ...event,
});
const status = (status: 'busy' | 'closed'): SessionEvent => ({
  kind: 'session.status',
  status,
  reason: null,
});
const output = (offset: number, text: string): SessionEvent => ({
  ...{ kind: 'terminal.output', offset },
  data: Buffer.from(text).toString('base64'),
});

const CHAT = [stored('chat', 1, status('busy')), stored('chat', 2, status('closed'))];
const SCREEN = stored('term', 4, {
  ...{ kind: 'terminal.screen', offset: 6, cols: 80, rows: 24 },
  data: Buffer.from('typed-0.').toString('base64'),
});
const TERMINAL = [SCREEN, stored('term', 5, output(6, 'd-0.ä')), stored('term', 6, status('closed'))];
const RECORDING = [
  { version: 2, width: 80, height: 24 },
  [0.1, 'o', '\r\ntype'],
  [0.2, 'r', '80x24'],
  [0.2, 'o', 'd-0.ä'],
]
  .map((line) => `${JSON.stringify(line)}\n`)
  .join('');

const truth = (other: Partial<Truth> = {}): Truth => ({
  chats: new Map([['chat', CHAT]]),
  recordings: new Map([['term', RECORDING]]),
  turns: ['prompt-0.\nrest'],
  inputs: ['typed-0.'],
  prompts: ['prompt-0.'],
  ...other,
});
const client = (name: string, chat = CHAT, terminal = TERMINAL, faults: readonly string[] = []) => ({
  ...{ name, faults },
  seen: new Map([
    ['chat', chat],
    ['term', terminal],
  ]),
});
const swapped = (events: readonly SessionStoredEvent[], at: number, event: SessionEvent) =>
  events.with(at, stored(events[at]?.sessionId ?? '', events[at]?.seq ?? 0, event));

describe('the checks of the storm', () => {
  it('find nothing where every client has every event once', () => {
    expect(findFaults([client('a'), client('b')], truth())).toEqual([]);
  });

  it.each([
    ['what a client noticed itself', client('b', CHAT, TERMINAL, ['b: 3 after 1']), /^b: 3 after 1$/],
    ['a lost event of a chat', client('b', CHAT.slice(1)), /^b has 1 of 2 events of chat$/],
    ['another event of a chat', client('b', swapped(CHAT, 0, status('closed'))), /^b has another event 1/],
    ['lost output', client('b', CHAT, [SCREEN]), /^b has 6 of 12 bytes of term$/],
    [
      'repeated output',
      client('b', CHAT, TERMINAL.with(2, TERMINAL[1] ?? SCREEN)),
      /^b: 5 of term is at 6, not 12$/,
    ],
    [
      'other output',
      client('b', CHAT, swapped(TERMINAL, 1, output(6, 'd-0.ö'))),
      /^b: 5 of term is not what was/,
    ],
  ])('find %s', (_what, broken, found) => {
    const faults = findFaults([client('a'), broken], truth());
    expect(faults[0]).toMatch(found);
  });

  it('find two clients whose events of one number differ', () => {
    const split = [SCREEN, stored('term', 5, output(6, 'd-')), stored('term', 6, output(8, '0.ä'))];
    const faults = findFaults([client('a'), client('b', CHAT, split)], truth());
    expect(faults).toEqual(['b has another event 5 of term', 'b has another event 6 of term']);
  });

  it('find a command that acted twice, or not at all', () => {
    const turns = ['prompt-0.\nrest', 'prompt-0.\nrest'];
    expect(findFaults([client('a')], truth({ turns, inputs: ['typed-1.'] }))).toEqual([
      'the input typed-1. acted 0 times',
      'the prompt prompt-0. acted 2 times',
    ]);
  });
});
