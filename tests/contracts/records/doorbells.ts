import { expect, it } from 'vitest';
import { eventually } from '../../helpers/eventually.ts';
import type { Bench } from './bench.ts';

export function doorbells(bench: () => Bench): void {
  it('every listener of a channel hears its messages, in order, and nobody else does', async () => {
    const heard: string[] = [];
    const stops = await Promise.all(
      ['a', 'a', 'b'].map((channel, index) =>
        bench().doorbells.listen(`${bench().requestChannel}:${channel}`, (message) => {
          heard.push(`${index} ${message}`);
        }),
      ),
    );
    await bench().doorbells.publish(`${bench().requestChannel}:a`, 'one');
    await bench().doorbells.publish(`${bench().requestChannel}:a`, 'two');
    await bench().doorbells.publish(`${bench().requestChannel}:b`, 'three');
    await eventually(() => expect(heard).toEqual(['0 one', '1 one', '0 two', '1 two', '2 three']));
    for (const stop of stops) await stop();
  });

  it('a listener that stopped hears nothing more; the others of its channel still do', async () => {
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

  it('publishing where nobody listens is no failure', async () => {
    await bench().doorbells.publish(`${bench().requestChannel}:nobody`, 'x');
  });

  it('after an interruption messages arrive again before anybody is told to read the records', async () => {
    const channel = `${bench().requestChannel}:d`;
    const heard: string[] = [];
    const stop = await bench().doorbells.listen(channel, (message) => void heard.push(message));
    let published: Promise<void> | null = null;
    const forget = bench().doorbells.onResumed(() => {
      published = bench().doorbells.publish(channel, 'after');
    });
    await bench().interrupt();
    await eventually(() => expect(heard).toEqual(['after']));
    expect(published).not.toBeNull();
    forget();
    published = null;
    await bench().interrupt();
    expect(published).toBeNull();
    await stop();
  });
}
