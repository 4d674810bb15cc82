import { asCaller, startHttp } from './harness.ts';

/**
 * Posts a body to a server of its own: the answer, what it cost of CPU time, what reached the
 * service.
 */
export async function post(
  payload: string | Buffer,
  type = 'application/json',
  headers: Record<string, string> = {},
) {
  await using http = await startHttp();
  const before = process.cpuUsage();
  const answer = await http.app.inject({
    method: 'POST',
    url: '/v1/jobs',
    headers: { ...asCaller, 'content-type': type, ...headers },
    payload,
  });
  const { user, system } = process.cpuUsage(before);
  return { status: answer.statusCode, body: answer.json(), costMs: (user + system) / 1000, jobs: http.jobs };
}

/** A request with one more field. */
export const withField = (field: string) => `{"prompt":"x",${field}}`;
