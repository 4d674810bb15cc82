import { expect, it } from 'vitest';
import type { TimedEvent } from '../../../src/records/ports.ts';
import { eventually } from '../../helpers/eventually.ts';
import type { Bench } from './bench.ts';
import {
  CANCELLED,
  CREATED_AT,
  failed,
  finishOf,
  LOST,
  running,
  succeeded,
  text,
  UNAVAILABLE,
} from './samples.ts';

export function finishing(bench: () => Bench): void {
  const texts = async (id: string): Promise<readonly string[]> =>
    (await bench().records.events(id, 0, 1000)).flatMap((event) =>
      event.kind === 'text' ? [event.text] : [],
    );

  it('events are appended in order, with their time and the line they came from', async () => {
    const { jobId, executionId } = await running(bench());
    const events: TimedEvent[] = [
      { event: { kind: 'text', text: 'a "quoted"\n\u0000 ☃' }, raw: '{"line": 1}', at: CREATED_AT + 5 },
      {
        event: { kind: 'tool.started', toolId: 't', name: 'Bash', input: { a: [1, null] } },
        raw: null,
        at: CREATED_AT + 6,
      },
      { event: { kind: 'text', text: '' }, raw: '', at: CREATED_AT + 7 },
    ];
    expect(await bench().claimsOf('n1').append(jobId, executionId, 0, events)).toBe('unread');
    expect(await bench().records.events(jobId, 2, 10)).toEqual([
      {
        seq: 3,
        jobId,
        attempt: 1,
        at: new Date(CREATED_AT + 5).toISOString(),
        raw: '{"line": 1}',
        ...events[0]?.event,
      },
      {
        seq: 4,
        jobId,
        attempt: 1,
        at: new Date(CREATED_AT + 6).toISOString(),
        raw: null,
        ...events[1]?.event,
      },
      {
        seq: 5,
        jobId,
        attempt: 1,
        at: new Date(CREATED_AT + 7).toISOString(),
        raw: null,
        ...events[2]?.event,
      },
    ]);
  });

  it('an append answers whether its job has readers', async () => {
    const { jobId, executionId } = await running(bench());
    const claims = bench().claimsOf('n1');
    expect(await claims.append(jobId, executionId, 0, [text('a')])).toBe('unread');
    const stop = await bench().doorbells.listen(bench().liveChannel(jobId), () => undefined);
    expect(await claims.append(jobId, executionId, 1, [text('b')])).toBe('read');
    await stop();
    await eventually(async () => {
      const { lastSeq } = await bench().record(jobId);
      return (await claims.append(jobId, executionId, lastSeq, [text('c')])) === 'unread';
    });
  });

  it('appending changes no revision, only the last seq', async () => {
    const { jobId, executionId } = await running(bench());
    const before = await bench().record(jobId);
    await bench()
      .claimsOf('n1')
      .append(jobId, executionId, 0, [text('a'), text('b')]);
    expect(await bench().record(jobId)).toEqual({ ...before, lastSeq: before.lastSeq + 2 });
  });

  it('a repeated append adds nothing twice, also when it overlaps or comes late', async () => {
    const { jobId, executionId } = await running(bench());
    const claims = bench().claimsOf('n1');
    expect(await claims.append(jobId, executionId, 0, [text('0'), text('1')])).toBe('unread');
    expect(await claims.append(jobId, executionId, 0, [text('0'), text('1')])).toBe('unread');
    expect(await claims.append(jobId, executionId, 1, [text('1'), text('2')])).toBe('unread');
    expect(await claims.append(jobId, executionId, 0, [text('0')])).toBe('unread');
    expect(await claims.append(jobId, executionId, 3, [text('3')])).toBe('unread');
    expect(await claims.append(jobId, executionId, 4, [])).toBe('unread');
    expect(await texts(jobId)).toEqual(['0', '1', '2', '3']);
  });

  it('readers get the seq of the last event', async () => {
    const { jobId, executionId } = await running(bench());
    await bench().follow(bench().liveChannel(jobId));
    await bench()
      .claimsOf('n1')
      .append(jobId, executionId, 0, [text('a'), text('b')]);
    await bench()
      .claimsOf('n1')
      .append(jobId, executionId, 0, [text('a'), text('b')]);
    await bench()
      .claimsOf('n1')
      .append(jobId, executionId, 2, [text('c')]);
    expect(await bench().published(bench().liveChannel(jobId))).toEqual(['4', '5']);
  });

  it('nothing is appended for another execution, or after the end', async () => {
    const claim = await running(bench());
    const claims = bench().claimsOf('n1');
    expect(await claims.append(claim.jobId, 'another', 0, [text('x')])).toBe('fenced');
    expect(await claims.append('none', claim.executionId, 0, [text('x')])).toBe('fenced');
    await claims.finish(finishOf(claim));
    expect(await claims.append(claim.jobId, claim.executionId, 0, [text('x')])).toBe('fenced');
    expect(await texts(claim.jobId)).toEqual([]);
  });

  it('an outcome that could be tried again ends the job when no other attempt is wanted', async () => {
    const claim = await running(bench(), { maxAttempts: 3 });
    const outcome = failed(claim.executionId, 'execution.overloaded');
    const finish = finishOf(claim, { outcome, backoffMs: null });
    expect(await bench().claimsOf('n1').finish(finish)).toBe('finished');
    expect(await bench().record(claim.jobId)).toMatchObject({ status: 'failed', attempt: 1, outcome });
  });

  it('an outcome ends the job: record, events and message', async () => {
    const claim = await running(bench());
    const outcome = succeeded(claim.executionId, 'the "answer"');
    const before = await bench().now();
    expect(await bench().claimsOf('n1').finish(finishOf(claim, { outcome }))).toBe('finished');
    const record = await bench().record(claim.jobId);
    expect(record).toMatchObject({
      status: 'succeeded',
      outcome,
      attempt: 1,
      failures: 0,
      node: 'n1',
      waitReason: null,
    });
    expect(record.finishedAt).toBeGreaterThanOrEqual(before);
    expect(await bench().records.events(claim.jobId, 2, 10)).toMatchObject([
      { kind: 'execution.finished', executionId: claim.executionId, outcome },
      { kind: 'job.finished' },
    ]);
    expect((await bench().published(bench().responseChannel)).map((message) => JSON.parse(message))).toEqual([
      { v: 1, type: 'finished', jobId: claim.jobId, status: 'succeeded' },
    ]);
    expect(await bench().upkeepOf('n1').counts()).toMatchObject({ pending: 0, running: 0 });
  });

  it('a cancelled outcome ends the job as cancelled', async () => {
    const claim = await running(bench());
    await bench()
      .claimsOf('n1')
      .finish(finishOf(claim, { outcome: { ...CANCELLED, executionId: claim.executionId } }));
    expect((await bench().record(claim.jobId)).status).toBe('cancelled');
  });

  it('the tail is appended before the end, without what is there already', async () => {
    const claim = await running(bench());
    await bench()
      .claimsOf('n1')
      .append(claim.jobId, claim.executionId, 0, [text('0'), text('1')]);
    const tail = [text('1'), text('2'), text('3')];
    await bench()
      .claimsOf('n1')
      .finish(finishOf(claim, { from: 1, tail }));
    expect(await texts(claim.jobId)).toEqual(['0', '1', '2', '3']);
    expect((await bench().kinds(claim.jobId)).slice(-3)).toEqual([
      'text',
      'execution.finished',
      'job.finished',
    ]);
  });

  it('finishing again gives the same answer and adds nothing', async () => {
    const claim = await running(bench());
    const finish = finishOf(claim, { tail: [text('0')], rawAnswer: '{"id":1,"success":true,"result":""}' });
    expect(await bench().claimsOf('n1').finish(finish)).toBe('finished');
    const record = await bench().record(claim.jobId);
    const published = await bench().published(bench().responseChannel);
    const other = failed(claim.executionId, 'execution.lost');
    expect(await bench().claimsOf('n1').finish(finish)).toBe('finished');
    expect(
      await bench()
        .claimsOf('n2')
        .finish({ ...finish, outcome: other }),
    ).toBe('finished');
    expect(await bench().record(claim.jobId)).toEqual(record);
    expect(await bench().published(bench().responseChannel)).toEqual(published);
  });

  it('a retryable failure with attempts left schedules the next one', async () => {
    const claim = await running(bench(), { maxAttempts: 2 });
    const outcome = failed(claim.executionId, 'execution.overloaded');
    const finish = finishOf(claim, { outcome, backoffMs: 90_000 });
    expect(await bench().claimsOf('n1').finish(finish)).toBe('scheduled');
    const record = await bench().record(claim.jobId);
    expect(record).toMatchObject({
      status: 'scheduled',
      waitReason: 'backoff',
      attempt: 1,
      failures: 1,
      executionId: null,
      node: null,
      outcome: null,
      finishedAt: null,
    });
    expect(record.startedAt).not.toBeNull();
    const tail = (await bench().records.events(claim.jobId, 0, 100)).slice(-2);
    expect(tail).toMatchObject([
      { kind: 'execution.finished', attempt: 1 },
      { kind: 'job.scheduled', waitReason: 'backoff', attempt: 1 },
    ]);
    expect((await bench().published(bench().responseChannel)).map((message) => JSON.parse(message))).toEqual([
      { v: 1, type: 'scheduled', jobId: claim.jobId, status: 'scheduled' },
    ]);
    expect(await bench().claimsOf('n1').finish(finish)).toBe('scheduled');
    expect(await bench().record(claim.jobId)).toEqual(record);
    expect(await bench().claimsOf('n1').owned()).toEqual([]);
  });

  it('the last attempt ends the job, and its events go on where the first ones ended', async () => {
    const claim = await running(bench(), { maxAttempts: 2 });
    const claims = bench().claimsOf('n1');
    await claims.append(claim.jobId, claim.executionId, 0, [text('first')]);
    const outcome = failed(claim.executionId, 'execution.overloaded');
    await claims.finish(finishOf(claim, { outcome, from: 1 }));
    await bench().submissions.submit(claim.jobId, 'e2');
    const [second] = await claims.claim(1);
    if (second === undefined) throw new Error('the second attempt was not claimed');
    expect(await claims.append(claim.jobId, claim.executionId, 1, [text('late')])).toBe('fenced');
    expect(await claims.append(claim.jobId, 'e2', 0, [text('second')])).toBe('unread');
    const last = failed('e2', 'execution.overloaded');
    expect(await claims.finish(finishOf(second, { outcome: last, from: 1 }))).toBe('finished');
    expect(await bench().record(claim.jobId)).toMatchObject({
      status: 'failed',
      attempt: 2,
      failures: 2,
      outcome: last,
    });
    expect(await texts(claim.jobId)).toEqual(['first', 'second']);
    expect((await bench().records.events(claim.jobId, 0, 100)).map(({ attempt }) => attempt)).toEqual([
      0, 1, 1, 1, 1, 1, 2, 2, 2, 2,
    ]);
  });

  it('an outcome that is not retryable ends the job, also with attempts left', async () => {
    const claim = await running(bench(), { maxAttempts: 5 });
    const outcome = failed(claim.executionId, 'execution.crashed');
    expect(await bench().claimsOf('n1').finish(finishOf(claim, { outcome }))).toBe('finished');
    expect((await bench().record(claim.jobId)).status).toBe('failed');
  });

  it('a job that is to be cancelled is not tried again', async () => {
    const claim = await running(bench(), { maxAttempts: 5 });
    await bench().records.cancel(claim.jobId, false, CANCELLED);
    const outcome = failed(claim.executionId, 'execution.overloaded');
    expect(await bench().claimsOf('n1').finish(finishOf(claim, { outcome }))).toBe('finished');
  });

  it('an execution that ends cancelled is no failure', async () => {
    const claim = await running(bench(), { maxAttempts: 2 });
    await bench().records.cancel(claim.jobId, false, CANCELLED);
    const outcome = { ...CANCELLED, executionId: claim.executionId };
    await bench().claimsOf('n1').finish(finishOf(claim, { outcome }));
    expect(await bench().record(claim.jobId)).toMatchObject({ status: 'cancelled', attempt: 1, failures: 0 });
  });

  it('an outcome of another execution is superseded and changes nothing', async () => {
    const claim = await running(bench());
    const before = await bench().record(claim.jobId);
    const finish = finishOf(claim, { executionId: 'another', tail: [text('x')] });
    expect(await bench().claimsOf('n1').finish(finish)).toBe('superseded');
    expect(
      await bench()
        .claimsOf('n1')
        .finish({ ...finish, jobId: 'none' }),
    ).toBe('superseded');
    expect(await bench().record(claim.jobId)).toEqual(before);
  });

  for (const maxAttempts of [1, 2]) {
    it(`an outcome that comes after the job was given up as lost is superseded (attempts: ${maxAttempts})`, async () => {
      const claim = await running(bench(), { maxAttempts });
      await bench().claimsOf('n1').renew([]);
      await bench().advance(600_000);
      expect(await bench().upkeepOf('n2').settleLost(300_000, LOST, UNAVAILABLE)).toEqual([claim.jobId]);
      const before = await bench().record(claim.jobId);
      expect(before).toMatchObject({
        status: maxAttempts === 1 ? 'failed' : 'scheduled',
        attempt: 1,
        failures: 1,
      });
      const finish = finishOf(claim, { tail: [text('late')] });
      expect(await bench().claimsOf('n1').finish(finish)).toBe('superseded');
      expect(await bench().claimsOf('n1').finish(finish)).toBe('superseded');
      expect(await bench().record(claim.jobId)).toEqual(before);
    });
  }

  it("a raw job's answer is published with its end", async () => {
    const claim = await running(bench());
    const rawAnswer = '{"id":"test","success":true,"result":"ok"}';
    await bench().claimsOf('n1').finish(finishOf(claim, { rawAnswer }));
    expect(await bench().published(bench().responseChannel)).toContain(rawAnswer);
  });
}
