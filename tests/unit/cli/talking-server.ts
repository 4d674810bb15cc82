/**
 * A small real HTTP server with sessions, turns and approvals, whose agent does what a prompt says:
 * `ask COMMAND` asks for a call of Bash, `edit` for an edit, `choose` asks a question, `plan` has a
 * plan; `work` works until it is interrupted or gets a message; any other prompt is echoed.
 */
import {
  createServer,
  type IncomingMessage,
  type RequestListener,
  type Server,
  type ServerResponse,
} from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Approval, DecideRequest } from '../../../src/protocol/approval.ts';
import type { EventBody, StoredEvent } from '../../../src/protocol/event.ts';
import type { Job } from '../../../src/protocol/job.ts';
import type { MessageRequest, Session, SessionRequest } from '../../../src/protocol/session.ts';
import { aJob, anOutcome } from '../client/job.ts';

interface Turn {
  job: Job;
  readonly events: StoredEvent[];
  readonly readers: Set<ServerResponse>;
}

export interface TalkingServer {
  readonly url: string;
  readonly sessions: ReadonlyMap<string, Session>;
  readonly approvals: ReadonlyMap<string, Approval>;
  /** Method, path and body of each request that changes something. */
  readonly changes: readonly { readonly method: string; readonly path: string; readonly body: unknown }[];
  /** Decides an approval as another person. */
  decide(id: string, request: DecideRequest): void;
  /** Ends all connections, and goes on at another address. */
  move(): Promise<void>;
  stop(): Promise<void>;
}

const idOf = (what: string, count: number): string =>
  `01K9ZV4Q4S${what}0M0X2T6D8Y${String(count).padStart(5, '0')}`;

