/** The settings of conversations: their processes, and how long these wait for an answer. */
import { count, MINUTE, SECOND, span } from './setting-kinds.ts';

export const SESSION_SETTINGS = {
  sessionIdleMs: span(
    'BULLPEN_SESSION_IDLE_MS',
    2 * MINUTE,
    'How long the CLI process of a resumed session waits for the next prompt of that session. With 0, it does not wait.',
    0,
  ),
  maxSessions: count(
    'BULLPEN_MAX_SESSIONS',
    20,
    'The maximum number of sessions made by POST /v1/sessions that have a live process or an open turn. A further one is refused with 429.',
  ),
  approvalHoldMs: span(
    'BULLPEN_APPROVAL_HOLD_MS',
    2 * MINUTE,
    'How long a CLI process waits for the answer to an approval while the job or its session has a reader. Then the job waits without a process.',
    0,
  ),
  approvalUnattendedMs: span(
    'BULLPEN_APPROVAL_UNATTENDED_MS',
    10 * SECOND,
    'The same while the job and its session have no reader.',
    0,
  ),
} as const;
