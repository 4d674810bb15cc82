/**
 * ⑤ The executor's side of the RPC: listens to the requests channel. A doorbell only makes the
 * executor read the records.
 *
 * Any client of this Redis can publish there. Doorbells are handled at once. Other messages wait in
 * a short queue, which takes at most `TURN_MS` of each turn of the event loop. When the queue is
 * full, messages are dropped: raw requests are delivered at most once anyway.
 */
import type { Logger } from 'pino';
import { messageOf } from '../errors.ts';
import { createLogLimit } from '../log.ts';
import { parseRequestMessage, type RequestBell } from '../protocol/messages.ts';
import { looksLikeBell } from '../protocol/response-bell.ts';
import type { Doorbells } from '../redis/doorbells.ts';
import type { RawRequests } from './raw-requests.ts';

/** Time for raw requests in each turn of the event loop. */
const TURN_MS = 1;
const MAX_WAITING = 1000;
const MAX_WAITING_CHARACTERS = 8 * 1024 * 1024;
/** Answers to messages that are no requests: enough for a person, not for a flood. */
const REFUSALS = { count: 10, perMs: 1000 };

export interface RpcServerOptions {
  readonly doorbells: Pick<Doorbells, 'listen' | 'onResumed'>;
  readonly channel: string;
  /** There may be an execution to claim. */
  onRun(): void;
  /** A job may have its cancel flag set. */
  onCancel(jobId: string): void;
  /** There may be a decision or a message for the CLI of a job. */
  onTalk(jobId: string): void;
  /** Null when raw requests are off. */
  readonly raw: RawRequests | null;
  readonly logger: Logger;
}

export interface RpcServer {
  start(): Promise<void>;
  stop(): Promise<void>;
}

export function createRpcServer({
  doorbells,
  channel,
  onRun,
  onCancel,
  onTalk,
  raw,
  logger,
}: RpcServerOptions): RpcServer {
  let stopListening: (() => Promise<void>) | null = null;
  const forgetResumed = doorbells.onResumed(onRun);

  const logFailure = (error: unknown): void =>
    logger.warn({ reason: messageOf(error) }, 'a raw request could not be accepted');

  let waiting: string[] = [];
  let characters = 0;
  let nextTurn: NodeJS.Immediate | null = null;
  let answered = { since: Number.NEGATIVE_INFINITY, count: 0 };
  const logLimit = createLogLimit();

  function receive(text: string): void {
    if (looksLikeBell(text)) handle(text);
    else if (waiting.length < MAX_WAITING && characters + text.length < MAX_WAITING_CHARACTERS) {
      waiting.push(text);
      characters += text.length;
      nextTurn ??= setImmediate(handleWaiting);
    } else {
      const times = logLimit('dropped');
      if (times !== null)
        logger.warn({ times }, 'too many messages on the requests channel: some are dropped');
    }
  }

  function handleWaiting(): void {
    nextTurn = null;
    const until = performance.now() + TURN_MS;
    let done = 0;
    do {
      const text = waiting[done] ?? '';
      characters -= text.length;
      done += 1;
      handle(text);
    } while (done < waiting.length && performance.now() < until);
    waiting = waiting.slice(done);
    if (waiting.length > 0) nextTurn = setImmediate(handleWaiting);
  }

  function handle(text: string): void {
    const message = parseRequestMessage(text);
    switch (message.kind) {
      case 'bell':
        ring(message.bell);
        return;
      case 'raw':
        raw?.request(message.request).catch(logFailure);
        return;
      case 'refused':
        if (!mayAnswer()) return;
        logger.debug({ why: message.why }, 'a message was refused');
        raw?.refused(message.id, message.why).catch(logFailure);
    }
  }

  function ring({ type, jobId }: RequestBell): void {
    switch (type) {
      case 'run':
        onRun();
        return;
      case 'cancel':
        onCancel(jobId);
        return;
      case 'talk':
        onTalk(jobId);
    }
  }

  function mayAnswer(): boolean {
    const now = performance.now();
    if (now - answered.since >= REFUSALS.perMs) answered = { since: now, count: 0 };
    answered.count += 1;
    return answered.count <= REFUSALS.count;
  }

  return {
    async start() {
      stopListening ??= await doorbells.listen(channel, receive);
    },
    async stop() {
      forgetResumed();
      await stopListening?.();
      stopListening = null;
      if (nextTurn !== null) clearImmediate(nextTurn);
      nextTurn = null;
      waiting = [];
    },
  };
}
