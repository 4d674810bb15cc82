import { isDeepStrictEqual } from 'node:util';
import { AppError, wireError } from '../../src/errors.ts';
import type {
  CancelRequest,
  ExecutionLine,
  KnownExecution,
  Submission,
} from '../../src/protocol/executor-service.ts';
import { jobOutcome, type Outcome } from '../../src/protocol/outcome.ts';
import type { PromptRequest } from '../../src/protocol/prompt.ts';
import type { RemoteExecutions } from '../../src/remote/ports.ts';

export const anOutcome = (text: string): Outcome => ({
  ...jobOutcome('failed', wireError('execution.crashed', 'it crashed')),
  status: 'succeeded',
  text,
  error: null,
});

export const aFailure = (...error: Parameters<typeof wireError>): Outcome =>
  jobOutcome('failed', wireError(...error));

/** An event of an execution: its n-th text. */
export const aLine = (n: number, text = `t${n}`): ExecutionLine => ({
  type: 'event',
  n,
  event: { kind: 'text', text },
  raw: null,
});

export const anEnd = (outcome: Outcome): ExecutionLine => ({
  type: 'ended',
  outcome,
  reported: { sessionTokens: null, limitedModel: null, account: null, finalLine: null },
});

/** Executions in memory, whose lines and answers a test gives. */
export class FakeRemoteExecutions implements RemoteExecutions {
  readonly node = 'node-1';
  readonly submissions: Submission[] = [];
  readonly cancelled: { readonly id: string; readonly request: CancelRequest }[] = [];
  readonly executed: { readonly request: PromptRequest; readonly signal: AbortSignal }[] = [];
  /** Each call of `follow`, and how many lines were taken by its reader. */
  readonly followed: { readonly id: string; readonly after: number; taken: number; ended: boolean }[] = [];
  /** What `execute` does. */
  answer: RemoteExecutions['execute'] = async () => ({ outcome: anOutcome('the answer'), finalLine: null });
  /** Thrown by the next call of any method; null: nothing. */
  failure: Error | null = null;
  readonly #lines: ExecutionLine[] = [];
  #wake = Promise.withResolvers<void>();

  /** Adds lines to every execution. */
  say(...lines: readonly ExecutionLine[]): void {
    this.#lines.push(...lines);
    this.#wake.resolve();
    this.#wake = Promise.withResolvers();
  }

  async submit(submission: Submission): Promise<KnownExecution> {
    this.#fail();
    const known = this.submissions.find(({ id }) => id === submission.id);
    if (known !== undefined && !isDeepStrictEqual(known, submission))
      throw new AppError('execution.id_reused', 'the id was used for another request');
    if (known === undefined) this.submissions.push(submission);
    return this.#known(submission);
  }

  async known(): Promise<readonly KnownExecution[]> {
    this.#fail();
    return this.submissions.map((one) => this.#known(one));
  }

  async follow(id: string, after: number, signal: AbortSignal): Promise<AsyncIterable<ExecutionLine>> {
    this.#fail();
    if (!this.submissions.some((one) => one.id === id))
      throw new AppError('execution.not_found', 'there is no such execution');
    const call = { id, after, taken: 0, ended: false };
    this.followed.push(call);
    return this.#read(call, signal);
  }

  async *#read(call: (typeof this.followed)[number], signal: AbortSignal): AsyncGenerator<ExecutionLine> {
    const aborted = new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve()));
    try {
      for (let at = call.after; !signal.aborted; ) {
        const line = this.#lines[at];
        if (line === undefined) {
          await Promise.race([aborted, this.#wake.promise]);
          continue;
        }
        at += 1;
        call.taken += 1;
        yield line;
        if (line.type === 'ended') return;
      }
    } finally {
      call.ended = true;
    }
  }

  async cancel(id: string, request: CancelRequest): Promise<KnownExecution> {
    this.#fail();
    this.cancelled.push({ id, request });
    return { id, jobId: 'J', state: 'ended', events: 0 };
  }

  async execute(request: PromptRequest, signal: AbortSignal) {
    this.#fail();
    this.executed.push({ request, signal });
    return this.answer(request, signal);
  }

  #fail(): void {
    const { failure } = this;
    this.failure = null;
    if (failure !== null) throw failure;
  }

  #known({ id, jobId }: Submission): KnownExecution {
    return { id, jobId, state: 'running', events: this.#lines.length };
  }
}
