/** Terminals: a key until its echo, beside a bare PTY; and the memory of many. */
import { setTimeout as delay } from 'node:timers/promises';
import { spawn } from '@lydell/node-pty';
import { connect } from '../live-storm/connection.ts';
import { createBenchClient } from './client.ts';
import { residentMb } from './proc.ts';
import type { Row, Section } from './results.ts';
import type { BenchServer } from './server.ts';
import { repeat, type Setting } from './setting.ts';
import { quantile } from './statistics.ts';

/** Between two keys, as a person types. */
const PAUSE_MS = 50;
/** After a terminal has printed its lines. */
const SETTLE_MS = 10_000;
const WITHIN_MS = 10_000;
const SCROLLBACK = 1000;

/** Writes more than the scrollback keeps, in lines of the whole width. */
const LINES = `for n in $(seq ${SCROLLBACK + 100}); do printf '%079d\\n' $n; done; exec cat`;
const config = {
  terminals: {
    enabled: true,
    commands: { cat: { binary: 'cat' }, lines: { binary: 'sh', args: ['-c', LINES] } },
  },
};

const row = (name: string, value: number, unit: string): Row => ({ name, value, unit });

export async function measureTerminals(setting: Setting): Promise<Section> {
  const [keys, terminals] = setting.quick ? [20, 3] : [500, 20];
  await using server = await setting.server({ config, env: { BULLPEN_MAX_SESSIONS: '100' } });
  const { bareMs, oursMs } = await typed(server, keys);
  const above = (share: number): number => quantile(oursMs, share) - quantile(bareMs, share);
  return {
    title: 'Terminals',
    lines: [],
    rows: [
      row('key → echo of a bare PTY, p50', quantile(bareMs, 0.5), 'ms'),
      row('p99', quantile(bareMs, 0.99), 'ms'),
      row('key → echo over a live connection, p50', quantile(oursMs, 0.5), 'ms'),
      row('p99', quantile(oursMs, 0.99), 'ms'),
      row('above the bare PTY, p50', above(0.5), 'ms'),
      row('p99', above(0.99), 'ms'),
      row(`main process per terminal with ${SCROLLBACK} lines`, await memory(server, terminals), 'MB'),
    ],
    notes: [`${keys} keys in turns, one every ${PAUSE_MS} ms. The memory is that of ${terminals} terminals.`],
  };
}

/** Types a key and resolves with the milliseconds until it comes back. */
type Key = (key: string) => Promise<number>;

async function typed(server: BenchServer, keys: number): Promise<{ bareMs: number[]; oursMs: number[] }> {
  const bare = barePty();
  const ours = await liveTerminal(server);
  try {
    const [bareMs, oursMs]: [number[], number[]] = [[], []];
    for (let at = 0; at < keys; at += 1) {
      const key = String.fromCharCode(97 + (at % 26));
      await delay(PAUSE_MS);
      bareMs.push(await bare.type(key));
      await delay(PAUSE_MS);
      oursMs.push(await ours.type(key));
    }
    return { bareMs, oursMs };
  } finally {
    bare.end();
    ours.end();
  }
}

/** Resolves the wait for a key when the output has it. */
function echoes(write: (key: string) => void): { type: Key; output(text: string): void } {
  let awaited = '';
  let come = (): void => {};
  return {
    async type(key) {
      const { promise, resolve, reject } = Promise.withResolvers<void>();
      [awaited, come] = [key, resolve];
      const late = setTimeout(() => reject(new Error('a key has no echo')), WITHIN_MS);
      const startedAt = performance.now();
      write(key);
      await promise;
      clearTimeout(late);
      return performance.now() - startedAt;
    },
    output(text) {
      if (awaited !== '' && text.includes(awaited)) come();
    },
  };
}

function barePty(): { type: Key; end(): void } {
  const pty = spawn('cat', [], { cols: 80, rows: 24 });
  const { type, output } = echoes((key) => pty.write(key));
  pty.onData(output);
  return { type, end: () => pty.kill() };
}

async function liveTerminal(server: BenchServer): Promise<{ type: Key; end(): void }> {
  const id = await open(server, 'cat');
  let sent = 0;
  const { type, output } = echoes((key) => {
    sent += 1;
    const data = { command: 'input', data: key } as const;
    connection.send({ type: 'command', message_id: `key-${sent}`, session_id: id, data });
  });
  const subscribed = Promise.withResolvers<void>();
  const connection = await connect({
    ...{ transport: 'websocket', url: server.url, token: server.token, onClose: () => undefined },
    onMessage(message) {
      if (message.type === 'error') throw new Error(`refused: ${JSON.stringify(message.data)}`);
      if (message.reply_to === 'read') subscribed.resolve();
      const { data } = message;
      if ('kind' in data && data.kind === 'terminal.output' && 'data' in data)
        output(Buffer.from(String(data.data), 'base64').toString());
    },
  });
  const subscribe = { command: 'subscribe' } as const;
  connection.send({ type: 'command', message_id: 'read', session_id: id, data: subscribe });
  await subscribed.promise;
  return { type, end: () => connection.drop() };
}

/** MB of the main process for one of them. */
async function memory(server: BenchServer, count: number): Promise<number> {
  const add = (): Promise<string> => open(server, 'lines');
  await repeat(2, 1, async () => void (await add())); // the first ones load code
  await delay(SETTLE_MS);
  const before = residentMb(server.pid);
  await repeat(count, 2, async () => void (await add()));
  await delay(SETTLE_MS);
  return (residentMb(server.pid) - before) / count;
}

async function open(server: BenchServer, command: string): Promise<string> {
  using client = createBenchClient(server);
  return await client.openTerminal(command); // the client lives until then
}
