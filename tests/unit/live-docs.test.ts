import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { Value } from '#typebox/value';
import { CLOSE_CODES, LIVE_TYPES, LiveCommand, LiveRequest } from '../../src/protocol/live.ts';
import { TERMINAL_EVENT_KINDS } from '../../src/protocol/terminal.ts';
import { examplesOf } from '../helpers/live-examples.ts';

const PAGE = readFileSync(join(fileURLToPath(import.meta.url), '../../../docs/live.md'), 'utf8');
const EXAMPLES = examplesOf(PAGE);

describe('docs/live.md', () => {
  it('has an example of each message type and each command', () => {
    const commands = EXAMPLES.flatMap(({ message: { data } }) =>
      typeof data === 'object' && data !== null && 'command' in data ? [data.command] : [],
    );
    expect(new Set(EXAMPLES.map(({ message }) => message['type']))).toEqual(new Set(LIVE_TYPES));
    for (const { properties } of LiveCommand.anyOf) expect(commands).toContain(properties.command.const);
    for (const word of [...LIVE_TYPES, ...TERMINAL_EVENT_KINDS]) expect(PAGE).toContain(`| \`${word}\` |`);
  });

  it('has only examples that the schema of a request accepts, each with an id of its own', () => {
    const requests = EXAMPLES.filter(({ isAnswer }) => !isAnswer).map(({ message }) => message);
    for (const request of requests)
      expect([...Value.Errors(LiveRequest, request)], JSON.stringify(request)).toEqual([]);
    const ids = requests.map(({ message_id }) => message_id);
    expect(new Set(ids).size).toBe(ids.length);
  });

  it('has the close codes as the code has them', () => {
    const table = PAGE.split('<!-- close codes: begin -->\n')[1]?.split('\n<!-- close codes: end -->')[0];
    const rows = Object.entries(CLOSE_CODES).map(([code, meaning]) => `| ${code} | ${meaning} |`);
    expect(table).toBe(['| code | meaning |', '|---|---|', ...rows].join('\n'));
  });
});
