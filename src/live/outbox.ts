/** What one connection sends, and whether its reader keeps up. */
import type { Log } from '../log.ts';
import type { LiveAnswer } from '../protocol/live.ts';
import type { Redactor } from '../redactor.ts';
import { encode, problemData, type Target, toAppError } from './encoding.ts';
import type { LiveMeasures, LiveSocket } from './ports.ts';

/** With more unsent bytes for longer than {@link STALLED_MS}, a reader is too slow. */
export const MAX_UNSENT_BYTES = 1024 * 1024;
const STALLED_MS = 5_000;

export interface OutboxOptions {
  readonly socket: LiveSocket;
  readonly redactor: Pick<Redactor, 'value'>;
  readonly measures: Pick<LiveMeasures, 'sent' | 'refusedMessage'>;
  readonly now: () => number;
  readonly logger: Pick<Log, 'error'>;
}

/** What a message answers, if anything, and what it is about. */
interface Reply {
  readonly to: string | null;
  readonly about?: Target;
}

export interface Outbox {
  /** Sends an encoded event. */
  output(text: Buffer): void;
  answer(data: LiveAnswer, reply: Reply): void;
  /** Sends any error as a problem. */
  refuse(error: unknown, reply: Reply): void;
  ping(): void;
  pong(to: string): void;
  /** Whether events must wait for `room`. */
  readonly isFull: boolean;
  /** Resolves when more may be sent, or after `end`. */
  room(): Promise<void>;
  /** Whether the reader is too slow to be kept. */
  isStalled(): boolean;
  /** Sends nothing from now on. */
  end(): void;
}

export function createOutbox({ socket, redactor, measures, now, logger }: OutboxOptions): Outbox {
  const waiting = new Set<() => void>();
  let unsentBytes = 0;
  let fullSince: number | null = null;
  let ended = false;

  function post(type: string, text: Buffer): void {
    if (ended) return;
    measures.sent(socket.transport);
    unsentBytes += text.length;
    if (unsentBytes > MAX_UNSENT_BYTES) fullSince ??= now();
    socket.send(type, text, () => {
      unsentBytes -= text.length;
      if (unsentBytes > MAX_UNSENT_BYTES) return;
      fullSince = null;
      wake();
    });
  }

  const send = (message: Parameters<typeof encode>[0]): void => post(message.type, encode(message));

  function wake(): void {
    for (const resolve of waiting) resolve();
    waiting.clear();
  }

  return {
    output: (text) => post('output', text),
    answer: (data, reply) => send({ type: 'status', ...fieldsOf(reply), data }),
    refuse(error, reply) {
      const problem = toAppError(error);
      measures.refusedMessage(problem.code);
      if (problem.code === 'internal.error')
        logger.error({ err: error, requestId: socket.requestId }, 'live command failed');
      const data = redactor.value(problemData(problem, socket.requestId));
      send({ type: 'error', ...fieldsOf(reply), data });
    },
    ping: () => send({ type: 'ping', data: {} }),
    pong: (to) => send({ type: 'pong', reply_to: to, data: {} }),
    get isFull() {
      return fullSince !== null;
    },
    room() {
      const { promise, resolve } = Promise.withResolvers<void>();
      waiting.add(resolve);
      return promise;
    },
    isStalled: () => fullSince !== null && now() - fullSince >= STALLED_MS,
    end() {
      ended = true;
      wake();
    },
  };
}

const fieldsOf = ({ to, about: { session_id, job_id } = {} }: Reply): Target & { reply_to?: string } => ({
  ...(session_id !== undefined && { session_id }),
  ...(job_id !== undefined && { job_id }),
  ...(to !== null && { reply_to: to }),
});
