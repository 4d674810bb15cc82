import { describe, expect, it, onTestFinished } from 'vitest';
import { eventually } from '../../helpers/eventually.ts';
import { json, startScriptedServer } from '../client/scripted-server.ts';
import { at } from './answers.ts';
import { keyboard, manualInterrupts, type Surroundings, screen, type as typed } from './harness.ts';
import { startTalkingServer } from './talking-server.ts';

async function serve(options: Parameters<typeof startTalkingServer>[0] = {}) {
  const server = await startTalkingServer(options);
  onTestFinished(() => server.stop());
  return server;
}

/** `bullpen ARGS…` on a terminal. */
function onTerminal(url: string, args: readonly string[], surroundings: Surroundings = at(url)) {
  const { keys, type } = keyboard();
  const screens = { stdout: screen(true), stderr: screen(true) };
  const ended = typed(args, { ...surroundings, terminal: true, screens, openTerminal: () => keys });
  const sees = (text: string) => eventually(() => screens.stderr.written.includes(text));
  const reads = (text: string) => eventually(() => screens.stdout.written.includes(text));
  return { type, screens, ended, sees, reads };
}

const LAST_SESSION = { cwd: '/work', name: 'mine' };

describe('a chat over lines of stdin', () => {
  it('sends each line when the one before has its answer, all in one session', async () => {
    const server = await serve();
    const { code, out, err } = await typed(['chat'], {
      ...at(server.url),
      stdin: 'one\ntwo\\\nlines\n\nthree',
    });
    expect([code, out]).toEqual([0, 'You said: one\nYou said: two\nlines\nYou said: three\n']);
    const [session] = server.sessions.keys();
    expect(server.sessions.size).toBe(1);
    expect(err).toContain(`to go on: bullpen chat --session ${session}`);
  });

  it('sends the options with the session, and asks only where the CLI can', async () => {
    const server = await serve({ canAsk: false });
    const args = ['chat', 'hi', '--model', 'm', '--allowed-tools', 'Read', '--name', 'mine'];
    expect((await typed(args, { ...at(server.url), stdin: '' })).out).toBe('You said: hi\n');
    const made = server.changes.filter(({ path }) => path === '/v1/sessions').map(({ body }) => body);
    const request = { cwd: '/work', model: 'm', allowedTools: ['Read'], name: 'mine' };
    expect(made).toEqual([{ ...request, onPermissionDenied: 'ask' }, request]);
  });

  it('goes on in a session by the id of a job, by a part of an id, and in the last one of the folder', async () => {
    const server = await serve({ session: LAST_SESSION });
    const [id = ''] = server.sessions.keys();
    for (const given of ['last', id, id.slice(-6), id.slice(0, 8)]) {
      const { code, err } = await typed(['chat', 'hi', '--session', given], { ...at(server.url), stdin: '' });
      expect([given, code, err]).toEqual([given, 0, expect.stringContaining(id)]);
    }
    expect(server.sessions.get(id)?.turns).toBe(4);
    const second = '01K9ZV4Q4SJ0M0X2T6D8Y00002'; // a job
    await typed(['chat', 'hi', '--session', second], { ...at(server.url), stdin: '' });
    expect(server.sessions.get(id)?.turns).toBe(5);
  });

  it.each([
    [['--session', 'last'], 'there is no session in /work'],
    [['--session', '7777'], 'has an id like 7777'],
    [['--session', 'no!'], 'is no id of a session'],
    [['--session', 'last', '--model', 'm'], '--model is for a new session'],
    [['a', 'b'], 'one prompt at a time'],
  ])('refuses %j', async (args, why) => {
    const server = await serve();
    const { code, err } = await typed(['chat', ...args], { ...at(server.url), stdin: '' });
    expect([code, err]).toEqual([64, expect.stringContaining(why)]);
  });

  it('ends with the exit code of the last turn', async () => {
    const server = await serve();
    const interrupts = manualInterrupts();
    const ended = typed(['chat', 'work'], { ...at(server.url), stdin: '', interrupts });
    await eventually(() => server.sessions.size === 1 && interrupts.raise());
    expect((await ended).code).toBe(130);
  });

  it('sends a last line that was to go on', async () => {
    const server = await serve();
    const { out } = await typed(['chat'], { ...at(server.url), stdin: 'one\ntwo\\\nlines\\\n' });
    expect(out).toBe('You said: one\nYou said: two\nlines\n');
  });

  it.each([
    [['chat', 'hi'], ''],
    [['chat'], 'hi\n'],
  ])('%j leaves at the second interrupt when the server does not answer', async (args, stdin) => {
    const interrupts = manualInterrupts();
    const server = await startScriptedServer((response, request) => {
      if (request.method !== 'POST') return json(200, {})(response, request);
      interrupts.raise();
      interrupts.raise();
    });
    const { code, err } = await typed(args, { ...at(server.url), stdin, interrupts });
    expect([code, err]).toEqual([130, expect.stringContaining('the server may have the last message')]);
    expect(server.requests.filter(({ method }) => method === 'POST')).toHaveLength(1);
  });

  it('leaves at an interrupt while the server does not say what a session has', async () => {
    const interrupts = manualInterrupts();
    const id = '01K9ZV4Q4SS0M0X2T6D8Y00001';
    const server = await startScriptedServer((response, request) => {
      if (request.url.pathname !== '/v1/jobs') return json(200, { id, status: 'ready' })(response, request);
      interrupts.raise();
    });
    const args = ['chat', '--session', id];
    expect((await typed(args, { ...at(server.url), stdin: '', interrupts })).code).toBe(130);
  });
});

