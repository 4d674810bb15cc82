import type { EventBody } from '../../../src/protocol/event.ts';
import { asCaller, type startHttp } from './harness.ts';

type Http = Awaited<ReturnType<typeof startHttp>>;
const BODIES: readonly EventBody[] = [
  { kind: 'job.queued' },
  { kind: 'text.delta', text: 'a\nb\r\n\u2028c' },
  { kind: 'raw', line: '{"new":true}' },
  { kind: 'text', text: 'abc' },
];

/** A job with four events, finished with a fifth if asked. */
export async function withEvents(http: Http, finished: boolean): Promise<string> {
  const { id } = await http.make();
  for (const body of BODIES) http.events.publish(id, body, '{"line":1}');
  if (finished) finish(http, id);
  return `/v1/jobs/${id}/events`;
}

/** Ends a job, in the service and in the stream. */
export function finish(http: Http, id: string): void {
  http.events.publish(id, { kind: 'job.finished', job: http.jobs.finish(id) });
}

/** The id in an events path. */
export const idIn = (url: string): string => url.split('/')[3] ?? '';
/** Asks as the caller. */
export const get = (http: Http, url: string, headers: Record<string, string> = {}) =>
  http.app.inject({ url, headers: { ...asCaller, ...headers } });
