/** The core of live connections over fakes, with a clock that a test moves. */
import { pino } from 'pino';
import type { Principal } from '../../../src/auth/principal.ts';
import { createStreamTickets } from '../../../src/auth/signed-values.ts';
import { AppError } from '../../../src/errors.ts';
import { createChangeFeed } from '../../../src/events/change-feed.ts';
import { createLiveCore, type LiveCoreOptions } from '../../../src/live/core.ts';
import type { BoundSession, LiveIdentity } from '../../../src/live/ports.ts';
import type { LiveMessage } from '../../../src/protocol/live.ts';
import { createRedactor } from '../../../src/redactor.ts';
import { createMeasures } from '../../../src/status/measures.ts';
import { FakeApprovalService } from '../../fakes/approval-service.ts';
import { FakeChangeLog, LOG_CHANNEL } from '../../fakes/change-log.ts';
import { FakeEventHub } from '../../fakes/event-hub.ts';
import { FakeJobs } from '../../fakes/jobs.ts';
import { callerOf } from '../../fakes/principals.ts';
import { FakeSessionFeed, FakeSessions } from '../../fakes/sessions.ts';
import { FakeTerminals, LIVE_SETTINGS } from '../../fakes/terminals.ts';
import { eventually } from '../../helpers/eventually.ts';

export const OWNER = callerOf('owner', 'owner', [
  ...(['jobs:write', 'sessions:write', 'terminals', 'approvals:decide'] as const),
]);
export const TOKEN = 'right';

export function liveBench(changes: Partial<Pick<LiveCoreOptions, 'settings'>> = {}) {
  const jobs = new FakeJobs();
  const sessions = new FakeSessions(jobs);
  const terminals = new FakeTerminals();
  const approvals = new FakeApprovalService();
  const events = new FakeEventHub();
  const sessionFeed = new FakeSessionFeed();
  const changeLog = new FakeChangeLog();
  const logger = pino({ level: 'silent' });
  const tickets = createStreamTickets();
  const measures = createMeasures([]);
  const counted: string[] = [];
  /** Principals whose key was revoked, or what they are now. */
  const now = new Map<string, Principal | null>();
  let timeMs = 0;
  let tick: (() => void) | null = null;
  const core = createLiveCore({
    settings: LIVE_SETTINGS,
    services: {
      ...{ jobs, sessions, terminals, approvals },
      limits: {
        async takeRequest({ id }) {
          counted.push(id);
          return null;
        },
      },
    },
    feeds: {
      ...{ jobs, sessions, events, sessionFeed },
      changes: createChangeFeed({
        ...{ log: changeLog, doorbells: changeLog.doorbells, channel: LOG_CHANNEL },
        ...{ keepMs: Number.POSITIVE_INFINITY, logger },
      }),
    },
    authenticator: {
      current: (principal) => now.get(principal.id) ?? (now.has(principal.id) ? null : principal),
      async authenticateToken(token) {
        if (token === TOKEN) return OWNER;
        throw new AppError('auth.unauthenticated', 'send a valid token');
      },
    },
    ...{ tickets, redactor: createRedactor(), logger },
    measures,
    clock: {
      now: () => timeMs,
      every(_ms, act) {
        tick = act;
        return () => {
          tick = null;
        };
      },
    },
    ...changes,
  });

  return {
    ...{ core, jobs, sessions, terminals, approvals, events, sessionFeed, changeLog, tickets, counted, now },
    /** The lines of a metric that are not 0. */
    measured: (metric: string) =>
      Object.fromEntries(
        (measures.all.find(({ name }) => name === metric)?.samples() ?? [])
          .filter(({ value }) => value !== 0)
          .map(({ labels, value }) => [Object.values(labels).join(' '), value]),
      ),
    isTicking: () => tick !== null,
    /** Moves the clock, second by second. */
    pass(ms: number) {
      for (let left = ms; left > 0; left -= 1000) {
        timeMs += Math.min(left, 1000);
        tick?.();
      }
    },
    connect: (identity: LiveIdentity | null = { principal: OWNER, only: null }, bound?: BoundSession) =>
      connect(core, identity, bound ?? null),
  };
}

function connect(
  core: ReturnType<typeof createLiveCore>,
  identity: LiveIdentity | null,
  bound: BoundSession | null,
) {
  const messages: LiveMessage[] = [];
  const sent: Buffer[] = [];
  const untaken: (() => void)[] = [];
  let closedWith: number | null = null;
  let isTaking = true;
  let last = 0;
  const connection = core.accept(
    {
      ...{ transport: 'websocket', address: '192.0.2.1', requestId: 'request-1' },
      send(type, text, taken) {
        const message: LiveMessage = JSON.parse(text.toString());
        if (message.type !== type) throw new Error(`${message.type} was sent as ${type}`);
        messages.push(message);
        sent.push(text);
        if (isTaking) taken();
        else untaken.push(taken);
      },
      close(code) {
        closedWith = code;
      },
    },
    identity,
    bound,
  );
  return {
    ...{ messages, sent, connection },
    closedWith: () => closedWith,
    /** The network takes nothing more, or everything. */
    take(taking: boolean) {
      isTaking = taking;
      if (taking) for (const taken of untaken.splice(0)) taken();
    },
    find: (passes: (message: LiveMessage) => boolean) => eventually(() => messages.find(passes) ?? null),
    /** Sends with an id of its own and resolves with the answer. */
    async ask(message: { readonly type: string; readonly [field: string]: unknown }): Promise<LiveMessage> {
      last += 1;
      const message_id = String(message['message_id'] ?? `m${last}`);
      const answered = messages.length;
      connection.receive({ ...message, message_id });
      return eventually(
        () => messages.slice(answered).find(({ reply_to }) => reply_to === message_id) ?? null,
      );
    },
  };
}
