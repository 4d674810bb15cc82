import { afterAll, beforeAll } from 'vitest';
import { asCaller, startHttp } from './harness.ts';

/**
 * Posts bodies to a server of this test file: the answer, what it cost of CPU time, and what
 * reached the service.
 */
export function usePosting() {
  let http: Awaited<ReturnType<typeof startHttp>>;
  beforeAll(async () => {
    http = await startHttp();
  });
  afterAll(() => http.app.close());
  return async (
    payload: string | Buffer,
    type = 'application/json',
    headers: Record<string, string> = {},
  ) => {
    const known = http.jobs.requests.length;
    const before = process.cpuUsage();
    const answer = await http.app.inject({
      method: 'POST',
      url: '/v1/jobs',
      headers: { ...asCaller, 'content-type': type, ...headers },
      payload,
    });
    const { user, system } = process.cpuUsage(before);
    return {
      status: answer.statusCode,
      body: answer.json(),
      costMs: (user + system) / 1000,
      requests: http.jobs.requests.slice(known),
    };
  };
}

/** A request with one more field. */
export const withField = (field: string) => `{"prompt":"x",${field}}`;
