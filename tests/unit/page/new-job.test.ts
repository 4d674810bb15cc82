import { expect, test } from 'vitest';
import { bullpenOf, durationText } from '../../../src/page/screens/jobs/commands.ts';
import {
  durationIn,
  fieldsOf,
  labelOf,
  problemAt,
  promptsIn,
  requestOf,
  textOf,
} from '../../../src/page/screens/jobs/form-fields.ts';

const FIELDS = fieldsOf({
  properties: {
    effort: { enum: ['low', 'high'] },
    timeoutMs: { type: 'integer', minimum: 1, maximum: 86_400_000 },
    priority: { type: 'integer', minimum: -10, maximum: 10 },
    autoContinue: { type: 'boolean', description: 'whether it goes on' },
    tags: { type: 'array', items: { type: 'string' } },
    metadata: { type: 'object', additionalProperties: { type: 'string' } },
    outputSchema: { type: 'object', additionalProperties: {} },
    retry: { type: 'object', properties: { maxAttempts: { type: 'integer', minimum: 1 } } },
    runAt: { type: 'string', format: 'date-time' },
    appendSystemPrompt: { type: 'string', maxLength: 65_536 },
    cwd: { type: 'string', maxLength: 4096 },
  },
});

test('a schema becomes fields, with its bounds and descriptions as hints', () => {
  expect(FIELDS.map(({ path, kind }) => `${path} ${kind}`)).toEqual([
    ...['/effort choice', '/timeoutMs duration', '/priority number', '/autoContinue yes-no', '/tags lines'],
    ...['/metadata pairs', '/outputSchema json', '/retry/maxAttempts number', '/runAt time'],
    ...['/appendSystemPrompt text', '/cwd line'],
  ]);
  const hints = new Map(FIELDS.map(({ path, hint }) => [path, hint]));
  expect(hints.get('/timeoutMs')).toBe('such as 90s, 15m, 2h; at most 1d');
  expect(hints.get('/priority')).toBe('at least -10, at most 10');
  expect(hints.get('/autoContinue')).toBe('whether it goes on');
  expect([labelOf('idleTimeoutMs'), labelOf('cwd')]).toEqual(['Idle timeout', 'Folder']);
});

test('texts become a request; what is empty is left out', () => {
  const { request, problems } = requestOf(FIELDS, {
    ...{ '/effort': 'high', '/timeoutMs': '15m', '/priority': '-3', '/autoContinue': 'false' },
    ...{ '/tags': 'a\n b \n', '/metadata': 'k=v=w', '/outputSchema': '{"type":"object"}' },
    ...{ '/retry/maxAttempts': '3', '/cwd': ' ' },
  });
  expect(problems).toEqual([]);
  expect(request).toEqual({
    ...{ effort: 'high', timeoutMs: 900_000, priority: -3, autoContinue: false, tags: ['a', 'b'] },
    ...{ metadata: { k: 'v=w' }, outputSchema: { type: 'object' }, retry: { maxAttempts: 3 } },
  });
});

test('what cannot be sent is a problem of its field', () => {
  const { problems } = requestOf(FIELDS, {
    ...{ '/timeoutMs': 'soon', '/metadata': 'no pair', '/outputSchema': '{', '/priority': 'x' },
  });
  expect(problems.map(({ path }) => path)).toEqual(['/timeoutMs', '/priority', '/metadata', '/outputSchema']);
  expect(problemAt([{ path: '/tags/0', message: 'is bad' }], '/tags')).toBe('is bad');
  expect(problemAt([{ path: '/tagsOther', message: 'is bad' }], '/tags')).toBeNull();
});

test('times are read and written as people do', () => {
  expect(['90s', '1.5h', '2 d', '500', 'x'].map(durationIn)).toEqual([
    90_000,
    5_400_000,
    172_800_000,
    500,
    null,
  ]);
  expect([90_000, 900_000, 86_400_000, 1, 0].map(durationText)).toEqual(['90s', '15m', '1d', '1ms', '0ms']);
  expect(textOf('pairs', { a: 'b' })).toBe('a=b');
  expect(textOf('lines', ['a', 'b'])).toBe('a\nb');
});

test('lines of three dashes are between prompts', () => {
  expect(promptsIn('one\n---\ntwo\nlines\n---\n\n')).toEqual(['one', 'two\nlines']);
  expect(promptsIn('a --- b')).toEqual(['a --- b']);
});

test('the same can be typed, whatever the prompt has', () => {
  const prompt = "say 'hi'; rm -rf $HOME";
  const { command, left } = bullpenOf({
    ...{ prompt, tags: ['a b'], timeoutMs: 90_000, onPermissionDenied: 'ask', limits: { cpuSeconds: 1 } },
    ...{ retry: { maxAttempts: 2 }, metadata: { k: 'v w' } },
  });
  expect(command.split(' \\\n  ')).toEqual([
    `bullpen run 'say '\\''hi'\\''; rm -rf $HOME'`,
    ...["--tag 'a b'", '--timeout 90s', '--ask', '--retry-attempts 2', "--metadata 'k=v w'"],
  ]);
  expect(left).toEqual(['limits']);
  expect(bullpenOf({ prompt: '-x', priority: -5 }).command.split(' \\\n  ')).toEqual([
    ...['bullpen run', '--priority=-5', '-- -x'],
  ]);
  expect(bullpenOf({ prompt: '-x' }, 'ID').command.split(' \\\n  ')).toEqual([
    ...['bullpen retry ID --from start', '--prompt=-x'],
  ]);
});
