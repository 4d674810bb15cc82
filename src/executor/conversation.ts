/**
 * What is said to the CLI of one run and what it asks, beside its prompt and its answer: calls that
 * people decide, messages into the running turn, and an interrupt.
 */
import type { Logger } from 'pino';
import { isRedisTrouble, messageOf, type WireError } from '../errors.ts';
import type { Cut } from '../protocol/cli.ts';
import type { Control } from '../providers/control.ts';
import type { RunningApprovals, SteerMessages } from '../records/approval-ports.ts';
import type { Redactor } from '../redactor.ts';
import { onceMore, pause, within } from '../timing.ts';
import { createAsks, type HoldSettings, type KnownApprovals } from './asks.ts';

/** What conversations need of the server. */
export interface TalkOptions {
  readonly approvals: Pick<RunningApprovals, 'open' | 'ofJob' | 'park' | 'take' | 'withdraw'>;
  readonly messages: Pick<SteerMessages, 'take' | 'settle'>;
  readonly hold: HoldSettings;
  newApprovalId(): string;
}

export interface Conversation {
  /** Reads a line, before the translator does. */
  line(line: string, cut: Cut | null): void;
  /** The records may have a decision or a message. */
  look(): void;
  /** The server stops: calls do not wait in the process any longer. */
  parkAll(): void;
  /** Stops the turn and keeps the process. False: the CLI cannot do that now. */
  interrupt(): boolean;
  /** The turn is over: no further message can be brought into it. */
  turnOver(): void;
  /** Whether something has no answer yet, so that the process cannot wait for the next turn. */
  readonly isOpen: boolean;
  /** Why it cannot go on; null: it can. */
  readonly problem: WireError | null;
  /** Time in which the process waited for people. */
  readonly heldMs: number;
  /**
   * The run is over. Resolves with whether its job waits for a person.
   * @param deferred whether a call waits in the session of the CLI
   */
  end(deferred: boolean): Promise<boolean>;
}

const ASK_AGAIN_MS = 200;
/** An outcome waits for Redis no longer than this, and then once more. */
const END_MS = 1000;

export function createConversation(options: {
  readonly control: Control;
  readonly execution: { readonly jobId: string; readonly executionId: string };
  readonly approvalTimeoutMs: number | undefined;
  readonly known: KnownApprovals;
  readonly talk: TalkOptions;
  readonly redactor: Pick<Redactor, 'value'>;
  /** Writes to the stdin of the CLI. */
  write(text: string): void;
  /** The clocks of the run stand still from `true` to `false`. */
  onHold(held: boolean): void;
  /** A message is written next: the run is not over before it has an answer. */
  onSteered(messageId: string): void;
  /** The turn has a message that was sent into it. */
  onDelivered(messageId: string): void;
  stop(reason: 'approval_expired' | 'hopeless'): void;
  readonly logger: Logger;
}): Conversation {
  const { control, execution, talk, write, stop, logger } = options;
  const { messages } = talk;
  const { jobId, executionId } = execution;
  const ended = new AbortController();
  const tasks = new Set<Promise<unknown>>();
  /** Messages that were written, and that the CLI has not taken. */
  const written = new Set<string>();
  let isTurnOver = false;
  let answered = false;
  let problem: WireError | null = null;

  const asks = createAsks({
    control,
    execution,
    approvalTimeoutMs: options.approvalTimeoutMs,
    known: options.known,
    approvals: talk.approvals,
    hold: talk.hold,
    newApprovalId: talk.newApprovalId,
    isShowable: (input) => options.redactor.value(input) === input,
    patiently,
    track,
    write,
    onHold: options.onHold,
    onExpired: () => stop('approval_expired'),
    logger,
  });

  async function patiently<T>(task: () => Promise<T>): Promise<T> {
    for (;;) {
      try {
        return await task();
      } catch (error) {
        if (!isRedisTrouble(error) || ended.signal.aborted) throw error;
      }
      await pause(ASK_AGAIN_MS, ended.signal);
    }
  }

  function track(task: Promise<unknown>): void {
    const tracked: Promise<unknown> = task
      .catch((error: unknown) => logger.warn({ jobId, reason: messageOf(error) }, 'talking to a CLI failed'))
      .finally(() => tasks.delete(tracked));
    tasks.add(tracked);
  }

  function taken(messageId: string): void {
    if (!written.delete(messageId)) return;
    options.onDelivered(messageId);
    track(patiently(() => messages.settle(jobId, messageId, 'steered')));
  }

  async function lookAtMessages(): Promise<void> {
    for (const message of await patiently(() => messages.take(jobId, executionId))) {
      const text = isTurnOver ? null : control.steer(message);
      if (text === null) track(patiently(() => messages.settle(jobId, message.id, 'refused')));
      else {
        written.add(message.id);
        options.onSteered(message.id);
        write(text);
      }
    }
  }

  const looking = onceMore(
    async () => {
      if (!ended.signal.aborted) await Promise.all([lookAtMessages(), asks.look()]);
    },
    (error) => logger.debug({ jobId, reason: messageOf(error) }, 'looking for messages failed'),
  );

  return {
    line(line, cut) {
      const step = control.line(line, cut);
      if (step.write !== '') write(step.write);
      for (const id of step.taken) taken(id);
      for (const callId of step.withdrawn) asks.withdrawn(callId);
      for (const ask of step.asks) track(asks.ask(ask));
      if (step.problem === null) return;
      problem ??= step.problem;
      stop('hopeless');
    },
    look: looking.ask,
    parkAll: asks.parkAll,
    interrupt() {
      const text = control.interrupt();
      if (text === null) return false;
      isTurnOver = true;
      write(text);
      return true;
    },
    turnOver() {
      answered = true;
      isTurnOver = true;
    },
    get isOpen() {
      return asks.anyOpen || written.size > 0;
    },
    get problem() {
      return problem;
    },
    get heldMs() {
      return asks.heldMs;
    },
    async end(deferred) {
      ended.abort();
      asks.release();
      await within(END_MS, Promise.all([looking.running, ...tasks]));
      for (const id of written) track(messages.settle(jobId, id, 'refused'));
      for (const task of asks.end({ deferred, forgotten: problem !== null, answered })) track(task);
      await within(END_MS, Promise.all(tasks));
      return asks.anyOpen;
    },
  };
}
