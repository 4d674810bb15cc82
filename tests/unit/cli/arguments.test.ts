import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { Compile } from '#typebox/compile';
import { nearest, parseArguments, parseStart } from '../../../src/cli/arguments.ts';
import { CommandError } from '../../../src/cli/failures.ts';
import { REQUEST_OPTIONS, requestFields } from '../../../src/cli/request-options.ts';
import { PromptRequest, promptOptions } from '../../../src/protocol/prompt.ts';
import { tempDir } from '../../helpers/temp.ts';

const OPTIONS = {
  model: { type: 'string', value: 'NAME', help: '' },
  json: { type: 'boolean', help: '' },
  detach: { type: 'boolean', short: 'd', help: '' },
  tag: { type: 'string', multiple: true, value: 'TAG', help: '' },
  priority: { type: 'string', value: 'N', help: '' },
  cost: { type: 'string', value: 'N', help: '' },
  timeout: { type: 'string', value: 'TIME', help: '' },
} as const;
const parse = (...args: readonly string[]) => parseArguments(args, OPTIONS);

describe('arguments', () => {
  it('are options in any order and the rest', () => {
    const args = parse('hello', '--model', 'm', '-d', '--tag=a', '--tag', 'b,c', '--', '--json');
    expect(args.positionals).toEqual(['hello', '--json']);
    expect(args.text('model')).toBe('m');
    expect([args.flag('detach'), args.flag('json')]).toEqual([true, false]);
    expect(args.texts('tag')).toEqual(['a', 'b,c']);
    expect(args.list('tag')).toEqual(['a', 'b', 'c']);
    const rules = parse('--tag', 'Bash(git log --format=%H,%s),Read');
    expect(rules.list('tag')).toEqual(['Bash(git log --format=%H,%s)', 'Read']);
  });

  it('may be a lone dash, which is no option', () => {
    expect(parse('-').positionals).toEqual(['-']);
  });

  it('that are not given are undefined, not nothing', () => {
    const args = parse();
    expect([args.text('model'), args.integer('priority'), args.durationMs('timeout')]).toEqual([
      undefined,
      undefined,
      undefined,
    ]);
    expect(args.texts('tag')).toEqual([]);
  });

  it('are numbers and times where they should be', () => {
    const args = parse('--priority=-5', '--cost', '0.25', '--timeout', '1.5h');
    expect([args.integer('priority'), args.number('cost'), args.durationMs('timeout')]).toEqual([
      -5, 0.25, 5_400_000,
    ]);
    // As a program writes them.
    for (const number of [0.1 + 0.2, 1e-7, 1.5e21, 5e-324])
      expect(parse('--cost', String(number)).number('cost')).toBe(number);
  });

  it('may be negative numbers behind a space, which are no options', () => {
    const args = parse('--priority', '-5', '--cost', '-0.5', '--', '--priority', '-6');
    expect([args.integer('priority'), args.number('cost')]).toEqual([-5, -0.5]);
    expect(args.positionals).toEqual(['--priority', '-6']);
    const short = parseArguments(['-n', '-2'], { limit: { type: 'string', short: 'n', help: '' } });
    expect(short.integer('limit')).toBe(-2);
  });

  it.each([
    [['--modle', 'x'], 'there is no option --modle; did you mean --model?'],
    [['--jsno'], 'there is no option --jsno; did you mean --json?'],
    [['--zzzzzzz'], 'there is no option --zzzzzzz'],
    [['-x'], 'there is no option -x'],
    [['--model'], '--model'],
    [['--json=yes'], '--json'],
  ])('%j are refused: %s', (args, message) => {
    expect(() => parse(...args)).toThrow(CommandError);
    expect(() => parse(...args)).toThrow(message);
  });

  it.each([
    ['--priority', '1.5', 'integer', 'a whole number'],
    ['--cost', 'much', 'number', 'a number'],
    ['--timeout', '15', 'durationMs', 'a time like 90s'],
  ] as const)('%s %s is refused where it is read', (option, value, kind, message) => {
    const args = parse(option, value);
    expect(() => args[kind](option.slice(2))).toThrow(`${option} takes ${message}`);
  });
});

describe('the word that was meant', () => {
  it.each([
    ['jbos', 'jobs'],
    ['provider', 'providers'],
    ['cancle', 'cancel'],
    ['xyzzy', null],
    ['', null],
  ])('by %j is %j', (word, meant) => {
    expect(nearest(word, ['jobs', 'providers', 'cancel', 'run'])).toBe(meant);
  });
});