export async function startTalkingServer(
  options: { readonly canAsk?: boolean; readonly session?: Partial<Session> } = {},
): Promise<TalkingServer> {
  const sessions = new Map<string, Session>();
  const turns = new Map<string, Turn>();
  const approvals = new Map<string, Approval>();
  const changes: { method: string; path: string; body: unknown }[] = [];

  function emit(turn: Turn, body: EventBody): void {
    const seq = turn.events.length + 1;
    const event: StoredEvent = {
      ...{ seq, jobId: turn.job.id, attempt: 1, at: '2026-11-21T12:00:00Z', raw: null },
      ...body,
    };
    turn.events.push(event);
    for (const reader of turn.readers) reader.write(frameOf(event));
  }

  function end(turn: Turn, text: string, status: 'succeeded' | 'cancelled' = 'succeeded'): void {
    if (turn.job.finished) return;
    if (text !== '') emit(turn, { kind: 'text.delta', text });
    const error = { code: 'execution.interrupted', message: 'interrupted', retryable: false, resetsAt: null };
    const outcome = anOutcome({ text, status, ...(status === 'cancelled' ? { error } : {}) });
    turn.job = { ...turn.job, status, finished: true, outcome };
    emit(turn, { kind: 'job.finished', job: turn.job });
    for (const reader of turn.readers) reader.end();
    const next = [...turns.values()].find(({ job }) => job.status === 'queued');
    if (next !== undefined) begin(next);
  }

  function ask(turn: Turn, asked: Asked): void {
    const approval: Approval = {
      ...asked,
      id: idOf('A', approvals.size + 1),
      jobId: turn.job.id,
      sessionId: turn.job.sessionId,
      project: 'default',
      status: 'pending',
      createdAt: '2026-11-21T11:58:00Z',
      expiresAt: '2026-11-28T12:00:00Z',
      decidedBy: null,
      decidedAt: null,
    };
    approvals.set(approval.id, approval);
    emit(turn, { kind: 'approval.requested', approval });
  }

  function decide(id: string, { decision, message, input, answers }: DecideRequest, by = 'admin'): Approval {
    const before = approvals.get(id);
    if (before === undefined || before.status !== 'pending') throw new Error('not pending');
    const status = decision === 'allow' ? 'allowed' : 'denied';
    const approval: Approval = { ...before, status, decidedBy: by, decidedAt: '2026-11-21T12:00:01Z' };
    approvals.set(id, approval);
    const turn = turns.get(before.jobId);
    if (turn !== undefined) {
      emit(turn, { kind: 'approval.decided', approvalId: id, status, decidedBy: by });
      end(turn, `It was ${status}: ${JSON.stringify(message ?? answers ?? input ?? before.input)}.`);
    }
    return approval;
  }

  function begin(turn: Turn): void {
    turn.job = { ...turn.job, status: 'running' };
    emit(turn, { kind: 'job.running', executionId: 'e', node: 'n' });
    const [word = '', ...rest] = turn.job.prompt.split(' ');
    const asked = ASKED[word]?.(rest.join(' '));
    if (asked !== undefined) ask(turn, asked);
    else if (word === 'work') emit(turn, { kind: 'text.delta', text: 'I am working on it … ' });
    else end(turn, `You said: ${turn.job.prompt}`);
  }

  function addTurn(session: Session, prompt: string): Job {
    const id = turns.size === 0 ? session.id : idOf('J', turns.size + 1);
    const job = aJob({ id, prompt, sessionId: session.id, cwd: session.cwd });
    const turn: Turn = { job, events: [], readers: new Set() };
    const isBusy = running(session.id) !== undefined;
    turns.set(id, turn);
    sessions.set(session.id, { ...session, turns: session.turns + 1 });
    if (!isBusy) begin(turn);
    return job;
  }

  const running = (sessionId: string): Turn | undefined =>
    [...turns.values()].find(({ job }) => job.sessionId === sessionId && !job.finished);

  function addSession(request: SessionRequest, changed: Partial<Session> = {}): Session {
    const id = idOf('S', sessions.size + 1);
    const session: Session = {
      ...{ id, kind: 'chat', name: request.name ?? null, status: 'ready', statusReason: null },
      ...{
        matchedLine: null,
        project: 'default',
        principal: 'admin',
        provider: request.provider ?? 'claude',
      },
      ...{ model: null, cwd: request.cwd ?? '/work', nativeSessionId: null, node: null, process: null },
      ...{ terminal: null, turns: 0, usage: null, forkedFrom: null, createdAt: '2026-11-21T11:00:00Z' },
      ...{ lastActivityAt: '2026-11-21T11:59:00Z', closedAt: null, tags: [], metadata: {} },
      links: { self: `/v1/sessions/${id}`, events: '', turns: '' },
      ...changed,
    };
    sessions.set(id, session);
    return session;
  }

  function message(session: Session, { prompt, delivery = 'next' }: MessageRequest): object {
    const turn = running(session.id);
    if (delivery === 'steer' && turn?.job.prompt.startsWith('work') === true) {
      emit(turn, { kind: 'message.delivered', messageId: 'm', delivered: 'steered' });
      end(turn, `You told me: ${prompt}`);
      return { messageId: 'm', delivered: 'steered', jobId: turn.job.id };
    }
    const job = addTurn(session, prompt);
    if (delivery === 'interrupt' && turn !== undefined) end(turn, '', 'cancelled');
    return delivery === 'steer' ? { messageId: 'm', delivered: 'next', jobId: job.id } : job;
  }

  function answer(response: ServerResponse, status: number, body: unknown): void {
    response.writeHead(status, { 'content-type': 'application/json' });
    response.end(JSON.stringify(body));
  }

  function refuse(response: ServerResponse, status: number, code: string): void {
    response.writeHead(status, { 'content-type': 'application/problem+json' });
    response.end(
      JSON.stringify({ type: '', title: code, status, code, detail: `it is ${code}`, requestId: 'r' }),
    );
  }

  function stream(response: ServerResponse, turn: Turn): void {
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    for (const event of turn.events) response.write(frameOf(event));
    if (turn.job.finished) response.end();
    else turn.readers.add(response);
    response.flushHeaders();
  }

  /** @returns false when there is no such route */
  function handle(request: IncomingMessage, body: string, response: ServerResponse): boolean {
    const url = new URL(request.url ?? '/', 'http://server');
    const [, , noun, id = '', action] = url.pathname.split('/');
    const isPost = request.method === 'POST';
    const parsed = body === '' ? {} : JSON.parse(body);
    if (request.method !== 'GET')
      changes.push({ method: request.method ?? '', path: url.pathname, body: parsed });
    if (url.pathname === '/ready') return answer(response, 200, { ready: true, checks: {} }) === undefined;
    if (noun === 'sessions')
      return session(id, action, isPost, parsed, request.method === 'DELETE', response);
    if (noun === 'approvals') return approval(id, action, parsed, url, response);
    if (noun !== 'jobs') return false;
    const turn = turns.get(id);
    if (isPost && id === '') {
      const made = sessions.get(parsed.sessionId) ?? addSession({ cwd: parsed.cwd });
      answer(response, 202, addTurn(made, parsed.prompt));
    } else if (id === '') {
      const asked = url.searchParams.get('session');
      const jobs = [...turns.values()]
        .map(({ job }) => job)
        .filter((job) => asked === null || job.sessionId === asked);
      answer(response, 200, { data: jobs.reverse(), nextCursor: null });
    } else if (turn === undefined) refuse(response, 404, 'job.not_found');
    else if (action === 'events') stream(response, turn);
    else if (action === 'cancel') {
      end(turn, '', 'cancelled');
      answer(response, 202, turn.job);
    } else answer(response, 200, turn.job);
    return true;
  }

  function session(
    id: string,
    action: string | undefined,
    isPost: boolean,
    // biome-ignore lint/suspicious/noExplicitAny: the body of a request, as this file sends it
    body: any,
    deletes: boolean,
    response: ServerResponse,
  ): boolean {
    const found = sessions.get(id);
    if (id === '' && isPost) {
      if (body.onPermissionDenied === 'ask' && options.canAsk === false)
        refuse(response, 422, 'provider.unsupported_option');
      else answer(response, 201, addSession(body));
    } else if (id === '') answer(response, 200, { data: [...sessions.values()].reverse(), nextCursor: null });
    else if (found === undefined) refuse(response, 404, 'session.not_found');
    else if (deletes) {
      sessions.delete(id);
      response.writeHead(204).end();
    } else if (action === undefined) answer(response, 200, found);
    else if (action === 'messages') answer(response, 202, message(found, body));
    else if (action === 'turns') {
      const own = [...turns.values()].map(({ job }) => job).filter((job) => job.sessionId === id);
      const data = own.map((job, at) => ({ ...job, turn: at + 1, jobId: job.id }));
      answer(response, 200, { data, nextCursor: null });
    } else if (action === 'interrupt') {
      const turn = running(id);
      if (turn !== undefined) end(turn, '', 'cancelled');
      answer(response, 200, found);
    } else if (action === 'fork') answer(response, 201, addSession({ cwd: found.cwd }, { forkedFrom: id }));
    else if (action === 'close') {
      sessions.set(id, { ...found, status: 'closed' });
      answer(response, 200, sessions.get(id));
    } else return false;
    return true;
  }

  function approval(
    id: string,
    action: string | undefined,
    body: DecideRequest,
    url: URL,
    response: ServerResponse,
  ): boolean {
    const found = approvals.get(id);
    const status = url.searchParams.get('status');
    if (id === '') {
      const data = [...approvals.values()].filter((one) => status === null || one.status === status);
      answer(response, 200, { data, nextCursor: null });
    } else if (found === undefined) refuse(response, 404, 'approval.not_found');
    else if (action !== 'decide') answer(response, 200, found);
    else if (found.status === 'pending') answer(response, 200, decide(id, body));
    else refuse(response, 409, 'approval.already_decided');
    return true;
  }

  const listener = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk);
    if (!handle(request, Buffer.concat(chunks).toString(), response))
      refuse(response, 404, 'route.not_found');
  };
  let server = await listen(listener);
  if (options.session !== undefined) addSession({}, options.session);
  return {
    get url() {
      const { port } = server.address() as AddressInfo; // it listens on TCP
      return `http://127.0.0.1:${port}`;
    },
    sessions,
    approvals,
    changes,
    decide: (id, request) => void decide(id, request, 'key:other'),
    async move() {
      const next = await listen(listener);
      await close(server);
      server = next;
    },
    stop: () => close(server),
  };
}

