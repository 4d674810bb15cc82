/** An executor on another host that answers as a test has scripted it, at exact moments. */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { onTestFinished } from 'vitest';
import { verifySignature } from '../../src/auth/request-signature.ts';
import type { ErrorCode } from '../../src/errors.ts';
import { ERROR_CODES } from '../../src/errors.ts';
import { type ExecutionLine, NODE_HEADER } from '../../src/protocol/executor-service.ts';

export const SECRET = 'a secret that both sides of a test know';

export type Route = 'submit' | 'known' | 'events' | 'cancel' | 'health';

/** What one request gets. */
export type Reply =
  | { readonly json: unknown; readonly status?: number }
  | {
      readonly problem: ErrorCode;
      readonly detail?: string;
      readonly retryAfter?: number;
      /** What its clock says. Default: the right time. */
      readonly date?: Date;
    }
  /** Lines or pieces of lines; then the answer ends, breaks off or stays open. */
  | {
      readonly lines: readonly (ExecutionLine | string)[];
      readonly ends?: 'well' | 'cut' | 'never';
      readonly status?: number;
    }
  /** The connection is closed without an answer. */
  | 'reset'
  /** The connection stays open without an answer. */
  | 'silent';

export interface SeenRequest {
  readonly route: Route;
  readonly path: string;
  readonly body: unknown;
  readonly nonce: string;
}

export interface ScriptedExecutor {
  readonly url: string;
  readonly requests: readonly SeenRequest[];
  of(route: Route): readonly SeenRequest[];
  /** The replies to the next requests; the last one stays. */
  script(route: Route, ...replies: readonly Reply[]): void;
  /** Streams that are held open. */
  open(): number;
  /** Writes to them. */
  say(...lines: readonly ExecutionLine[]): void;
  /** Id of the node that answers from now on; null: something that is no executor. */
  become(node: string | null): void;
  close(): Promise<void>;
}

/** What an execution reports beside its outcome when there is nothing. */
export const NOTHING_BESIDE = { sessionTokens: null, limitedModel: null, account: null, finalLine: null };

function routeOf({ method, url = '' }: IncomingMessage): Route {
  if (url === '/health') return 'health';
  if (/\/events\?after=\d+$/.test(url)) return 'events';
  if (url.endsWith('/cancel')) return 'cancel';
  return method === 'POST' ? 'submit' : 'known';
}

export async function scriptedExecutor(port = 0): Promise<ScriptedExecutor> {
  const requests: SeenRequest[] = [];
  const scripts = new Map<Route, Reply[]>();
  const open = new Set<ServerResponse>();
  let node: string | null = 'node-1';
  const known = (id: string) => ({ id, jobId: 'j', state: 'waiting', events: 0 });

  function usual(route: Route, path: string, body: unknown): Reply {
    const id = /executions\/([^/]+)\//.exec(path)?.[1] ?? String((body as { id?: unknown } | null)?.id);
    if (route === 'known') return { json: { node, executions: [] } };
    if (route === 'events') return { lines: [], ends: 'never' };
    return { json: { node, execution: known(id) }, status: route === 'submit' ? 202 : 200 };
  }

  function answer(reply: Reply, response: ServerResponse): void {
    if (node !== null) response.setHeader(NODE_HEADER, node);
    if (reply === 'reset') return void response.destroy();
    if (reply === 'silent') return;
    if ('problem' in reply) {
      const { problem: code, detail = 'as scripted', retryAfter, date } = reply;
      if (date !== undefined) response.setHeader('date', date.toUTCString());
      if (retryAfter !== undefined) response.setHeader('retry-after', retryAfter);
      response.statusCode = ERROR_CODES[code].status;
      return void response.end(JSON.stringify({ code, detail }));
    }
    if ('json' in reply) {
      response.statusCode = reply.status ?? 200;
      return void response.end(JSON.stringify(reply.json));
    }
    response.statusCode = reply.status ?? 200;
    response.setHeader('content-type', 'application/x-ndjson');
    response.flushHeaders();
    for (const line of reply.lines)
      response.write(typeof line === 'string' ? line : `${JSON.stringify(line)}\n`);
    if (reply.ends === 'never') {
      open.add(response);
      response.on('close', () => open.delete(response));
    } else if (reply.ends === 'cut') setImmediate(() => response.destroy());
    else response.end();
  }

  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer); // no encoding is set
    const raw = Buffer.concat(chunks);
    const { method = '', url = '', headers } = request;
    verifySignature({
      ...{ scheme: 'v2', method, pathAndQuery: url, body: raw, headers, now: Date.now(), secrets: [SECRET] },
    });
    const route = routeOf(request);
    const body: unknown = raw.length === 0 ? null : JSON.parse(raw.toString());
    requests.push({ route, path: url, body, nonce: String(headers['x-claude-nonce']) });
    const script = scripts.get(route) ?? [];
    answer((script.length > 1 ? script.shift() : script[0]) ?? usual(route, url, body), response);
  });
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
  const close = async (): Promise<void> => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  };
  onTestFinished(async () => {
    if (server.listening) await close();
  });

  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, // it listens on TCP
    requests,
    of: (route) => requests.filter((one) => one.route === route),
    script: (route, ...replies) => void scripts.set(route, [...replies]),
    open: () => open.size,
    say(...lines) {
      for (const response of open) for (const line of lines) response.write(`${JSON.stringify(line)}\n`);
    },
    become(other) {
      node = other;
    },
    close,
  };
}
