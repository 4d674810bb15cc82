import { expect, it } from 'vitest';
import { eventually } from '../../helpers/eventually.ts';
import type { Bench } from './bench.ts';

export function doorbells(bench: () => Bench): void {
  it('every listener of a channel, and no other, gets its messages in order', async () => {
    const received: string[] = [];
    const stops = await Promise.all(
      ['a', 'a', 'b'].map((channel, index) =>
        bench().doorbells.listen(`${bench().requestChannel}:${channel}`, (message) => {
          received.push(`${index} ${message}`);
        }),
      ),
    );
    await bench().doorbells.publish(`${bench().requestChannel}:a`, 'one');
    await bench().doorbells.publish(`${bench().requestChannel}:a`, 'two');
    await bench().doorbells.publish(`${bench().requestChannel}:b`, 'three');
    await eventually(() => expect(received).toEqual(['0 one', '1 one', '0 two', '1 two', '2 three']));
    for (const stop of stops) await stop();
  });

  it('a listener that stopped gets no more messages; the others of its channel do', async () => {
    const channel = `${bench().requestChannel}:c`;
    const first: string[] = [];
    const second: string[] = [];
    const stopFirst = await bench().doorbells.listen(channel, (message) => void first.push(message));
    const stopSecond = await bench().doorbells.listen(channel, (message) => void second.push(message));
    await stopFirst();
    await stopFirst();
    await bench().doorbells.publish(channel, 'one');
    await eventually(() => expect(second).toEqual(['one']));
    await stopSecond();
    const third: string[] = [];
    const stopThird = await bench().doorbells.listen(channel, (message) => void third.push(message));
    await bench().doorbells.publish(channel, 'two');
    await eventually(() => expect(third).toEqual(['two']));
    await stopThird();
    expect([first, second]).toEqual([[], ['one']]);
  });

  it('publishing to a channel without listeners is no failure', async () => {
    await bench().doorbells.publish(`${bench().requestChannel}:empty`, 'x');
  });

  it('after an interruption messages arrive again before the callbacks to read the records run', async () => {
    const channel = `${bench().requestChannel}:d`;
    const received: string[] = [];
    const stop = await bench().doorbells.listen(channel, (message) => void received.push(message));
    let published: Promise<void> | null = null;
    const forget = bench().doorbells.onResumed(() => {
      published = bench().doorbells.publish(channel, 'after');
    });
    await bench().interrupt();
    await eventually(() => expect(received).toEqual(['after']));
    expect(published).not.toBeNull();
    forget();
    published = null;
    await bench().interrupt();
    expect(published).toBeNull();
    await stop();
  });
}
