/** Sessions and approvals of the HTTP API. */
import type { Approval, ApprovalStatus, DecideRequest } from '../protocol/approval.ts';
import type { SessionStoredEvent } from '../protocol/event.ts';
import type { Job } from '../protocol/job.ts';
import type {
  MessageRequest,
  Session,
  SessionRequest,
  SessionStatus,
  Steered,
  Turn,
} from '../protocol/session.ts';
import type {
  TerminalCommand,
  TerminalDone,
  TerminalInput,
  TerminalSignal,
  TerminalSize,
} from '../protocol/terminal.ts';
import type { PageQuery } from './answers.ts';
import { requestLines, send } from './calls.ts';
import { followSession, type SessionEventsOptions, type StreamOptions } from './events.ts';
import type { CallerOptions, CreateOptions } from './methods.ts';

export interface SessionListQuery extends PageQuery {
  readonly status?: readonly SessionStatus[];
  readonly kind?: 'chat' | 'terminal';
  readonly provider?: string;
  readonly tag?: readonly string[];
  /** In names and prompts. */
  readonly q?: string;
  /** With those of single jobs. */
  readonly all?: boolean;
}

export interface SessionPage {
  readonly data: readonly Session[];
  readonly nextCursor: string | null;
}

export interface TurnPage {
  readonly data: readonly Turn[];
  readonly nextCursor: string | null;
}

export interface TerminalHistory {
  readonly data: readonly TerminalCommand[];
  readonly nextCursor: string | null;
}

export interface ApprovalListQuery extends PageQuery {
  readonly status?: ApprovalStatus;
  readonly jobId?: string;
  readonly sessionId?: string;
}

export interface ApprovalPage {
  readonly data: readonly Approval[];
  readonly nextCursor: string | null;
}

/** A message that becomes a turn of its own. */
export interface TurnMessage extends MessageRequest {
  readonly delivery?: 'next' | 'interrupt';
}

export interface SessionWait extends CallerOptions {
  /** Resolves when the session has the status `until`, at the latest after this time. */
  readonly waitMs?: number;
  /** Default: `ready`. */
  readonly until?: SessionStatus;
}

export interface SessionMethods {
  /** With a `prompt`, its first turn begins. */
  create(request?: SessionRequest, options?: CreateOptions): Promise<Session>;
  get(id: string, options?: SessionWait): Promise<Session>;
  /** The one with the latest activity first. */
  list(query?: SessionListQuery, options?: CallerOptions): Promise<SessionPage>;
  /** Sends a message. Resolves with the job of its turn when the server has accepted it. */
  message(id: string, message: TurnMessage, options?: CreateOptions): Promise<Job>;
  /** Sends a message into the running turn. Without one, it becomes the next turn. */
  steer(id: string, prompt: string, options?: CreateOptions): Promise<Steered>;
  /** The first turn first. */
  turns(id: string, query?: PageQuery, options?: CallerOptions): Promise<TurnPage>;
  /** Stops the running turn. Not repeated: it could stop the next turn, too. */
  interrupt(id: string, options?: CallerOptions): Promise<Session>;
  /** Makes a new session that goes on from here. */
  fork(id: string, options?: CreateOptions): Promise<Session>;
  /** Ends its process. It takes no further message. */
  close(id: string, options?: CallerOptions): Promise<Session>;
  /** Deletes a session and its jobs. */
  remove(id: string, options?: CallerOptions): Promise<void>;
  /** Its changes and the events of its jobs, over as many connections as needed. */
  events(id: string, options?: SessionEventsOptions): AsyncGenerator<SessionStoredEvent, void, undefined>;
  /** Types into a terminal. Resolves when it is written; a repeated request types once. */
  input(id: string, input: TerminalInput, options?: CreateOptions): Promise<TerminalDone>;
  resize(id: string, size: TerminalSize, options?: CreateOptions): Promise<TerminalDone>;
  /** To what runs in the foreground of a terminal. */
  signal(id: string, signal: TerminalSignal, options?: CreateOptions): Promise<TerminalDone>;
  /** What a terminal shows: its lines, or with colours and the cursor (`ansi`). */
  screen(id: string, options?: CallerOptions & { readonly format?: 'text' | 'ansi' }): Promise<string>;
  /** The recording of a terminal so far, as lines of asciicast v2: the header, then each event. */
  recording(id: string, options?: CallerOptions): AsyncGenerator<string, void, undefined>;
  /** The commands that were typed into a terminal, in order. */
  history(id: string, query?: PageQuery, options?: CallerOptions): Promise<TerminalHistory>;
}

