/** A client that keeps its connections, like a program that calls Bullpen often. */
import { Agent, type IncomingMessage, request } from 'node:http';
import { text } from 'node:stream/consumers';
import type { Batch, BatchCreated, Job } from '../../src/protocol/job.ts';
import type { KeyCreated } from '../../src/protocol/key.ts';
import type { Session } from '../../src/protocol/session.ts';

export type JobRequest = Readonly<Record<string, unknown>>;

const FIRST_TEXT = 'event: text.delta';

export type BenchClient = ReturnType<typeof createBenchClient>;

/** Every call throws on a status of 300 or more. */
export function createBenchClient(target: { readonly url: string; readonly token: string }) {
  const agent = new Agent({ keepAlive: true });
  const headers = { authorization: `Bearer ${target.token}`, 'content-type': 'application/json' };

  async function call(method: string, path: string, body?: unknown): Promise<IncomingMessage> {
    const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
    const sent = request(`${target.url}${path}`, { method, agent, headers }, resolve);
    sent.once('error', reject);
    sent.end(body === undefined ? undefined : JSON.stringify(body));
    return promise;
  }

  /** The documented answer of that route. */
  async function send<T>(method: string, path: string, body?: unknown): Promise<T> {
    const response = await call(method, path, body);
    const content = await text(response);
    const status = response.statusCode ?? 0;
    if (status >= 300) throw new Error(`${method} ${path}: ${status} ${content.slice(0, 500)}`);
    return JSON.parse(content);
  }

  /** Runs a job to its end, with any outcome. */
  const run = (body: JobRequest) => send<Job>('POST', '/v1/jobs?wait=60', body);
  const batch = (id: string) => send<Batch>('GET', `/v1/batches/${id}`);

  return {
    run,
    /** Runs a job to its end. Throws unless it succeeds with `expected`. */
    async answer(body: JobRequest, expected: string): Promise<Job> {
      const job = await run(body);
      if (job.status !== 'succeeded' || job.outcome?.text !== expected)
        throw new Error(`a job did not answer as expected: ${JSON.stringify(job)}`);
      return job;
    },
    /**
     * Milliseconds from the request to the first piece of text over SSE. Resolves when the job has
     * ended.
     */
    async firstText(body: JobRequest): Promise<number> {
      const startedAt = performance.now();
      const job = await send<Job>('POST', '/v1/jobs', body);
      const stream = await call('GET', `${job.links.events}?kinds=text.delta`);
      let firstMs: number | null = null;
      let seen = '';
      for await (const chunk of stream) {
        if (firstMs !== null) continue;
        seen += String(chunk);
        if (seen.includes(FIRST_TEXT)) firstMs = performance.now() - startedAt;
      }
      if (firstMs === null) throw new Error(`no text came over SSE: ${seen.slice(0, 500)}`);
      return firstMs;
    },
    /** Creates a job. Resolves when it is accepted. */
    submit: (body: JobRequest) => send<Job>('POST', '/v1/jobs', body),
    job: (id: string) => send<Job>('GET', `/v1/jobs/${id}`),
    /** The job once it has ended; null when it has not within two minutes. */
    async finished(id: string): Promise<Job | null> {
      // Twice: a job that a killed worker had taken is free again when its lock expires, after up
      // to a minute.
      for (let tries = 0; tries < 2; tries += 1) {
        const job = await send<Job>('GET', `/v1/jobs/${id}?wait=60`).catch(() => null);
        if (job?.finished === true) return job;
      }
      return null;
    },
    createBatch: (prompts: readonly unknown[]) => send<BatchCreated>('POST', '/v1/batches', { prompts }),
    /** The token of a new key that may make jobs. */
    createKey: async (key: JobRequest) =>
      (await send<KeyCreated>('POST', '/v1/keys', { scopes: ['jobs:write'], ...key })).token ?? '',
    /** The id of a new terminal that runs a command of the settings. */
    openTerminal: async (command: string) =>
      (await send<Session>('POST', '/v1/sessions', { kind: 'terminal', command })).id,
    pauseQueue: () => send<unknown>('POST', '/v1/queue/pause', {}),
    resumeQueue: () => send<unknown>('POST', '/v1/queue/resume', {}),
    batch,
    cancelBatch: (id: string) => send<Batch>('POST', `/v1/batches/${id}/cancel`),
    /** The jobs of some batches by status, and in total. */
    async count(ids: readonly string[]) {
      const sum = {
        queued: 0,
        scheduled: 0,
        waiting: 0,
        running: 0,
        succeeded: 0,
        failed: 0,
        cancelled: 0,
        total: 0,
      };
      for (const id of ids) {
        const { counts, total } = await batch(id);
        for (const status of Object.keys(counts) as (keyof Batch['counts'])[]) sum[status] += counts[status]; // its own keys
        sum.total += total;
      }
      return sum;
    },
    /** Milliseconds of a GET, to its last byte. */
    async getMs(path: string): Promise<number> {
      const startedAt = performance.now();
      await send('GET', path);
      return performance.now() - startedAt;
    },
    [Symbol.dispose]: () => agent.destroy(),
  };
}
