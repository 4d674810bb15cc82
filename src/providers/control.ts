/**
 * What a provider says to its CLI while that runs, and what the CLI asks. It does no I/O and has no
 * clock.
 */
import type { WireError } from '../errors.ts';
import type { ApprovalKind, Decision, Question } from '../protocol/approval.ts';
import type { Cut } from '../protocol/cli.ts';

/** A call of a tool, a question or a plan that a person has to decide. */
export interface Ask {
  /** The CLI's own id of the call. */
  readonly callId: string;
  readonly kind: ApprovalKind;
  readonly tool: string;
  readonly input: unknown;
  /** Of a question; else null. */
  readonly questions: readonly Question[] | null;
  /**
   * The approval that is known for this call; null: a new one is needed. Known ones are those of
   * {@link ControlContext.known} and of `park`.
   */
  readonly approvalId: string | null;
}

/** An approval of this job that its CLI has no answer to yet. */
export interface KnownCall {
  readonly approvalId: string;
  readonly callId: string;
  readonly tool: string;
  readonly input: unknown;
  /**
   * Whether it was over before the CLI had an answer (cancelled, expired): then only this very call
   * is known, and no other one of the same input. Left out: no.
   */
  readonly over?: boolean;
}

export interface ControlContext {
  readonly promptId: string;
  readonly known: readonly KnownCall[];
  /** As in `CommandContext`: for a CLI that takes no such rules. Left out: none. */
  readonly sessionRules?: readonly string[];
  /** As in `CommandContext`. Left out: no. */
  readonly resumesCall?: boolean;
}

/** What follows from one line. */
export interface ControlStep {
  /** To be written to stdin at once; '': nothing. */
  readonly write: string;
  readonly asks: readonly Ask[];
  /** Asks that the CLI no longer waits for, by `callId`. */
  readonly withdrawn: readonly string[];
  /** Messages that the CLI has taken into the running turn, by id. */
  readonly taken: readonly string[];
  /** Why the conversation cannot go on; null: it can. */
  readonly problem: WireError | null;
}

/**
 * Speaks the control protocol of a CLI in one run: it reads each line before the translator, and
 * returns what is to be written to stdin. It does no I/O and has no clock. Every request of the CLI
 * gets an answer, also one that is not known.
 */
export interface Control {
  /**
   * @param cut which parts of a line that was too long are missing: such a call cannot be allowed,
   *   because its input is not whole
   */
  line(line: string, cut?: Cut | null): ControlStep;
  /** What stops the turn and keeps the process; null: the CLI cannot do that now. */
  interrupt(): string | null;
  /** What brings a message into the running turn; null: it cannot now. `id`: a UUID. */
  steer(message: { readonly id: string; readonly text: string }): string | null;
  /** The answer to an ask. */
  decide(callId: string, decision: Decision): string;
  /**
   * The answer to an ask that waits for a person from now on, without a process. The model may be
   * asked to repeat the call: then it comes again as an ask with this `approvalId`.
   */
  park(callId: string, approvalId: string): ParkedCall;
}

export interface ParkedCall {
  /** To be written to stdin. */
  readonly write: string;
  /**
   * `deferred`: the call waits in the CLI's session, once the turn has ended so
   * (`Translator.deferred`). `granted`: the model has to make it again.
   */
  readonly waits: 'deferred' | 'granted';
}
