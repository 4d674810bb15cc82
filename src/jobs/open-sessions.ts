/** Builds what HTTP clients can do with sessions, terminals and approvals. */
import type { Principal } from '../auth/principal.ts';
import { openSessionUnsupported } from '../executor/unsupported.ts';
import type { Audit } from '../http/ports.ts';
import type { ApprovalService, Sessions, Terminals } from '../http/session-ports.ts';
import type { NodeAsks } from '../records/session-ports.ts';
import type { Copier } from '../store/copier.ts';
import type { TerminalHost } from '../terminals/ports.ts';
import { createTerminalRouter } from '../terminals/router.ts';
import { type ApprovalServiceOptions, createApprovalService } from './approvals.ts';
import { createSessionFinder, refuseUnsigned, type SessionFinderOptions } from './session-finder.ts';
import { createSessionLimit, type SessionLimitOptions } from './session-limit.ts';
import { createSessionMessages, type SessionMessagesOptions } from './session-messages.ts';
import { createSessionService, type SessionServiceOptions } from './sessions.ts';
import { createTerminalSessions, type TerminalSessionsOptions } from './terminal-sessions.ts';

export type SessionsOptions = SessionFinderOptions &
  Omit<SessionMessagesOptions, 'finder'> &
  Omit<SessionServiceOptions, 'finder' | 'messages' | 'withinLimit' | 'terminals'> &
  SessionLimitOptions &
  Omit<TerminalSessionsOptions, 'terminals'> &
  Pick<ApprovalServiceOptions, 'approvals'> & {
    readonly copier: Pick<Copier, 'onSessionsEnded'>;
    readonly terminalHost: Pick<TerminalHost, 'ask' | 'open'>;
    readonly asks: Pick<NodeAsks, 'ask'>;
    readonly note: Audit['note'];
    /** Whether CLIs run on this host, where they can be spoken with. */
    readonly runsHere: boolean;
  };

export interface SessionServices {
  readonly sessions: Sessions;
  readonly approvals: ApprovalService;
  readonly terminals: Terminals;
}

export function openSessions(options: SessionsOptions): SessionServices {
  const finder = createSessionFinder(options);
  const messages = createSessionMessages({ ...options, finder });
  const { terminalHost: host, asks, nodeId, note } = options;
  async function find(principal: Principal, id: string) {
    const found = await finder.find(principal, id);
    refuseUnsigned(found);
    return found.row;
  }
  const terminals = createTerminalRouter({ find, host, asks, nodeId, note });
  const sessions = createSessionService({
    ...{ ...options, finder, messages, withinLimit: createSessionLimit(options) },
    terminals: createTerminalSessions({ ...options, terminals }),
  });
  // The process may be on another server than the one that ends the session, or begin to wait
  // between the close and the cancellation of its turn.
  options.copier.onSessionsEnded((ids) => {
    for (const id of ids) options.endIdle(id).catch(() => undefined); // its idle time ends it
  });
  const refuse = (): Promise<never> => Promise.reject(openSessionUnsupported());
  return {
    terminals,
    sessions: options.runsHere
      ? sessions
      : { ...sessions, create: refuse, message: refuse, messageJob: refuse },
    approvals: createApprovalService(options),
  };
}
