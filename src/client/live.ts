/**
 * A live connection: events as they come, and commands, over one WebSocket. For Node and browsers.
 */
import type { Approval, DecideRequest } from '../protocol/approval.ts';
import type { Change } from '../protocol/change.ts';
import type { SessionStoredEvent, StoredEvent } from '../protocol/event.ts';
import type { LiveAnswer, LiveCommand, LiveMessage, LiveSnapshot } from '../protocol/live.ts';
import type { MessageRequest } from '../protocol/session.ts';
import type { TerminalDone, TerminalSignal, TerminalSize } from '../protocol/terminal.ts';
import { ApiError } from './errors.ts';
import { createLink, type LiveOptions, type Question } from './live-link.ts';
import { createTopic, type Topic, type TopicOptions } from './live-topic.ts';

export type { LiveAuth, LiveOptions, LiveStatus } from './live-link.ts';

export interface SubscribeOptions {
  /**
   * The `seq` of the last event that the reader has. Left out: a terminal begins with its screen,
   * everything else with its first event.
   */
  readonly after?: number;
  /** Only these kinds, and always `session.status` and `job.finished`. */
  readonly kinds?: readonly string[];
  /** Ends the iteration with its reason. */
  readonly signal?: AbortSignal;
}

export interface LiveChangesOptions {
  /** The cursor of the last change that the reader has. Left out: it begins with a snapshot. */
  readonly after?: string;
  readonly signal?: AbortSignal;
}

/** Replaces all that the reader knows. */
export interface SnapshotTaken extends LiveSnapshot {
  readonly kind: 'snapshot';
}

type Answer<Name> = Extract<LiveAnswer, { readonly command: Name }>;

/**
 * Every command resolves with the answer when the server has done it. It is sent again after a
 * broken connection until it has an answer, and acts once. Each rejects with ApiError when the
 * server refuses it, and with UnreachableError when the connection has ended.
 */
export interface Live {
  /**
   * The events of a session, in order, once each, over as many connections as needed, until the
   * caller stops. A reader who is slow loses nothing: the rest is read when there is room.
   */
  session(id: string, options?: SubscribeOptions): AsyncGenerator<SessionStoredEvent, void, undefined>;
  /** The same of a job. Ends after job.finished. */
  job(id: string, options?: SubscribeOptions): AsyncGenerator<StoredEvent, void, undefined>;
  /**
   * What has not ended, then the changes of all jobs that the caller may see, at least once each.
   * When changes are lost, another snapshot follows.
   */
  changes(options?: LiveChangesOptions): AsyncGenerator<SnapshotTaken | Change, void, undefined>;
  /** Sends a message to a chat. Resolves with the job of the turn that has it. */
  prompt(sessionId: string, message: MessageRequest): Promise<Answer<'prompt'>>;
  /** Types into a terminal. */
  input(sessionId: string, data: string): Promise<TerminalDone>;
  resize(sessionId: string, size: TerminalSize): Promise<TerminalDone>;
  /** Signals the processes in the foreground of a terminal. */
  signal(sessionId: string, signal: TerminalSignal): Promise<TerminalDone>;
  /** Stops the running turn of a chat, or what runs in the foreground of a terminal. */
  interrupt(sessionId: string): Promise<Answer<'interrupt'>>;
  /** The same decision again changes nothing. */
  decide(approvalId: string, request: DecideRequest): Promise<Approval>;
  /** Requests the cancellation of a job. */
  cancel(jobId: string, options?: { readonly force?: boolean }): Promise<void>;
  /** Ends the connection, all iterations, and all commands without an answer. */
  close(): void;
}

/** Before a subscription that the server could not take now is tried again. */
const RETRY_MS = 1000;

