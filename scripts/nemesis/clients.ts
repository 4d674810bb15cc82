/**
 * The clients: they send the planned requests, repeat them with the same key until the answer is
 * clear, and write down what they were answered.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { StoredEvent } from '../../src/protocol/event.ts';
import type { BatchCreated, Job } from '../../src/protocol/job.ts';
import { type Answer, type Api, type Route, send } from './api.ts';
import type { JobRequest, PlannedAction } from './plan.ts';
import type { SupervisedServer } from './server.ts';

/** One Idempotency-Key and everything it was answered with. */
export interface Sent {
  readonly key: string;
  /** What it asked for: one prompt, or those of a batch. */
  readonly requests: readonly JobRequest[];
  readonly batch: boolean;
  /** Each answer that accepted it: the ids of its jobs, in order. */
  readonly answers: (readonly string[])[];
  /** How often the answer was 503 or missing. */
  unclear: number;
}

export interface Clients {
  /** Does an action; resolves when each of its requests has a clear answer. */
  act(action: PlannedAction): Promise<void>;
  readonly sent: readonly Sent[];
  /** Events that were read while their job ran, by job. */
  readonly watched: ReadonlyMap<string, readonly StoredEvent[]>;
  /** Answers that contradict what was asked. */
  readonly wrong: readonly string[];
}

const PAUSE_MS = 300;
const WAIT_SECONDS = 5;

