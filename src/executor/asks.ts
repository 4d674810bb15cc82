/**
 * The calls of one run that people decide. The records have the approvals; this holds the process
 * while it waits for them, and lets a call wait without a process after that.
 */
import type { Logger } from 'pino';
import { messageOf } from '../errors.ts';
import type { Decision } from '../protocol/approval.ts';
import { APPROVAL_TIMEOUT_MS } from '../protocol/prompt.ts';
import type { Ask, Control } from '../providers/control.ts';
import type { RunningApprovals } from '../records/approval-ports.ts';

/** How long a process waits for a decision. */
export interface HoldSettings {
  /** While the job or its session has a reader. */
  readonly approvalHoldMs: number;
  /** While it has none. */
  readonly approvalUnattendedMs: number;
}

/** The approvals that a run begins with. */
export interface KnownApprovals {
  /** Of its job, and without an answer so far. */
  readonly open: readonly string[];
  /** Those of them whose decision the prompt reports. They are over when the run is. */
  readonly reported: readonly string[];
  /** Those of them that wait in the session of the CLI. */
  readonly deferred: readonly string[];
  /** Of its session, and over although the CLI had no answer. A turn that ends has denied them. */
  readonly over: readonly string[];
}

export const NO_APPROVALS: KnownApprovals = { open: [], reported: [], deferred: [], over: [] };

/** What the end of a run shows. */
export interface RunEnd {
  /** Whether a call waits in the session of the CLI. */
  readonly deferred: boolean;
  /** Whether the CLI has lost the calls that waited there. */
  readonly forgotten: boolean;
  /** Whether a turn has ended. */
  readonly answered: boolean;
}

export interface Asks {
  /** Has one call decided, or parks it. Rejects only when the run is over. */
  ask(ask: Ask): Promise<void>;
  /** The CLI does not wait for the call any longer. */
  withdrawn(callId: string): void;
  /** Reads the records: something may be decided or over. */
  look(): Promise<void>;
  /** Whether an approval has no answer yet, apart from those that the prompt reports. */
  readonly anyOpen: boolean;
  /** Time in which the process waited for people. */
  readonly heldMs: number;
  /** From now on no call is held: each waits without the process. */
  parkAll(): void;
  /** The run is over: lets go of all calls. */
  release(): void;
  end(run: RunEnd): readonly Promise<unknown>[];
}

const USED = 'The approval was used for another call. Make the same call again.';
const SECRET =
  'The call contains a secret, which is not shown to a person. Make it without the secret, or go on without it.';
const FAILED = 'The approval could not be asked for. Go on without this call.';

/** A call that the CLI waits for. */
interface Held {
  /** Null: it is not recorded yet. */
  approvalId: string | null;
  /** The CLI does not wait for it any longer. */
  gone: boolean;
  /** Its record may have changed. */
  news: PromiseWithResolvers<void>;
}

