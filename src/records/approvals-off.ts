/** Empty records, until there are those of approvals and sessions. */
import type { RunningApprovals, SteerMessages } from './approval-ports.ts';
import type { SessionRecords } from './session-ports.ts';

export const NO_RUNNING_APPROVALS: RunningApprovals = {
  open: async () => null,
  ofJob: async () => [],
  unanswered: async () => [],
  park: async () => undefined,
  take: async () => null,
  withdraw: async () => undefined,
};

export const NO_STEER_MESSAGES: Pick<SteerMessages, 'take' | 'settle'> = {
  take: async () => [],
  settle: async () => undefined,
};

export const NO_SESSION_RECORDS: Pick<SessionRecords, 'read'> = { read: async () => null };
