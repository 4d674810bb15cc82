/** One run: sessions, clients, breaks and restarts; then quiet, and the checks. */
import { setTimeout as delay } from 'node:timers/promises';
import type { SessionStoredEvent } from '../../src/protocol/event.ts';
import { eventually } from '../../tests/helpers/eventually.ts';
import { fakePrompt } from '../../tests/helpers/fake-cli.ts';
import { random } from '../../tests/helpers/random.ts';
import { startSystem } from '../nemesis/system.ts';
import { findFaults, type Truth } from './checks.ts';
import { type StormClient, startClient } from './client.ts';

const CHATS = 4;
const TERMINALS = 4;
const CLIENTS = 24;
const INPUT_EVERY_MS = 150;
/** Slow enough that a busy machine has done each turn before the next one comes. */
const PROMPT_EVERY_MS = 2500;
/** Between two restarts, and how long the server is away. */
const RESTART_MS = [2000, 8000] as const;
const DOWN_MS = [100, 2000] as const;
const QUIET_MS = 120_000;

/** Prints numbered lines without end, and each line that is typed. */
const TICKER = 'stty -echo; n=0; while :; do n=$((n+1)); echo "tick $n äö…🙂"; sleep 0.05; done & exec cat';

export interface StormResult {
  readonly faults: readonly string[];
  /** In the order of the table. */
  readonly figures: Readonly<Record<string, number>>;
}