async function listen(listener: RequestListener): Promise<Server> {
  const server = createServer(listener);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return server;
}

async function close(server: Server): Promise<void> {
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
}

const frameOf = (event: StoredEvent): string => `id: ${event.seq}\ndata: ${JSON.stringify(event)}\n\n`;

const QUESTIONS = [
  {
    question: 'Which database?',
    header: 'Database',
    options: [
      { label: 'SQLite', description: 'a file' },
      { label: 'Postgres', description: 'a server' },
    ],
    multiSelect: false,
  },
  {
    question: 'Which features?',
    header: null,
    options: [
      { label: 'Search', description: null },
      { label: 'Export', description: null },
    ],
    multiSelect: true,
  },
];

type Asked = Pick<Approval, 'kind' | 'tool' | 'input' | 'questions'>;

/** What the agent asks, by the first word of its prompt. */
const ASKED: Readonly<Record<string, (rest: string) => Asked>> = {
  ask: (command) => ({ kind: 'tool', tool: 'Bash', input: { command }, questions: null }),
  edit: () => ({
    ...{ kind: 'tool', tool: 'Edit', questions: null },
    input: { file_path: '/work/a.txt', old_string: 'one\ntwo\nthree\n', new_string: 'one\n2\nthree\n' },
  }),
  choose: () => ({ kind: 'question', tool: 'AskUserQuestion', input: {}, questions: QUESTIONS }),
  plan: () => {
    const input = { plan: '# Plan\n1. Read\n2. Write' };
    return { kind: 'plan', tool: 'ExitPlanMode', input, questions: null };
  },
};
