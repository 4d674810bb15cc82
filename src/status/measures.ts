/**
 * Figures of what happens on this node, counted when it happens. They need no library, because
 * prom-client is loaded by the first scrape. No value of a label comes from a caller or a CLI.
 */
import { ERROR_CODES } from '../errors.ts';
import type { LiveCount, LiveMeasures, Transport } from '../live/ports.ts';
import type { Outcome } from '../protocol/outcome.ts';
import type { LimitName } from '../records/limit-records.ts';
import type { Claims, JobRecord, TimedEvent } from '../records/ports.ts';

export type Labels = Readonly<Record<string, string>>;

/** One line of a metric. `suffix` is that of a histogram's name. */
export interface Sample {
  readonly suffix: '' | '_bucket' | '_sum' | '_count';
  readonly labels: Labels;
  readonly value: number;
}

export interface Measure {
  readonly name: string;
  readonly kind: 'gauge' | 'counter' | 'histogram';
  readonly help: string;
  samples(): readonly Sample[];
}

export interface Measures extends LiveMeasures {
  readonly all: readonly Measure[];
  /** The same claims, with their waits, answers and outcomes counted. */
  claims(claims: Claims): Claims;
  /** A job of this node has ended. */
  jobEnded(job: Pick<JobRecord, 'status' | 'request' | 'outcome'>): void;
  /** Processes that were left running have been killed. */
  swept(processes: number): void;
  /** Executions were found without their doorbell. */
  recovered(executions: number): void;
  /** A token was not looked at, after too many wrong ones. */
  refusedGuess(): void;
  /** A limit of a caller, or of its project, has refused a request. */
  limited(limit: LimitName): void;
}

/** Upper bounds of buckets, in seconds. */
const WAITS = [0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600, 21_600, 86_400];
const ANSWERS = [0.1, 0.25, 0.5, 1, 2, 3, 5, 7.5, 10, 15, 30, 60, 120];
const RUNS = [0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200];

const ANSWERING: readonly string[] = ['text', 'text.delta', 'reasoning', 'tool.started'];

/** @param providers names of the configured providers; another name counts as `unknown` */
export function createMeasures(providers: readonly string[]): Measures {
  const known = new Set(providers);
  const named = (provider: string | null): string =>
    provider !== null && known.has(provider) ? provider : 'unknown';
  const waits = createHistogram(
    'bullpen_queue_wait_seconds',
    'Time from when a job could begin to the claim of its execution.',
    WAITS,
  );
  const answers = createHistogram(
    'bullpen_time_to_first_token_seconds',
    'Time from the start of an execution to the first output of the model.',
    ANSWERS,
  );
  const runs = createHistogram(
    'bullpen_execution_duration_seconds',
    'Time from the spawn of a CLI to its end.',
    RUNS,
  );
  const jobs = createCounter('bullpen_jobs_ended_total', 'Jobs of this server that have ended.');
  const tokens = createCounter('bullpen_tokens_total', 'Tokens that executions used.');
  const cost = createCounter('bullpen_cost_usd_total', 'USD that executions cost, where that is known.');
  const swept = createCounter(
    'bullpen_swept_processes_total',
    'Killed processes that were left running.',
    {},
  );
  const recovered = createCounter(
    'bullpen_doorbells_recovered_total',
    'Executions that were found without their doorbell.',
    {},
  );
  const refused = createCounter(
    'bullpen_authentication_failures_total',
    'Requests answered with 401, and refused tokens of live connections.',
    {},
  );
  const guesses = createCounter(
    'bullpen_guesses_refused_total',
    'Tokens that were not looked at, because of too many wrong ones.',
    {},
  );
  const cut = createCounter(
    'bullpen_slow_readers_total',
    'Readers of streams and live connections cut for being too slow.',
    {},
  );
  const messages = createCounter('bullpen_live_messages_total', 'Messages of live connections.');
  const messagesOf = (transport: Transport) => ({
    in: messages.one({ transport, direction: 'in' }),
    out: messages.one({ transport, direction: 'out' }),
  });
  const counted = { websocket: messagesOf('websocket'), 'socket.io': messagesOf('socket.io') };
  const errors = createCounter('bullpen_live_errors_total', 'Errors sent to live connections.');
  let countLive = (): readonly LiveCount[] => [];
  const live: Measure = {
    ...{ name: 'bullpen_live_connections', kind: 'gauge', help: 'Open live connections.' },
    samples: () =>
      countLive().map(({ transport, state, count }) => ({
        ...{ suffix: '', labels: { transport, state }, value: count },
      })),
  };
  const limited = createCounter('bullpen_limited_requests_total', 'Requests refused by a limit of callers.');

  function executionEnded(outcome: Outcome, asked: string | null): void {
    const provider = named(outcome.provider ?? asked);
    const { usage, durationMs } = outcome;
    if (durationMs !== null) runs.observe({ provider, outcome: outcome.status }, durationMs / 1000);
    if (usage === null) return;
    tokens.add({ provider, kind: 'input' }, usage.inputTokens);
    tokens.add({ provider, kind: 'output' }, usage.outputTokens);
    tokens.add({ provider, kind: 'cache_read' }, usage.cacheReadTokens);
    tokens.add({ provider, kind: 'cache_write' }, usage.cacheWriteTokens);
    if (usage.costUsd !== null) cost.add({ provider, basis: usage.costBasis }, usage.costUsd);
  }

  function measured(claims: Claims): Claims {
    /** Those that run. `startedAt` is null before the CLI starts, and after its first output. */
    const running = new Map<string, { provider: string; startedAt: number | null }>();

    function saw(executionId: string, events: readonly TimedEvent[]): void {
      const one = running.get(executionId);
      if (one === undefined) return;
      for (const { event, at } of events) {
        if (event.kind === 'execution.started')
          Object.assign(one, { provider: named(event.provider), startedAt: at });
        else if (one.startedAt !== null && ANSWERING.includes(event.kind)) {
          answers.observe({ provider: one.provider }, (at - one.startedAt) / 1000);
          one.startedAt = null;
        }
      }
    }

    return {
      ...claims,
      async claim(max, room) {
        const claimed = await claims.claim(max, room);
        for (const { executionId, request, waitedMs } of claimed.claims) {
          const provider = named(request.provider);
          running.set(executionId, { provider, startedAt: null });
          if (waitedMs !== undefined) waits.observe({ provider }, waitedMs / 1000);
        }
        return claimed;
      },
      async append(jobId, executionId, from, events) {
        const appended = await claims.append(jobId, executionId, from, events);
        saw(executionId, events);
        return appended;
      },
      async finish(finish) {
        const finished = await claims.finish(finish);
        const { executionId, outcome, tail } = finish;
        const asked = running.get(executionId)?.provider ?? null;
        saw(executionId, tail);
        running.delete(executionId);
        if (finished !== 'superseded') executionEnded(outcome, asked);
        return finished;
      },
    };
  }

  return {
    all: [
      ...[waits, answers, runs, jobs, tokens, cost, swept, recovered],
      ...[refused, guesses, cut, limited, live, messages, errors],
    ],
    claims: measured,
    jobEnded({ status, request, outcome }) {
      const provider = named(outcome?.provider ?? request.provider);
      const code = outcome?.error?.code ?? '';
      jobs.add({
        provider,
        outcome: status,
        code: code === '' || Object.hasOwn(ERROR_CODES, code) ? code : 'unknown',
      });
    },
    swept: (processes) => swept.add({}, processes),
    recovered: (executions) => recovered.add({}, executions),
    refusedLogin: () => refused.add({}),
    refusedGuess: () => guesses.add({}),
    cutReader: () => cut.add({}),
    limited: (limit) => limited.add({ limit }),
    liveConnections(count) {
      countLive = count;
    },
    received: (transport) => counted[transport].in(),
    sent: (transport) => counted[transport].out(),
    refusedMessage: (code) => errors.add({ code }),
  };
}

