import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { inRequests, readPromptList } from '../../../src/cli/commands/batch.ts';
import { batchLinks } from '../../../src/protocol/job.ts';
import { tempDir } from '../../helpers/temp.ts';
import { json, startScriptedServer } from '../client/scripted-server.ts';
import { at, item } from './answers.ts';
import { manualInterrupts, type as typed } from './harness.ts';

const ID = '01K9ZV4Q4S9V0M0X2T6D8Y3B7C';
const created = (items: readonly object[]) => json(202, { id: ID, items, links: batchLinks(ID) });
const standing = (finished: boolean, counts: object) => {
  const zero = { queued: 0, scheduled: 0, running: 0, succeeded: 0, failed: 0, cancelled: 0 };
  const rest = { createdAt: '', total: 2, links: batchLinks(ID) };
  return json(200, { id: ID, finished, counts: { ...zero, ...counts }, ...rest });
};

describe('bullpen batch', () => {
  it('sends the lines of stdin, with the options for those that say nothing else, and prints the ids', async () => {
    const items = [
      { index: 0, id: 'J0' },
      { index: 1, error: { code: 'x', message: 'no such provider', retryable: false, errors: [] } },
    ];
    const server = await startScriptedServer(created(items));
    const stdin = 'first\n\n{"prompt":"second","provider":"other"}\r\n';
    const answer = await typed(['batch', '-', '--provider', 'cat'], { ...at(server.url), stdin });
    expect(answer).toMatchObject({ code: 1, out: 'J0\n' });
    expect(answer.err).toContain('line 3: no such provider');
    expect(answer.err).toContain(`1 job in batch ${ID}; 1 refused`);
    expect(JSON.parse(server.requests[0]?.body ?? '')).toEqual({
      prompts: [
        { cwd: '/work', provider: 'cat', prompt: 'first' },
        { cwd: '/work', provider: 'other', prompt: 'second' },
      ],
    });
  });

  it('says once why prompts are refused, however many are', async () => {
    const error = { code: 'cwd.not_allowed', message: 'not there', retryable: false, errors: [] };
    const server = await startScriptedServer(created([0, 1, 2].map((index) => ({ index, error }))));
    const answer = await typed(['batch', '-'], { ...at(server.url), stdin: 'a\n\nb\nc\n' });
    expect(answer.err).toBe(`3 lines (1, 3, 4): not there\n0 jobs in batch ${ID}; 3 refused\n`);
  });

  it('reads a file, waits for the end of every job, and says how they ended', async () => {
    const file = join(tempDir(), 'prompts.txt');
    writeFileSync(file, 'one\ntwo\n');
    const made = created([0, 1].map((index) => ({ index, id: `J${index}` })));
    const page = (...data: readonly object[]) => json(200, { data, nextCursor: null });
    const done = [standing(false, { running: 2 }), standing(true, { succeeded: 2 })] as const;
    const all = [made, ...done, page(item(), item({ id: 'J1', deniedTools: 1 }))];
    const good = await startScriptedServer(...all);
    const answer = await typed(['batch', file, '--wait'], at(good.url));
    expect(answer).toMatchObject({ code: 0, out: 'J0\nJ1\n' });
    expect(answer.err).toContain('2 succeeded, 0 failed, 0 cancelled');
    expect(answer.err).toContain('denied a tool: J1;');
    expect(good.requests).toHaveLength(4);
    const bad = await startScriptedServer(made, standing(true, { succeeded: 1, failed: 1 }), page());
    expect((await typed(['batch', file, '-w', '--json'], at(bad.url))).code).toBe(1);
  });

  it('goes on waiting with a server of its own when the one it found leaves', async () => {
    const made = created([{ index: 0, id: 'J0' }]);
    const theirs = await startScriptedServer(made, (response) => {
      response.socket?.destroy();
      void theirs.stop();
    });
    const own = await startScriptedServer(
      ...[standing(true, { succeeded: 1 }), json(200, { data: [], nextCursor: null })],
    );
    const place = { url: theirs.url, token: 't', tokenFrom: 'f', of: 'run' } as const;
    const none = { kind: 'none', why: 'no server is running', busy: false } as const;
    let looks = 0;
    const answer = await typed(['batch', '-', '--wait'], {
      stdin: 'one',
      finder: () => ({
        home: async () => '/data',
        find: async () => (looks++ === 0 ? { kind: 'found', place } : none),
      }),
      startServer: async () => ({ url: own.url, token: 't', stop: async () => {} }),
    });
    expect(answer.code, answer.err).toBe(0);
    expect(answer.err).toContain('1 succeeded');
  });

  it('leaves the jobs alone at an interrupt while it waits, and says so', async () => {
    const interrupts = manualInterrupts();
    const server = await startScriptedServer(created([{ index: 0, id: 'J0' }]), (response, request) => {
      interrupts.raise();
      return standing(false, { running: 1 })(response, request);
    });
    const answer = await typed(['batch', '-', '--wait'], { ...at(server.url), stdin: 'one', interrupts });
    expect(answer).toMatchObject({ code: 130, err: expect.stringContaining('the jobs continue') });
  });

  it.each([
    ['nothing', ['batch'], null],
    ['an empty list', ['batch', '-'], '\n \n'],
    ['two files', ['batch', 'a', 'b'], null],
    ['a file that is not there', ['batch', '/missing/list'], null],
    ['a line that is broken JSON', ['batch', '-'], '{"prompt":'],
  ])('refuses %s without asking a server', async (_name, args, stdin) => {
    expect((await typed(args, { stdin })).code).toBe(64);
  });
});

describe('a list of prompts', () => {
  it('goes in as few calls as the limits of a call allow, in order', () => {
    const prompts = readPromptList(Array.from({ length: 25 }, (_, index) => `p${index}`).join('\n'), {});
    const sizes = (maxPrompts: number, maxBytes: number): number[] =>
      [...inRequests(prompts, maxPrompts, maxBytes)].map((part) => part.length);
    expect(sizes(10, 1e6)).toEqual([10, 10, 5]);
    expect(sizes(100, 1e6)).toEqual([25]);
    expect(sizes(100, 1)).toEqual(Array(25).fill(1));
    expect([...inRequests(prompts, 100, 50)].flat()).toEqual(prompts);
    expect(sizes(100, 100).every((size) => size > 1 && size < 8)).toBe(true);
  });
});