describe('the time at which a job may start', () => {
  const now = new Date(2026, 10, 21, 12, 30, 15);
  it.each([
    ['now', now],
    ['12:31', new Date(2026, 10, 21, 12, 31)],
    ['23:05', new Date(2026, 10, 21, 23, 5)],
    ['12:30', new Date(2026, 10, 22, 12, 30)],
    ['6:00', new Date(2026, 10, 22, 6, 0)],
    ['2026-12-24T20:00:00+01:00', new Date('2026-12-24T19:00:00Z')],
    ['2026-12-24', new Date('2026-12-24T00:00:00Z')],
  ])('is %s', (text, start) => {
    expect(parseStart('--run-at', text, now)).toBe(start.toISOString());
  });

  it.each(['', '24:00', '12:60', '7d', 'soon', '2026-02-30', '2026-12-24T20:00:00'])('is not %j', (text) => {
    expect(() => parseStart('--run-at', text, now)).toThrow('--run-at takes');
  });
});

describe('the options of a request', () => {
  const fields = (...args: readonly string[]) =>
    requestFields(parseArguments(args, REQUEST_OPTIONS), '/work', new Date('2026-11-21T12:00:00Z'));

  it('become the fields the API knows, with their units', () => {
    const dir = tempDir();
    const file = join(dir, 'schema.json');
    writeFileSync(file, '{"type": "object"}');
    const request = fields(
      ...['--provider', 'codex', '--model', 'm-1', '--effort', 'high', '--cwd', 'sub/../other'],
      ...['--session', '01K9ZV4Q4S9V0M0X2T6D8Y3B7C', '--permission-mode', 'acceptEdits'],
      ...['--allowed-tools', 'Read,Bash(git *)', '--allowed-tools', 'Edit', '--disallowed-tools', 'Write'],
      ...[
        '--background',
        'wait',
        '--on-permission-denied',
        'fail',
        '--max-turns',
        '3',
        '--max-cost-usd',
        '0.5',
        '--timeout',
        '15m',
      ],
      ...[
        '--idle-timeout',
        '90s',
        '--ttl',
        '1d',
        '--priority=-2',
        '--delay',
        '500ms',
        '--retry-attempts',
        '3',
      ],
      ...[
        '--on-quota',
        'wait',
        '--quota-timeout',
        '12h',
        '--approval-timeout',
        '2d',
        '--concurrency-key',
        'k',
        '--tag',
        'a',
        '--tag',
        'b,c',
        '--metadata',
        'x=1=2',
        '--output-schema',
        file,
      ],
      ...['--append-system-prompt', 'Be brief.'],
      ...['--retry-mode', 'continue', '--continue-prompt', 'Go on.', '--no-auto-continue'],
    );
    expect(request).toEqual({
      provider: 'codex',
      model: 'm-1',
      effort: 'high',
      cwd: '/work/other',
      sessionId: '01K9ZV4Q4S9V0M0X2T6D8Y3B7C',
      permissionMode: 'acceptEdits',
      allowedTools: ['Read', 'Bash(git *)', 'Edit'],
      disallowedTools: ['Write'],
      background: 'wait',
      onPermissionDenied: 'fail',
      maxTurns: 3,
      maxCostUsd: 0.5,
      timeoutMs: 900_000,
      idleTimeoutMs: 90_000,
      ttlMs: 86_400_000,
      priority: -2,
      delayMs: 500,
      onQuota: 'wait',
      quotaTimeoutMs: 43_200_000,
      approvalTimeoutMs: 172_800_000,
      retry: { maxAttempts: 3, mode: 'continue' },
      continuePrompt: 'Go on.',
      autoContinue: false,
      concurrencyKey: 'k',
      tags: ['a', 'b,c'],
      metadata: { x: '1=2' },
      outputSchema: { type: 'object' },
      appendSystemPrompt: 'Be brief.',
    });
    expect(Compile(PromptRequest).Check({ prompt: 'x', ...request })).toBe(true);
    // Every field has an option, except for those that belong into a settings file.
    const unsaid = Object.keys(promptOptions).filter((name) => !(name in request));
    expect(unsaid).toEqual(['providerOptions', 'limits', 'runAt']); // `runAt` excludes `delayMs`
  });

  it('are none when none is given, so that the defaults of the server hold', () => {
    expect(fields()).toEqual({});
  });

  it('refuse a schema that is no file, no JSON or no object, and metadata without a key', () => {
    const dir = tempDir();
    writeFileSync(join(dir, 'text'), 'hello');
    writeFileSync(join(dir, 'list'), '[]');
    expect(() => fields('--output-schema', join(dir, 'none'))).toThrow(/--output-schema: ENOENT/);
    for (const name of ['text', 'list']) {
      expect(() => fields('--output-schema', join(dir, name))).toThrow('does not hold a JSON object');
    }
    writeFileSync(join(dir, 'latin'), Buffer.from('{"title":"\xfc"}', 'latin1'));
    expect(() => fields('--output-schema', join(dir, 'latin'))).toThrow('is not UTF-8 text');
    expect(() => fields('--metadata', '=x')).toThrow('--metadata takes KEY=VALUE');
  });

  it('take a schema that begins with a byte order mark', () => {
    const file = join(tempDir(), 'schema.json');
    writeFileSync(file, '\ufeff{"type":"object"}');
    expect(fields('--output-schema', file)).toEqual({ outputSchema: { type: 'object' } });
  });
});
