import { expect, test } from 'vitest';
import { asAdmin, asCaller, startHttp } from './harness.ts';
import { framesIn } from './stream-reader.ts';

type Http = Awaited<ReturnType<typeof startHttp>>;

async function finishedJob(http: Http): Promise<string> {
  const { id } = await http.make();
  http.events.publish(id, { kind: 'job.finished', job: http.jobs.finish(id) });
  return id;
}

async function ticketFor(http: Http, jobId: string) {
  const answer = await http.app.inject({
    method: 'POST',
    url: '/v1/stream-tokens',
    headers: asCaller,
    payload: { jobId },
  });
  expect(answer.statusCode).toBe(201);
  return answer.json();
}

test("a ticket opens one job's events, without a header, and nothing else", async () => {
  await using http = await startHttp();
  const id = await finishedJob(http);
  const other = await finishedJob(http);
  const { ticket, url } = await ticketFor(http, id);
  expect(framesIn((await http.app.inject({ url })).body)).toHaveLength(1);
  for (const path of [`/v1/jobs/${other}/events`, `/v1/jobs/${id}`, '/v1/jobs', '/metrics']) {
    expect((await http.app.inject({ url: `${path}?ticket=${ticket}` })).statusCode, path).toBe(401);
  }
  expect((await http.app.inject({ url: `/v1/jobs/${id}/events?ticket=${ticket}x` })).statusCode).toBe(401);
  expect((await http.app.inject({ url: `/v1/jobs/${id}/events?ticket=a&ticket=b` })).statusCode).toBe(401);
  expect((await http.app.inject({ url: `/v1/jobs/${id}/events` })).statusCode).toBe(401);
});

test('no ticket and no token is in the log', async () => {
  await using http = await startHttp();
  const { ticket, url } = await ticketFor(http, await finishedJob(http));
  await http.app.inject({ url });
  await http.app.inject({ url: '/v1/jobs', headers: asAdmin });
  const log = http.log.join('');
  expect(log).toContain('/v1/jobs/:id/events');
  expect(log).not.toContain(ticket);
  expect(log).not.toContain('bp_');
});

test.each([{}, { jobId: 1 }, { jobId: 'x', admin: true }])('the body %j is 400', async (payload) => {
  await using http = await startHttp();
  const answer = await http.app.inject({
    method: 'POST',
    url: '/v1/stream-tokens',
    headers: asCaller,
    payload,
  });
  expect(answer.statusCode).toBe(400);
});
