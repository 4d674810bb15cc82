/** Terminals over HTTP: real servers, and bash on a PTY. */
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { createClient } from '../../src/client/client.ts';
import type { SessionMethods } from '../../src/client/sessions.ts';
import type { SessionStoredEvent } from '../../src/protocol/event.ts';
import { eventually } from '../helpers/eventually.ts';
import { isAlive } from '../helpers/proc.ts';
import { startServer, type TestServer } from '../helpers/server.ts';
import { sharedFromStart } from '../helpers/shared.ts';
import { breakableRedis } from './fault-bench.ts';

const BASH = { kind: 'terminal', command: 'bash' } as const;
const CLOSED = { waitMs: 20_000, until: 'closed' } as const;
/** A shell as leader of the foreground; what it prints says that it is. */
const hangs = (mark: string): string => `bash -c 'echo ${mark}=$((1)); exec sleep 1000'\r`;

/** Two servers of one Redis with terminals. */
const servers = sharedFromStart(async () => {
  const { url: REDIS_URL } = await breakableRedis();
  const commands = { bash: { binary: 'bash', args: ['--norc'] } };
  const start = () => startServer({ config: { terminals: { enabled: true, commands } }, env: { REDIS_URL } });
  const [first, second] = await Promise.all([start(), start()]);
  return { first, second };
});

const sessionsOf = ({ url, token }: TestServer): SessionMethods => createClient({ url, token }).sessions;

/** The screen, once it matches. */
const shows = (sessions: SessionMethods, id: string, pattern: RegExp): Promise<string> =>
  eventually(async () => {
    const text = await sessions.screen(id);
    expect(text).toMatch(pattern);
    return text;
  });

/** The status and the code of a refusal, or the status of another answer. */
async function answerTo(
  server: TestServer,
  [method, path, body]: readonly [method: string, path: string, body?: object],
  token = server.token,
): Promise<string> {
  const headers = { authorization: `Bearer ${token}` };
  const answer = await server.api(method, `/v1/sessions${path}`, body, headers);
  if (answer.ok) return String(answer.status);
  const { code } = (await answer.json()) as { code: string }; // a problem document
  return `${answer.status} ${code}`;
}

/** The events of a session until they are `enough`. */
async function eventsTo(
  sessions: SessionMethods,
  id: string,
  enough: (events: readonly SessionStoredEvent[]) => boolean | Promise<boolean>,
  after?: number,
): Promise<readonly SessionStoredEvent[]> {
  const events: SessionStoredEvent[] = [];
  const place = after === undefined ? {} : { after };
  for await (const event of sessions.events(id, { ...place, signal: AbortSignal.timeout(20_000) })) {
    events.push(event);
    if (await enough(events)) return events;
  }
  return expect.unreachable('the stream has ended');
}

/** The lines of a recording so far. */
async function recordingOf(sessions: SessionMethods, id: string): Promise<readonly string[]> {
  const lines: string[] = [];
  for await (const line of sessions.recording(id)) lines.push(line);
  return lines;
}

const hasClosed = (event: SessionStoredEvent | undefined): boolean =>
  event?.kind === 'session.status' && event.status === 'closed';

/** What the events of one kind have written. */
const textOf = (events: readonly SessionStoredEvent[], kind: 'terminal.screen' | 'terminal.output'): string =>
  Buffer.concat(
    events.map((event) =>
      event.kind === kind && 'data' in event ? Buffer.from(event.data, 'base64') : Buffer.alloc(0),
    ),
  ).toString();

