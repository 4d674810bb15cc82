import { describe, expect, it } from 'vitest';
import { AppError } from '../../../src/errors.ts';
import { aFailure, anOutcome } from '../../fakes/remote-executions.ts';
import { eventually } from '../../helpers/eventually.ts';
import { dial } from '../http/raw-socket.ts';
import { originalHeaders, startDoor } from './door-harness.ts';

describe('POST /execute', () => {
  it('runs a prompt with the allowed arguments, and answers as the original', async () => {
    await using door = await startDoor();
    const answer = await door.execute({
      prompt: 'Hello',
      args: ['--print', '--model', 'opus', '--dangerously-skip-permissions'],
      cwd: '/work',
      timeout: 5000,
    });
    expect(answer.statusCode).toBe(200);
    expect(answer.headers['content-type']).toContain('application/json');
    expect(answer.json()).toEqual({ success: true, result: 'the answer', executionTime: expect.any(Number) });
    expect(door.executions.executed[0]?.request).toEqual({
      prompt: 'Hello',
      model: 'opus',
      permissionMode: 'fullAccess',
      metadata: { rawFormat: 'text' },
      cwd: '/work',
      timeoutMs: 5000,
    });
  });

  it('takes null for a field that is left out', async () => {
    await using door = await startDoor();
    const answer = await door.execute({ prompt: 'Hello', args: null, cwd: null, timeout: null });
    expect(answer.statusCode).toBe(200);
    expect(door.executions.executed[0]?.request).toEqual({
      prompt: 'Hello',
      metadata: { rawFormat: 'text' },
    });
  });

  it("answers with the CLI's own line when JSON was asked for", async () => {
    await using door = await startDoor();
    door.executions.answer = async () => ({ outcome: anOutcome('text'), finalLine: '{"result":"text"}' });
    const result = async (...args: string[]) => (await door.execute({ prompt: 'Hello', args })).json().result;
    expect(await result('--output-format', 'json')).toBe('{"result":"text"}');
    expect(await result('--output-format=text')).toBe('text');
    door.executions.answer = async () => ({ outcome: anOutcome('text'), finalLine: null });
    expect(await result('--output-format', 'stream-json')).toBe('text');
  });

  it.each([
    [aFailure('execution.timed_out', 'it took too long'), 504],
    [aFailure('execution.quota', 'a limit is reached'), 429],
    [aFailure('auth.required', 'log in'), 401],
    [
      {
        ...aFailure('internal.error', 'x'),
        error: { ...aFailure('internal.error', 'x').error, code: 'of.later' },
      },
      500,
    ],
  ] as const)('answers a failed execution with its code: %#', async (outcome, status) => {
    await using door = await startDoor();
    // as: the spread of an error that may be null.
    door.executions.answer = async () => ({
      outcome: outcome as typeof outcome & { error: null },
      finalLine: null,
    });
    const answer = await door.execute({ prompt: 'Hello' });
    expect([answer.statusCode, answer.json()]).toEqual([
      status,
      { success: false, error: outcome.error?.message, code: outcome.error?.code },
    ]);
  });

  it('answers a refused execution with the code of the refusal, and when to ask again', async () => {
    await using door = await startDoor();
    door.executions.failure = new AppError('queue.full', 'too many wait', { retryAfterSeconds: 7 });
    const answer = await door.execute({ prompt: 'Hello' });
    expect([answer.statusCode, answer.headers['retry-after'], answer.json()]).toEqual([
      ...[503, '7', { success: false, error: 'too many wait', code: 'queue.full' }],
    ]);
    door.executions.failure = new Error('a detail of ours');
    const broken = await door.execute({ prompt: 'Hello' });
    expect([broken.statusCode, broken.json().code]).toEqual([500, 'internal.error']);
    expect(broken.body).not.toContain('a detail');
  });

  it.each([
    ['no prompt', {}],
    ['an empty prompt', { prompt: '' }],
    ['white space', { prompt: ' \n' }],
    ['a prompt with a NUL', { prompt: 'a\u0000b' }],
    ['a prompt that is no text', { prompt: 1 }],
    ['another field', { prompt: 'a', shell: true }],
    ['arguments that are no list', { prompt: 'a', args: '--print' }],
    ['an argument that is not allowed', { prompt: 'a', args: ['--mcp-config', '/etc/passwd'] }],
    ['an argument without its value', { prompt: 'a', args: ['--model'] }],
    ['a timeout of 0', { prompt: 'a', timeout: 0 }],
    ['a timeout as text', { prompt: 'a', timeout: '1000' }],
    ['an empty folder', { prompt: 'a', cwd: '' }],
    ['__proto__', '{"prompt":"a","__proto__":{}}'],
    ['a list', []],
    ['nothing', ''],
  ])('refuses %s: 400', async (_what, body) => {
    await using door = await startDoor();
    const answer = await door.execute(body);
    expect([answer.statusCode, answer.json()]).toEqual([
      ...[400, { success: false, code: 'request.invalid', error: expect.any(String) }],
    ]);
    expect(door.executions.executed).toEqual([]);
  });

  it('takes only JSON', async () => {
    await using door = await startDoor();
    const payload = '{"prompt":"a"}';
    const ask = async (headers: Record<string, string>) =>
      (
        await door.app.inject({
          method: 'POST',
          url: '/execute',
          headers: { ...originalHeaders(payload), ...headers },
          payload,
        })
      ).json();
    expect(await ask({ 'content-type': 'text/plain' })).toMatchObject({
      success: false,
      code: 'request.unsupported_media_type',
    });
    expect(await ask({ 'content-encoding': 'gzip' })).toMatchObject({
      success: false,
      code: 'request.unsupported_media_type',
    });
  });

  it('cancels the execution of a client that hangs up, and that of a server that stops', async () => {
    await using door = await startDoor();
    const waits = (signal: AbortSignal) =>
      new Promise<void>((done) => signal.addEventListener('abort', () => done()));
    door.executions.answer = async (_request, signal) => {
      await waits(signal);
      return { outcome: aFailure('execution.cancelled', 'cancelled'), finalLine: null };
    };
    const url = await door.listen();
    const body = '{"prompt":"Hello"}';
    const socket = await dial(url);
    const headers = Object.entries(originalHeaders(body)).map(([name, value]) => `${name}: ${value}`);
    const head = ['POST /execute HTTP/1.1', 'Host: x', `Content-Length: ${body.length}`, ...headers];
    socket.write(`${head.join('\r\n')}\r\n\r\n${body}`);
    const first = await eventually(() => door.executions.executed[0] ?? null);
    expect(first.signal.aborted).toBe(false);
    socket.destroy();
    await eventually(() => first.signal.aborted);

    const second = door.execute({ prompt: 'Hello' }, { nonce: 'other' });
    await eventually(() => door.executions.executed.length === 2);
    door.app.refuseNewRequests();
    expect(door.executions.executed[1]?.signal.aborted).toBe(false);
    door.app.beginStopping();
    expect((await second).json()).toMatchObject({ success: false, code: 'execution.cancelled' });
  });
});
