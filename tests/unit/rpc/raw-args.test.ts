import { describe, expect, it } from 'vitest';
import { parseRawArgs } from '../../../src/rpc/raw-requests.ts';

describe('the arguments of a raw request', () => {
  it('without arguments the answer is text, with the defaults', () => {
    expect(parseRawArgs([])).toEqual({ fields: {}, format: 'text' });
  });

  it('flags for what Bullpen does anyway are ignored', () => {
    const args = ['-p', '--print', '--verbose', '--include-partial-messages'];
    expect(parseRawArgs(args)).toEqual({ fields: {}, format: 'text' });
  });

  it('allowed flags become fields, with the value as the next argument or after =', () => {
    const fields = { model: 'opus', effort: 'high', maxTurns: 3, appendSystemPrompt: 'a=b --print' };
    const apart = [
      '--model',
      'opus',
      '--effort',
      'high',
      '--max-turns',
      '3',
      '--append-system-prompt',
      'a=b --print',
    ];
    const joined = ['--model=opus', '--effort=high', '--max-turns=3', '--append-system-prompt=a=b --print'];
    expect(parseRawArgs(apart)).toEqual({ fields, format: 'text' });
    expect(parseRawArgs(joined)).toEqual({ fields, format: 'text' });
  });

  it('to skip the permissions is full access, which the settings must allow', () => {
    const args = ['--print', '--dangerously-skip-permissions', '--model', 'opus'];
    expect(parseRawArgs(args).fields).toEqual({ permissionMode: 'fullAccess', model: 'opus' });
  });

  it('the last of two equal flags counts', () => {
    expect(parseRawArgs(['--model', 'a', '--model=b']).fields).toEqual({ model: 'b' });
  });

  it('the output format is returned', () => {
    for (const format of ['text', 'json', 'stream-json']) {
      expect(parseRawArgs(['--output-format', format]).format).toBe(format);
      expect(parseRawArgs([`--output-format=${format}`, '--print']).format).toBe(format);
    }
  });

  it.each([
    [['--output-format', 'xml'], '--output-format needs text, json or stream-json'],
    [['--output-format'], '--output-format needs text, json or stream-json'],
    [['--model'], '--model needs a value'],
    [['--max-turns', 'many'], '--max-turns needs a whole number'],
    [['--max-turns', '-1'], '--max-turns needs a whole number'],
    [['--max-turns=1.5'], '--max-turns needs a whole number'],
    [['--max-turns=99999999'], '--max-turns needs a whole number'],
  ])('%j is refused: %s', (args, message) => {
    expect(() => parseRawArgs(args)).toThrow(
      expect.objectContaining({ code: 'request.invalid', message: `the argument ${message}` }),
    );
  });

  it.each([
    '--dangerously-skip-permissions=true',
    '--allow-dangerously-skip-permissions',
    '--mcp-config',
    '--settings=/tmp/x',
    '--plugin-dir',
    '--add-dir=/',
    '--permission-mode=plan',
    '--allowedTools=Bash',
    '--resume',
    '-c',
    '--',
    'Hello',
    '',
    '--Model=x',
    '--model ',
    'constructor',
    'toString',
    '__proto__',
    'hasOwnProperty=x',
  ])('%j is refused by name', (arg) => {
    const name = arg.split('=')[0];
    for (const args of [[arg], [arg, 'value'], ['--print', arg, 'value']]) {
      expect(() => parseRawArgs(args)).toThrow(
        expect.objectContaining({
          code: 'request.invalid',
          message: `the argument ${name} is not allowed in a raw request`,
        }),
      );
    }
  });
});
