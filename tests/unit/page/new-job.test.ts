import { expect, test } from 'vitest';
import { bullpenOf, curl, durationText } from '../../../src/page/screens/jobs/commands.ts';
import {
  beforeOf,
  changesOf,
  durationIn,
  fieldsOf,
  labelOf,
  problemAt,
  promptsIn,
  requestOf,
  textOf,
} from '../../../src/page/screens/jobs/form-fields.ts';
import type { PromptOverrides } from '../../../src/protocol/prompt.ts';

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

const field = (path: string) => ({ path, label: '', kind: 'line' as const, hint: '', schema: {} });

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
  const others: PromptOverrides = { onPermissionDenied: 'ask', tags: [], autoContinue: true };
  expect(bullpenOf(others, 'ID')).toEqual({
    command: 'bullpen retry ID --from start \\\n  --on-permission-denied ask',
    left: ['tags', 'autoContinue'],
  });
  const unsaid = { '=': 'x', '': 'y' };
  expect(bullpenOf({ prompt: 'x', metadata: unsaid, retry: { maxAttempts: 2, mode: 'restart' } })).toEqual({
    command: 'bullpen run x \\\n  --retry-attempts 2 \\\n  --retry-mode restart',
    left: ['metadata'],
  });
  expect(bullpenOf({ prompt: '-x' }, 'ID').command.split(' \\\n  ')).toEqual([
    ...['bullpen retry ID --from start', '--prompt=-x'],
  ]);
});

test('what a damaged record says is not obeyed by a shell', () => {
  const names = { 'x;id': 1, retry: { 'y;id': 'z', maxAttempts: ';id' }, maxTurns: ';id', limits: ';id' };
  // as: the record of a job is not ours alone
  const { command, left } = bullpenOf({ prompt: 'x', ...(names as object) });
  expect(command).toBe("bullpen run x \\\n  --max-turns ';id'");
  expect(left).toEqual(['x;id', 'retry', 'limits']);
});

test('a long prompt comes from the shell itself', () => {
  const prompt = "it's".repeat(20_000);
  expect(bullpenOf({ prompt, effort: 'high' }).command).toMatch(
    /^printf %s 'it.*s' \| bullpen run - \\\n {2}--effort high$/,
  );
  expect(bullpenOf({ prompt: '-' }).command).toBe('printf %s - | bullpen run -');
  expect(bullpenOf({ prompt: 'x', appendSystemPrompt: prompt }).left).toEqual(['appendSystemPrompt']);
  expect(curl(['url'], { prompt })).toMatch(/^printf %s '.*' \| curl url \\\n.* \\\n.* \\\n {2}-d @-$/);
});

test('a form that begins with a request sends what was not edited as it was', () => {
  const request = {
    ...{ effort: 'high', timeoutMs: 90_000, tags: [' a '], metadata: { 'k=': 'v\nw' }, outputSchema: {} },
    ...{ retry: { maxAttempts: 3, mode: 'restart' }, runAt: '2026-12-01T00:00:00.123Z' },
  };
  const fields = [...FIELDS, { ...field('/retry/mode'), kind: 'choice' as const }];
  const before = beforeOf(fields, request);
  expect(before.texts).toMatchObject({ '/effort': 'high', '/timeoutMs': '90s', '/retry/maxAttempts': '3' });
  expect(requestOf(fields, before.texts, before)).toEqual({ request, problems: [] });
  const changed = (texts: object) => {
    const { request: now } = requestOf(fields, { ...before.texts, ...texts }, before);
    return changesOf(fields, now, before);
  };
  expect(changed({})).toEqual({});
  expect(changed({ '/retry/maxAttempts': '5' })).toEqual({ retry: { maxAttempts: 5, mode: 'restart' } });
  expect(changed({ '/tags': '', '/metadata': '' })).toEqual({ tags: [], metadata: {} });
  expect(changed({ '/cwd': '/srv', '/effort': 'low' })).toEqual({ cwd: '/srv', effort: 'low' });
  // A retry keeps what it is not told.
  expect(changed({ '/effort': '' })).toBeNull();
});

test('a time is one that a field for times shows', () => {
  const text = textOf('time', '2026-12-01T00:00:00.123Z');
  expect(text).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:00\.123$/);
  expect(new Date(text).toISOString()).toBe('2026-12-01T00:00:00.123Z');
});
