/** A client that keeps its connections, as a program that calls Bullpen would. */
import { Agent, request } from 'node:http';
import { text } from 'node:stream/consumers';
import type { Job } from '../../src/protocol/job.ts';

export interface BenchClient {
  /** Has a prompt run and waits for its end. Throws unless it succeeded with `expected`. */
  run(prompt: string, expected: string, provider?: string): Promise<void>;
  [Symbol.dispose](): void;
}

export function createBenchClient(target: { readonly url: string; readonly token: string }): BenchClient {
  const agent = new Agent({ keepAlive: true });
  const headers = { authorization: `Bearer ${target.token}`, 'content-type': 'application/json' };
  return {
    async run(prompt, expected, provider) {
      const body = JSON.stringify({ prompt, provider });
      const { promise, resolve, reject } = Promise.withResolvers<string>();
      const call = request(`${target.url}/v1/jobs?wait=60`, { method: 'POST', agent, headers }, (response) =>
        text(response).then(resolve, reject),
      );
      call.once('error', reject);
      call.end(body);
      const answer = await promise;
      const job = JSON.parse(answer) as Job; // the documented answer
      if (job.status !== 'succeeded' || job.outcome?.text !== expected) {
        throw new Error(`a job did not answer as it should: ${answer}`);
      }
    },
    [Symbol.dispose]: () => agent.destroy(),
  };
}
