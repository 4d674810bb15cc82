/** A client that keeps its connections, as a program that calls Bullpen would. */
import { Agent, type IncomingMessage, request } from 'node:http';
import { text } from 'node:stream/consumers';
import type { Job } from '../../src/protocol/job.ts';

export interface BenchClient extends Disposable {
  /** Has a prompt run and waits for its end. Throws unless it succeeded with `expected`. */
  run(prompt: string, expected: string, provider?: string): Promise<void>;
  /** The same for any request; gives the job. */
  answer(body: JobRequest, expected: string): Promise<Job>;
  /** Milliseconds from the request to the first piece of text over SSE; the job has ended when this resolves. */
  firstText(body: JobRequest): Promise<number>;
  /** Sends a job and waits for its end; `succeeded`, or the code of its error. */
  end(request: JobRequest): Promise<string>;
  /** Makes a job; resolves when it is accepted. */
  submit(body: JobRequest): Promise<Job>;
  job(id: string): Promise<Job>;
  /** The job once it is finished, or null when it is not after two minutes or cannot be told. */
  finished(id: string): Promise<Job | null>;
  cancel(id: string): Promise<void>;
}

export type JobRequest = Readonly<Record<string, unknown>>;

const FIRST_TEXT = 'event: text.delta';

export function createBenchClient(target: { readonly url: string; readonly token: string }): BenchClient {
  const agent = new Agent({ keepAlive: true });
  const headers = { authorization: `Bearer ${target.token}`, 'content-type': 'application/json' };

  async function call(method: string, path: string, body?: JobRequest): Promise<IncomingMessage> {
    const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
    const sent = request(`${target.url}${path}`, { method, agent, headers }, resolve);
    sent.once('error', reject);
    sent.end(body === undefined ? undefined : JSON.stringify(body));
    return promise;
  }

  async function send(method: string, path: string, body?: JobRequest): Promise<Job> {
    const response = await call(method, path, body);
    const content = await text(response);
    const status = response.statusCode ?? 0;
    if (status >= 300) throw new Error(`${method} ${path}: ${status} ${content.slice(0, 500)}`);
    return JSON.parse(content); // the documented answer
  }
  const runToEnd = (body: JobRequest): Promise<Job> => send('POST', '/v1/jobs?wait=60', body);

  async function answer(body: JobRequest, expected: string): Promise<Job> {
    const job = await runToEnd(body);
    if (job.status !== 'succeeded' || job.outcome?.text !== expected)
      throw new Error(`a job did not answer as it should: ${JSON.stringify(job)}`);
    return job;
  }

  return {
    async run(prompt, expected, provider) {
      await answer({ prompt, provider }, expected);
    },
    answer,
    async firstText(body) {
      const startedAt = performance.now();
      const job = await send('POST', '/v1/jobs', body);
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
    async end(body) {
      const { status, outcome } = await runToEnd(body);
      return outcome?.error?.code ?? status;
    },
    submit: (body) => send('POST', '/v1/jobs', body),
    job: (id) => send('GET', `/v1/jobs/${id}`),
    async finished(id) {
      // Twice: a job a killed worker had taken is free again only when its lock has run out, after a minute.
      for (let tries = 0; tries < 2; tries += 1) {
        const job = await send('GET', `/v1/jobs/${id}?wait=60`).catch(() => null);
        if (job?.finished === true) return job;
      }
      return null;
    },
    async cancel(id) {
      await send('POST', `/v1/jobs/${id}/cancel`);
    },
    [Symbol.dispose]: () => agent.destroy(),
  };
}
