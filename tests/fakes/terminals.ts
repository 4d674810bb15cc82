import { maySee, type Principal } from '../../src/auth/principal.ts';
import { AppError } from '../../src/errors.ts';
import type { Terminals } from '../../src/http/session-ports.ts';
import type { Session } from '../../src/protocol/session.ts';
import type { TerminalAnswers, TerminalAsk } from '../../src/protocol/terminal.ts';

export const LIVE_SETTINGS = {
  liveConnections: 1000,
  liveMessagesPerSecond: 100,
  liveOrigins: [] as readonly string[],
};

/** The Terminals port: it keeps what was asked, and does each message once. */
export class FakeTerminals implements Terminals {
  readonly asked: { readonly principal: Principal; readonly sessionId: string; readonly ask: TerminalAsk }[] =
    [];
  /** Waited for before each answer. */
  gate: Promise<void> = Promise.resolve();
  /** Thrown by the next call, once. */
  failNext: AppError | null = null;
  screen = '$ ls\nä.txt\n$';
  /** The parts of every recording. */
  recording: readonly string[] = ['{"version":2,"width":80,"height":24}\n', '[0.1,"o","$ "]\n'];
  readonly #isNew = createIsNewMessage();
  readonly #sessions: ReadonlyMap<string, Session> | null;

  /** @param sessions left out: every id is that of a terminal */
  constructor(sessions: ReadonlyMap<string, Session> | null = null) {
    this.#sessions = sessions;
  }

  async ask<Kind extends TerminalAsk['kind']>(
    principal: Principal,
    sessionId: string,
    question: Extract<TerminalAsk, { kind: Kind }>,
  ): Promise<TerminalAnswers[Kind]> {
    const session = this.#sessions?.get(sessionId);
    if (this.#sessions !== null && (session === undefined || !maySee(principal, session.project)))
      throw new AppError('session.not_found', 'there is no session with this id');
    if (session?.kind === 'chat') throw new AppError('session.wrong_kind', 'a chat has no terminal');
    const error = this.failNext;
    this.failNext = null;
    if (error !== null) throw error;
    const ask: TerminalAsk = question;
    this.asked.push({ principal, sessionId, ask });
    await this.gate;
    return (await this.#answers(sessionId, ask))[question.kind] as TerminalAnswers[Kind]; // as: of its kind
  }

  async #answers(sessionId: string, ask: TerminalAsk): Promise<TerminalAnswers> {
    const messageId = 'messageId' in ask ? ask.messageId : null;
    const repeated = messageId !== null && !(await this.#isNew(sessionId, messageId));
    const done = { clientSeq: ask.kind === 'input' ? ask.clientSeq : null, repeated };
    const from = ask.kind === 'recording' ? ask.from : 0;
    const at = '2026-11-21T12:00:00.000Z';
    return {
      ...{ input: done, resize: done, signal: done, close: null, remove: null },
      screen: { text: this.screen },
      snapshot: { kind: 'terminal.screen', seq: 3, offset: 9, cols: 80, rows: 24, data: '' },
      recording: {
        text: this.recording[from] ?? '',
        next: from + 1 < this.recording.length ? from + 1 : null,
      },
      history: { data: [{ at, text: 'ls', exitCode: 0, finishedAt: at }], nextCursor: null },
    };
  }
}

/** Whether a message is the first with its id in its session. */
export function createIsNewMessage(): (sessionId: string, messageId: string) => Promise<boolean> {
  const seen = new Set<string>();
  return async (sessionId, messageId) => {
    const name = `${sessionId} ${messageId}`;
    if (seen.has(name)) return false;
    seen.add(name);
    return true;
  };
}
