import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { pino } from 'pino';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { parse } from 'yaml';
import { resolvedPrompt } from '../../../scripts/offline-model/resolved-prompt.ts';
import { AppError, wireError } from '../../../src/errors.ts';
import { jobOutcome, type Outcome } from '../../../src/protocol/outcome.ts';
import type { Claim, Claims, FinishResult, TimedEvent } from '../../../src/records/ports.ts';
import { createBreaker } from '../../../src/remote/breaker.ts';
import { createMeasures } from '../../../src/status/measures.ts';
import { createMetrics } from '../../../src/status/metrics.ts';
import { succeededWith } from '../../fakes/job-samples.ts';

const DOCS = fileURLToPath(new URL('../../../docs', import.meta.url));

const FAILED = jobOutcome('failed', wireError('auth.required', 'logged out'));
const claim: Claim = {
  ...{ jobId: 'j', executionId: 'e', attempt: 1, kind: 'api', principal: 'p', sessionId: 'j' },
  ...{ project: 'default', grant: null, forged: false },
  request: resolvedPrompt({ provider: 'claude' }),
  waitedMs: 1500,
};
const outcome: Outcome = {
  ...succeededWith('done'),
  executionId: 'e',
  durationMs: 12_000,
  usage: {
    ...{ inputTokens: 10, outputTokens: 20, cacheReadTokens: 30, cacheWriteTokens: 40 },
    ...{ costUsd: 0.5, costBasis: 'reported' },
  },
};
const event = (kind: 'text' | 'reasoning' | 'execution.started', at: number): TimedEvent => ({
  at,
  raw: null,
  event:
    kind === 'execution.started'
      ? { kind, executionId: 'e', pid: 1, provider: 'claude', version: null, start: 'cold' }
      : { kind, text: 'word' },
});

/** Claims of a node that gets one job. */
function claimsOf(finishes: readonly (FinishResult | Error)[]): Claims {
  const left = [...finishes];
  const none = async () => [];
  return {
    claim: async () => ({ claims: [claim], given: [] }),
    append: async () => 'read',
    async finish() {
      const next = left.shift() ?? 'finished';
      if (next instanceof Error) throw next;
      return next;
    },
    ...{ renew: none, owned: none, peek: none, giveBack: async () => undefined, adopt: async () => false },
  };
}

/** Runs the job of `claimsOf` with events that come in two appends and the last one. */
async function run(claims: Claims): Promise<void> {
  await claims.claim(1);
  await claims.append('j', 'e', 0, [event('execution.started', 1000)]);
  await claims.append('j', 'e', 1, [event('reasoning', 3000)]);
  const tail = [event('text', 9000)];
  const finish = { jobId: 'j', executionId: 'e', outcome, from: 2, tail, backoffMs: null, rawAnswer: null };
  await claims.finish(finish).catch(() => claims.finish(finish));
}

/** Measures in which everything has happened. */
async function measured() {
  const measures = createMeasures(['claude', 'codex']);
  await run(measures.claims(claimsOf([])));
  measures.jobEnded({ status: 'failed', request: claim.request, outcome: FAILED });
  measures.swept(2);
  measures.recovered(1);
  measures.refusedLogin();
  measures.cutReader();
  measures.limited('jobsPerHour');
  measures.liveConnections(() => [
    { transport: 'websocket', state: 'authenticated', count: 3 },
    { transport: 'socket.io', state: 'unauthenticated', count: 2 },
  ]);
  measures.received('websocket');
  measures.sent('socket.io');
  measures.sent('socket.io');
  measures.refusedMessage('terminal.over');
  return measures;
}

interface Dashboard {
  readonly templating: { readonly list: readonly { readonly name: string; readonly query: string }[] };
  readonly panels: readonly {
    readonly id: number;
    readonly title: string;
    readonly targets: readonly { readonly expr: string }[];
  }[];
}

interface Alerts {
  readonly groups: readonly {
    readonly rules: readonly {
      readonly alert: string;
      readonly expr: string;
      readonly labels: Readonly<Record<string, string>>;
      readonly annotations: Readonly<Record<string, string>>;
    }[];
  }[];
}

/** The lines of some measures that are not 0. */
const counted = (measures: ReturnType<typeof createMeasures>, names: RegExp) =>
  Object.fromEntries(
    measures.all
      .filter(({ name }) => names.test(name))
      .flatMap(({ name, samples }) =>
        samples().map(({ suffix, labels, value }) => [
          [name + suffix, ...Object.values(labels)].join(' '),
          value,
        ]),
      )
      .filter(([, value]) => value !== 0),
  );

