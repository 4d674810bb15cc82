/**
 * The executor's side of the RPC: hears doorbells on the requests channel and hands them on. It believes none
 * of them: a doorbell only makes the executor look at the records.
 *
 * Anybody may publish there. A doorbell is looked at where it comes; everything else waits, so that a flood of it takes a
 * bounded part of each turn of the loop, and what is too much of it is dropped: a raw request is heard at most once.
 */
import type { Logger } from 'pino';
import { messageOf } from '../errors.ts';
import { looksLikeBell, parseRequestMessage, type RawRequest } from '../protocol/messages.ts';
import type { Doorbells } from '../redis/doorbells.ts';
import { createSeldom } from '../seldom.ts';

/** For what is no doorbell, in each turn of the loop. */
const TURN_MS = 1;
const MAX_WAITING = 1000;
const MAX_WAITING_CHARACTERS = 8 * 1024 * 1024;
/** A message by hand gets an answer that says what is wrong with it; a flood gets none. */
const REFUSALS = { count: 10, perMs: 1000 };

export interface RpcServerOptions {
  readonly doorbells: Doorbells;
  readonly channel: string;
  /** Something may be claimable. */
  onRun(): void;
  /** A cancel flag may be set. */
  onCancel(jobId: string): void;
  /** A raw request, or why a message is none. Null when raw requests are off. */
  readonly raw: {
    request(request: RawRequest): Promise<void>;
    refused(id: string | number | null, why: string): Promise<void>;
  } | null;
  readonly logger: Logger;
}

export interface RpcServer {
  start(): Promise<void>;
  stop(): Promise<void>;
}

export function createRpcServer(options: RpcServerOptions): RpcServer {
  const { doorbells, raw, logger } = options;
  let stopListening: (() => Promise<void>) | null = null;
  const forgetResumed = doorbells.onResumed(() => options.onRun());

  const logFailure = (error: unknown): void =>
    logger.warn({ reason: messageOf(error) }, 'a raw request could not be taken');

  let waiting: string[] = [];
  let characters = 0;
  let turn: NodeJS.Immediate | null = null;
  let answered = { since: Number.NEGATIVE_INFINITY, count: 0 };
  const seldom = createSeldom();

  function hear(text: string): void {
    if (looksLikeBell(text)) look(text);
    else if (waiting.length < MAX_WAITING && characters + text.length < MAX_WAITING_CHARACTERS) {
      waiting.push(text);
      characters += text.length;
      turn ??= setImmediate(lookOn);
    } else {
      const times = seldom('dropped');
      if (times !== null) logger.warn({ times }, 'more messages than can be looked at: some are dropped');
    }
  }

  function lookOn(): void {
    turn = null;
    const until = performance.now() + TURN_MS;
    let done = 0;
    do {
      const text = waiting[done] ?? '';
      characters -= text.length;
      done += 1;
      look(text);
    } while (done < waiting.length && performance.now() < until);
    waiting = waiting.slice(done);
    if (waiting.length > 0) turn = setImmediate(lookOn);
  }

  function look(text: string): void {
    const heard = parseRequestMessage(text);
    switch (heard.kind) {
      case 'bell':
        if (heard.bell.type === 'run') options.onRun();
        else options.onCancel(heard.bell.jobId);
        return;
      case 'raw':
        raw?.request(heard.request).catch(logFailure);
        return;
      case 'refused':
        if (!mayAnswer()) return;
        logger.debug({ why: heard.why }, 'a message was refused');
        raw?.refused(heard.id, heard.why).catch(logFailure);
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
      stopListening ??= await doorbells.listen(options.channel, hear);
    },
    async stop() {
      forgetResumed();
      await stopListening?.();
      stopListening = null;
      if (turn !== null) clearImmediate(turn);
      turn = null;
      waiting = [];
    },
  };
}
