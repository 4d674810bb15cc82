/** What terminals need, and what they offer on their node. */

import type { LaunchRequest } from '../processes/launch.ts';
import type { CliProcess } from '../protocol/server-info.ts';
import type { TerminalAnswers, TerminalAsk, TerminalSize } from '../protocol/terminal.ts';
import type { ScreenPattern } from '../providers/interactive.ts';

/** A terminal that is about to be started. */
export interface NewTerminal {
  readonly sessionId: string;
  readonly executionId: string;
  /** The CLI, or the name of the command. */
  readonly provider: string;
  readonly launch: Omit<LaunchRequest, 'pty'>;
  /** Its TMPDIR, which exists. The host removes it when no process of the terminal is left. */
  readonly scratch: string;
  readonly size: TerminalSize;
  /** What its screens mean; empty for a command. */
  readonly screens: readonly ScreenPattern[];
}

/** The terminals of this node. */
export interface TerminalHost {
  /** Settles the terminals of an earlier run of this node: they have failed. */
  start(): Promise<void>;
  /** Closes all. */
  stop(): Promise<void>;
  /**
   * Starts the program of a session that has a record. Resolves when it runs. What is asked of the
   * terminal meanwhile waits.
   * @throws AppError for each reason why it cannot be started, and what `prepare` throws; the
   *   session has failed then
   */
  open(sessionId: string, prepare: () => Promise<NewTerminal>): Promise<void>;
  /**
   * @throws AppError session.not_found when this node has not had it, terminal.over
   */
  ask<Kind extends TerminalAsk['kind']>(
    sessionId: string,
    ask: Extract<TerminalAsk, { kind: Kind }>,
  ): Promise<TerminalAnswers[Kind]>;
  processes(): readonly CliProcess[];
}

/** The ledger of terminals: intent on disk before the spawn, end on disk before it is shown. */
export interface TerminalLedger {
  intend(terminal: {
    readonly executionId: string;
    readonly sessionId: string;
    readonly provider: string;
  }): Promise<void>;
  started(executionId: string, pid: number): Promise<void>;
  ended(executionId: string, end: { readonly errorCode: string | null }): Promise<void>;
  /** Those of an earlier run that have no end. */
  open(): Promise<readonly { readonly executionId: string; readonly sessionId: string }[]>;
}
