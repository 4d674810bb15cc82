/**
 * Live connections: 50 chats that write 250 texts a second in all, to 200 clients of which four
 * read each chat: 1,000 messages a second. Timed from the clock of the CLI to that of the client.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { createClient } from '../../src/client/client.ts';
import type { LiveMessage } from '../../src/protocol/live.ts';
import { type Connection, connect, TRANSPORTS, type Transport } from '../live-storm/connection.ts';
import { cpuTime } from './proc.ts';
import type { Row, Section } from './results.ts';
import { writeScriptedCli } from './scripted-cli.ts';
import type { BenchServer } from './server.ts';
import { repeat, type Setting } from './setting.ts';
import { quantile } from './statistics.ts';

const READERS = 4;
/** After the begin of the chats, until all of them run. */
const SETTLE_MS = 5000;

export async function measureLive(setting: Setting): Promise<Section> {
  const { quick } = setting;
  const [chats, watchMs] = quick ? [5, 2000] : [50, 30_000];
  const env = {
    BULLPEN_CONCURRENCY: String(chats),
    BULLPEN_WARM_PROCESSES: '0',
    BULLPEN_MAX_SESSIONS: String(chats),
  };
  const binary = writeScriptedCli(setting.workspace);
  await using server = await setting.server({ env, config: { providers: { claude: { binary } } } });
  const client = createClient(server);
  const seconds = ((watchMs + SETTLE_MS) * (TRANSPORTS.length + 1)) / 1000;
  const prompt = `say ${Math.ceil(5 * (2 * seconds + 60))}`;
  const sessions: string[] = [];
  await repeat(chats, 4, async () => void sessions.push((await client.sessions.create({ prompt })).id));
  await repeat(chats, 8, async (at) => {
    await client.sessions.get(sessions[at] ?? '', { waitMs: 60_000, until: 'busy' });
  });
  await delay(SETTLE_MS);
  const alone = await watch(server, watchMs);
  const rows: Row[] = [
    row('CPU of the main process without a reader', alone.cpuMs / (watchMs / 1000), 'ms a second'),
  ];
  for (const transport of TRANSPORTS) rows.push(...(await read({ server, sessions, transport, watchMs })));
  await repeat(chats, 8, async (at) => void (await client.sessions.close(sessions[at] ?? '')));
  return {
    title: `Live connections: ${chats} chats, ${chats * READERS} clients, ${5 * chats * READERS} messages a second`,
    lines: [],
    rows,
    notes: ['The clients are one process on the same cores. The chats are those of a scripted CLI.'],
  };
}

const row = (name: string, value: number, unit: string): Row => ({ name, value, unit });

async function read({
  server,
  sessions,
  transport,
  watchMs,
}: {
  readonly server: BenchServer;
  readonly sessions: readonly string[];
  readonly transport: Transport;
  readonly watchMs: number;
}): Promise<Row[]> {
  const tookMs: number[] = [];
  let delivered = 0;
  let lost = 0;
  let counts = false;
  const onMessage = ({ type, data }: LiveMessage): void => {
    if (type !== 'output' || !counts) return;
    delivered += 1;
    if ('kind' in data && data.kind === 'text.delta' && 'text' in data)
      tookMs.push(performance.timeOrigin + performance.now() - Number(data.text) * 1000);
  };
  const connections: Connection[] = [];
  try {
    await repeat(sessions.length * READERS, 8, async (at) => {
      const session = sessions[at % sessions.length] ?? '';
      const connection: Connection = await connect({
        ...{ transport, url: server.url, token: server.token },
        onMessage(message) {
          // Without an answer the server closes the connection after 45 s.
          if (message.type === 'ping') connection.send({ type: 'pong', message_id: message.message_id });
          else onMessage(message);
        },
        onClose: () => {
          if (counts) lost += 1;
        },
      });
      connections.push(connection);
      connection.send({
        ...{ type: 'command', message_id: 'read', session_id: session },
        data: { command: 'subscribe' },
      });
    });
    await delay(SETTLE_MS); // what was said before is read
    counts = true;
    const { cpuMs, lagMs } = await watch(server, watchMs);
    counts = false;
    if (lost > 0) throw new Error(`${lost} clients lost their connection`);
    return [
      row(`${transport}: messages a second`, delivered / (watchMs / 1000), ''),
      row('delivery p50', quantile(tookMs, 0.5), 'ms'),
      row('delivery p99', quantile(tookMs, 0.99), 'ms'),
      row('event-loop delay of the main process, p99', lagMs, 'ms'),
      row('its CPU per delivered message', cpuMs / delivered, 'ms'),
    ];
  } finally {
    for (const connection of connections) connection.drop();
  }
}

/** What the main process does in a time. */
async function watch(server: BenchServer, ms: number): Promise<{ cpuMs: number; lagMs: number }> {
  await loopDelayMs(server); // the next scrape has what comes from here on
  const cpu = cpuTime(server.pid).own;
  await delay(ms);
  return { cpuMs: cpuTime(server.pid).own - cpu, lagMs: await loopDelayMs(server) };
}

/** The p99 since the last scrape. */
async function loopDelayMs({ url, token }: BenchServer): Promise<number> {
  const response = await fetch(`${url}/metrics`, { headers: { authorization: `Bearer ${token}` } });
  const found = /^nodejs_eventloop_lag_seconds\{quantile="0\.99"\} (\S+)$/m.exec(await response.text())?.[1];
  if (found === undefined) throw new Error('the metrics have no event-loop delay');
  return Number(found) * 1000;
}
