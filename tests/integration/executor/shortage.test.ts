import { rmSync, writeFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import type { Launch } from '../../../src/processes/launch.ts';
import { CANCELLED } from '../../contracts/records/samples.ts';
import { launch as launchByLauncher } from '../../helpers/launcher.ts';
import { executorBench } from './bench.ts';

const refusal = (code: string): Error => Object.assign(new Error(`spawn ${code}`), { code });

/** The machine has nothing left until `more` is called. */
function scarce(code: string) {
  let left = false;
  let tries = 0;
  const launch: Launch = async (request) => {
    tries += 1;
    if (!left) throw refusal(code);
    return launchByLauncher(request);
  };
  const more = (): void => {
    left = true;
  };
  return { launch, tries: () => tries, more };
}

it.each(['EAGAIN', 'EMFILE'])('a start waits while the machine says %s, and is made then', async (code) => {
  const bench = await executorBench();
  const { launch, tries, more } = scarce(code);
  const executor = bench.open({ launch });
  await executor.start();
  const id = await bench.submit();
  await bench.until(() => tries() > 1);
  expect(executor.problem()).toMatch(/cannot be started/);
  more();
  expect(await bench.finished(id)).toMatchObject({ status: 'succeeded', attempt: 1 });
  expect(executor.problem()).toBeNull();
  expect(bench.started()).toHaveLength(1);
});

it('such a wait ends with the job: when it is cancelled, and after its timeoutMs', async () => {
  const bench = await executorBench();
  const { launch, tries } = scarce('EAGAIN');
  const executor = bench.open({ launch });
  await executor.start();
  const cancelled = await bench.submit();
  const late = await bench.submit({ timeoutMs: 300 });
  await bench.until(() => tries() > 1);
  await bench.rpc.records.cancel(cancelled, false, CANCELLED);
  executor.lookAtCancel(cancelled);
  expect(await bench.finished(cancelled)).toMatchObject({ status: 'cancelled' });
  expect((await bench.finished(late)).outcome?.error?.code).toBe('execution.timed_out');
  expect(executor.problem()).toBeNull();
});

it('a scratch folder that cannot be made now is no fault of the job either', async () => {
  const bench = await executorBench();
  const executor = bench.open();
  await executor.start();
  rmSync(bench.file('scratch'), { recursive: true, force: true });
  writeFileSync(bench.file('scratch'), 'in its place');
  const id = await bench.submit();
  await bench.until(() => executor.problem() !== null);
  rmSync(bench.file('scratch'));
  expect(await bench.finished(id)).toMatchObject({ status: 'succeeded', attempt: 1 });
});
