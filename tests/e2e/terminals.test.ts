/**
 * Terminals when something dies: what a reader has seen is in the recording, the program is gone
 * when the terminal is over, and jobs do not notice.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { beforeAll, describe, expect, it } from 'vitest';
import { outputOf } from '../../scripts/live-storm/checks.ts';
import type { FailpointName } from '../../src/failpoint.ts';
import type { SessionStoredEvent } from '../../src/protocol/event.ts';
import type { Session } from '../../src/protocol/session.ts';
import type { TerminalCommand } from '../../src/protocol/terminal.ts';
import { eventually } from '../helpers/eventually.ts';
import { commandLine, descendants } from '../helpers/proc.ts';
import { startTestRedis } from '../helpers/redis.ts';
import { startServer, type TestServer } from '../helpers/server.ts';
import { whenOver } from '../helpers/shared.ts';
import { expectWhole, type FakeSystem, gated, killMain, PATIENCE, sharedFakeSystem } from './fake-system.ts';

const TERMINALS = {
  config: { terminals: { enabled: true, commands: { bash: { binary: 'bash', args: ['--norc'] } } } },
};
const BASH = { kind: 'terminal', command: 'bash' };
const PROMPT = /[#$]\s*$/;
/** Numbered lines, ten a second, until it is stopped. */
const TICK = 'n=0; while :; do n=$((n+1)); echo "tick=$n."; sleep 0.1; done';
/** A process that is out of reach of every group kill. */
const LEAVE = '(setsid sleep 1000 &); setsid -f sleep 1000; nohup sleep 1000 >/dev/null 2>&1 &';

interface Place {
  readonly server: TestServer;
}

/** A new terminal with bash. */
async function openTerminal(place: Place) {
  const made = await place.server.api('POST', '/v1/sessions', BASH);
  expect(made.status, await made.clone().text()).toBe(201);
  const { id } = (await made.json()) as Session; // the documented answers, here and below
  return terminalOf(place, id);
}

/** A terminal, asked about through the place's server. */
function terminalOf(place: Place, id: string) {
  const call = async (method: string, path: string, body?: object): Promise<Response> => {
    const response = await place.server.api(method, `/v1/sessions${path}`, body);
    expect(response.ok, `${method} ${path}: ${await response.clone().text()}`).toBe(true);
    return response;
  };
  const terminal = {
    id,
    session: async (): Promise<Session> => (await (await call('GET', `/${id}`)).json()) as Session,
    type: (line: string) => call('POST', `/${id}/input`, { data: `${line}\r` }),
    close: () => call('POST', `/${id}/close`),
    /** The text of its screen, once it matches. */
    shows: (pattern: RegExp): Promise<string> =>
      eventually(async () => {
        const text = await (await call('GET', `/${id}/screen`)).text();
        return pattern.test(text) ? text : null;
      }, PATIENCE),
    recorded: async (): Promise<string> => outputOf(await (await call('GET', `/${id}/recording`)).text()),
    async history(): Promise<readonly TerminalCommand[]> {
      const { data } = (await (await call('GET', `/${id}/history`)).json()) as { data: TerminalCommand[] };
      return data;
    },
    becomes: (session: Partial<Session>): Promise<unknown> =>
      eventually(async () => expect(await terminal.session()).toMatchObject(session), PATIENCE),
    /** Its events after a seq, or from its screen on, to one that `isLast`. */
    async events(
      isLast: (event: SessionStoredEvent) => boolean,
      after?: number,
    ): Promise<SessionStoredEvent[]> {
      const headers = { accept: 'application/x-ndjson' };
      const path = `/v1/sessions/${id}/events${after === undefined ? '' : `?after=${after}`}`;
      const response = await place.server.api('GET', path, undefined, headers);
      const found: SessionStoredEvent[] = [];
      let rest = '';
      const texts = (response.body ?? expect.unreachable()).pipeThrough(new TextDecoderStream());
      for await (const text of texts) {
        const lines = (rest + text).split('\n');
        rest = lines.pop() ?? '';
        for (const line of lines) {
          const event: SessionStoredEvent = JSON.parse(line);
          found.push(event);
          if (isLast(event)) return found;
        }
      }
      return expect.unreachable('the stream has ended');
    },
  };
  return terminal;
}