export async function storm({
  seed,
  durationMs,
  dir,
  log,
}: {
  readonly seed: number;
  readonly durationMs: number;
  /** An empty folder; the caller deletes it. */
  readonly dir: string;
  readonly log: (line: string) => void;
}): Promise<StormResult> {
  const chance = random(seed);
  const between = ([least, most]: readonly [number, number]): number => least + chance() * (most - least);
  const system = await startSystem(dir, 2, {
    config: { terminals: { enabled: true, commands: { ticker: { binary: 'sh', args: ['-c', TICKER] } } } },
    // The second server always comes back, however long its start takes on a busy machine.
    env: { BULLPEN_MAX_SESSIONS: '100', BULLPEN_NODE_LOST_AFTER_MS: '120000' },
  });
  const clients: StormClient[] = [];
  try {
    await Promise.all(system.servers.map((server) => server.untilUp()));
    const [first, second] = system.servers;
    if (first === undefined || second === undefined) throw new Error('there are two servers');

    const api = async (method: string, path: string, body?: object): Promise<Response> => {
      const response = await fetch(`${first.url}/v1/sessions${path}`, {
        method,
        headers: {
          authorization: `Bearer ${first.token}`,
          accept: 'application/x-ndjson, application/json, */*',
          ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      });
      if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${await response.text()}`);
      return response;
    };
    const open = async (request: object): Promise<string> => {
      const { id } = (await (await api('POST', '', request)).json()) as { id: string }; // the documented session
      return id;
    };
    async function turnsOf(id: string): Promise<string[]> {
      const prompts: string[] = [];
      for (let cursor = ''; ; ) {
        const page = (await (await api('GET', `/${id}/turns?limit=100${cursor}`)).json()) as Page; // documented
        prompts.push(...page.data.map(({ prompt }) => prompt));
        if (page.nextCursor === null) return prompts;
        cursor = `&cursor=${encodeURIComponent(page.nextCursor)}`;
      }
    }
    const chats = await all(CHATS, () => open({ provider: 'claude' }));
    const terminals = await all(TERMINALS, () => open({ kind: 'terminal', command: 'ticker' }));
    for (let number = 0; number < CLIENTS; number += 1) {
      const sessions = [chats[number % CHATS] ?? '', terminals[Math.floor(number / CHATS) % TERMINALS] ?? ''];
      const server = () => {
        const up = system.servers.filter(({ isUp }) => isUp);
        return up[Math.floor(chance() * up.length)] ?? null;
      };
      clients.push(startClient({ name: `c${number}`, sessions, server, random: chance }));
    }

    log(`${CLIENTS} clients for ${durationMs / 1000} s`);
    const until = performance.now() + durationMs;
    const sent = { inputs: [] as string[], prompts: [] as string[] };
    const every = async (ms: number, act: (client: StormClient) => void): Promise<void> => {
      for (; performance.now() < until; await delay(ms)) {
        const client = clients[Math.floor(chance() * clients.length)];
        if (client !== undefined) act(client);
      }
    };
    const restarts = async (): Promise<void> => {
      for (;;) {
        await delay(between(RESTART_MS));
        if (performance.now() > until) return;
        const signal = second.starts % 2 === 1 ? 'SIGKILL' : 'SIGTERM';
        log(`${signal} to the second server`);
        await second.end(signal, between(DOWN_MS));
        await second.untilUp();
      }
    };
    await Promise.all([
      every(INPUT_EVERY_MS, (client) => {
        const text = `typed-${sent.inputs.length}.`;
        sent.inputs.push(text);
        client.ask([...client.seen.keys()][1] ?? '', text, { command: 'input', data: `${text}\r` });
      }),
      every(PROMPT_EVERY_MS, (client) => {
        const name = `prompt-${sent.prompts.length}.`;
        sent.prompts.push(name);
        const prompt = fakePrompt([{ deltas: { count: 20, text: 'word ' } }], name);
        client.ask([...client.seen.keys()][0] ?? '', name, { command: 'prompt', prompt });
      }),
      restarts(),
    ]);

    log('quiet');
    for (const client of clients) client.calm();
    const patience = { timeoutMs: QUIET_MS, intervalMs: 100 };
    await eventually(() => {
      const unanswered = clients.flatMap((client) => client.unanswered);
      if (unanswered.length > 0) throw new Error(`without an answer: ${unanswered.join(', ')}`);
    }, patience);
    for (const id of chats)
      await eventually(async () => {
        const session = await (await api('GET', `/${id}?wait=10&until=ready`)).json();
        return (session as { status: string }).status === 'ready'; // the documented session
      }, patience);
    for (const id of [...chats, ...terminals]) await api('POST', `/${id}/close`);

    const truth: Truth = {
      chats: new Map(),
      recordings: new Map(),
      turns: [],
      ...sent,
    };
    for (const id of chats) {
      truth.chats.set(id, await untilClosed(await api('GET', `/${id}/events?after=0`)));
      truth.turns.push(...(await turnsOf(id)));
    }
    for (const id of terminals) truth.recordings.set(id, await (await api('GET', `/${id}/recording`)).text());
    const isClosed = (events: readonly SessionStoredEvent[]): boolean => endsClosed(events.at(-1));
    await eventually(() => clients.every(({ seen }) => [...seen.values()].every(isClosed)), patience).catch(
      () => undefined, // the checks report what is missing
    );

    log('checks');
    const faults = findFaults(clients, truth);
    const events = clients.flatMap(({ seen }) => [...seen.values()]);
    const sum = (numbers: readonly number[]): number => numbers.reduce((total, number) => total + number, 0);
    return {
      faults,
      figures: {
        'length, s': durationMs / 1000,
        clients: CLIENTS,
        connections: sum(clients.map(({ connections }) => connections)),
        'starts of the second server': second.starts,
        'events given to clients': sum(events.map(({ length }) => length)),
        'inputs sent': sent.inputs.length,
        'prompts sent': sent.prompts.length,
        violations: faults.length,
      },
    };
  } finally {
    await Promise.all(clients.map((client) => client.stop()));
    await system.stop();
  }
}

interface Page {
  readonly data: readonly { readonly prompt: string }[];
  readonly nextCursor: string | null;
}

async function all<T>(count: number, make: () => Promise<T>): Promise<T[]> {
  return Promise.all(Array.from({ length: count }, make));
}

const endsClosed = (event: SessionStoredEvent | undefined): boolean =>
  event?.kind === 'session.status' && event.status === 'closed';

/** Every event of a session that is closed. Its stream does not end by itself. */
async function untilClosed(response: Response): Promise<SessionStoredEvent[]> {
  const events: SessionStoredEvent[] = [];
  let rest = '';
  for await (const text of (response.body ?? new ReadableStream()).pipeThrough(new TextDecoderStream())) {
    const lines = (rest + text).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) events.push(JSON.parse(line));
    if (endsClosed(events.at(-1))) break;
  }
  return events;
}