export interface ApprovalMethods {
  /** Oldest first. */
  list(query?: ApprovalListQuery, options?: CallerOptions): Promise<ApprovalPage>;
  get(id: string, options?: CallerOptions): Promise<Approval>;
  /** The same decision again changes nothing. */
  decide(id: string, request: DecideRequest, options?: CallerOptions): Promise<Approval>;
}

/** How the methods ask the server. Each resolves with the documented answer, `T`. */
export interface Requests {
  get<T>(path: string, query: object, options: CallerOptions): Promise<T>;
  /** Repeated after a broken connection, 429 and 503. */
  post<T>(path: string, body: unknown, options: CallerOptions): Promise<T>;
  /** As `post`, but not repeated. */
  once<T>(path: string, body: unknown, options: CallerOptions): Promise<T>;
  /** As `post`, with an Idempotency-Key. */
  create<T>(path: string, body: unknown, options: CreateOptions): Promise<T>;
  remove(path: string, options: CallerOptions): Promise<void>;
}

/**
 * Longest `wait` of one request. The server allows 300 s; Node's fetch gives up after 300 s, too.
 */
export const MAX_WAIT_MS = 240_000;

export function createSessionMethods(server: StreamOptions, requests: Requests): SessionMethods {
  const { get, post, once, create, remove } = requests;
  return {
    create: (request = {}, options = {}) => create<Session>('/v1/sessions', request, options),
    async get(id, { waitMs = 0, until = 'ready', ...options } = {}) {
      const deadline = performance.now() + waitMs;
      for (;;) {
        const leftMs = Math.max(0, deadline - performance.now());
        const query = leftMs === 0 ? {} : { wait: Math.min(leftMs, MAX_WAIT_MS) / 1000, until };
        const session = await get<Session>(sessionPath(id), query, options);
        if (session.status === until || performance.now() >= deadline) return session;
      }
    },
    list: (query = {}, options = {}) => get<SessionPage>('/v1/sessions', query, options),
    message: (id, message, options = {}) => create<Job>(sessionPath(id, '/messages'), message, options),
    steer: (id, prompt, options = {}) =>
      create<Steered>(sessionPath(id, '/messages'), { prompt, delivery: 'steer' }, options),
    turns: (id, query = {}, options = {}) => get<TurnPage>(sessionPath(id, '/turns'), query, options),
    interrupt: (id, options = {}) => once<Session>(sessionPath(id, '/interrupt'), {}, options),
    fork: (id, options = {}) => create<Session>(sessionPath(id, '/fork'), {}, options),
    close: (id, options = {}) => post<Session>(sessionPath(id, '/close'), {}, options),
    remove: (id, options = {}) => remove(sessionPath(id), options),
    events: (id, options) => followSession(server, id, options),
    input: (id, input, options = {}) => create<TerminalDone>(sessionPath(id, '/input'), input, options),
    resize: (id, size, options = {}) => create<TerminalDone>(sessionPath(id, '/resize'), size, options),
    signal: (id, signal, options = {}) =>
      create<TerminalDone>(sessionPath(id, '/signal'), { signal }, options),
    async screen(id, { format = 'text', signal } = {}) {
      const response = await send(server, {
        ...{ path: sessionPath(id, '/screen'), query: { format }, headers: { accept: 'text/plain' } },
        ...(signal === undefined ? {} : { signal }),
        repeatable: true,
      });
      return response.text();
    },
    recording: (id, { signal } = {}) =>
      requestLines(server, {
        path: sessionPath(id, '/recording'),
        headers: { accept: 'application/x-asciicast' },
        ...(signal === undefined ? {} : { signal }),
        repeatable: false,
      }),
    history: (id, query = {}, options = {}) =>
      get<TerminalHistory>(sessionPath(id, '/history'), query, options),
  };
}

export function createApprovalMethods({ get, post }: Requests): ApprovalMethods {
  return {
    list: (query = {}, options = {}) => get<ApprovalPage>('/v1/approvals', query, options),
    get: (id, options = {}) => get<Approval>(approvalPath(id), {}, options),
    decide: (id, request, options = {}) => post<Approval>(approvalPath(id, '/decide'), request, options),
  };
}

const sessionPath = (id: string, rest = ''): string => `/v1/sessions/${encodeURIComponent(id)}${rest}`;
const approvalPath = (id: string, rest = ''): string => `/v1/approvals/${encodeURIComponent(id)}${rest}`;
