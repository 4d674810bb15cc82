/** Empty records, until there are those of approvals. */
import type { RunningApprovals, SteerMessages } from './approval-ports.ts';

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