/** The numbers that a text has of {@link TICK}, in order. */
const ticks = (text: string): number[] =>
  [...text.matchAll(/tick=(\d+)\./g)].map(([, number]) => Number(number));
const upTo = (last: number): number[] => Array.from({ length: last }, (_, index) => index + 1);

/** Every tick that was shown is recorded, in order, each once. */
function expectRecorded(recorded: string, shown: string): void {
  const all = ticks(recorded);
  expect(all).toEqual(upTo(all.length));
  expect(all.length).toBeGreaterThanOrEqual(ticks(shown).at(-1) ?? 0);
}

const isOver = (event: SessionStoredEvent): boolean =>
  event.kind === 'session.status' && ['closed', 'failed'].includes(event.status);

/** All terminals, by what a client can list. */
async function terminalsOf({ server }: Place): Promise<readonly Session[]> {
  const response = await server.api('GET', '/v1/sessions?kind=terminal');
  const { data } = (await response.json()) as { data: Session[] };
  return data;
}

/** Pids of the server's own processes whose command line has this text. */
const ownProcesses = ({ server }: FakeSystem, text: string): number[] =>
  descendants(server.pid).filter((pid) => commandLine(pid)?.includes(text) === true);

describe('a terminal', () => {
  const shared = sharedFakeSystem(TERMINALS);

  it('fails when the server is killed; its processes are gone, and what was shown is recorded', async () => {
    const system = shared();
    const terminal = await openTerminal(system);
    // The history has a text that is typed at a prompt and echoed there.
    await terminal.shows(PROMPT);
    await terminal.type(LEAVE);
    await eventually(async () => expect(await terminal.history()).toHaveLength(1), PATIENCE);
    await terminal.shows(PROMPT);
    await terminal.type(TICK);
    const shown = await terminal.shows(/tick=12\./);
    // What the shell starts in the background gets its marker with its exec, at any time.
    await eventually(() => expect(system.marked().length).toBeGreaterThanOrEqual(4), PATIENCE);
    await delay(1000); // docs/reliability.md promises the recording to within a second
    await killMain(system);
    await system.restart();
    await terminal.becomes({ status: 'failed', statusReason: 'execution.lost', process: null });
    await eventually(() => expect(system.marked()).toEqual([]), PATIENCE);
    expectRecorded(await terminal.recorded(), shown);
    expect((await terminal.history()).map(({ text }) => text)).toEqual([LEAVE, TICK]);
    await terminal.shows(/tick=12\./);
    const refused = await system.server.api('POST', `/v1/sessions/${terminal.id}/input`, { data: 'x' });
    expect([refused.status, await refused.json()]).toMatchObject([409, { code: 'terminal.over' }]);
    const [screen, end] = await terminal.events(isOver);
    expect(screen).toMatchObject({ kind: 'terminal.screen' });
    expect(end).toMatchObject({ status: 'failed', reason: 'execution.lost' });
  });

  it('leaves no process when it is closed', async () => {
    const system = shared();
    const terminal = await openTerminal(system);
    await terminal.type(LEAVE);
    await terminal.type("trap '' HUP TERM; echo trapped=yes.");
    await terminal.shows(/trapped=yes\./);
    await eventually(() => expect(system.marked().length).toBeGreaterThanOrEqual(4), PATIENCE);
    await terminal.close();
    await terminal.becomes({ status: 'closed', process: null });
    await eventually(() => expect(system.marked()).toEqual([]), PATIENCE);
  });

  it('ends when the server stops', async () => {
    const system = shared();
    const terminal = await openTerminal(system);
    await terminal.type(`${LEAVE} ${TICK}`);
    const shown = await terminal.shows(/tick=3\./);
    await system.server.kill('SIGTERM');
    expect(system.marked()).toEqual([]);
    await system.restart();
    await terminal.becomes({ status: 'failed', statusReason: 'execution.lost' });
    expectRecorded(await terminal.recorded(), shown);
  });

  it('fails when its launcher is killed; a job and its own launcher go on', async () => {
    const system = shared();
    const job = gated(system);
    const id = await system.submit({ prompt: job.prompt });
    await job.streams();
    const terminal = await openTerminal(system);
    await terminal.type(TICK);
    const shown = await terminal.shows(/tick=3\./);
    const launchers = ownProcesses(system, 'launcher-process');
    expect(launchers).toHaveLength(2);
    const withBash = launchers.find((pid) =>
      descendants(pid).some((child) => commandLine(child)?.includes('bash --norc') === true),
    );
    process.kill(withBash ?? expect.unreachable(), 'SIGKILL');
    await terminal.becomes({ status: 'failed', statusReason: 'execution.lost' });
    expectRecorded(await terminal.recorded(), shown);
    expect(await system.server.job(id)).toMatchObject({ status: 'running', attempts: 1 });
    const next = await openTerminal(system); // by a new launcher
    await next.type('echo next=yes.');
    await next.shows(/next=yes\./);
    await next.close();
    job.letGo();
    expect(await system.server.finished(id)).toMatchObject({ status: 'succeeded', attempts: 1 });
    await eventually(() => expect(system.marked()).toEqual([]), PATIENCE);
  });

  it.each([
    ['paused', 'SIGSTOP'],
    ['killed', 'SIGKILL'],
  ] as const)('goes on while Redis is %s; its output is shown later, in order', async (_how, signal) => {
    const system = shared();
    const terminal = await openTerminal(system);
    await terminal.type(TICK);
    await terminal.shows(/tick=3\./);
    const [screen = expect.unreachable()] = await terminal.events(() => true);
    if (screen.kind !== 'terminal.screen') expect.unreachable();
    const before = ticks(textOf(screen.data)).at(-1) ?? 0;
    const [redis = expect.unreachable()] = ownProcesses(system, 'redis-server');
    process.kill(redis, signal);
    // The recording needs no Redis.
    const file = join(system.server.home, 'terminals', `${terminal.id}.cast`);
    const recorded = (): number => ticks(outputOf(readFileSync(file, 'utf8'))).length;
    await eventually(() => expect(recorded()).toBeGreaterThan(before + 10), PATIENCE);
    const after = recorded();
    if (signal === 'SIGSTOP') process.kill(redis, 'SIGCONT');
    const isLater = ({ kind, ...event }: SessionStoredEvent): boolean =>
      kind === 'terminal.output' && 'data' in event && (ticks(textOf(event.data))[0] ?? 0) > after + 5;
    const events = await eventually(() => terminal.events(isLater, screen.seq), PATIENCE);
    expect(events.map(({ seq }) => seq)).toEqual(events.map((_, at) => screen.seq + 1 + at));
    const outputs = events.flatMap((event) => (event.kind === 'terminal.output' ? [event] : []));
    const shown = ticks(textOf(screen.data) + outputs.map(({ data }) => textOf(data)).join(''));
    expect(shown.at(-1)).toBeGreaterThan(after);
    expect(shown.slice(ticks(textOf(screen.data)).length)).toEqual(upTo(shown.at(-1) ?? 0).slice(before));
    await terminal.close();
    expectRecorded(await terminal.recorded(), '');
  });
});

