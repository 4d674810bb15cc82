import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { asksForLogin, createLoginWatch } from '../../../src/executor/watches.ts';
import { executorBench } from './bench.ts';

it.each([
  'Press Enter to continue: ',
  'Press ENTER to open in the browser...',
  'Open this URL in your browser:\nhttps://claude.ai/oauth/authorize?code=true',
  'To authenticate, visit https://example.com/activate and enter the code ABCD-1234',
  'Paste code here if prompted > \nPaste the authorization code',
  'Select login method:',
  'How would you like to authenticate for this project?',
  'Waiting for authentication... (Press Esc to cancel)',
  'Please sign in first.',
  'Do you trust the files in this folder?',
])('%j asks for a login', (text) => {
  expect(asksForLogin(text)).toBe(true);
});

it.each([
  '',
  'warning: the configuration file has an unknown key',
  'Reading https://example.com/docs/login.html',
  'The login form is in src/login.ts',
  'open src/auth.ts',
])('%j does not', (text) => {
  expect(asksForLogin(text)).toBe(false);
});

describe('a watch', () => {
  beforeEach(() => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] });
  });
  afterEach(() => {
    expect(vi.getTimerCount(), 'timers left').toBe(0);
    vi.useRealTimers();
  });

  function setUp(stderr = '') {
    let asked = 0;
    const watch = createLoginWatch({
      idleTimeoutMs: 900_000,
      stderrTail: () => stderr,
      onAsked: () => {
        asked += 1;
      },
    });
    const says = (line: string): void => {
      watch.sawOutput();
      watch.sawEvent({ kind: 'raw', line });
    };
    return { watch, says, asked: () => asked };
  }

  it('reports a question once ten silent seconds have followed it', () => {
    const { watch, says, asked } = setUp();
    vi.advanceTimersByTime(60_000);
    says('Please log in:');
    vi.advanceTimersByTime(9000);
    says('…');
    vi.advanceTimersByTime(9999);
    expect(asked()).toBe(0);
    vi.advanceTimersByTime(1);
    says('Please log in:');
    vi.advanceTimersByTime(60_000);
    expect(asked()).toBe(1);
    watch.clear();
  });

  it('finds the question on stderr too', () => {
    const { watch, asked } = setUp('Waiting for login');
    watch.sawOutput();
    vi.advanceTimersByTime(10_000);
    expect(asked()).toBe(1);
    watch.clear();
  });

  it('does not mind silence without a question, nor a question after the first event', () => {
    const { watch, says, asked } = setUp();
    says('starting');
    vi.advanceTimersByTime(60_000);
    watch.sawEvent({ kind: 'session', sessionId: null, nativeSessionId: 'n', model: null });
    says('Please log in:');
    vi.advanceTimersByTime(60_000);
    expect(asked()).toBe(0);
  });
});

describe('a CLI that asks for a login and waits', () => {
  const steps = JSON.stringify([
    { line: 'Open https://example.com/oauth/start in your browser' },
    { stderr: 'Press Enter to continue: ' },
    { hang: true },
  ]);

  it('is ended as not logged in, with what to do, and the gate of its credential closes', async () => {
    const bench = await executorBench({}, { FAKE_STEPS: steps });
    const executor = bench.open({ concurrency: 1 });
    const ids = [await bench.submit({ idleTimeoutMs: 2000 }), await bench.submit()];
    await executor.start();
    const [first, second] = await Promise.all(ids.map((id) => bench.finished(id)));
    expect(first?.outcome?.error).toMatchObject({
      code: 'auth.required',
      message: expect.stringMatching(/^claude asks for a login and waits \(run `claude`/),
    });
    expect(second?.outcome?.error?.message).toContain('claude refused the login');
    expect(bench.started()).toHaveLength(1);
  });
});