describe('a chat on a terminal', () => {
  it('shows the answers to what is typed, and leaves at Ctrl-D', async () => {
    const server = await serve();
    const chat = onTerminal(server.url, ['chat']);
    await chat.sees('> ');
    chat.type('hello\r');
    await chat.reads('You said: hello');
    await chat.sees('3.2 s · $0.0042 (reported)');
    chat.type('\u0004');
    expect((await chat.ended).code).toBe(0);
  });

  it('asks what the agent asks, and sends the decision', async () => {
    const server = await serve();
    const chat = onTerminal(server.url, ['chat', 'ask git push']);
    await chat.sees('allow it? ');
    expect(chat.screens.stderr.written).toContain('    git push\n');
    chat.type('a\r');
    await chat.reads('It was allowed: {"command":"git push"}.');
    const rule = 'Bash(git push *)';
    expect(server.changes.at(-1)?.body).toEqual({ decision: 'allow', scope: 'session', rule });

    chat.type('ask rm -r x\r');
    await chat.sees('    rm -r x\n');
    chat.type('only in tmp\r');
    await chat.reads('It was denied: "only in tmp".');

    chat.type('ask ls\r');
    await chat.sees('    ls\n');
    chat.type('e\r');
    await chat.sees('run: ');
    chat.type(' -l\r');
    await chat.reads('It was allowed: {"command":"ls -l"}.');

    chat.type('plan\r');
    await chat.sees('go on? ');
    expect(chat.screens.stderr.written).toContain('    2. Write\n');
    chat.type('y\r');
    await chat.reads('It was allowed: {"plan":');

    chat.type('choose\r');
    await chat.sees('  2  Postgres - a server');
    chat.type('2\r');
    await chat.sees('Which features? (several may be chosen)');
    chat.type('search, 2\r');
    await chat.reads('It was allowed: {"Which database?":"Postgres","Which features?":["Search","Export"]}.');
    chat.type('/quit\r');
    expect((await chat.ended).code).toBe(0);
  });

  it('shows the lines that an edit changes', async () => {
    const server = await serve();
    const chat = onTerminal(server.url, ['chat', 'edit']);
    await chat.sees('allow it? ');
    const shown = chat.screens.stderr.written;
    expect(shown).toContain('Edit wants to change /work/a.txt');
    for (const line of ['    one', '  - two', '  + 2', '    three']) expect(shown).toContain(line);
    chat.type('\u0004');
    await chat.sees('left open: bullpen approvals show ');
    chat.type('\u0003');
    chat.type('\u0003');
    expect((await chat.ended).code).toBe(130);
  });

  it('stops asking when another person decides', async () => {
    const server = await serve();
    const chat = onTerminal(server.url, ['chat', 'ask git push']);
    await chat.sees('allow it? ');
    chat.type('y'); // without Enter
    const [id = ''] = server.approvals.keys();
    server.decide(id, { decision: 'deny', message: 'No.' });
    await chat.sees('denied by key:other');
    await chat.reads('It was denied: "No.".');
    chat.type('next\r');
    await chat.reads('You said: next');
    chat.type('\u0004');
    expect((await chat.ended).code).toBe(0);
    expect(server.changes.filter(({ path }) => path.includes('decide'))).toEqual([]);
  });

  it('goes on with the server that takes the place of one that has left', async () => {
    const server = await serve();
    const finder = () => ({
      home: async () => '/data',
      find: async () => {
        const place = { url: server.url, token: 't', tokenFrom: 'f', of: 'serve' } as const;
        return { kind: 'found', place } as const;
      },
    });
    const chat = onTerminal(server.url, ['chat', 'ask git push'], { finder });
    await chat.sees('allow it? ');
    await server.move();
    chat.type('y\r');
    await chat.reads('It was allowed: {"command":"git push"}.');
    await server.move();
    chat.type('still there\r');
    await chat.reads('You said: still there');
    chat.type('\u0004');
    expect((await chat.ended).code).toBe(0);
  });

  it('does not put a command with control characters into the line: they would be keys', async () => {
    const server = await serve();
    const chat = onTerminal(server.url, ['chat', 'ask ls\rrm -r x']);
    await chat.sees('allow it? ');
    expect(chat.screens.stderr.written).toContain('ls\\u000drm -r x');
    chat.type('e\r');
    await chat.sees('it has control characters');
    chat.type('n\r');
    await chat.reads('It was denied');
    chat.type('\u0004');
    await chat.ended;
  });

  it('reaches the running turn with /steer, and queues a plain line behind it', async () => {
    const server = await serve();
    const chat = onTerminal(server.url, ['chat', 'work']);
    await chat.reads('I am working on it');
    chat.type('and then this\r');
    await chat.sees('this is the next turn');
    chat.type('/steer use tabs\r');
    await chat.sees('the running turn has your message');
    await chat.reads('You told me: use tabs');
    await chat.reads('You said: and then this');
    chat.type('/steer nothing runs\r');
    await chat.sees('no turn takes it now');
    await chat.reads('You said: nothing runs');
    chat.type('\u0004');
    await chat.ended;
  });

  it('stops the turn at Ctrl-C and goes on; a second Ctrl-C leaves', async () => {
    const server = await serve();
    const chat = onTerminal(server.url, ['chat', 'work']);
    await chat.reads('I am working on it');
    chat.type('\u0003');
    await chat.sees('cancelled · 3.2 s');
    chat.type('work again\r');
    await eventually(() => chat.screens.stdout.written.split('I am working').length === 3);
    chat.type('\u0003');
    chat.type('\u0003');
    const { code, err } = await chat.ended;
    expect(code).toBe(130);
    expect(err).toContain('to go on: bullpen chat --session');
    const paths = server.changes.map(({ path }) => path).filter((path) => path.endsWith('/interrupt'));
    expect(paths).toHaveLength(2);
  });

  it('stops the turn that runs, not the fork that was made meanwhile', async () => {
    const server = await serve();
    const chat = onTerminal(server.url, ['chat', 'work']);
    await chat.reads('I am working on it');
    chat.type('/fork\r');
    await chat.sees('goes on from here');
    chat.type('\u0003');
    await chat.sees('cancelled · 3.2 s');
    chat.type('\u0004');
    await chat.ended;
  });

  it('forks, interrupts with a text, closes, and knows its commands', async () => {
    const server = await serve({ session: LAST_SESSION });
    const [first = ''] = server.sessions.keys();
    const chat = onTerminal(server.url, ['chat', '--session', 'last']);
    await chat.sees(`session ${first} (mine), claude in /work, 0 turns`);
    chat.type('/fork\r');
    await chat.sees('goes on from here');
    chat.type('work\r');
    await chat.reads('I am working on it');
    chat.type('/interrupt do this\r');
    await chat.reads('You said: do this');
    chat.type('/stear x\r');
    await chat.sees('did you mean /steer?');
    chat.type('/compact\r'); // a command of the CLI
    await chat.reads('You said: /compact');
    chat.type('/help\r');
    await chat.sees('/interrupt [TEXT]');
    chat.type('/close\r');
    const { code } = await chat.ended;
    const closed = [...server.sessions.values()].map(({ status, forkedFrom }) => [status, forkedFrom]);
    expect([code, closed]).toEqual([
      0,
      [
        ['ready', null],
        ['closed', first],
      ],
    ]);
  });

  it('shows the last turn of a session, and the one that runs', async () => {
    const server = await serve({ session: LAST_SESSION });
    const before = await typed(['chat', 'hi', '--session', 'last'], { ...at(server.url), stdin: '' });
    expect(before.code).toBe(0);
    const chat = onTerminal(server.url, ['chat', '--session', 'last']);
    await chat.sees('You said: hi');
    chat.type('work\r');
    await chat.reads('I am working on it');
    chat.type('\u0004');
    expect((await chat.ended).code).toBe(0);
    const again = onTerminal(server.url, ['chat', '--session', 'last']);
    await again.reads('I am working on it');
    again.type('\u0003');
    await again.sees('cancelled');
    again.type('\u0004');
    await again.ended;
  });
});

