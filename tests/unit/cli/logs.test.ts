import { appendFileSync, mkdirSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { createServerFinder } from '../../../src/cli/find-server.ts';
import { tempDir } from '../../helpers/temp.ts';
import { manualInterrupts, type } from './harness.ts';

const line = (msg: string, fields: object = {}): string =>
  `${JSON.stringify({ level: 30, time: Date.parse('2026-11-21T12:00:00Z'), ...fields, msg })}\n`;

/** A data folder, and a command line that uses it. */
function setUp(content: string | null) {
  const home = join(tempDir(), 'home');
  mkdirSync(home);
  const file = join(home, 'server.log');
  if (content !== null) writeFileSync(file, content);
  const finder = () =>
    createServerFinder({
      ...{ env: {}, readHome: async () => home, readNote: () => null, isAlive: () => false },
      readLogin: () => null,
    });
  return { file, given: { finder } };
}

const LOG =
  'what a start has printed\n' +
  line('one', { jobId: 'A' }) +
  line('two', { level: 40, jobId: 'B', component: 'rpc' }) +
  line('three', { level: 50, jobIds: ['A', 'C'] });

test('the log goes out as it is, on a terminal for people', async () => {
  const { given } = setUp(LOG);
  expect(await type(['logs'], given)).toEqual({ code: 0, out: LOG, err: '' });
  const { out } = await type(['logs'], { ...given, terminal: true });
  expect(out.split('\n').slice(0, -1)).toEqual([
    'what a start has printed',
    expect.stringMatching(/^\d\d:\d\d:\d\d {2}one {2}jobId=A$/),
    expect.stringMatching(/ {2}warning: two {2}jobId=B component=rpc$/),
    expect.stringMatching(/ {2}error: three {2}jobIds=A,C$/),
  ]);
});

test.each([
  ['--job A', ['one', 'three']],
  ['--level warn', ['two', 'three']],
  ['--level error --job B', []],
  ['-n 1', ['three']],
  ['-n 0', []],
])('logs %s shows %j', async (options, expected) => {
  const { given } = setUp(LOG);
  const { out } = await type(['logs', ...options.split(' ')], given);
  const shown = out.split('\n').flatMap((text) => (text.startsWith('{') ? [JSON.parse(text).msg] : []));
  expect(shown).toEqual(expected);
});

test('--follow shows new lines when they are whole, also of the next log, until Ctrl-C', async () => {
  const { file, given } = setUp(line('old'));
  const interrupts = manualInterrupts();
  const steps = [
    () => appendFileSync(file, `${line('new')}{"level":30,"msg":"hal`),
    () => appendFileSync(file, 'f"}\n'),
    () => {
      appendFileSync(file, line('last'));
      renameSync(file, `${file}.1`);
    },
    () => writeFileSync(file, line('next log')),
    () => {},
    () => interrupts.raise(),
  ];
  const sleep = async (_ms: number, signal?: AbortSignal) => {
    steps.shift()?.();
    signal?.throwIfAborted();
  };
  const { code, out } = await type(['logs', '-f'], { ...given, interrupts, sleep });
  expect(code).toBe(130);
  const shown = out
    .trimEnd()
    .split('\n')
    .map((text) => JSON.parse(text).msg);
  expect(shown).toEqual(['old', 'new', 'half', 'last', 'next log']);
});

test('there is no log, or no data folder here', async () => {
  const { given } = setUp(null);
  expect(await type(['logs'], given)).toMatchObject({
    code: 1,
    err: expect.stringContaining('`bullpen up`'),
  });
  const env = { BULLPEN_URL: 'http://127.0.0.1:1', BULLPEN_TOKEN: 't' };
  expect(await type(['logs'], { env })).toMatchObject({ code: 64 });
  expect(await type(['logs', '--level', 'loud'], given)).toMatchObject({ code: 64 });
});
