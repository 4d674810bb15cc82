/** Follows an execution on another host to its end, and ends it when the server has to. */
import type { Logger } from 'pino';
import { AppError, messageOf } from '../errors.ts';
import type { StopSignals } from '../executor/execute.ts';
import type { Flow } from '../executor/runner.ts';
import { type ExecutionLine, STREAM_MS } from '../protocol/executor-service.ts';
import { pause } from '../timing.ts';
import type { ExecutorClient } from './client.ts';
import { unavailable } from './signed-requests.ts';
import { isTemporary, isUnknown, noContact, notKnown, otherNode, pauseAfter } from './submit.ts';

export type EventLine = Extract<ExecutionLine, { type: 'event' }>;
export type EndedLine = Extract<ExecutionLine, { type: 'ended' }>;

export interface FollowOptions {
  readonly client: Pick<ExecutorClient, 'node' | 'follow' | 'renew' | 'cancel'>;
  readonly id: string;
  /**
   * The node that has taken it; null: not known to this server. When it does not know the execution
   * any longer, it has not begun it: it has restarted.
   */
  readonly takenBy: string | null;
  /** For the log. */
  readonly jobId: string;
  readonly signals: StopSignals;
  /** Without a line for this long the execution is lost: the executor has ended it by then. */
  readonly lostAfterMs: number;
  /** The same, once the server stops and does not wait. */
  readonly lostAfterForceMs: number;
  onFlow(flow: Flow): void;
  /** Gets each event once, in order. */
  onEvent(line: EventLine): void;
  readonly logger: Logger;
}

/** A connection breaks now and then. One that cannot be made again is worth a warning. */
const SAID_AT = 5;

/**
 * Resolves with the last line of an execution; null: it has not begun, and has to be sent again. A
 * stream that breaks goes on where it broke.
 * @throws AppError execution.lost: the executor does not know it, does not answer, or has a gap in
 *   its events
 */
export async function followToEnd(options: FollowOptions): Promise<EndedLine | null> {
  const { client, id, jobId, signals, logger } = options;
  const over = new AbortController();
  const gate = createGate();
  options.onFlow(gate);
  let last = 0;
  let lastContact = performance.now();
  let node: string | null = null;
  let failures = 0;

  function contact(): void {
    lastContact = performance.now();
    failures = 0;
    node = client.node;
  }

  /** Waits while the reader is slow. Each request renews the execution meanwhile. */
  async function untilOpen(): Promise<void> {
    while (!(await gate.opensWithin(STREAM_MS))) await client.renew(id, last).then(contact, () => undefined);
  }

  /** The last line, if this stream has it. */
  async function followOnce(): Promise<EndedLine | null> {
    let isEmpty = true;
    for await (const line of client.follow(id, last, over.signal)) {
      isEmpty = false;
      contact();
      if (line.type === 'ended') return line;
      if (line.type === 'alive') continue;
      if (line.n !== last + 1)
        throw new AppError('execution.lost', `event ${last + 1} of the execution is missing`);
      await untilOpen();
      last = line.n;
      options.onEvent(line);
    }
    if (isEmpty) throw unavailable(new Error('a stream without a line'), true);
    return null;
  }

  const stopped = endWhenStopped(options, over.signal);
  try {
    for (;;) {
      const before = performance.now();
      try {
        const ended = await followOnce();
        if (ended !== null) return ended;
      } catch (error) {
        if (isUnknown(error)) {
          if (last === 0 && client.node === options.takenBy && !signals.stop.aborted) return null;
          throw node !== null && client.node !== node ? otherNode() : notKnown();
        }
        if (!isTemporary(error)) throw error;
        failures += 1;
        logger[failures === SAID_AT ? 'warn' : 'debug'](
          { jobId, reason: messageOf(error) },
          'the events of an execution broke off',
        );
        const isForced = signals.force.aborted && signals.stop.reason === 'shutdown';
        const limitMs = isForced ? options.lostAfterForceMs : options.lostAfterMs;
        if (performance.now() - lastContact > limitMs) throw noContact(limitMs, error);
        await pause(pauseAfter(error, failures), over.signal);
        continue;
      }
      // An answer that ends at once must not become a loop without a pause.
      const early = pauseAfter(null, 1) - (performance.now() - before);
      if (early > 0) await pause(early, over.signal);
    }
  } finally {
    over.abort();
    await stopped();
  }
}

/**
 * Ends the execution when a signal aborts, and again without a grace when that is skipped. Tries
 * until the executor has answered. Returns what resolves once nothing of it runs.
 */
function endWhenStopped(
  { client, id, jobId, signals, logger }: FollowOptions,
  over: AbortSignal,
): () => Promise<void> {
  const running = new Set<Promise<void>>();

  async function end(force: boolean): Promise<void> {
    const reason = signals.stop.reason === 'interrupted' ? 'interrupted' : 'cancelled';
    for (let failures = 1; !over.aborted; failures += 1) {
      try {
        await client.cancel(id, { reason, force });
        return;
      } catch (error) {
        logger.debug({ jobId, reason: messageOf(error) }, 'an execution could not be cancelled');
        if (!isTemporary(error)) return;
        await pause(pauseAfter(error, failures), over);
      }
    }
  }

  function on(signal: AbortSignal, force: boolean): void {
    const begin = (): void => {
      if (!force && signals.force.aborted) return;
      const one: Promise<void> = end(force).finally(() => running.delete(one));
      running.add(one);
    };
    if (signal.aborted) begin();
    else signal.addEventListener('abort', begin, { once: true, signal: over });
  }
  on(signals.stop, false);
  on(signals.force, true);
  return async () => {
    await Promise.all(running);
  };
}

interface Gate extends Flow {
  /** Whether it is open, or opens within `ms`. */
  opensWithin(ms: number): Promise<boolean>;
}

function createGate(): Gate {
  let closed: PromiseWithResolvers<void> | null = null;
  return {
    pause() {
      closed ??= Promise.withResolvers<void>();
    },
    resume() {
      closed?.resolve();
      closed = null;
    },
    async opensWithin(ms) {
      if (closed === null) return true;
      const late = new AbortController();
      const isOpen = await Promise.race([
        closed.promise.then(() => true),
        pause(ms, late.signal).then(() => false),
      ]);
      late.abort();
      return isOpen;
    },
  };
}
