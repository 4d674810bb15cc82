/** The demo's side of the HTTP API: what any client does, with nothing of the server's code but its types. */
import type { StoredEvent } from '../../src/protocol/event.ts';
import type { Job } from '../../src/protocol/job.ts';

export interface DemoClient {
  create(request: { prompt: string; timeoutMs: number }): Promise<Job>;
  /** Every event of the job until it has ended. */
  events(job: Job): AsyncGenerator<StoredEvent>;
  get(job: Job): Promise<Job>;
}

export function createDemoClient(url: string, token: string, signal: AbortSignal): DemoClient {
  async function call(path: string, init: RequestInit = {}): Promise<Response> {
    const headers = { authorization: `Bearer ${token}`, ...init.headers };
    const response = await fetch(`${url}${path}`, { ...init, headers, signal });
    if (response.ok) return response;
    throw new Error(
      `${init.method ?? 'GET'} ${path} was answered with ${response.status}: ${await response.text()}`,
    );
  }

  return {
    async create(request) {
      const headers = { 'content-type': 'application/json' };
      const response = await call('/v1/jobs', { method: 'POST', headers, body: JSON.stringify(request) });
      return (await response.json()) as Job; // the documented answer
    },

    async *events(job) {
      const { body } = await call(job.links.events, { headers: { accept: 'application/x-ndjson' } });
      if (body === null) return;
      let rest = '';
      for await (const chunk of body.pipeThrough(new TextDecoderStream())) {
        const lines = (rest + chunk).split('\n');
        rest = lines.pop() ?? '';
        for (const line of lines) yield JSON.parse(line) as StoredEvent; // the documented lines
      }
    },

    async get(job) {
      return (await (await call(job.links.self)).json()) as Job; // the documented answer
    },
  };
}
