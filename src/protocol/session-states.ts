/** The statuses of a session, and what moves it from one to the other. */
import type { ErrorCode } from '../errors.ts';

export const SESSION_STATUSES = [
  ...(['starting', 'awaiting_auth', 'ready', 'busy'] as const),
  ...(['awaiting_input', 'interrupted', 'closed', 'failed'] as const),
] as const;
export type SessionStatus = (typeof SESSION_STATUSES)[number];

/**
 * What moves a chat. `message`: it got a prompt; `started`: the CLI works on a turn; `asked`: an
 * approval is open; `answered`: none is open any longer; `ended`, `interrupted`, `auth_required`,
 * `failed`: how a turn ended, with no further turn waiting; `closed`: a person closed it.
 */
export const SESSION_TRIGGERS = [
  ...(['message', 'started', 'asked', 'answered', 'ended'] as const),
  ...(['interrupted', 'auth_required', 'failed', 'closed'] as const),
] as const;
export type SessionTrigger = (typeof SESSION_TRIGGERS)[number];

type Row = Partial<Record<SessionTrigger, SessionStatus>>;

/** What follows each turn, and a close: the same in every status but `closed`. */
const ENDS: Row = {
  ended: 'ready',
  interrupted: 'interrupted',
  auth_required: 'awaiting_auth',
  failed: 'failed',
  closed: 'closed',
};

/**
 * The table of transitions of a chat. A trigger that a row does not have changes nothing. The
 * scripts of the records get this table as a constant. A turn that fails otherwise than by its
 * login or its node leaves the chat `ready`, with the error as `statusReason`.
 */
export const CHAT_TRANSITIONS: Readonly<Record<SessionStatus, Row>> = {
  starting: { ...ENDS, message: 'starting', started: 'busy', asked: 'awaiting_input' },
  ready: { ...ENDS, message: 'busy', started: 'busy', asked: 'awaiting_input' },
  busy: { ...ENDS, message: 'busy', started: 'busy', asked: 'awaiting_input' },
  awaiting_input: { ...ENDS, message: 'awaiting_input', asked: 'awaiting_input', answered: 'busy' },
  awaiting_auth: { ...ENDS, message: 'busy', started: 'busy', asked: 'awaiting_input' },
  interrupted: { ...ENDS, message: 'busy', started: 'busy', asked: 'awaiting_input' },
  failed: { ...ENDS, message: 'busy', started: 'busy', asked: 'awaiting_input' },
  closed: {},
};

/**
 * What moves a terminal. `started`: its program works on something; `idle`: it takes input;
 * `asked`, `auth_required`: its screen shows a prompt, or asks for a login; `interrupted`: a signal
 * or Ctrl-C stopped its work; `failed`: its program ended with an error, or was lost; `closed`: a
 * person closed it, its program ended by itself without an error, or it was unused for too long.
 */
export const TERMINAL_TRIGGERS = [
  ...(['started', 'idle', 'asked', 'auth_required', 'interrupted', 'failed', 'closed'] as const),
] as const;
export type TerminalTrigger = (typeof TERMINAL_TRIGGERS)[number];

type TerminalRow = Partial<Record<TerminalTrigger, SessionStatus>>;

const SHOWN: TerminalRow = {
  started: 'busy',
  idle: 'ready',
  asked: 'awaiting_input',
  auth_required: 'awaiting_auth',
  failed: 'failed',
  closed: 'closed',
};

/** The table of transitions of a terminal. `failed` is over: its program is gone. */
export const TERMINAL_TRANSITIONS: Readonly<Record<SessionStatus, TerminalRow>> = {
  starting: SHOWN,
  ready: { ...SHOWN, interrupted: 'interrupted' },
  busy: { ...SHOWN, interrupted: 'interrupted' },
  awaiting_input: { ...SHOWN, interrupted: 'interrupted' },
  awaiting_auth: { ...SHOWN, interrupted: 'interrupted' },
  interrupted: SHOWN,
  failed: { closed: 'closed' },
  closed: {},
};

/** The triggers of a turn's end, by the code of its error. Every other end is `ended`. */
export const TURN_ENDS: Readonly<Record<string, SessionTrigger>> = {
  'execution.interrupted': 'interrupted',
  'auth.required': 'auth_required',
  'execution.node_unavailable': 'failed',
} satisfies Partial<Record<ErrorCode, SessionTrigger>>;
