/** What the executor of a server has in Redis, and this one in its submissions. */
import type { JobTokens } from '../../auth/job-tokens.ts';
import { AppError } from '../../errors.ts';
import type { TalkOptions } from '../../executor/conversation.ts';
import { NO_EXECUTIONS } from '../../executor/earlier.ts';
import type { PrepareOptions } from '../../executor/prepare.ts';
import type { Background } from '../../executor/turn.ts';
import type { Credentials } from '../../limits/credentials.ts';
import type { RemoteBackground } from '../../protocol/executor-service.ts';
import type { LiveExecutions } from './live.ts';

const UNASKED = 'a CLI on another host cannot ask a person (onPermissionDenied)';
const unsupported = (): AppError => new AppError('executor.unsupported', UNASKED);

/** No call waits for a person, and no message comes into a running turn. */
export const NO_TALK: TalkOptions = {
  approvals: {
    open: async () => {
      throw unsupported(); // the CLI gets a denial
    },
    ofJob: async () => [],
    park: async () => undefined,
    take: async () => null,
    withdraw: async () => undefined,
  },
  messages: { take: async () => [], settle: async () => undefined },
  hold: { approvalHoldMs: 0, approvalUnattendedMs: 0 },
  newApprovalId: () => '',
};

/** A CLI here gets no access to the server. */
export const NO_JOB_TOKENS: Pick<JobTokens, 'variables'> = { variables: async () => null };

/** The server watches the logins, by what this executor reports. */
export const OPEN_CREDENTIALS: Pick<Credentials, 'enter' | 'names'> = {
  names: () => ({}),
  enter: async () => ({
    watchesUse: true,
    reported: () => undefined,
    proven: () => undefined,
    settle: async ({ outcome }) => outcome,
    abandon: async () => undefined,
  }),
};

/** Of a prompt that continues nothing. */
export const NO_BACKGROUND: RemoteBackground = {
  session: null,
  fork: false,
  earlier: { ...NO_EXECUTIONS, since: null },
};

/** What came with the submissions. */
export function createSubmitted(live: LiveExecutions): Pick<PrepareOptions, 'rights' | 'background'> {
  const submissionOf = (id: string) => {
    const one = live.get(id);
    if (one === undefined) throw new AppError('execution.not_found', `there is no execution ${id}`);
    return one.submission;
  };
  return {
    rights: { of: ({ jobId }) => submissionOf(jobId).grants },
    async background({ jobId }, request, provider): Promise<Background> {
      const { session, fork, earlier } = submissionOf(jobId).background;
      if (request.onPermissionDenied === 'ask') throw unsupported();
      if (fork && !provider.capabilities.fork)
        throw new AppError('provider.unsupported_option', `${provider.name} cannot fork a session`);
      return {
        ...{ session, fork, rules: [], approvals: [], hasPlan: false, over: [], ofParent: [] },
        earlier: { ...earlier, since: earlier.since ?? NO_EXECUTIONS.since },
      };
    },
  };
}