const metrics = (measures: Pick<ReturnType<typeof createMeasures>, 'all'> = createMeasures([])) =>
  createMetrics({
    jobs: async () => ({
      byStatus: { queued: 3, failed: 1 },
      open: [
        {
          status: 'queued',
          provider: 'claude',
          count: 2,
          since: new Date(Date.now() - 60_000).toISOString(),
        },
        { status: 'scheduled', provider: 'codex', count: 1, since: new Date(0).toISOString() },
      ],
    }),
    queue: async () => ({ pending: 2, approvals: 7, nodes: 1 }),
    sessions: async () => ({ ready: 6, busy: 1 }),
    credentials: async () =>
      new Map([
        [
          'claude',
          [
            { name: 'claude:a', status: 'limited', limitedUntil: null },
            { name: 'claude:b', status: 'ok', limitedUntil: null },
          ],
        ],
      ]),
    terminals: () => [{ provider: 'claude' }, { provider: 'bash' }, { provider: 'claude' }],
    measures: measures.all,
    damage: {
      counts: () => ({ session: 0, approval: 0, job: 0, batch: 0, event: 4, log: 0, row: 0, key: 0 }),
    },
    executor: {
      status: () => ({ running: 4, limit: 5, accepting: true }),
      starts: () => ({ started: { cold: 7, warm: 8, session: 9 }, waiting: 1, sessions: 6 }),
    },
  });

const lagOf = (text: string): number =>
  Number(/^nodejs_eventloop_lag_seconds\{quantile="0.99"\} (\S+)$/m.exec(text)?.[1]);

it('a late event loop is reported by the next scrape and by no later one', async () => {
  const { render, stop } = metrics();
  await pause(60); // the first sample
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 400);
  await pause(60);
  const late = lagOf(await render());
  expect(late).toBeGreaterThan(0.2);
  expect(lagOf(await render())).toBeLessThan(late);
  stop();
});

it('answers without a free file descriptor, with the memory of the last scrape', async () => {
  const { render, stop } = metrics();
  onTestFinished(stop);
  const memoryOf = (text: string) => /^process_resident_memory_bytes (\d+)$/m.exec(text)?.[1];
  const known = memoryOf(await render());
  expect(Number(known)).toBeGreaterThan(1e6);
  const refused = () => {
    throw Object.assign(new Error('EMFILE: too many open files'), { code: 'EMFILE' });
  };
  const usage = vi.spyOn(process, 'memoryUsage').mockImplementation(refused);
  onTestFinished(() => usage.mockRestore());
  Object.assign(process.memoryUsage, { rss: refused });
  expect(memoryOf(await render())).toBe(known);
});

