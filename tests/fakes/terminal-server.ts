/** A small server with terminals: real programs on real PTYs, HTTP and live connections. */
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type IPty, spawn } from '@lydell/node-pty';
import serialize from '@xterm/addon-serialize';
import headless from '@xterm/headless';
import { type WebSocket, WebSocketServer } from 'ws';
import type { LiveRequest } from '../../src/protocol/live.ts';
import type { Session, SessionRequest } from '../../src/protocol/session.ts';

interface Terminal {
  session: Session;
  readonly pty: IPty;
  readonly screen: InstanceType<typeof headless.Terminal>;
  readonly serializer: InstanceType<typeof serialize.SerializeAddon>;
  readonly readers: Set<WebSocket>;
  seq: number;
  recording: string;
}

export interface TerminalServer {
  readonly url: string;
  readonly sessions: () => readonly Session[];
  /** Ends every live connection, as a network that is gone. */
  cut(): void;
  stop(): Promise<void>;
}

/** @param enabled whether terminals are on */
export async function startTerminalServer(enabled = true): Promise<TerminalServer> {
  const terminals = new Map<string, Terminal>();
  const started = performance.now();
  const say = (socket: WebSocket, message: object): void =>
    socket.send(JSON.stringify({ timestamp: '', message_id: 's', data: {}, ...message }));

  function emit(terminal: Terminal, event: object): void {
    terminal.seq += 1;
    const { id } = terminal.session;
    const data = { seq: terminal.seq, sessionId: id, at: '', ...event };
    for (const reader of terminal.readers)
      say(reader, { type: 'output', session_id: id, seq: terminal.seq, data });
  }

  function open({ cols = 80, rows = 24, cwd = '/', ...request }: SessionRequest): Session {
    const id = `01K9ZV4Q4STERMNA0X2T6D8Y${String(terminals.size + 1).padStart(2, '0')}`;
    const session: Session = {
      ...{ id, kind: 'terminal', name: request.name ?? null, status: 'busy', statusReason: null },
      ...{ matchedLine: null, project: 'default', principal: 'admin', provider: request.command ?? 'claude' },
      ...{ model: null, cwd, nativeSessionId: null, node: 'n', process: null, turns: 0, usage: null },
      ...{ terminal: { cols, rows, command: request.command ?? null, exitCode: null }, forkedFrom: null },
      ...{ createdAt: '2026-11-30T12:00:00Z', lastActivityAt: '2026-11-30T12:00:00Z', closedAt: null },
      ...{ tags: [], metadata: {}, links: { self: '', events: '', turns: '' } },
    };
    const env = { PATH: process.env['PATH'] ?? '', TERM: 'xterm-256color', PS1: 'sh> ' };
    const pty = spawn('bash', ['--norc', '--noprofile'], { cols, rows, cwd, env, encoding: null });
    const screen = new headless.Terminal({ cols, rows, scrollback: 1000, allowProposedApi: true });
    const serializer = new serialize.SerializeAddon();
    screen.loadAddon(serializer);
    const terminal: Terminal = {
      ...{ session, pty, screen, serializer, readers: new Set<WebSocket>(), seq: 0 },
      recording: `${JSON.stringify({ version: 2, width: cols, height: rows })}\n`,
    };
    terminals.set(id, terminal);
    screen.onData((answer) => pty.write(answer));
    // as: with `encoding: null` data comes as bytes
    pty.onData((text) => {
      const bytes = Buffer.from(text as unknown as Buffer);
      const at = (performance.now() - started) / 1000;
      terminal.recording += `${JSON.stringify([at, 'o', bytes.toString()])}\n`;
      screen.write(bytes, () => emit(terminal, { kind: 'terminal.output', data: bytes.toString('base64') }));
    });
    pty.onExit(({ exitCode, signal }) =>
      screen.write('', () => {
        const status = exitCode === 0 && !signal ? 'closed' : 'failed';
        const exit = { ...terminal.session.terminal, cols, rows, command: null, exitCode };
        terminal.session = { ...terminal.session, status, terminal: exit };
        emit(terminal, { kind: 'session.status', status, reason: null });
      }),
    );
    return session;
  }

  function act(socket: WebSocket, message: LiveRequest): void {
    const answer = (data: object = {}) => say(socket, { type: 'status', reply_to: message.message_id, data });
    const terminal = terminals.get(message.type === 'command' ? (message.session_id ?? '') : '');
    if (message.type !== 'command' || terminal === undefined) {
      answer();
      return;
    }
    const { data } = message;
    if (data.command === 'input') terminal.pty.write(data.data);
    if (data.command === 'resize') {
      terminal.pty.resize(data.cols, data.rows);
      terminal.screen.resize(data.cols, data.rows);
      emit(terminal, { kind: 'terminal.resized', cols: data.cols, rows: data.rows });
    }
    answer();
    if (data.command === 'unsubscribe') terminal.readers.delete(socket);
    if (data.command !== 'subscribe') return;
    terminal.screen.write('', () => {
      const { cols, rows } = terminal.screen;
      const text = Buffer.from(terminal.serializer.serialize()).toString('base64');
      const { id } = terminal.session;
      const event = { seq: terminal.seq, sessionId: id, kind: 'terminal.screen', cols, rows, data: text };
      say(socket, { type: 'output', session_id: id, seq: terminal.seq, data: event });
      terminal.readers.add(socket);
    });
  }

  function reply(response: ServerResponse, status: number, body: object | string): void {
    response.writeHead(status, { 'content-type': 'application/json' });
    response.end(typeof body === 'string' ? body : JSON.stringify(body));
  }

  async function handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk);
    const [, , noun, id = '', action] = new URL(request.url ?? '/', 'http://server').pathname.split('/');
    const terminal = terminals.get(id);
    if (noun === 'providers') reply(response, 200, { data: [{ name: 'claude' }, { name: 'codex' }] });
    else if (noun === 'jobs') reply(response, 200, { data: [], nextCursor: null });
    else if (noun !== 'sessions') reply(response, 200, { ready: true, checks: {} });
    else if (request.method === 'POST' && !enabled)
      reply(response, 403, { status: 403, code: 'terminal.disabled', detail: 'they are off' });
    else if (request.method === 'POST') {
      const asked: SessionRequest = JSON.parse(Buffer.concat(chunks).toString());
      const isKnown = asked.command === undefined || asked.command === 'shell';
      if (isKnown) reply(response, 201, open(asked));
      else reply(response, 400, { status: 400, code: 'terminal.command_unknown', detail: 'no such command' });
    } else if (id === '') {
      const data = [...terminals.values()].map(({ session }) => session).reverse();
      reply(response, 200, { data, nextCursor: null });
    } else if (terminal === undefined)
      reply(response, 404, { status: 404, code: 'session.not_found', detail: 'none' });
    else reply(response, 200, action === 'recording' ? terminal.recording : terminal.session);
  }

  const server = createServer((request, response) => void handle(request, response));
  const sockets = new WebSocketServer({ server, path: '/v1/live' });
  sockets.on('connection', (socket) => {
    socket.on('message', (data) => act(socket, JSON.parse(String(data))));
    socket.on('close', () => {
      for (const { readers } of terminals.values()) readers.delete(socket);
    });
  });
  const cut = (): void => {
    for (const socket of sockets.clients) socket.terminate();
  };
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo; // it listens on TCP
  return {
    url: `http://127.0.0.1:${port}`,
    sessions: () => [...terminals.values()].map(({ session }) => session),
    cut,
    async stop() {
      for (const { pty } of terminals.values()) pty.kill('SIGKILL');
      cut();
      sockets.close();
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