describe('run', () => {
  it('with --ask asks on the terminal, and is done when the job is', async () => {
    const server = await serve();
    const run = onTerminal(server.url, ['run', 'ask git push', '--ask']);
    await run.sees('allow it? ');
    run.type('y\r');
    const { code, out } = await run.ended;
    expect([code, out]).toEqual([0, 'It was allowed: {"command":"git push"}.\n']);
    expect(server.changes[0]?.body).toMatchObject({ onPermissionDenied: 'ask' });
  });

  it('with --ask and no terminal prints the commands for an answer, and waits', async () => {
    const server = await serve();
    const screens = { stdout: screen(), stderr: screen() };
    const ended = typed(['run', 'ask git push', '--ask'], { ...at(server.url), screens });
    const said = await eventually(() =>
      /bullpen approve (\S+), or bullpen deny/.exec(screens.stderr.written),
    );
    expect(screens.stderr.written).toContain('there is no terminal to ask on');
    const { code } = await typed(['approve', said[1] ?? ''], at(server.url));
    expect([code, (await ended).code]).toEqual([0, 0]);
    expect(screens.stderr.written).toContain('allowed by admin');
  });

  it('with --continue goes on in the last session of the folder', async () => {
    const server = await serve({ session: { ...LAST_SESSION, provider: 'codex' } });
    expect((await typed(['run', 'more', '--continue'], at(server.url))).code).toBe(0);
    const [id] = server.sessions.keys();
    expect(server.changes[0]?.body).toMatchObject({ sessionId: id, provider: 'codex' });
    const both = await typed(['run', 'x', '--continue', '--session', 'last'], at(server.url));
    expect(both.code).toBe(64);
  });
});