describe('a terminal over HTTP', () => {
  it('is typed into, shown, resized, signalled, recorded, closed and deleted', async () => {
    const { first } = servers();
    const sessions = sessionsOf(first);
    const made = await sessions.create({ ...BASH, name: 'shell', cols: 100, rows: 30 });
    const { id } = made;
    const terminal = { cols: 100, rows: 30, command: 'bash', exitCode: null };
    expect(made).toMatchObject({ kind: 'terminal', name: 'shell', provider: 'bash', terminal });

    await shows(sessions, id, /^bash\S+[#$]/m);
    const typed = await sessions.input(id, { data: 'echo grün $((6*7)) 你好\r', clientSeq: 3 });
    expect(typed).toEqual({ clientSeq: 3, repeated: false });
    await shows(sessions, id, /^grün 42 你好\n\S+[#$]/m);
    await sessions.input(id, { data: 'printf "\\033[31mr%s\\033[0m\\n" ed\r' });
    expect(await shows(sessions, id, /^red\n\S+[#$]/m)).not.toContain('\u001b');
    expect(await sessions.screen(id, { format: 'ansi' })).toContain('\u001b[0;31mred');

    await sessions.resize(id, { cols: 90, rows: 20 });
    await sessions.input(id, { data: 'stty size\r' });
    await shows(sessions, id, /^20 90\n\S+[#$]/m);
    expect(await sessions.get(id)).toMatchObject({ terminal: { cols: 90, rows: 20 } });

    await sessions.input(id, { data: hangs('first') });
    await shows(sessions, id, /^first=1$/m);
    await sessions.signal(id, 'INT');
    await shows(sessions, id, /^first=1\s+bash\S+[#$]/m);
    await sessions.input(id, { data: 'echo signal=$?\r' });
    await shows(sessions, id, /^signal=130\n\S+[#$]/m);
    await sessions.input(id, { data: hangs('second') });
    await shows(sessions, id, /^second=1$/m);
    expect(await sessions.interrupt(id)).toMatchObject({ id, kind: 'terminal' });
    await shows(sessions, id, /^second=1\s+bash\S+[#$]/m);
    await sessions.input(id, { data: 'echo interrupt=$?\r' });
    await shows(sessions, id, /^interrupt=130\n\S+[#$]/m);

    const texts = await eventually(async () => {
      const found = (await sessions.history(id)).data.map(({ text }) => text);
      return found.length === 7 && found;
    });
    const lines = [
      'echo grün $((6*7)) 你好',
      ...['printf "\\033[31mr%s\\033[0m\\n" ed', 'stty size'],
      ...[hangs('first').trim(), 'echo signal=$?', hangs('second').trim(), 'echo interrupt=$?'],
    ];
    // A line that a busy machine shows late has no text.
    expect(texts.map((text, index) => text ?? lines[index])).toEqual(lines);
    const page = await sessions.history(id, { limit: 3 });
    const rest = await sessions.history(id, { limit: 10, cursor: page.nextCursor ?? expect.unreachable() });
    expect([...page.data, ...rest.data].map(({ text }) => text)).toEqual(texts);

    // A reader that gives no place begins with the screen.
    const joined = await eventsTo(sessions, id, async (events) => {
      if (events.length === 1) await sessions.input(id, { data: 'echo later=$((1))\r' });
      return textOf(events, 'terminal.output').includes('later=1');
    });
    const [screen, ...outputs] = joined;
    expect(screen).toMatchObject({ kind: 'terminal.screen', cols: 90, rows: 20 });
    expect(textOf(joined, 'terminal.screen')).toContain('grün 42 你好');
    const { pid } = (await sessions.get(id)).process ?? expect.unreachable();
    const from = screen?.seq ?? 0;
    expect(outputs.map(({ seq }) => seq)).toEqual(outputs.map((_, index) => from + 1 + index));

    expect(await answerTo(first, ['DELETE', `/${id}`])).toBe('409 session.not_finished');
    expect(isAlive(pid)).toBe(true);
    expect(await sessions.close(id)).toMatchObject({ status: 'closed', process: null });
    expect(isAlive(pid)).toBe(false);
    const end = await eventsTo(sessions, id, (events) => hasClosed(events.at(-1)));
    expect(end.map(({ kind }) => kind)).toEqual(['terminal.screen', 'session.status']);

    // What it has shown is there until it is deleted.
    await shows(sessions, id, /^later=1$/m);
    const [header = '', ...events] = await recordingOf(sessions, id);
    expect(JSON.parse(header)).toMatchObject({ version: 2, width: 100, height: 30 });
    const recorded = events.map((line): [number, string, string] => JSON.parse(line));
    const [output, sizes] = ['o', 'r'].map((kind) =>
      recorded.flatMap(([, of, data]) => (of === kind ? [data] : [])),
    );
    expect(sizes).toEqual(['90x20']);
    expect(output?.join('')).toContain(textOf(joined, 'terminal.output'));
    for (const [path, body] of [
      ['input', { data: 'x' }],
      ['resize', { cols: 80, rows: 24 }],
      ['signal', { signal: 'INT' }],
      ['interrupt', {}],
    ] as const)
      expect(await answerTo(first, ['POST', `/${id}/${path}`, body]), path).toBe('409 terminal.over');
    const files = (): string[] =>
      readdirSync(join(first.home, 'terminals')).filter((name) => name.startsWith(id));
    expect(files().toSorted()).toEqual([`${id}.cast`, `${id}.history`]);
    await sessions.remove(id);
    expect(files()).toEqual([]);
    expect(await answerTo(first, ['GET', `/${id}/screen`])).toBe('404 session.not_found');
  });

  it('is used through another server of the same Redis, and a repeated request acts once', async () => {
    const { first, second } = servers();
    const { id, node } = await sessionsOf(first).create(BASH);
    const sessions = sessionsOf(second);
    const once = { idempotencyKey: 'the-same' };
    const line = { data: 'echo $((6*7))x\r', clientSeq: 1 };
    expect(await sessions.input(id, line, once)).toEqual({ clientSeq: 1, repeated: false });
    // The first server has the terminal, so it knows the request too.
    for (const server of [second, first])
      expect(await sessionsOf(server).input(id, line, once)).toMatchObject({ repeated: true });
    await sessions.input(id, { data: 'echo e""nd\r' });
    const text = await shows(sessions, id, /^end$/m);
    expect(text.match(/^42x$/gm)).toHaveLength(1);
    expect(await sessionsOf(first).screen(id)).toBe(text);

    await sessions.resize(id, { cols: 90, rows: 20 });
    await sessions.input(id, { data: hangs('stty') });
    await shows(sessions, id, /^stty=1$/m);
    await sessions.signal(id, 'INT');
    await sessions.input(id, { data: 'stty size\r' });
    await shows(sessions, id, /^20 90$/m);
    await eventually(async () => {
      expect((await sessions.history(id)).data).toHaveLength(4);
    });
    const [screen] = await eventsTo(sessions, id, () => true);
    expect(screen?.kind).toBe('terminal.screen');
    const recording = await recordingOf(sessions, id);
    expect(recording.join('\n')).toContain('42x');

    const { pid } = (await sessionsOf(first).get(id)).process ?? expect.unreachable();
    expect(await sessions.close(id)).toMatchObject({ status: 'closed', node });
    expect(isAlive(pid)).toBe(false);
    expect(await sessionsOf(first).get(id, CLOSED)).toMatchObject({ status: 'closed' });
    expect(await answerTo(second, ['POST', `/${id}/input`, line])).toBe('409 terminal.over');
    await sessions.remove(id);
    expect(readdirSync(join(first.home, 'terminals')).filter((name) => name.startsWith(id))).toEqual([]);
  });

  it('is refused to those who may not, and where it makes no sense', { timeout: 120_000 }, async () => {
    const { first } = servers();
    const sessions = sessionsOf(first);
    const { id } = await sessions.create(BASH);
    const chat = await sessions.create();
    const terminals = async () => (await sessions.list({ kind: 'terminal' })).data.map((each) => each.id);
    const before = await terminals();
    const tokenOf = async (scopes: readonly string[], limits = {}): Promise<string> => {
      const made = await first.api('POST', '/v1/keys', { name: 'test', scopes, ...limits });
      return ((await made.json()) as { token: string }).token; // the documented answer
    };
    const [reader, writer, both] = await Promise.all([
      tokenOf(['sessions:read']),
      tokenOf(['sessions:write']),
      tokenOf(['sessions:write', 'terminals']),
    ]);
    const [withTools, withProviders] = await Promise.all([
      tokenOf(['sessions:write', 'terminals'], { tools: [] }),
      tokenOf(['sessions:write', 'terminals'], { providers: ['claude'] }),
    ]);
    const type = ['POST', `/${id}/input`, { data: ' ' }] as const;
    const open = ['POST', '', BASH] as const;
    const reads = ['screen', 'recording', 'history'].map((what) => ['GET', `/${id}/${what}`] as const);
    for (const read of reads) expect(await answerTo(first, read, reader), read[1]).toBe('200');

    const tooMuch = { data: 'ü'.repeat(40_000) };
    const cases: readonly (readonly [Parameters<typeof answerTo>[1], string, string?])[] = [
      [type, '403 auth.forbidden', reader],
      [['POST', `/${id}/signal`, { signal: 'INT' }], '403 auth.forbidden', reader],
      [['POST', `/${id}/close`, {}], '403 auth.forbidden', reader],
      [type, '403 auth.forbidden', writer],
      [['POST', `/${id}/resize`, { cols: 80, rows: 24 }], '403 auth.forbidden', writer],
      [['POST', `/${id}/interrupt`, {}], '403 auth.forbidden', writer],
      [open, '403 auth.forbidden', writer],
      [type, '200', both],
      [open, '403 tools.denied', withTools],
      [open, '403 provider.denied', withProviders],
      // What the settings do not have.
      [['POST', '', { ...BASH, command: 'zsh' }], '400 terminal.command_unknown'],
      [['POST', '', { ...BASH, command: 'constructor' }], '400 terminal.command_unknown'],
      // Fields of the other kind, and wrong ones.
      [['POST', '', { ...BASH, prompt: 'x' }], '400 request.invalid'],
      [['POST', '', { ...BASH, provider: 'claude' }], '400 request.invalid'],
      [['POST', '', { command: 'bash' }], '400 request.invalid'],
      [['POST', '', { ...BASH, cols: 0 }], '400 request.invalid'],
      [['POST', `/${id}/input`, { data: '' }], '400 request.invalid'],
      [['POST', `/${id}/input`, { data: 7 }], '400 request.invalid'],
      [['POST', `/${id}/input`, tooMuch], '413 request.too_large'],
      [['POST', `/${id}/resize`, { cols: 1001, rows: 24 }], '400 request.invalid'],
      [['POST', `/${id}/signal`, { signal: 'KILL' }], '400 request.invalid'],
      // What only the other kind does.
      [['POST', `/${id}/messages`, { prompt: 'x' }], '409 session.wrong_kind'],
      [['POST', `/${id}/fork`, {}], '409 session.wrong_kind'],
      [['POST', `/${chat.id}/input`, { data: 'x' }], '409 session.wrong_kind'],
      [['GET', `/${chat.id}/screen`], '409 session.wrong_kind'],
      [['POST', '/01ARZ3NDEKTSV4RRFFQ69G5FAV/input', { data: 'x' }], '404 session.not_found'],
    ];
    for (const [request, expected, token] of cases)
      expect(await answerTo(first, request, token), JSON.stringify(request).slice(0, 200)).toBe(expected);
    const job = await first.api('POST', '/v1/jobs', { prompt: 'x', sessionId: id });
    expect([job.status, await job.json()]).toMatchObject([409, { code: 'session.wrong_kind' }]);
    expect(await terminals()).toEqual(before); // nothing refused was opened
    await sessions.close(id);
  });
});
