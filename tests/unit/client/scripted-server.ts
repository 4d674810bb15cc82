/** A small real HTTP server with scripted answers. */
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { onTestFinished } from 'vitest';
import { type Client, type ClientOptions, createClient } from '../../../src/client/client.ts';

export interface ReceivedRequest {
  readonly method: string;
  readonly url: URL;
  readonly headers: IncomingMessage['headers'];
  readonly body: string;
}

export type Answer = (response: ServerResponse, request: ReceivedRequest) => void | Promise<void>;

export interface ScriptedServer {
  readonly url: string;
  /** Every request so far. */
  readonly requests: readonly ReceivedRequest[];
  /** Connections that are open now. */
  connections(): Promise<number>;
  stop(): Promise<void>;
}

export const TOKEN = 'bp_test-token';

/**
 * The n-th request gets the n-th answer; the last one answers all that follow. Stopped after the
 * test.
 */
export async function startScriptedServer(...answers: readonly Answer[]): Promise<ScriptedServer> {
  const requests: ReceivedRequest[] = [];
  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk);
    const { method = '', headers, url = '/' } = request;
    const one = {
      method,
      headers,
      url: new URL(url, 'http://server'),
      body: Buffer.concat(chunks).toString(),
    };
    const answer = answers[Math.min(requests.length, answers.length - 1)];
    requests.push(one);
    await answer?.(response, one);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const stop = async (): Promise<void> => {
    server.closeAllConnections();
    if (server.listening) await new Promise((resolve) => server.close(resolve));
  };
  onTestFinished(stop);
  const { port } = server.address() as AddressInfo; // it listens on TCP
  return {
    url: `http://127.0.0.1:${port}`,
    requests,
    connections: () =>
      new Promise((resolve, reject) => {
        server.getConnections((error, count) => (error === null ? resolve(count) : reject(error)));
      }),
    stop,
  };
}

export interface TestClient extends Client {
  /** What it would have waited, in order (ms). */
  readonly waits: readonly number[];
}

/** A client that waits no real time. */
export function clientOf(url: string, options: Partial<ClientOptions> = {}): TestClient {
  const waits: number[] = [];
  const client = createClient({
    url,
    token: TOKEN,
    retryDelaysMs: [1, 2],
    resumeDelaysMs: [10, 20, 30],
    async sleep(ms, signal) {
      signal?.throwIfAborted();
      waits.push(ms);
    },
    ...options,
  });
  return { ...client, waits };
}

export const json =
  (status: number, body: unknown, headers: Readonly<Record<string, string>> = {}): Answer =>
  (response) => {
    response.writeHead(status, { 'content-type': 'application/json', ...headers });
    response.end(JSON.stringify(body));
  };

export const problem = (
  status: number,
  code: string,
  rest: Readonly<Record<string, unknown>> = {},
  headers: Readonly<Record<string, string>> = {},
): Answer =>
  json(
    status,
    {
      type: `/docs/errors#${code}`,
      title: code,
      status,
      code,
      detail: `it is ${code}`,
      requestId: 'r1',
      ...rest,
    },
    { 'content-type': 'application/problem+json', ...headers },
  );

/** The connection breaks before there is an answer. */
export const reset: Answer = (response) => {
  response.socket?.resetAndDestroy();
};
