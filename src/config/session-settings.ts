/** The settings of sessions: their processes, how long these wait, terminals, live connections. */
import { count, list, MINUTE, SECOND, span } from './setting-kinds.ts';

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
  terminalIdleMs: span(
    'BULLPEN_TERMINAL_IDLE_MS',
    5 * MINUTE,
    'How long a terminal may have no reader, no input and no output. Then it is closed.',
    SECOND,
  ),
  recordingBytes: count(
    'BULLPEN_RECORDING_BYTES',
    64 * 1024 * 1024,
    'The maximum size of the recording of a terminal. What its program writes after that is not recorded.',
    1024,
  ),
  liveConnections: count(
    'BULLPEN_LIVE_CONNECTIONS',
    1000,
    'The maximum number of live connections (WebSocket and Socket.IO) to this server.',
  ),
  liveMessagesPerSecond: count(
    'BULLPEN_LIVE_MESSAGES_PER_SECOND',
    100,
    'How many messages a second a live connection may send, on average over ten seconds.',
  ),
  liveOrigins: list(
    'BULLPEN_LIVE_ORIGINS',
    'pages of this server',
    'The origins of further pages that may open live connections, for example https://app.example.org.',
  ),
} as const;
