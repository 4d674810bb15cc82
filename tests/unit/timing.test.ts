import { expect, it } from 'vitest';
import { onceMore } from '../../src/timing.ts';
import { eventually } from '../helpers/eventually.ts';

it('a task that is asked for while it runs is run once more, however often, and again after a failure', async () => {
  const runs: PromiseWithResolvers<void>[] = [];
  const failures: unknown[] = [];
  const { ask } = onceMore(
    () => {
      const run = Promise.withResolvers<void>();
      runs.push(run);
      return run.promise;
    },
    (error) => failures.push(error),
  );
  for (let i = 0; i < 3; i += 1) ask();
  expect(runs).toHaveLength(1);
  runs[0]?.reject('away');
  await eventually(() => expect(runs).toHaveLength(2));
  runs[1]?.resolve();
  await runs[1]?.promise;
  ask();
  await eventually(() => expect(runs).toHaveLength(3));
  expect(failures).toEqual(['away']);
  runs[2]?.resolve();
});
