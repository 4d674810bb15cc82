import type { ServerResponse } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';
import type { PlanUse } from './behaviour.ts';
import type { Resolution } from './script.ts';
import type { Ask, JsonAnswer, Turn, Vendor } from './vendor.ts';

/**
 * What playing needs to know of the request it answers. `released` settles when hanging requests
 * are let go.
 */
export interface Stage {
  readonly vendor: Vendor;
  readonly ask: Ask;
  readonly serial: number;
  readonly response: ServerResponse;
  readonly released: Promise<void>;
  readonly signal: AbortSignal;
}

/**
 * Answers a request as resolved. Rejects when `signal` aborts: the client has gone, or the server
 * stops.
 */
export async function play(resolution: Resolution, stage: Stage): Promise<void> {
  switch (resolution.kind) {
    case 'failure':
      return sendJson(stage.response, stage.vendor.failure(resolution.failure, stage.serial));
    case 'turn':
      return ask(stage, resolution.turn, null, resolution.used);
    case 'hang':
      return ask(stage, resolution.released, resolution.before ? 'before' : 'begun');
  }
}

/** Sends a whole JSON answer. */
export function sendJson(response: ServerResponse, { status, headers, body }: JsonAnswer): void {
  response.writeHead(status, { 'content-type': 'application/json', ...headers });
  response.end(JSON.stringify(body));
}

async function ask(stage: Stage, turn: Turn, hang: 'before' | 'begun' | null, used?: PlanUse): Promise<void> {
  const { vendor, response, serial, signal } = stage;
  if (hang === 'before' || (hang !== null && !stage.ask.stream)) await releasedOrAborted(stage);
  if (!stage.ask.stream)
    return sendJson(response, { status: 200, body: vendor.whole(stage.ask, turn, serial) });
  response.writeHead(200, {
    'content-type': 'text/event-stream; charset=utf-8',
    'cache-control': 'no-cache',
    ...(used === undefined ? {} : vendor.useHeaders?.(used)),
  });
  response.write(vendor.opening(stage.ask, serial));
  if (hang === 'begun') await releasedOrAborted(stage);
  for (const frame of vendor.frames(stage.ask, turn, serial)) {
    signal.throwIfAborted();
    response.write(frame.text);
    if (frame.paced && turn.intervalMs > 0) await delay(turn.intervalMs, undefined, { signal });
  }
  response.end();
}

async function releasedOrAborted({ released, signal }: Stage): Promise<void> {
  const { promise, reject } = Promise.withResolvers<never>();
  const abort = () => reject(signal.reason);
  if (signal.aborted) abort();
  signal.addEventListener('abort', abort, { once: true });
  try {
    await Promise.race([released, promise]);
  } finally {
    signal.removeEventListener('abort', abort);
  }
}
