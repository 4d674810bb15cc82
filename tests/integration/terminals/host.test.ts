import { existsSync, readdirSync, readFileSync, readlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Writable } from 'node:stream';
import { setImmediate } from 'node:timers/promises';
import { ulid } from 'ulid';
import { describe, expect, it } from 'vitest';
import { AppError } from '../../../src/errors.ts';
import { createProcScanner } from '../../../src/processes/proc-scanner.ts';
import { eventually } from '../../helpers/eventually.ts';
import { launch } from '../../helpers/launcher.ts';
import { isAlive, processesWithMarker } from '../../helpers/proc.ts';
import { createLatch } from '../executor/bench.ts';
import { openHost } from './open-host.ts';

const codeOf = (task: Promise<unknown>): Promise<string> =>
  task.then(
    () => 'done',
    (error: unknown) => (error instanceof AppError ? error.code : String(error)),
  );

/** How often this process has a file open. */
const timesOpen = (file: string): number =>
  readdirSync('/proc/self/fd').filter((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`) === file;
    } catch {
      return false; // the one of this look
    }
  }).length;

describe('a terminal', () => {
  it('runs a shell, whose output is on the screen, in the stream and in the recording', async () => {
    const { open, records, ledger, host } = await openHost();
    const shell = await open();
    await shell.type('echo $((40 + 2))\r');
    await shell.shows('\n42\n');
    await shell.wrote('42\r\n');
    await shell.type('exit 3\r');
    await shell.moved('failed');
    expect(records.moves.at(-1)).toMatchObject({ reason: 'execution.crashed', exitCode: 3 });
    expect([...ledger.rows.values()]).toMatchObject([{ end: { errorCode: 'execution.crashed' } }]);
    expect(host.processes()).toEqual([]);
    const { text } = await host.ask(shell.id, { kind: 'recording', from: 0 });
    const recorded = text
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(recorded[0]).toMatchObject({ version: 2, width: 80, height: 24 });
    expect(
      recorded
        .slice(1)
        .map(([, , data]) => data)
        .join(''),
    ).toBe(shell.output());
  });

  it('that ends by itself without an error is closed, and keeps its screen', async () => {
    const { open, records, host } = await openHost();
    const shell = await open();
    await shell.type('echo last words; exit\r');
    await shell.moved('closed');
    expect(records.moves.at(-1)).toMatchObject({ reason: null, exitCode: 0 });
    expect(await shell.text()).toContain('last words');
    const snapshot = await host.ask(shell.id, { kind: 'snapshot' });
    expect(snapshot).toMatchObject({ kind: 'terminal.screen', cols: 80, rows: 24 });
    // The event that says how it ended follows.
    expect(snapshot.seq).toBe((records.of(shell.id).at(-1)?.seq ?? 0) - 1);
    expect(Buffer.from(snapshot.data, 'base64').toString()).toContain('last words');
    expect(await codeOf(shell.type('x'))).toBe('terminal.over');
  });

  it('has its size, follows a change, and says so to its readers', async () => {
    const { open, records, host } = await openHost();
    const shell = await open({ size: { cols: 90, rows: 20 } });
    await shell.type('stty size\r');
    await shell.shows('20 90');
    await host.ask(shell.id, { kind: 'resize', cols: 100, rows: 30, messageId: null });
    await shell.type('stty size\r');
    await shell.shows('30 100');
    expect(records.of(shell.id)).toContainEqual(
      expect.objectContaining({ kind: 'terminal.resized', cols: 100 }),
    );
    expect(await host.ask(shell.id, { kind: 'snapshot' })).toMatchObject({ cols: 100, rows: 30 });
  });

  it('gives a signal to the processes in its foreground', async () => {
    const { open, host } = await openHost();
    const shell = await open();
    await shell.shows('$');
    await shell.type('echo begin; cat\r');
    await shell.shows('\nbegin');
    await shell.type('echoed\r');
    await shell.shows('echoed\nechoed');
    await host.ask(shell.id, { kind: 'signal', signal: 'INT', messageId: null });
    await eventually(async () => /echoed\n+\$$/.test(await shell.text()));
    await shell.type('echo still here\r');
    await shell.shows('\nstill here');
  });

  it('answers the queries of its program', async () => {
    const { open } = await openHost();
    const shell = await open();
    await shell.shows('$');
    await shell.type(
      'stty -echo; printf \'\\e[6n\'; IFS= read -rsd R place; echo "at $(echo "$place" | cut -d[ -f2)"\r',
    );
    await eventually(async () => /^at \d+;1$/m.test(await shell.text()));
  });

  it('draws vim as on any terminal, also for one who joins', async () => {
    const { open, host, dir } = await openHost();
    const shell = await open();
    await shell.shows('$');
    await shell.type(`cd ${dir}; vim -u NONE note.txt\r`);
    await shell.shows('~\n~\n~');
    await shell.type('ihello wörld\x1b');
    await shell.shows('hello wörld');
    const { data } = await host.ask(shell.id, { kind: 'snapshot' });
    expect(Buffer.from(data, 'base64').toString()).toContain('\x1b[?47h');
    await shell.type(':wq\r');
    await eventually(() => existsSync(join(dir, 'note.txt')));
    await eventually(async () => !(await shell.text()).includes('hello'));
  });

  it('writes inputs in the order of their arrival, each as a whole', async () => {
    const { open } = await openHost();
    const shell = await open({ args: ['-c', 'stty -echo; echo go; cat'] });
    await shell.shows('go');
    const texts = Array.from({ length: 40 }, (_, n) => `${n}${'abcdefgh'.repeat(20)}${n}\r`);
    await Promise.all(texts.map((text) => shell.type(text)));
    await shell.wrote(`39${'abcdefgh'.repeat(20)}39`);
    expect(shell.output().replaceAll('\r', '')).toBe(`go\n${texts.join('\n').replaceAll('\r', '')}\n`);
  });

  it('does a repeated message once', async () => {
    const { open } = await openHost();
    const shell = await open();
    const input = {
      kind: 'input',
      data: 'echo n >> n.txt; wc -l < n.txt\r',
      clientSeq: 7,
      messageId: 'm1',
    } as const;
    expect(await shell.ask(input)).toEqual({ clientSeq: 7, repeated: false });
    expect(await shell.ask(input)).toEqual({ clientSeq: 7, repeated: true });
    await shell.shows('\n1\n');
    expect(await shell.ask({ ...input, messageId: 'm2' })).toEqual({ clientSeq: 7, repeated: false });
    await shell.shows('\n2\n');
  });

  it('refuses another message with an id that was used, and takes one again that was refused', async () => {
    const { open, host, dir } = await openHost();
    const wait = 'stty raw -echo; echo waits; until [ -e go ]; do sleep 0.05; done; echo on; cat >/dev/null';
    const shell = await open({ args: ['-c', wait] });
    await shell.shows('waits');
    await shell.type('a', 'm1');
    expect(await codeOf(shell.type('b', 'm1'))).toBe('idempotency.key_reused');
    const signal = { kind: 'signal', signal: 'CONT', messageId: 'm1' } as const;
    expect(await codeOf(host.ask(shell.id, signal))).toBe('idempotency.key_reused');
    const big = 'x'.repeat(64 * 1024);
    const inputs = Array.from({ length: 40 }, (_, n) => codeOf(shell.type(big, `big${n}`)));
    expect(await inputs.at(-1)).toBe('server.busy');
    writeFileSync(join(dir, '..', 'go'), '');
    await shell.shows('on');
    const again = { kind: 'input', data: big, clientSeq: 3, messageId: 'big39' } as const;
    await eventually(async () => expect(await shell.ask(again)).toEqual({ clientSeq: 3, repeated: false }));
    await Promise.all(inputs);
  });

  it('has an input that its program does not read, and goes on to the next command', async () => {
    const { open, host } = await openHost();
    const shell = await open({
      args: [
        '-c',
        'stty raw -echo isig; echo waits; trap "echo left; exit" INT; while :; do sleep 0.05; done',
      ],
    });
    await shell.shows('waits');
    const big = 'x'.repeat(64 * 1024);
    for (let n = 0; n < 8; n += 1) await shell.type(big);
    await host.ask(shell.id, { kind: 'signal', signal: 'INT', messageId: null });
    await shell.wrote('left');
  });

  it('ends although its processes cannot be looked for at first', async () => {
    const scanner = createProcScanner();
    let fails = 1;
    const { open, ledger } = await openHost({
      scanner: {
        ...scanner,
        scan: async () => {
          if (fails-- > 0) throw Object.assign(new Error('no descriptor'), { code: 'EMFILE' });
          return scanner.scan();
        },
      },
    });
    const shell = await open({ args: ['-c', 'setsid sleep 1000 & echo "pid $!."'] });
    await shell.moved('closed');
    expect([...ledger.rows.values()]).toMatchObject([{ end: { errorCode: null } }]);
    expect(isAlive(Number(/pid (\d+)\./.exec(shell.output())?.[1]))).toBe(false);
  });

  it('keeps few answers for a program that asks and does not read', async () => {
    let stdin: Writable | null = null;
    const { open } = await openHost({
      async launch(request, signal) {
        const child = await launch(request, signal);
        stdin = child.stdin;
        return child;
      },
    });
    const ask = "stty raw -echo; yes $'\\e[c' | tr -d '\\n' | head -c 1500000; printf '\\nasked'; read x";
    const shell = await open({ args: ['-c', ask] });
    await shell.shows('asked');
    const unread = (stdin as Writable | null)?.writableLength ?? expect.unreachable();
    expect(unread).toBeGreaterThan(0);
    expect(unread).toBeLessThan(1024 * 1024 + 100);
  });

  it('has the history of its shell, and of a password only that one was typed', async () => {
    const { open } = await openHost();
    const shell = await open();
    await shell.type('echo one\r');
    await shell.shows('\none\n');
    await shell.type('read -rsp "Password: " p; echo; expr length "$p"\r');
    await shell.shows('\nPassword:');
    for (const key of 'hunter2') await shell.type(key);
    await shell.type('\r');
    await shell.shows('\n7\n');
    await eventually(async () =>
      expect((await shell.history()).map(({ text }) => text)).toEqual([
        'echo one',
        'read -rsp "Password: " p; echo; expr length "$p"',
        null,
      ]),
    );
  });

  it('has exit codes and statuses from a shell that marks its prompts', async () => {
    const { open, records } = await openHost();
    const shell = await open();
    await shell.type(
      "PS0='\\e]133;C\\a'; PROMPT_COMMAND='printf \"\\e]133;D;%s\\a\\e]133;A\\a\" $?'; PS1='> \\e]133;B\\a'\r",
    );
    await shell.shows('\n>');
    await shell.type('(exit 5)\r');
    await eventually(async () =>
      expect(await shell.history()).toContainEqual(
        expect.objectContaining({ text: '(exit 5)', exitCode: 5 }),
      ),
    );
    await shell.type('cat\r');
    await eventually(() => records.triggers(shell.id).at(-1) === 'started');
    await shell.type('echoed\r');
    await shell.shows('echoed\nechoed'); // a shell that has not begun it yet ignores Control-C
    await shell.type('\x03');
    await eventually(() => records.triggers(shell.id).at(-1) === 'idle');
    expect(records.triggers(shell.id).slice(-3)).toEqual(['started', 'interrupted', 'idle']);
  });

  it('shows by its screen what it waits for', async () => {
    const { open, records } = await openHost();
    const shell = await open({
      screens: [
        { status: 'awaiting_input', pattern: /do you trust/, source: 'seen' },
        { status: 'ready', pattern: /> $/, source: 'seen' },
      ],
      args: ['-c', "sleep 0.2; printf '| Do you trust it? |'; read x; printf 'fine > x'; read x"],
    });
    await shell.moved('asked');
    expect(records.moves.at(-1)).toMatchObject({ matchedLine: 'Do you trust it?' });
  });
});

describe('the end of a terminal', () => {
  it('leaves nothing: no process, also not one in a session of its own', async () => {
    const { open, host, options } = await openHost();
    const shell = await open();
    await shell.type('setsid sleep 1000 & sleep 1001 & trap "" HUP TERM; echo set\r');
    await shell.shows('\nset\n');
    await eventually(() => processesWithMarker(options.nodeId).length === 3);
    await host.ask(shell.id, { kind: 'close' });
    expect(processesWithMarker(options.nodeId)).toEqual([]);
    expect(await codeOf(shell.type('x'))).toBe('terminal.over');
    await shell.moved('closed');
  });

  it('comes when it was not used for a while, but not while it has a reader', async () => {
    const { open, records } = await openHost({ terminalIdleMs: 400 });
    records.readerCount = 1;
    const shell = await open();
    await eventually(() => records.readerCalls > 3);
    expect(records.triggers(shell.id)).toEqual(['idle']);
    records.readerCount = 0;
    await shell.moved('closed');
  });

  it('is failed, without a trace of it, when its program cannot be started', async () => {
    const { open, records, ledger, host } = await openHost();
    expect(await codeOf(open({ binary: '/missing/cli', args: [] }))).toBe('execution.cli_missing');
    expect(records.moves).toMatchObject([{ trigger: 'failed', reason: 'execution.cli_missing' }]);
    expect([...ledger.rows.values()]).toMatchObject([{ end: { errorCode: 'execution.cli_missing' } }]);
    expect(host.processes()).toEqual([]);
  });

  it.each(['close', 'remove'] as const)('that is asked for while it starts comes: %s', async (kind) => {
    const latch = createLatch();
    const failpoint = async (name: string): Promise<void> => {
      if (name === 'terminal.intended') await latch.wait();
    };
    const { open, host, ledger, options } = await openHost({ failpoint });
    const id = ulid();
    const opening = open({}, id);
    await latch.reached;
    const ended = host.ask(id, { kind });
    const shown = codeOf(host.ask(id, { kind: 'screen', format: 'text' }));
    latch.release();
    await ended;
    await opening;
    expect(['done', 'session.not_found']).toContain(await shown);
    expect(processesWithMarker(options.nodeId)).toEqual([]);
    expect(host.processes()).toEqual([]);
    expect([...ledger.rows.values()]).toMatchObject([{ end: { errorCode: null } }]);
  });

  it('is failed, and its place is free again, when the ledger cannot be written before it', async () => {
    const { open, records, ledger, host } = await openHost();
    const { intend } = ledger;
    ledger.intend = () => Promise.reject(new AppError('store.unavailable', 'no space left'));
    expect(await codeOf(open())).toBe('store.unavailable');
    expect(records.moves).toMatchObject([{ trigger: 'failed', reason: 'store.unavailable' }]);
    expect(host.processes()).toEqual([]);
    ledger.intend = intend;
    await (await open()).wrote('$');
  });

  it('does not come because the ledger cannot be written once it runs', async () => {
    const { open, records, ledger } = await openHost();
    ledger.started = () => Promise.reject(new AppError('store.unavailable', 'no space left'));
    const shell = await open();
    await shell.type('exit 3\r');
    await shell.moved('failed');
    expect(records.moves.at(-1)).toMatchObject({ reason: 'execution.crashed', exitCode: 3 });
    expect([...ledger.rows.values()]).toMatchObject([{ end: { errorCode: 'execution.crashed' } }]);
  });

  it('is failed when the server stops', async () => {
    const { open, records, host, options } = await openHost();
    const shell = await open();
    await shell.wrote('$');
    await host.stop();
    expect(records.moves.at(-1)).toMatchObject({ trigger: 'failed', reason: 'execution.lost' });
    expect(processesWithMarker(options.nodeId)).toEqual([]);
    expect(await shell.text()).toBe('$');
  });

  it('comes when the server stops while it starts', async () => {
    const latch = createLatch();
    const failpoint = async (name: string): Promise<void> => {
      if (name === 'terminal.spawned') await latch.wait();
    };
    const { open, host, options } = await openHost({ failpoint });
    const opening = codeOf(open());
    await latch.reached;
    const stopped = host.stop();
    latch.release();
    await stopped;
    await opening;
    expect(processesWithMarker(options.nodeId)).toEqual([]);
    expect(host.processes()).toEqual([]);
  });

  it('of an earlier run is settled by the next start', async () => {
    const { records, ledger, host } = await openHost();
    await ledger.intend({ executionId: 'e1', sessionId: 's1' });
    records.notOver.push('s1');
    await host.start();
    expect(ledger.rows.get('e1')?.end).toEqual({ errorCode: 'execution.lost' });
    expect(records.moves).toMatchObject([{ id: 's1', trigger: 'failed', reason: 'execution.lost' }]);
  });
});

describe('the files of terminals', () => {
  it('are removed with the session, and when they are old', async () => {
    const { open, host, dir } = await openHost();
    const shell = await open();
    const other = await open();
    await shell.type('echo a\r');
    await eventually(() => readdirSync(dir).length === 3);
    await host.ask(shell.id, { kind: 'remove' });
    expect(readdirSync(dir)).toEqual([`${other.id}.cast`]);
    expect(await codeOf(shell.text())).toBe('session.not_found');
    await host.ask(other.id, { kind: 'close' });
    utimesSync(join(dir, `${other.id}.cast`), 1, 1);
    await host.start();
    expect(readdirSync(dir)).toEqual([]);
  });

  it.each([
    ['screen', { kind: 'screen', format: 'ansi' }],
    ['snapshot', { kind: 'snapshot' }],
    ['recording', { kind: 'recording', from: 0 }],
    ['history', { kind: 'history', limit: 100, cursor: null }],
  ] as const)('that go while the %s is read are not found', async (_, ask) => {
    const { open, host } = await openHost();
    const shell = await open();
    await host.ask(shell.id, { kind: 'close' });
    const asks: Promise<string>[] = [];
    let removed: Promise<unknown> | null = null;
    for (let n = 0; n < 100; n += 1) {
      asks.push(codeOf(host.ask(shell.id, ask)));
      if (n === 50) removed = host.ask(shell.id, { kind: 'remove' });
      await setImmediate();
    }
    await removed;
    expect(await codeOf(host.ask(shell.id, ask))).toBe('session.not_found');
    for (const code of await Promise.all(asks)) expect(['done', 'session.not_found']).toContain(code);
  });

  it('are played once for all who ask, in turns with everything else', async () => {
    const { host, dir } = await openHost();
    const id = ulid();
    const file = join(dir, `${id}.cast`);
    const rows = 'a row of output\r\n'.repeat(100_000);
    const lines = [{ version: 2, width: 90, height: 20 }, [1, 'o', `${rows}end`]];
    writeFileSync(file, lines.map((line) => `${JSON.stringify(line)}\n`).join(''));
    async function watched(asks: readonly Promise<unknown>[]) {
      let [isDone, opens, longestTurn] = [false, 0, 0];
      const all = Promise.all(asks).finally(() => {
        isDone = true;
      });
      const since = process.cpuUsage();
      for (let turn = process.cpuUsage(); !isDone; turn = process.cpuUsage()) {
        await setImmediate();
        longestTurn = Math.max(longestTurn, process.cpuUsage(turn).user);
        opens = Math.max(opens, timesOpen(file));
      }
      return { answers: await all, opens, shareOfLongestTurn: longestTurn / process.cpuUsage(since).user };
    }
    const ask = () => host.ask(id, { kind: 'screen', format: 'text' });
    const text = `${'a row of output\n'.repeat(19)}end`;

    const first = await watched(Array.from({ length: 5 }, ask));
    expect(first).toMatchObject({ opens: 1, answers: Array.from({ length: 5 }, () => ({ text })) });
    expect(first.shareOfLongestTurn).toBeLessThan(0.5);
    const later = await watched([ask(), host.ask(id, { kind: 'snapshot' })]);
    const size = { cols: 90, rows: 20, offset: rows.length + 3 };
    expect(later).toMatchObject({ opens: 0, answers: [{ text }, size] });
  });

  it('of another server or of an id that is none are not found', async () => {
    const { host } = await openHost();
    expect(await codeOf(host.ask(ulid(), { kind: 'snapshot' }))).toBe('session.not_found');
    expect(await codeOf(host.ask('../../etc/passwd', { kind: 'recording', from: 0 }))).toBe(
      'session.not_found',
    );
  });
});

describe('much output', () => {
  it('of 10 MB arrives whole and in order, and the memory for it stays bounded', async () => {
    const { open, records, host } = await openHost();
    const shell = await open({ args: ['-c', 'yes 0123456789 | head -c 10000000; echo; echo end; read x'] });
    await eventually(() => shell.output().endsWith('end\r\n'), { timeoutMs: 50_000, intervalMs: 300 });
    const bytes = shell.output().length;
    const expected = 10_000_000 + 909_090 + 1 + 2 + 5; // each line break is two bytes on a terminal
    expect(Math.abs(bytes - expected)).toBeLessThan(10);
    expect(records.of(shell.id).every(({ kind }) => kind === 'terminal.output')).toBe(true);
    expect(records.keepFrom).toBeGreaterThan(0);
    expect(await shell.text()).toContain('end');
    expect((await host.ask(shell.id, { kind: 'snapshot' })).data.length).toBeLessThan(100_000);
  });

  it('of a program that goes on while Redis is away comes later, in order', async () => {
    const { open, records } = await openHost();
    const shell = await open();
    await shell.wrote('$');
    records.away = true;
    await shell.type('for i in $(seq 1 300); do echo line $i; done; echo > done.txt\r');
    await shell.shows('line 300');
    expect(shell.output()).not.toContain('line 300');
    records.away = false;
    await shell.wrote('line 300\r\n');
    const numbers = [...shell.output().matchAll(/line (\d+)\r\n/g)].map(([, n]) => Number(n));
    expect(numbers).toEqual(Array.from({ length: 300 }, (_, n) => n + 1));
  });

  it('is in the recording at once, so a kill of the server costs nothing that is older than a second', async () => {
    const { open, dir } = await openHost();
    const shell = await open();
    await shell.type('echo recorded\r');
    await shell.shows('\nrecorded\n');
    await eventually(() => readFileSync(join(dir, `${shell.id}.cast`), 'utf8').includes('recorded\\r\\n'));
  });
});
