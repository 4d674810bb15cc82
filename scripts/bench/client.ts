/** A client that keeps its connections, as a program that calls Bullpen would. */
import { Agent, request } from 'node:http';
import { text } from 'node:stream/consumers';
import type { Job } from '../../src/protocol/job.ts';

export interface BenchClient {
  /** Has a prompt run and waits for its end. Throws unless it succeeded with `expected`. */
  run(prompt: string, expected: string, provider?: string): Promise<void>;
  /** Sends a job and waits for its end; `succeeded`, or the code of its error. */
  end(request: Readonly<Record<string, unknown>>): Promise<string>;
  [Symbol.dispose](): void;
}

export function createBenchClient(target: { readonly url: string; readonly token: string }): BenchClient {
  const agent = new Agent({ keepAlive: true });
  const headers = { authorization: `Bearer ${target.token}`, 'content-type': 'application/json' };

  async function send(body: Readonly<Record<string, unknown>>): Promise<Job> {
    const { promise, resolve, reject } = Promise.withResolvers<string>();
    const call = request(`${target.url}/v1/jobs?wait=60`, { method: 'POST', agent, headers }, (response) =>
      text(response).then(resolve, reject),
    );
    call.once('error', reject);
    call.end(JSON.stringify(body));
    return JSON.parse(await promise); // the documented answer
  }

  return {
    async run(prompt, expected, provider) {
      const job = await send({ prompt, provider });
      if (job.status !== 'succeeded' || job.outcome?.text !== expected) {
        throw new Error(`a job did not answer as it should: ${JSON.stringify(job)}`);
      }
    },
    async end(body) {
      const { status, outcome } = await send(body);
      return outcome?.error?.code ?? status;
    },
    [Symbol.dispose]: () => agent.destroy(),
  };
}