it('has every figure under its name and label, the same at each scrape', async () => {
  const { render, stop } = metrics(await measured());
  await render();
  const text = await render();
  stop();
  const lines = text.split('\n').filter((line) => /^bullpen_(?!\w+_bucket)/.test(line));
  const age = Number(lines.find((line) => line.startsWith('bullpen_oldest_queued_seconds'))?.split(' ')[1]);
  expect(age).toBeGreaterThanOrEqual(60);
  expect(age).toBeLessThan(120);
  expect(lines.filter((line) => !line.startsWith('bullpen_oldest'))).toEqual([
    'bullpen_jobs{status="queued"} 3',
    'bullpen_jobs{status="failed"} 1',
    'bullpen_open_jobs{status="queued",provider="claude"} 2',
    'bullpen_open_jobs{status="scheduled",provider="codex"} 1',
    'bullpen_credentials{provider="claude",status="limited"} 1',
    'bullpen_credentials{provider="claude",status="ok"} 1',
    'bullpen_executions_running 4',
    'bullpen_executions_limit 5',
    'bullpen_execution_starts_total{start="cold"} 7',
    'bullpen_execution_starts_total{start="warm"} 8',
    'bullpen_execution_starts_total{start="session"} 9',
    'bullpen_waiting_processes{kind="warm"} 1',
    'bullpen_waiting_processes{kind="session"} 6',
    'bullpen_terminals{provider="claude"} 2',
    'bullpen_terminals{provider="bash"} 1',
    'bullpen_requests_pending 2',
    'bullpen_sessions{status="ready"} 6',
    'bullpen_sessions{status="busy"} 1',
    'bullpen_approvals_pending 7',
    'bullpen_damaged_total{kind="session"} 0',
    'bullpen_damaged_total{kind="approval"} 0',
    'bullpen_damaged_total{kind="job"} 0',
    'bullpen_damaged_total{kind="batch"} 0',
    'bullpen_damaged_total{kind="event"} 4',
    'bullpen_damaged_total{kind="log"} 0',
    'bullpen_damaged_total{kind="row"} 0',
    'bullpen_damaged_total{kind="key"} 0',
    'bullpen_nodes 1',
    'bullpen_queue_wait_seconds_sum{provider="claude"} 1.5',
    'bullpen_queue_wait_seconds_count{provider="claude"} 1',
    'bullpen_time_to_first_token_seconds_sum{provider="claude"} 2',
    'bullpen_time_to_first_token_seconds_count{provider="claude"} 1',
    'bullpen_execution_duration_seconds_sum{provider="claude",outcome="succeeded"} 12',
    'bullpen_execution_duration_seconds_count{provider="claude",outcome="succeeded"} 1',
    'bullpen_jobs_ended_total{provider="claude",outcome="failed",code="auth.required"} 1',
    'bullpen_tokens_total{provider="claude",kind="input"} 10',
    'bullpen_tokens_total{provider="claude",kind="output"} 20',
    'bullpen_tokens_total{provider="claude",kind="cache_read"} 30',
    'bullpen_tokens_total{provider="claude",kind="cache_write"} 40',
    'bullpen_cost_usd_total{provider="claude",basis="reported"} 0.5',
    'bullpen_swept_processes_total 2',
    'bullpen_doorbells_recovered_total 1',
    'bullpen_authentication_failures_total 1',
    'bullpen_guesses_refused_total 0',
    'bullpen_slow_readers_total 1',
    'bullpen_limited_requests_total{limit="jobsPerHour"} 1',
    'bullpen_live_connections{transport="websocket",state="authenticated"} 3',
    'bullpen_live_connections{transport="socket.io",state="unauthenticated"} 2',
    'bullpen_live_messages_total{transport="websocket",direction="in"} 1',
    'bullpen_live_messages_total{transport="websocket",direction="out"} 0',
    'bullpen_live_messages_total{transport="socket.io",direction="in"} 0',
    'bullpen_live_messages_total{transport="socket.io",direction="out"} 2',
    'bullpen_live_errors_total{code="terminal.over"} 1',
  ]);
  const buckets = text.matchAll(/^bullpen_queue_wait_seconds_bucket\{provider="claude",le="(.+)"\} (\d)$/gm);
  expect(Array.from(buckets, ([, bound, count]) => `${bound} ${count}`).slice(3, 7)).toEqual([
    '0.5 0',
    '1 0',
    '2.5 1',
    '5 1',
  ]);
  expect(text).toContain('bullpen_queue_wait_seconds_bucket{provider="claude",le="+Inf"} 1');
});

it('an outcome counts when its record takes it: once after an outage, and never when it is refused', async () => {
  const lateOnce = createMeasures(['claude']);
  await run(lateOnce.claims(claimsOf([new AppError('redis.unavailable', 'away'), 'finished'])));
  expect(counted(lateOnce, /cost|_duration/)).toMatchObject({
    'bullpen_cost_usd_total claude reported': 0.5,
    'bullpen_execution_duration_seconds_count claude succeeded': 1,
  });
  const refused = createMeasures(['claude']);
  await run(refused.claims(claimsOf(['superseded'])));
  expect(counted(refused, /cost|_duration|tokens_total/)).toEqual({});
});

it('a label has only known values, whatever a record holds', () => {
  const measures = createMeasures(['claude']);
  const request = resolvedPrompt({ provider: 'x'.repeat(999) });
  const error = { ...wireError('internal.error', ''), code: 'y'.repeat(999) };
  measures.jobEnded({ status: 'failed', request, outcome: { ...FAILED, error } });
  expect(counted(measures, /jobs_ended/)).toEqual({ 'bullpen_jobs_ended_total unknown failed unknown': 1 });
});