describe('a server that may have four sessions, and is killed with a terminal at every step', () => {
  const shared = sharedFakeSystem({ ...TERMINALS, env: { BULLPEN_MAX_SESSIONS: '4' } });
  const ids = new Map<string, string>();
  let chat: Session;

  /** A terminal that gets to this step and no further. The answer is not waited for. */
  async function holdAt(step: FailpointName): Promise<readonly [Promise<number | 'reset'>]> {
    const system = shared();
    system.failpoints.hold(step);
    const answer = system.server.api('POST', '/v1/sessions', BASH).then(
      ({ status }) => status,
      () => 'reset' as const,
    );
    await system.failpoints.reached(step);
    const known = new Set(ids.values());
    const [made = expect.unreachable()] = (await terminalsOf(system)).filter(({ id }) => !known.has(id));
    ids.set(step, made.id);
    return [answer];
  }

  beforeAll(async () => {
    const system = shared();
    chat = (await (await system.server.api('POST', '/v1/sessions', {})).json()) as Session;
    // The last step first: a terminal passes each step that is not held yet.
    const [published] = await holdAt('terminal.published');
    expect(await published).toBe(201);
    const held = [...(await holdAt('terminal.spawned'))];
    await eventually(() => expect(system.marked()).toHaveLength(2), PATIENCE);
    for (const step of ['terminal.intended', 'terminal.recorded'] as const)
      held.push(...(await holdAt(step)));
    expect(system.marked()).toHaveLength(2); // nothing is spawned yet
    await killMain(system);
    expect(await Promise.all(held)).toEqual(['reset', 'reset', 'reset']);
    await system.restart();
  });

  it.each(['terminal.recorded', 'terminal.intended', 'terminal.spawned', 'terminal.published'])(
    'leaves the one at %s as failed',
    async (step) => {
      const terminal = terminalOf(shared(), ids.get(step) ?? expect.unreachable());
      await terminal.becomes({ status: 'failed', statusReason: 'execution.lost', process: null });
      const events = await terminal.events(isOver, 0);
      expect(events.map(({ seq }) => seq)).toEqual(events.map((_, at) => at + 1));
      expect(events.filter(isOver)).toMatchObject([{ status: 'failed', reason: 'execution.lost' }]);
      const shown = await terminal.events(isOver);
      expect(shown[0]).toMatchObject({ kind: 'terminal.screen' });
      expect(shown.at(-1)).toEqual(events.at(-1));
    },
  );

  it('leaves nothing else, and all four places are free: of two for the last one, one is opened', async () => {
    const system = shared();
    expect(system.marked()).toEqual([]);
    expect(await terminalsOf(system)).toHaveLength(4);
    const same = await system.server.api('GET', `/v1/sessions/${chat.id}`);
    expect(await same.json()).toEqual(chat);

    const opened: Awaited<ReturnType<typeof openTerminal>>[] = [];
    while (opened.length < 3) opened.push(await openTerminal(system));
    const answers = await Promise.all([1, 2].map(() => system.server.api('POST', '/v1/sessions', BASH)));
    expect(answers.map(({ status }) => status).sort()).toEqual([201, 429]);
    for (const answer of answers) {
      const body = (await answer.json()) as Session;
      if (answer.status === 201) opened.push(terminalOf(system, body.id));
      else expect(body).toMatchObject({ code: 'limit.sessions' });
    }
    await opened.pop()?.close();
    opened.push(await openTerminal(system)); // its place is free
    for (const terminal of opened) {
      await terminal.type('echo next=yes.');
      await terminal.shows(/^next=yes\./m);
      await terminal.close();
    }
    await expectWhole(system);
  });
});