/** Opens a live connection. */
export function createLive(options: LiveOptions): Live {
  const topics = new Map<string, Topic<unknown>>();
  let over: { readonly error: Error | null } | null = null;
  const link = createLink(options, {
    onConnected() {
      for (const topic of topics.values()) topic.connected();
    },
    onMessage(message, length) {
      if (message.reply_to === undefined) topics.get(keyOf(message))?.receive(message, length);
      else [...topics.values()].some((topic) => topic.answer(message, length));
    },
    onEnd(error) {
      over = { error };
      for (const topic of topics.values()) topic.end(error);
    },
  });

  /** Reads one target. A connection reads each of them once at a time. */
  async function* read<Event>(
    target: Target,
    topicOptions: Pick<TopicOptions<Event>, 'subscribe' | 'take' | 'beginsAgain' | 'isLast' | 'signal'>,
  ): AsyncGenerator<Event, void, undefined> {
    const key = keyOf(target);
    if (topics.has(key)) throw new Error('this connection reads these events already');
    const topic = createTopic<Event>({
      ...topicOptions,
      link,
      unsubscribe: { type: 'command', ...target, data: { command: 'unsubscribe' } },
      retry: (act) => void options.sleep(RETRY_MS).then(act),
    });
    topics.set(key, topic);
    if (over !== null) topic.end(over.error);
    try {
      yield* topic.read();
    } finally {
      topics.delete(key);
    }
  }

  /** The numbered events of one target. */
  function numbered<Event extends { readonly seq: number; readonly kind: string }>(
    target: Target,
    { after, kinds, signal }: SubscribeOptions,
    lastKind: string | null,
  ): AsyncGenerator<Event, void, undefined> {
    let last = after;
    const command = { command: 'subscribe' as const, ...(kinds === undefined ? {} : { kinds: [...kinds] }) };
    return read<Event>(target, {
      subscribe: () => ({
        ...{ type: 'command', ...target, data: command },
        ...(last === undefined ? {} : { seq: last }),
      }),
      take({ type, data, seq }) {
        if (type !== 'output' || seq === undefined || (last !== undefined && seq <= last)) return null;
        last = seq;
        return { raw: null, ...data } as unknown as Event; // a documented event; unknown kinds pass, too
      },
      beginsAgain: () => false,
      isLast: ({ kind }) => kind === lastKind,
      signal,
    });
  }

  /** The documented answer is `T`. */
  const ask = async <T>(question: Question): Promise<T> => (await link.ask(question)) as T;
  const command = <T>(sessionId: string, data: LiveCommand): Promise<T> =>
    ask<T>({ type: 'command', session_id: sessionId, data });

  return {
    session: (id, wanted = {}) => numbered<SessionStoredEvent>({ session_id: id }, wanted, null),
    job: (id, wanted = {}) => numbered<StoredEvent>({ job_id: id }, wanted, 'job.finished'),
    changes({ after, signal } = {}) {
      let cursor = after;
      return read<SnapshotTaken | Change>(
        {},
        {
          subscribe: () => ({
            type: 'command',
            data: { command: 'subscribe', ...(cursor === undefined ? {} : { after: cursor }) },
          }),
          take({ type, data }) {
            // as: documented data of an answer, and of an output
            if (type === 'status') return snapshotIn(data as Answer<'subscribe'>);
            const change = data as Change;
            cursor = change.cursor;
            return change;
          },
          beginsAgain(error) {
            const isLost = error instanceof ApiError && error.code === 'events.expired';
            if (isLost) cursor = undefined;
            return isLost;
          },
          isLast: () => false,
          signal,
        },
      );
    },
    prompt: (id, message) => command(id, { command: 'prompt', ...message }),
    input: (id, data) => command(id, { command: 'input', data }),
    resize: (id, size) => command(id, { command: 'resize', ...size }),
    signal: (id, signal) => command(id, { command: 'signal', signal }),
    interrupt: (id) => command(id, { command: 'interrupt' }),
    async decide(approvalId, request) {
      const data = { command: 'decide' as const, approvalId, ...request };
      return (await ask<Answer<'decide'>>({ type: 'command', data })).approval;
    },
    async cancel(jobId, cancel = {}) {
      await ask({ type: 'cancel', job_id: jobId, data: cancel });
    },
    close: () => link.close(),
  };
}

type Target = { readonly session_id?: string; readonly job_id?: string };

const keyOf = ({ session_id, job_id }: Pick<LiveMessage, 'session_id' | 'job_id'>): string =>
  `${session_id ?? ''} ${job_id ?? ''}`;

const snapshotIn = (answer: Answer<'subscribe'>): SnapshotTaken | null =>
  'snapshot' in answer && answer.snapshot !== undefined ? { kind: 'snapshot', ...answer.snapshot } : null;
