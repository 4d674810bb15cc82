/** What the benchmark of a long queue asks of the API, over connections that are kept. */
import { Agent, request } from 'node:http';
import { text } from 'node:stream/consumers';
import type { Batch, BatchCreated } from '../../src/protocol/batch.ts';

export interface BatchClient extends Disposable {
  create(prompts: readonly unknown[]): Promise<BatchCreated>;
  read(id: string): Promise<Batch>;
  cancel(id: string): Promise<Batch>;
  /** Jobs of some batches by status, added up; and all of them. */
  count(ids: readonly string[]): Promise<Batch['counts'] & { readonly total: number }>;
  /** Milliseconds of a GET, to its last byte. */
  timed(path: string): Promise<number>;
}

export function createBatchClient(target: { readonly url: string; readonly token: string }): BatchClient {
  const agent = new Agent({ keepAlive: true });
  const headers = { authorization: `Bearer ${target.token}`, 'content-type': 'application/json' };

  async function send(method: string, path: string, body?: unknown): Promise<string> {
    const { promise, resolve, reject } = Promise.withResolvers<string>();
    const call = request(`${target.url}${path}`, { method, agent, headers }, (response) => {
      const whole = text(response);
      whole.then((content) => {
        if ((response.statusCode ?? 0) < 300) resolve(content);
        else reject(new Error(`${method} ${path}: ${response.statusCode} ${content.slice(0, 500)}`));
      }, reject);
    });
    call.once('error', reject);
    call.end(body === undefined ? undefined : JSON.stringify(body));
    return promise;
  }

  const client: BatchClient = {
    create: async (prompts) => JSON.parse(await send('POST', '/v1/batches', { prompts })), // the documented answer
    read: async (id) => JSON.parse(await send('GET', `/v1/batches/${id}`)), // the documented answer
    cancel: async (id) => JSON.parse(await send('POST', `/v1/batches/${id}/cancel`)), // the documented answer
    async count(ids) {
      const sum = { queued: 0, scheduled: 0, running: 0, succeeded: 0, failed: 0, cancelled: 0, total: 0 };
      for (const id of ids) {
        const { counts, total } = await client.read(id);
        for (const status of Object.keys(counts) as (keyof Batch['counts'])[]) sum[status] += counts[status]; // its own keys
        sum.total += total;
      }
      return sum;
    },
    async timed(path) {
      const startedAt = performance.now();
      await send('GET', path);
      return performance.now() - startedAt;
    },
    [Symbol.dispose]: () => agent.destroy(),
  };
  return client;
}
