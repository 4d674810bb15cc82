import { describe, expect, it } from 'vitest';
import { createLogger } from '../../../src/logger.ts';
import { createRpcServer, type RpcServerOptions } from '../../../src/rpc/server.ts';
import { createMemoryDoorbells } from '../../fakes/memory-records/doorbells.ts';
import { eventually } from '../../helpers/eventually.ts';

const CHANNEL = 'requests';

function setUp(rest: Partial<RpcServerOptions> = {}) {
  const doorbells = createMemoryDoorbells();
  const heard: string[] = [];
  const logged: string[] = [];
  const server = createRpcServer({
    doorbells,
    channel: CHANNEL,
    onRun: () => void heard.push('run'),
    onCancel: (jobId) => void heard.push(`cancel ${jobId}`),
    raw: {
      request: async ({ id, prompt }) => void heard.push(`raw ${id} ${prompt}`),
      refused: async (id, why) => void heard.push(`refused ${id} ${why}`),
    },
    logger: createLogger('debug', { write: (line) => void logged.push(line) }),
    ...rest,
  });
  return { doorbells, heard, logged, server };
}

const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe('the server side of the RPC', () => {
  it('hears nothing before it is started, and listens once however often it is', async () => {
    const { doorbells, heard, server } = setUp();
    await doorbells.publish(CHANNEL, '{"v":1,"type":"run","jobId":"a"}');
    await settled();
    expect(heard).toEqual([]);
    await server.start();
    await server.start();
    expect(doorbells.listeners(CHANNEL)).toBe(1);
    await doorbells.publish(CHANNEL, '{"v":1,"type":"run","jobId":"a"}');
    await eventually(() => expect(heard).toEqual(['run']));
  });

  it('tells doorbells, raw requests and refusals apart', async () => {
    const { doorbells, heard, server } = setUp();
    await server.start();
    for (const message of [
      '{"v":1,"type":"run","jobId":"a"}',
      '{"v":1,"type":"cancel","jobId":"b"}',
      '{"id":"c","prompt":"Hello"}',
      'not JSON',
    ]) {
      await doorbells.publish(CHANNEL, message);
    }
    await eventually(() =>
      expect(heard).toEqual(['run', 'cancel b', 'raw c Hello', 'refused null the message is not JSON']),
    );
  });

  it('answers neither raw requests nor garbage where they are off', async () => {
    const { doorbells, heard, server } = setUp({ raw: null });
    await server.start();
    await doorbells.publish(CHANNEL, '{"id":"c","prompt":"Hello"}');
    await doorbells.publish(CHANNEL, 'not JSON');
    await doorbells.publish(CHANNEL, '{"v":1,"type":"run","jobId":"a"}');
    await eventually(() => expect(heard).toEqual(['run']));
  });

  it('looks for work after an interruption, whose doorbells are lost', async () => {
    const { doorbells, heard, server } = setUp();
    await server.start();
    doorbells.cut();
    await doorbells.publish(CHANNEL, '{"v":1,"type":"run","jobId":"a"}');
    await settled();
    expect(heard).toEqual([]);
    doorbells.restore();
    expect(heard).toEqual(['run']);
  });

  it('a raw request that cannot be taken is logged, without its prompt, and ends nothing', async () => {
    const { doorbells, heard, logged, server } = setUp({
      raw: {
        request: async () => {
          throw new Error('redis is away');
        },
        refused: async () => {
          throw new Error('redis is away');
        },
      },
    });
    await server.start();
    await doorbells.publish(CHANNEL, '{"id":"c","prompt":"my secret prompt"}');
    await doorbells.publish(CHANNEL, 'my secret garbage');
    await doorbells.publish(CHANNEL, '{"v":1,"type":"run","jobId":"a"}');
    await eventually(() => expect(heard).toEqual(['run']));
    await eventually(() => expect(logged.filter((line) => line.includes('redis is away'))).toHaveLength(2));
    expect(logged.join('')).not.toContain('secret');
  });

  it('a flood of anything else holds up no doorbell, and is neither kept nor answered without an end', async () => {
    const { doorbells, heard, server } = setUp();
    await server.start();
    const garbage = [
      'not JSON',
      '{'.repeat(65_536),
      `"${'x'.repeat(65_536)}"`,
      '{"v":1,"type":"odd"}',
      '[1]',
    ];
    for (let count = 0; count < 5000; count += 1)
      await doorbells.publish(CHANNEL, garbage[count % garbage.length] ?? '');
    await doorbells.publish(CHANNEL, '{"v":1,"type":"cancel","jobId":"b"}');
    expect(heard).toContain('cancel b');
    // Each look takes its part of a turn: what comes after the flood is reached all the same.
    await eventually(async () => {
      await doorbells.publish(CHANNEL, '{"id":"after","prompt":"Hello"}');
      expect(heard).toContain('raw after Hello');
    });
    expect(heard.filter((one) => one.startsWith('refused')).length).toBeLessThan(40);
  });

  it('hears nothing after it was stopped, not even of an interruption', async () => {
    const { doorbells, heard, server } = setUp();
    await server.start();
    await server.stop();
    await server.stop();
    await doorbells.publish(CHANNEL, '{"v":1,"type":"run","jobId":"a"}');
    doorbells.cut();
    doorbells.restore();
    await settled();
    expect(heard).toEqual([]);
    expect(doorbells.listeners(CHANNEL)).toBe(0);
  });
});
