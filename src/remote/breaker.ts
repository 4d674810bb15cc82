/**
 * The circuit breaker around what begins an execution on another host. While it is open nothing is
 * sent: the executor is away, and each try would hold a slot for its whole timeout.
 */
import CircuitBreaker from 'opossum';
import type { Logger } from 'pino';
import { AppError, messageOf } from '../errors.ts';
import type { Measure, Sample } from '../status/measures.ts';
import { unavailable } from './signed-requests.ts';

/** It opens when more than half of at least 10 calls in 30 s fail, and tries again after 30 s. */
export const BREAKER = {
  errorThresholdPercentage: 50,
  volumeThreshold: 10,
  rollingCountTimeout: 30_000,
  resetTimeout: 30_000,
};

export type BreakerState = 'closed' | 'open' | 'half-open';
const STATES: readonly BreakerState[] = ['closed', 'open', 'half-open'];

export interface Breaker {
  readonly state: BreakerState;
  /** Why it is not closed; null: it is. */
  problem(): string | null;
  /**
   * Makes a call to the executor.
   * @throws AppError of the call; executor.unavailable, with `wasNotSent`, while it is not closed
   */
  call<T>(task: () => Promise<T>): Promise<T>;
  /** Makes a call that is not held back while it is open, and counts like the others. */
  count<T>(task: () => Promise<T>): Promise<T>;
  readonly measures: readonly Measure[];
  stop(): void;
}

/** An answer of the executor about the request itself: it works. */
const isWorking = (error: unknown): boolean =>
  error instanceof AppError && error.status < 500 && !error.code.startsWith('signature.');

export function createBreaker({
  probe,
  logger,
  settings = BREAKER,
}: {
  /** A call that changes nothing. It decides after the pause whether the breaker closes. */
  probe(): Promise<unknown>;
  readonly logger: Logger;
  readonly settings?: typeof BREAKER;
}): Breaker {
  const counts = new Map<BreakerState, number>(STATES.map((state) => [state, 0]));
  const totals = { answered: 0, failed: 0 };
  let lastReason = '';
  const circuit = new CircuitBreaker((task: () => Promise<unknown>) => task(), {
    ...settings,
    timeout: false, // the client has one
    errorFilter: isWorking,
  });
  const became = (state: BreakerState): void => {
    counts.set(state, (counts.get(state) ?? 0) + 1);
  };
  circuit.on('open', () => {
    became('open');
    logger.error({ reason: lastReason }, 'the executor does not work: nothing is sent to it');
  });
  circuit.on('halfOpen', () => {
    became('half-open');
    logger.info('the executor is tried again');
    circuit.fire(probe).catch(() => undefined); // it is open again
  });
  circuit.on('close', () => {
    became('closed');
    logger.info('the executor works again');
  });
  circuit.on('success', () => {
    totals.answered += 1;
  });
  circuit.on('failure', (error) => {
    totals.failed += 1;
    lastReason = messageOf(error);
  });

  function state(): BreakerState {
    if (circuit.opened) return 'open';
    return circuit.halfOpen ? 'half-open' : 'closed';
  }
  const fire = async <T>(task: () => Promise<T>): Promise<T> => (await circuit.fire(task)) as T; // its result
  const sample = (labels: Sample['labels'], value: number): Sample => ({ suffix: '', labels, value });

  return {
    get state() {
      return state();
    },
    problem: () => (state() === 'closed' ? null : `the circuit breaker is ${state()}: ${lastReason}`),
    async call<T>(task: () => Promise<T>) {
      if (state() !== 'closed') {
        throw unavailable(new Error(`the circuit breaker is ${state()}: ${lastReason}`), false);
      }
      return fire(task);
    },
    count: (task) => (state() === 'closed' ? fire(task) : task()),
    measures: [
      {
        name: 'bullpen_executor_breaker_state',
        kind: 'gauge',
        help: '1 for the state of the circuit breaker before the executor on another host.',
        samples: () => STATES.map((one) => sample({ state: one }, one === state() ? 1 : 0)),
      },
      {
        name: 'bullpen_executor_breaker_changes_total',
        kind: 'counter',
        help: 'How often the circuit breaker came into a state.',
        samples: () => STATES.map((one) => sample({ state: one }, counts.get(one) ?? 0)),
      },
      {
        name: 'bullpen_executor_calls_total',
        kind: 'counter',
        help: 'Calls through the circuit breaker, by their result.',
        samples: () => [
          sample({ result: 'answered' }, totals.answered),
          sample({ result: 'failed' }, totals.failed),
        ],
      },
    ],
    stop: () => circuit.shutdown(),
  };
}
