/** Builds what HTTP clients can do with sessions and approvals. */
import type { ApprovalService, Sessions } from '../http/session-ports.ts';
import { type ApprovalServiceOptions, createApprovalService } from './approvals.ts';
import { createSessionFinder, type SessionFinderOptions } from './session-finder.ts';
import { createSessionMessages, type SessionMessagesOptions } from './session-messages.ts';
import { createSessionService, type SessionServiceOptions } from './sessions.ts';

export type SessionsOptions = SessionFinderOptions &
  Omit<SessionMessagesOptions, 'finder'> &
  Omit<SessionServiceOptions, 'finder' | 'messages'> &
  Pick<ApprovalServiceOptions, 'approvals'>;

export interface SessionServices {
  readonly sessions: Sessions;
  readonly approvals: ApprovalService;
}

export function openSessions(options: SessionsOptions): SessionServices {
  const finder = createSessionFinder(options);
  const messages = createSessionMessages({ ...options, finder });
  return {
    sessions: createSessionService({ ...options, finder, messages }),
    approvals: createApprovalService(options),
  };
}