const keyOf = (labels: Labels): string => JSON.stringify(Object.values(labels));

/** @param from has a sample from the start: the labels of a counter that is 0 */
function createCounter(name: string, help: string, from: Labels | null = null) {
  const totals = new Map<string, { readonly labels: Labels; value: number }>();
  /** Counts for one set of labels, which has a sample from now on. */
  function one(labels: Labels): (by?: number) => void {
    const key = keyOf(labels);
    const total = totals.get(key) ?? { labels, value: 0 };
    totals.set(key, total);
    return (by = 1) => {
      if (by > 0) total.value += by; // a counter never falls
    };
  }
  if (from !== null) one(from);
  return {
    ...{ name, kind: 'counter' as const, help, one },
    add: (labels: Labels, by?: number): void => one(labels)(by),
    samples: (): Sample[] => Array.from(totals.values(), (total) => ({ suffix: '', ...total })),
  };
}

/** @param bounds upper bounds of the buckets, rising */
function createHistogram(name: string, help: string, bounds: readonly number[]) {
  const series = new Map<string, { readonly labels: Labels; readonly counts: number[]; sum: number }>();
  return {
    ...{ name, kind: 'histogram' as const, help },
    observe(labels: Labels, seconds: number): void {
      const key = keyOf(labels);
      const one = series.get(key) ?? { labels, counts: Array(bounds.length + 1).fill(0), sum: 0 };
      series.set(key, one);
      const value = Math.max(0, seconds); // clocks of two machines may differ
      const index = bounds.findIndex((bound) => value <= bound);
      const bucket = index < 0 ? bounds.length : index;
      one.counts[bucket] = (one.counts[bucket] ?? 0) + 1;
      one.sum += value;
    },
    samples(): Sample[] {
      return Array.from(series.values()).flatMap(({ labels, counts, sum }) => {
        let count = 0;
        const buckets = counts.map((own, index): Sample => {
          count += own;
          return {
            suffix: '_bucket',
            labels: { ...labels, le: String(bounds[index] ?? '+Inf') },
            value: count,
          };
        });
        return [
          ...buckets,
          { suffix: '_sum' as const, labels, value: sum },
          { suffix: '_count' as const, labels, value: count },
        ];
      });
    },
  };
}