/** @param signal ends everything that still waits */
export function createClients(servers: readonly SupervisedServer[], api: Api, signal: AbortSignal): Clients {
  const sent: Sent[] = [];
  const watched = new Map<string, StoredEvent[]>();
  const wrong: string[] = [];

  /** Asks one server, then the next, until an answer is clear. */
  async function untilClear(
    pick: number,
    ask: (server: SupervisedServer) => Promise<Answer>,
    onUnclear: () => void = () => undefined,
  ): Promise<Answer> {
    for (let tries = Math.floor(pick * servers.length); ; tries += 1) {
      const server = servers[tries % servers.length];
      if (server?.isUp === true) {
        const answer = await ask(server);
        if (answer.status !== null && answer.status !== 503) return answer;
        onUnclear();
      }
      await delay(PAUSE_MS, undefined, { signal });
    }
  }

  async function post(one: Sent, pick: number, route: Route, path: string, body: unknown): Promise<void> {
    const answer = await untilClear(
      pick,
      (server) => api.ask(server, route, path, { body, key: one.key }),
      () => {
        one.unclear += 1;
      },
    );
    if (answer.status === 202 || answer.status === 200) one.answers.push(idsOf(one, answer.body));
  }

  function idsOf(one: Sent, body: unknown): string[] {
    if (!one.batch) return [(body as Job).id]; // the documented answer
    return (body as BatchCreated).items.map((item) => {
      if ('id' in item) return item.id;
      wrong.push(`batch ${one.key}: a prompt was refused: ${JSON.stringify(item.error)}`);
      return 'none';
    });
  }

  /** Sends a request, and the planned repetition of it. Resolves with the ids of its jobs. */
  async function submit(
    one: Sent,
    options: { pick: number; route: Route; path: string; body: unknown; repeatAfterMs: number | null },
  ): Promise<readonly string[]> {
    const { pick, route, path, body, repeatAfterMs } = options;
    sent.push(one);
    const again = async (): Promise<void> => {
      if (repeatAfterMs === null) return;
      await delay(repeatAfterMs, undefined, { signal });
      await post(one, 1 - pick, route, path, body);
    };
    await Promise.all([post(one, pick, route, path, body), again()]);
    return one.answers[0] ?? [];
  }

  const single = (key: string, request: JobRequest): Sent => ({
    key,
    requests: [request],
    batch: false,
    answers: [],
    unclear: 0,
  });

  async function finished(pick: number, id: string): Promise<Job> {
    for (;;) {
      const answer = await untilClear(pick, (server) =>
        api.ask(server, 'GET /v1/jobs/:id', `/v1/jobs/${id}?wait=${WAIT_SECONDS}`, {
          waitSeconds: WAIT_SECONDS,
        }),
      );
      if (answer.status !== 200) throw new Error(`GET of job ${id}: ${answer.status}`);
      const job = answer.body as Job; // the documented answer
      if (job.finished) return job;
      signal.throwIfAborted();
    }
  }

  /** Reads the events as they come, and continues after each cut. */
  async function watch(pick: number, id: string): Promise<void> {
    const seen: StoredEvent[] = [];
    watched.set(id, seen);
    for (let tries = Math.floor(pick * servers.length); ; tries += 1) {
      const server = servers[tries % servers.length];
      if (server?.isUp === true) await readSome(server, id, seen);
      if (seen.at(-1)?.kind === 'job.finished') return;
      await delay(PAUSE_MS, undefined, { signal });
    }
  }

  async function readSome(server: SupervisedServer, id: string, seen: StoredEvent[]): Promise<void> {
    try {
      const path = `/v1/jobs/${id}/events?after=${seen.at(-1)?.seq ?? 0}`;
      const headers = { accept: 'application/x-ndjson' };
      const response = await send(server, { method: 'GET', path, headers, signal });
      if (response.statusCode !== 200) {
        response.resume();
        if (response.statusCode !== 503)
          wrong.push(`the events of job ${id} were answered with ${response.statusCode}`);
        return;
      }
      let text = '';
      for await (const chunk of response.setEncoding('utf8')) {
        const lines = (text + chunk).split('\n');
        text = lines.pop() ?? '';
        for (const line of lines) seen.push(JSON.parse(line) as StoredEvent); // the documented lines
      }
    } catch {
      // Cut off; the caller continues after the last event. An abort ends its pause.
    }
  }

  async function cancel(pick: number, route: Route, path: string, plan: { afterMs: number; force: boolean }) {
    await delay(plan.afterMs, undefined, { signal });
    const body = plan.force ? { force: true } : {};
    await untilClear(pick, (server) => api.ask(server, route, path, { body }));
  }

  async function runJob(action: PlannedAction & { kind: 'job' }): Promise<void> {
    const { key, pick, request, repeatAfterMs, turns } = action;
    const [id] = await submit(single(key, request), {
      pick,
      route: 'POST /v1/jobs',
      path: '/v1/jobs',
      body: request,
      repeatAfterMs,
    });
    if (id === undefined) return;
    const route = 'POST /v1/jobs/:id/cancel';
    await Promise.all([
      action.watched ? watch(pick, id) : undefined,
      action.cancel === null ? undefined : cancel(pick, route, `/v1/jobs/${id}/cancel`, action.cancel),
      action.retried ? retry(action, id) : undefined,
      turns.length > 0 ? converse(action, id) : undefined,
    ]);
  }

  async function retry({ key, pick, request }: PlannedAction & { kind: 'job' }, id: string): Promise<void> {
    await finished(pick, id);
    const again = `${key}-again`;
    const prompt = request.prompt.replace(key, again);
    const body = { prompt, tags: [again], ttlMs: 600_000 };
    await submit(single(again, { ...request, ...body }), {
      pick,
      route: 'POST /v1/jobs/:id/retry',
      path: `/v1/jobs/${id}/retry`,
      body,
      repeatAfterMs: null,
    });
  }

  async function converse({ key, pick, turns }: PlannedAction & { kind: 'job' }, id: string): Promise<void> {
    const sessionId = (await finished(pick, id)).outcome?.sessionId ?? null;
    if (sessionId === null) return; // it ended before the CLI had named its session
    for (const [at, turn] of turns.entries()) {
      const request = { ...turn, sessionId };
      const [next] = await submit(single(`${key}-t${at}`, request), {
        pick,
        route: 'POST /v1/jobs',
        path: '/v1/jobs',
        body: request,
        repeatAfterMs: null,
      });
      if (next !== undefined && at % 2 === 0) await finished(pick, next); // every other one waits in the lane
    }
  }

  async function runBatch(action: PlannedAction & { kind: 'batch' }): Promise<void> {
    const { key, pick, requests, repeatAfterMs } = action;
    const one: Sent = { key, requests, batch: true, answers: [], unclear: 0 };
    let id: string | null = null;
    const ids = await submit(one, {
      pick,
      route: 'POST /v1/batches',
      path: '/v1/batches',
      body: { prompts: requests },
      repeatAfterMs,
    });
    const [first] = ids;
    if (action.cancel === null || first === undefined) return;
    id = (await finishedOrNot(pick, first)).batchId;
    if (id !== null)
      await cancel(pick, 'POST /v1/batches/:id/cancel', `/v1/batches/${id}/cancel`, action.cancel);
  }

  async function finishedOrNot(pick: number, id: string): Promise<Job> {
    const path = `/v1/jobs/${id}`;
    return (await untilClear(pick, (server) => api.ask(server, 'GET /v1/jobs/:id', path))).body as Job; // the documented answer
  }

  async function look({ pick, path }: PlannedAction & { kind: 'look' }): Promise<void> {
    const server = servers[Math.floor(pick * servers.length)];
    // The plan names only routes of the table.
    if (server?.isUp === true) await api.ask(server, `GET ${path.split('?')[0]}` as Route, path);
  }

  return {
    sent,
    watched,
    wrong,
    async act(action) {
      switch (action.kind) {
        case 'job':
          return runJob(action);
        case 'batch':
          return runBatch(action);
        case 'look':
          return look(action);
      }
    },
  };
}
