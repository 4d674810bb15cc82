import { describe, expect, it } from 'vitest';
import { eventually } from '../../helpers/eventually.ts';
import { fakePrompt } from '../../helpers/fake-cli.ts';
import { accepted, eventsOf, expectHealthyLog, isReady, readEvents, sharedBench } from '../fault-bench.ts';

const PATIENCE = { timeoutMs: 40_000 };
const setUp = sharedBench({ BULLPEN_RETRY_BACKOFF_MS: '50' });
const counted = (length: number): number[] => Array.from({ length }, (_, index) => index + 1);

describe('a reader of events', () => {
  it('stays over a restart of Redis, without a gap or a duplicate, and to the end', async () => {
    const { redis, clis, server } = await setUp();
    const id = await accepted(server, {
      prompt: fakePrompt([
        { deltas: { count: 20, text: 'x' } },
        { waitFor: clis.latch('away') },
        { deltas: { count: 20, text: 'y' } },
        { touch: clis.latch('said') },
        { waitFor: clis.latch('back') },
        { deltas: { count: 20, text: 'z' } },
      ]),
    });
    const reader = await readEvents(server, id);
    const deltas = (): number => reader.seen.filter(({ kind }) => kind === 'text.delta').length;
    await eventually(() => deltas() === 20, PATIENCE);

    await redis.kill();
    clis.open('away');
    await eventually(() => clis.isOpen('said'), PATIENCE); // the CLI talks on while Redis is away
    expect(deltas()).toBe(20);
    await redis.restart();
    await eventually(() => isReady(server), PATIENCE);
    await eventually(() => deltas() === 40, PATIENCE);
    clis.open('back');
    await reader.ended;

    expect(reader.seen.map(({ seq }) => seq)).toEqual(counted(reader.seen.length));
    expect(deltas()).toBe(60);
    expect(reader.seen.at(-1)).toMatchObject({ kind: 'job.finished', job: { id, status: 'succeeded' } });
    expect(reader.seen).toEqual(await eventsOf(server, id));
    expectHealthyLog(server);
  });

  it('that comes back goes on where it was, through a second attempt', async () => {
    const { clis, server } = await setUp();
    const overloaded = {
      is_error: true,
      subtype: 'error_during_execution',
      api_error_status: 529,
      result: 'busy',
    };
    const id = await accepted(server, {
      retry: { maxAttempts: 2 },
      prompt: fakePrompt([{ delta: 'first words' }, { waitFor: clis.latch('gate') }, { result: overloaded }]),
    });
    const first = await readEvents(server, id);
    await eventually(() => first.seen.some(({ kind }) => kind === 'text.delta'), PATIENCE);
    await first.leave();
    clis.open('gate'); // for both attempts

    const second = await readEvents(server, id, first.lastId());
    await second.ended;

    const seen = [...first.seen, ...second.seen];
    expect(seen.map(({ seq }) => seq)).toEqual(counted(seen.length));
    const of = (kind: string): number[] =>
      seen.filter((event) => event.kind === kind).map(({ attempt }) => attempt);
    expect(of('job.running')).toEqual([1, 2]);
    expect(of('execution.finished')).toEqual([1, 2]);
    expect(of('job.scheduled')).toEqual([1]);
    expect(seen.at(-1)).toMatchObject({
      kind: 'job.finished',
      job: { status: 'failed', attempts: 2, outcome: { error: { code: 'execution.overloaded' } } },
    });
    expect(clis.spawns()).toHaveLength(2);
    const again = await server.api('GET', `/v1/jobs/${id}/events`, undefined, {
      accept: 'text/event-stream',
      'last-event-id': second.lastId(),
    });
    expect(again.status).toBe(204);
  });
});