it('on a server that is lost has failed; until then another server can use it', async () => {
  const redis = await startTestRedis();
  whenOver(() => redis.stop());
  const soon = { BULLPEN_NODE_LOST_AFTER_MS: '2000', BULLPEN_LEASE_MS: '600', BULLPEN_SWEEP_MS: '100' };
  const env = { REDIS_URL: redis.url, ...soon };
  const [first, second] = await Promise.all([1, 2].map(() => startServer({ env, ...TERMINALS })));
  if (first === undefined || second === undefined) return expect.unreachable();
  const place = { server: first };
  const terminal = await openTerminal(place);
  place.server = second;
  await terminal.type('echo from=second.');
  await terminal.shows(/^from=second\./m);
  await first.kill('SIGKILL');
  await terminal.becomes({ status: 'failed', statusReason: 'execution.node_unavailable' });
  const events = await terminal.events(isOver);
  expect(events.at(-1)).toMatchObject({ status: 'failed', reason: 'execution.node_unavailable' });
  const refused = await second.api('POST', `/v1/sessions/${terminal.id}/input`, { data: 'x' });
  expect([refused.status, await refused.json()]).toMatchObject([503, { code: 'execution.node_unavailable' }]);
});

const textOf = (base64: string): string => Buffer.from(base64, 'base64').toString();
