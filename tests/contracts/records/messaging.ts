import { ulid } from 'ulid';
import { expect, it } from 'vitest';
import { resumed } from './approving.ts';
import type { Bench } from './bench.ts';
import { CANCELLED, claimed, create, failed, finishOf, running } from './samples.ts';

export function messaging(bench: () => Bench): void {
  const messages = () => bench().messages;
  const send = (jobId: string, id: string, text = `text of ${id}`) => messages().send(jobId, { id, text });

  it('a message for a running turn rings its node, which takes it once', async () => {
    const claim = await running(bench());
    const text = 'two\nlines, 7 words \u{1f600}';
    expect(await send(claim.jobId, 'm1', text)).toBe('sent');
    expect(await send(claim.jobId, 'm1', 'another one')).toBe('sent');
    expect(await send(claim.jobId, 'm2')).toBe('sent');
    const bell = (await bench().published(bench().requestChannel)).at(-1);
    expect(JSON.parse(bell ?? '')).toEqual({ v: 1, type: 'talk', jobId: claim.jobId });
    expect(await messages().state(claim.jobId, 'm1')).toBe('sent');
    expect(await messages().take(claim.jobId, 'another execution')).toEqual([]);
    expect(await messages().take(claim.jobId, claim.executionId)).toEqual([
      { id: 'm1', text },
      { id: 'm2', text: 'text of m2' },
    ]);
    expect(await messages().take(claim.jobId, claim.executionId)).toEqual([]);
    expect(await messages().state(claim.jobId, 'm1')).toBe('sent');
    expect(await messages().withdraw(claim.jobId, 'm1')).toBe(false);
    await messages().settle(claim.jobId, 'm1', 'steered');
    await messages().settle(claim.jobId, 'm2', 'refused');
    await messages().settle(claim.jobId, 'm1', 'refused');
    expect(await messages().state(claim.jobId, 'm1')).toBe('steered');
    expect(await messages().state(claim.jobId, 'm2')).toBe('refused');
    const bells = (await bench().published(bench().responseChannel)).map((sent) => JSON.parse(sent));
    expect(bells).toEqual([
      { v: 1, type: 'talk', jobId: claim.jobId, status: 'steered' },
      { v: 1, type: 'talk', jobId: claim.jobId, status: 'refused' },
    ]);
  });

  it('many messages are taken in the order in which they were sent', async () => {
    const claim = await running(bench());
    const ids = Array.from({ length: 40 }, () => ulid()).sort(() => Math.random() - 0.5);
    await send(claim.jobId, 'taken back');
    await send(claim.jobId, 'also taken back');
    for (const [index, id] of ids.entries()) {
      await send(claim.jobId, id);
      if (index === 3) await messages().withdraw(claim.jobId, 'taken back');
      if (index === 5) await messages().withdraw(claim.jobId, 'also taken back');
    }
    const taken = await messages().take(claim.jobId, claim.executionId);
    expect(taken.map(({ id }) => id)).toEqual(ids);
  });

  it('what no node has taken can be taken back, and is then gone', async () => {
    const claim = await running(bench());
    await send(claim.jobId, 'm1');
    expect(await messages().withdraw(claim.jobId, 'm1')).toBe(true);
    expect(await messages().withdraw(claim.jobId, 'm1')).toBe(false);
    expect(await messages().state(claim.jobId, 'm1')).toBe('gone');
    expect(await messages().take(claim.jobId, claim.executionId)).toEqual([]);
  });

  it('a job that does not run, or is being stopped, takes none', async () => {
    const id = await create(bench());
    expect(await send(id, 'm1')).toBe('not_running');
    const claim = await claimed(bench(), id);
    await bench().records.interrupt(id, CANCELLED);
    expect(await send(id, 'm1')).toBe('not_running');
    await bench().claimsOf('n1').finish(finishOf(claim));
    expect(await send(id, 'm1')).toBe('not_running');
    expect(await send('none', 'm1')).toBe('not_running');
    expect(await messages().state(id, 'm1')).toBe('gone');
  });

  it('what the execution has not taken is refused when it ends, and taken by no later one', async () => {
    const claim = await running(bench(), { maxAttempts: 2 });
    await send(claim.jobId, 'm1');
    await messages().take(claim.jobId, claim.executionId);
    await send(claim.jobId, 'm2');
    const outcome = failed(claim.executionId, 'execution.overloaded');
    await bench().claimsOf('n1').finish(finishOf(claim, { outcome }));
    expect(await messages().state(claim.jobId, 'm1')).toBe('sent');
    expect(await messages().state(claim.jobId, 'm2')).toBe('refused');
    const next = await resumed(bench(), claim.jobId);
    expect(await messages().take(claim.jobId, next.executionId)).toEqual([]);
    expect(await messages().withdraw(claim.jobId, 'm2')).toBe(true);
  });
}