export function createAsks(options: {
  readonly control: Pick<Control, 'decide' | 'park'>;
  readonly execution: { readonly jobId: string; readonly executionId: string };
  readonly approvalTimeoutMs: number | undefined;
  readonly known: KnownApprovals;
  readonly approvals: Pick<RunningApprovals, 'open' | 'ofJob' | 'park' | 'take' | 'withdraw'>;
  readonly hold: HoldSettings;
  newApprovalId(): string;
  /** Whether a person may see the input: it contains no secret that the server knows. */
  isShowable(input: unknown): boolean;
  /** Repeats a task while Redis is away. Throws when the run is over before. */
  patiently<T>(task: () => Promise<T>): Promise<T>;
  /** The run does not end before the task, within a bound. */
  track(task: Promise<unknown>): void;
  write(text: string): void;
  /** The clocks of the run stand still from `true` to `false`. */
  onHold(held: boolean): void;
  onExpired(): void;
  readonly logger: Logger;
}): Asks {
  const { control, execution, known, approvals, hold, patiently, track, write } = options;
  const { jobId, executionId } = execution;
  const { approvalTimeoutMs = APPROVAL_TIMEOUT_MS } = options;
  /** Approvals of the job without an answer. */
  const unanswered = new Set(known.open);
  const held = new Map<string, Held>();
  let deferred: { readonly approvalId: string; readonly callId: string } | null = null;
  let isOver = false;
  let holds = true;
  let heldMs = 0;
  /** `performance.now()` when the clocks were stopped; null: they run. */
  let heldSince: number | null = null;

  function holdClocks(): void {
    if (heldSince !== null) return;
    heldSince = performance.now();
    options.onHold(true);
  }

  function releaseClocks(): void {
    if (held.size > 0 || heldSince === null) return;
    heldMs += performance.now() - heldSince;
    heldSince = null;
    options.onHold(false);
  }

  async function ask(asked: Ask): Promise<void> {
    const { callId, approvalId } = asked;
    const call: Held = { approvalId, gone: false, news: Promise.withResolvers() };
    held.set(callId, call);
    holdClocks();
    try {
      const answer = await (approvalId === null ? askPerson(asked, call) : answerOf(approvalId, true));
      if (answer === 'gone' || call.gone || isOver) return;
      if (answer !== 'pending') {
        if (call.approvalId !== null) unanswered.delete(call.approvalId);
        write(control.decide(callId, answer));
      } else if (call.approvalId !== null) park(callId, call.approvalId);
    } catch (error) {
      if (isOver || call.gone) return;
      options.logger.error({ jobId, reason: messageOf(error) }, 'an approval could not be asked for');
      write(control.decide(callId, { decision: 'deny', message: FAILED }));
    } finally {
      if (held.get(callId) === call) held.delete(callId);
      releaseClocks();
    }
  }

  /** Asks a person, and waits as long as a process may. `gone`: nothing waits for the answer. */
  async function askPerson(asked: Ask, call: Held): Promise<Decision | 'pending' | 'gone'> {
    // Without its secret the call would be another one.
    if (!options.isShowable(asked.input)) return { decision: 'deny', message: SECRET };
    const id = options.newApprovalId();
    const expiresAt = Date.now() + approvalTimeoutMs;
    const open = () => patiently(() => approvals.open(execution, { id, ask: asked, expiresAt }));
    const since = performance.now();
    const opened = await open();
    if (opened === null) return 'gone'; // the next renewal of the lease stops the run
    const { approvalId } = opened;
    call.approvalId = approvalId;
    unanswered.add(approvalId);
    if (call.gone) withdraw(approvalId);
    let { watched } = opened;
    for (;;) {
      const holdMs = watched ? hold.approvalHoldMs : hold.approvalUnattendedMs;
      const until = holds ? since + holdMs : 0;
      await newsUntil(call, until);
      if (call.gone || isOver) return 'gone';
      const answer = await answerOf(approvalId, false);
      if (answer !== 'pending') return answer;
      if (holds && until > performance.now()) continue;
      if (!holds || watched || (await open())?.watched !== true) return 'pending';
      watched = true;
    }
  }

  /** @param until `performance.now()` */
  async function newsUntil(call: Held, until: number): Promise<void> {
    const timer = setTimeout(call.news.resolve, Math.max(0, until - performance.now()));
    await call.news.promise;
    clearTimeout(timer);
    call.news = Promise.withResolvers();
  }

  /**
   * The decision, which no other call gets.
   * @param again whether the approval was known before the call
   */
  async function answerOf(approvalId: string, again: boolean): Promise<Decision | 'pending'> {
    const decision = await patiently(() => approvals.take(approvalId, executionId));
    if (decision !== null) return decision;
    const records = await patiently(() => approvals.ofJob(jobId));
    const status = records.find(({ id }) => id === approvalId)?.status;
    if (status === 'expired') options.onExpired();
    return status === 'pending' || !again ? 'pending' : { decision: 'deny', message: USED };
  }

  /** Lets a call wait without a process. */
  function park(callId: string, approvalId: string): void {
    const parked = control.park(callId, approvalId);
    write(parked.write);
    if (parked.waits === 'deferred') deferred = { approvalId, callId };
    else track(patiently(() => approvals.park(approvalId, 'granted')));
  }

  function withdraw(approvalId: string): void {
    unanswered.delete(approvalId);
    track(patiently(() => approvals.withdraw(approvalId)));
  }

  return {
    ask,
    withdrawn(callId) {
      const call = held.get(callId);
      if (call === undefined || call.gone) return;
      call.gone = true;
      call.news.resolve();
      if (call.approvalId !== null) withdraw(call.approvalId);
    },
    async look() {
      if (unanswered.size === 0) return;
      for (const { id, status } of await patiently(() => approvals.ofJob(jobId))) {
        if (!unanswered.has(id) || status === 'pending') continue;
        if (status === 'expired') options.onExpired();
        for (const call of held.values()) if (call.approvalId === id) call.news.resolve();
      }
    },
    get anyOpen() {
      return [...unanswered].some((id) => !known.reported.includes(id));
    },
    get heldMs() {
      return heldMs;
    },
    parkAll() {
      holds = false;
      for (const { news } of held.values()) news.resolve();
    },
    release() {
      isOver = true;
      for (const { news } of held.values()) news.resolve();
    },
    end: (run) => [
      ...known.reported.filter((id) => unanswered.delete(id)).map((id) => approvals.take(id, executionId)),
      ...(run.deferred && deferred !== null
        ? [approvals.park(deferred.approvalId, 'deferred', deferred.callId)]
        : []),
      ...(run.forgotten ? known.deferred : []).map((id) => approvals.park(id, 'granted')),
      ...(run.answered ? known.over : []).map((id) => approvals.withdraw(id)),
    ],
  };
}
