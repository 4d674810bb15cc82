/** What a killed server's workers had taken does not wait for BullMQ's locks to run out. */
import { describe, expect, it } from 'vitest';
import { expectWhole, startFakeSystem } from './fake-system.ts';

describe('a server that is started again', () => {
  it('delivers at once what a worker had taken and not submitted, whatever BullMQ’s lock says', async () => {
    const system = await startFakeSystem({ env: { BULLPEN_LOCK_MS: '600000' } });
    system.failpoints.hold('rpc.listening');
    const id = await system.submit({ prompt: 'hello' });
    await system.failpoints.reached('rpc.listening');
    await system.server.kill('SIGKILL');
    system.failpoints.release('rpc.listening');
    const server = await system.restart();
    const job = await server.finished(id, 30_000);
    expect(job).toMatchObject({ status: 'succeeded', attempts: 1, outcome: { text: 'fake: hello' } });
    await expectWhole(system);
  });
});
