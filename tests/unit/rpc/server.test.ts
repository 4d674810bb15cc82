import { describe, expect, it } from 'vitest';
import { createLogger } from '../../../src/logger.ts';
import { createRpcServer, type RpcServerOptions } from '../../../src/rpc/server.ts';
import { createFakeDoorbells } from '../../fakes/doorbells.ts';
import { eventually } from '../../helpers/eventually.ts';

const CHANNEL = 'requests';

function setUp(rest: Partial<RpcServerOptions> = {}) {
  const doorbells = createFakeDoorbells();
  const received: string[] = [];
  const logged: string[] = [];
  const server = createRpcServer({
    doorbells,
    channel: CHANNEL,
    onRun: () => void received.push('run'),
    onCancel: (jobId) => void received.push(`cancel ${jobId}`),
    onTalk: (jobId) => void received.push(`talk ${jobId}`),
    raw: {
      request: async ({ id, prompt }) => void received.push(`raw ${id} ${prompt}`),
      refused: async (id, why) => void received.push(`refused ${id} ${why}`),
    },
    logger: createLogger('debug', { write: (line) => void logged.push(line) }),
    ...rest,
  });
  return { doorbells, received, logged, server };
}

const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe('the server side of the RPC', () => {
  it('receives nothing before it is started, and listens once when it is started twice', async () => {
    const { doorbells, received, server } = setUp();
    await doorbells.publish(CHANNEL, '{"v":1,"type":"run","jobId":"a"}');
    await settled();
    expect(received).toEqual([]);
    await server.start();
    await server.start();
    expect(doorbells.listeners(CHANNEL)).toBe(1);
    await doorbells.publish(CHANNEL, '{"v":1,"type":"run","jobId":"a"}');
    await eventually(() => expect(received).toEqual(['run']));
  });

  it('distinguishes doorbells, raw requests and refusals', async () => {
    const { doorbells, received, server } = setUp();
    await server.start();
    for (const message of [
      '{"v":1,"type":"run","jobId":"a"}',
      '{"v":1,"type":"cancel","jobId":"b"}',
      '{"v":1,"type":"talk","jobId":"b"}',
      '{"id":"c","prompt":"Hello"}',
      'not JSON',
    ]) {
      await doorbells.publish(CHANNEL, message);
    }
    await eventually(() =>
      expect(received).toEqual([
        ...['run', 'cancel b', 'talk b', 'raw c Hello', 'refused null the message is not JSON'],
      ]),
    );
  });

  it('answers neither raw requests nor garbage when raw requests are off', async () => {
    const { doorbells, received, server } = setUp({ raw: null });
    await server.start();
    await doorbells.publish(CHANNEL, '{"id":"c","prompt":"Hello"}');
    await doorbells.publish(CHANNEL, 'not JSON');
    await doorbells.publish(CHANNEL, '{"v":1,"type":"run","jobId":"a"}');
    await eventually(() => expect(received).toEqual(['run']));
  });

  it('looks for work after an interruption, because doorbells may be lost', async () => {
    const { doorbells, received, server } = setUp();
    await server.start();
    doorbells.cut();
    await doorbells.publish(CHANNEL, '{"v":1,"type":"run","jobId":"a"}');
    await settled();
    expect(received).toEqual([]);
    doorbells.restore();
    expect(received).toEqual(['run']);
  });

  it('logs a raw request that fails, without its prompt, and goes on', async () => {
    const { doorbells, received, logged, server } = setUp({
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
    await eventually(() => expect(received).toEqual(['run']));
    await eventually(() => expect(logged.filter((line) => line.includes('redis is away'))).toHaveLength(2));
    expect(logged.join('')).not.toContain('secret');
  });

  it('handles doorbells at once during a flood, of which it keeps and answers only a part', async () => {
    const { doorbells, received, server } = setUp();
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
    expect(received).toContain('cancel b');
    // The flood is handled in parts, so a message after it is reached too.
    await eventually(async () => {
      await doorbells.publish(CHANNEL, '{"id":"after","prompt":"Hello"}');
      expect(received).toContain('raw after Hello');
    });
    expect(received.filter((one) => one.startsWith('refused')).length).toBeLessThan(40);
  });

  it('receives nothing after it was stopped, and ignores an interruption', async () => {
    const { doorbells, received, server } = setUp();
    await server.start();
    await server.stop();
    await server.stop();
    await doorbells.publish(CHANNEL, '{"v":1,"type":"run","jobId":"a"}');
    doorbells.cut();
    doorbells.restore();
    await settled();
    expect(received).toEqual([]);
    expect(doorbells.listeners(CHANNEL)).toBe(0);
  });
});