it('has the metrics of docs/operations.md, each with its type and labels', async () => {
  const breaker = createBreaker({ probe: async () => null, logger: pino({ level: 'silent' }) });
  const { all } = await measured();
  const { render, stop } = metrics({ all: [...all, ...breaker.measures] });
  const text = await render();
  stop();
  breaker.stop();
  const labelsOf = (name: string) =>
    Array.from(
      (new RegExp(`^${name}\\{(.+)\\}`, 'm').exec(text)?.[1] ?? '').matchAll(/(\w+)="/g),
      ([, label]) => label,
    );
  const written = Array.from(text.matchAll(/^# TYPE (\S+) (\S+)$/gm), ([, name = '', type = '']) => [
    name,
    [type, ...labelsOf(type === 'histogram' ? `${name}_count` : name)].join(', '),
  ]);
  const operations = readFileSync(join(DOCS, 'operations.md'), 'utf8');
  const rows = operations.matchAll(
    /^\| (`\w+`(?:, `\w+`)*) \| ((?:gauge|counter|histogram)(?:, `\w+`)*) \|/gm,
  );
  const documented = Array.from(rows).flatMap(([, names = '', type = '']) =>
    names.split(', ').map((name) => [name.slice(1, -1), type.replaceAll('`', '')]),
  );
  expect(written.toSorted()).toEqual(documented.toSorted());
  for (const [name] of written)
    expect(text).toMatch(new RegExp(`^${name}(_count)?(\\{.*\\})? [0-9.e+-]+$`, 'm'));
});

describe('docs/monitoring', () => {
  const read = (name: string) => readFileSync(join(DOCS, 'monitoring', name), 'utf8');
  // as: what these two files hold; the tests fail where they do not
  const dashboard = JSON.parse(read('dashboard.json')) as Dashboard;
  const alerts = parse(read('alerts.yaml')) as Alerts;
  const panels = dashboard.panels.flatMap(({ title, targets }) =>
    targets.map(({ expr }) => [title, expr] as const),
  );
  const rules = alerts.groups.flatMap((group) => group.rules.map((one) => [one.alert, one.expr] as const));
  const variables = dashboard.templating.list.map(({ name, query }) => [name, query] as const);

  it('uses only metrics that the server has, with the labels that they have', async () => {
    const { render, stop } = metrics(await measured());
    const text = await render();
    stop();
    const series = new Map<string, Set<string>>();
    for (const [, name = '', labels = ''] of text.matchAll(/^(\w+)(?:\{(.*)\})? /gm)) {
      const known = series.get(name) ?? new Set(['instance', 'job']); // Prometheus adds these
      for (const [, label = ''] of labels.matchAll(/(\w+)="/g)) known.add(label);
      series.set(name, known);
    }
    series.set('up', new Set(['instance', 'job'])); // of Prometheus itself
    const used = new Set<string>();
    for (const [where, expr] of [...panels, ...rules, ...variables]) {
      const found = expr.matchAll(/\b((?:bullpen|process|nodejs)_\w+|up)\b(?:\{(.*?)\})?/g);
      const labels = new Set<string>();
      for (const [, name = '', selectors = ''] of found) {
        used.add(name);
        expect([...series.keys()], where).toContain(name);
        for (const label of series.get(name) ?? []) labels.add(label);
        for (const [, label = ''] of selectors.matchAll(/(\w+)\s*!?=/g))
          expect([...(series.get(name) ?? [])], `${where}: ${name}`).toContain(label);
      }
      for (const [, grouped = ''] of expr.matchAll(/\b(?:by|on) \((.*?)\)/g))
        for (const label of grouped.split(', ')) expect([...labels], where).toContain(label);
    }
    const families = Array.from(text.matchAll(/^# TYPE (\S+)/gm), ([, name = '']) => name);
    const shown = (name: string) => used.has(name) || used.has(`${name}_bucket`);
    expect(families.filter((name) => !shown(name))).toEqual(['process_uptime_seconds', 'bullpen_jobs']);
  });

  it('has an expression and a title for each panel and rule, each once', () => {
    expect(panels.length).toBeGreaterThan(10);
    for (const [where, expr] of [...panels, ...rules]) {
      expect(expr, where).toMatch(/\w/);
      expect(expr.split('(').length, where).toBe(expr.split(')').length);
    }
    for (const names of [dashboard.panels.map(({ title }) => title), rules.map(([alert]) => alert)])
      expect(new Set(names).size).toBe(names.length);
    expect(new Set(dashboard.panels.map(({ id }) => id)).size).toBe(dashboard.panels.length);
    for (const { annotations, labels } of alerts.groups.flatMap((group) => group.rules))
      expect([annotations['summary'], annotations['description'], labels['severity']]).not.toContain(
        undefined,
      );
  });
});
