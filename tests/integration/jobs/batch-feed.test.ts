import { expect, it } from 'vitest';
import { eventually } from '../../helpers/eventually.ts';
import { startServer, type TestServer } from '../../helpers/server.ts';

const CONFIG = {
  providers: { custom: { cat: { binary: 'cat' }, sleep: { binary: 'sleep', args: ['600'] } } },
};
const NDJSON = { accept: 'application/x-ndjson' };

interface Line {
  readonly cursor: string;
  readonly kind: string;
  readonly jobId?: string;
  readonly total?: number;
  readonly counts?: Readonly<Record<string, number>>;
}

async function make(server: TestServer, providers: readonly string[]): Promise<string> {
  const prompts = providers.map((provider) => ({ prompt: 'x', provider }));
  const { id } = (await (await server.api('POST', '/v1/batches', { prompts })).json()) as { id: string };
  return id;
}

/** The events after a cursor, to the end of the stream. */
async function events(server: TestServer, id: string, after: string | null): Promise<readonly Line[]> {
  const query = after === null ? '' : `?after=${after}`;
  const response = await server.api('GET', `/v1/batches/${id}/events${query}`, undefined, NDJSON);
  if (response.status === 204) return [];
  expect(response.status).toBe(200);
  const text = await response.text();
  return text.split('\n').flatMap((line): Line[] => (line === '' ? [] : [JSON.parse(line)]));
}

it('a batch is followed from its counts over the changes of its jobs to its end, and resumed', async () => {
  const server = await startServer({ config: CONFIG });
  const [id, other] = [await make(server, ['cat', 'sleep']), await make(server, ['cat'])];
  const following = events(server, id, null);
  await eventually(async () => {
    const batch = (await (await server.api('GET', `/v1/batches/${id}`)).json()) as { counts: object };
    return expect(batch.counts).toMatchObject({ succeeded: 1, running: 1 });
  });
  await server.api('POST', `/v1/batches/${id}/cancel`, { force: true });
  const lines = await following;
  expect(lines[0]).toMatchObject({ kind: 'batch.changed', total: 2 });
  expect(lines.at(-1)).toMatchObject({
    ...{ kind: 'batch.finished', total: 2 },
    counts: { succeeded: 1, cancelled: 1, queued: 0, running: 0 },
  });
  expect(lines.filter(({ kind }) => kind === 'job.finished')).toHaveLength(2);

  // A reader that left in the middle gets the rest, one that has everything gets 204.
  const ends = lines.findIndex(({ kind }) => kind === 'job.finished');
  const rest = await events(server, id, lines[ends]?.cursor ?? '');
  expect(rest.filter(({ kind }) => kind === 'job.finished')).toHaveLength(1);
  expect(rest.at(-1)?.kind).toBe('batch.finished');
  expect(await events(server, id, lines.at(-1)?.cursor ?? '')).toEqual([]);

  // A reader that comes to an ended batch gets its counts alone.
  await eventually(async () => {
    const late = await events(server, other, null);
    return expect(late.map(({ kind }) => kind)).toEqual(['batch.finished']);
  });
  const foreign = await server.api('GET', '/v1/batches/no-id/events', undefined, NDJSON);
  expect(foreign.status).toBe(404);
});
