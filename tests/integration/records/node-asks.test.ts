/** Questions between nodes, over a real Redis. */
import { ulid } from 'ulid';
import { expect, it, onTestFinished } from 'vitest';
import { createSigner } from '../../../src/auth/signer.ts';
import { AppError } from '../../../src/errors.ts';
import type { NodeAsks, NodeQuestion } from '../../../src/records/session-ports.ts';
import { eventually } from '../../helpers/eventually.ts';
import { type TestRecords, useTestRecords } from '../../helpers/redis-records.ts';

const server = useTestRecords();
const SECRET = createSigner('a secret of thirty-two bytes or more');

const typed = (data: string): NodeQuestion => ({
  sessionId: ulid(),
  ask: { kind: 'input', data, clientSeq: 1, messageId: null },
});

async function serve(asks: NodeAsks, answer: (question: NodeQuestion) => Promise<unknown>): Promise<void> {
  const service = asks.serve(answer);
  await service.start();
  onTestFinished(async () => {
    await service.stop();
  });
}

/** Keeps what is asked, in order. */
function recorder() {
  const inputs: string[] = [];
  return {
    inputs,
    async answer({ ask }: NodeQuestion) {
      if (ask.kind === 'input') inputs.push(ask.data);
      return { clientSeq: 1, repeated: false };
    },
  };
}

const question = (rpc: TestRecords, node = 'n2') => server.redis.lrange(rpc.asksKey(node), 0, -1);

it('a question is answered by its node, in the order in which they were asked', async () => {
  const rpc = server.make();
  const { inputs, answer } = recorder();
  await serve(rpc.asksOf('n2'), answer);
  const asks = rpc.asksOf('n1');
  expect(await asks.ask('n2', typed('first'))).toEqual({ clientSeq: 1, repeated: false });
  const keys = Array.from({ length: 250 }, (_, index) => `k${index}`);
  await Promise.all(keys.map((key) => asks.ask('n2', typed(key))));
  expect(inputs).toEqual(['first', ...keys]);
});

it('an error arrives as it was thrown; one that is none of ours keeps its message', async () => {
  const rpc = server.make();
  await serve(rpc.asksOf('n2'), async ({ ask }) => {
    if (ask.kind === 'close') throw new TypeError('a secret place');
    throw new AppError('terminal.over', 'the program has ended');
  });
  const asks = rpc.asksOf('n1');
  const over = { code: 'terminal.over', message: 'the program has ended' };
  await expect(asks.ask('n2', typed('a'))).rejects.toMatchObject(over);
  const close = { sessionId: ulid(), ask: { kind: 'close' } as const };
  const internal = { code: 'internal.error', message: expect.not.stringContaining('secret') };
  await expect(asks.ask('n2', close)).rejects.toMatchObject(internal);
});

it('a node that does not answer is unavailable, and does it no more when it comes back', async () => {
  const rpc = server.make();
  const gone = { code: 'execution.node_unavailable', message: expect.stringContaining('nothing was done') };
  await expect(rpc.asksOf('n1').ask('n2', typed('late'))).rejects.toMatchObject(gone);
  expect(await question(rpc)).toEqual([]);
  const { inputs, answer } = recorder();
  await serve(rpc.asksOf('n2'), answer);
  await rpc.asksOf('n1').ask('n2', typed('now'));
  expect(inputs).toEqual(['now']);
});

it('one that was taken and not answered in time may have been done', async () => {
  const rpc = server.make();
  const { promise, resolve } = Promise.withResolvers<void>();
  await serve(rpc.asksOf('n2'), () => promise);
  const gone = { code: 'execution.node_unavailable', message: expect.stringContaining('is not known') };
  await expect(rpc.asksOf('n1').ask('n2', typed('slow'))).rejects.toMatchObject(gone);
  resolve();
});

it('lost doorbells cost a look, on both sides', async () => {
  const rpc = server.make();
  const { inputs, answer } = recorder();
  const deaf = { ...rpc.doorbells, listen: async () => async () => undefined };
  await serve(rpc.asksOf('n2', null, deaf), answer);
  await rpc.asksOf('n1', null, deaf).ask('n2', typed('a'));
  expect(inputs).toEqual(['a']);
});

it('a question is done at most once, also when Redis has it twice or it is put back later', async () => {
  const rpc = server.make(SECRET);
  const asking = rpc.asksOf('n1').ask('n2', typed('once'));
  await eventually(async () => (await question(rpc)).length === 1);
  const [text = ''] = await question(rpc);
  await server.redis.rpush(rpc.asksKey('n2'), text);
  const late = asking.catch((error: unknown) => error);
  // It was asked before this node has started, so a node that did it then may have been this one.
  const { inputs, answer } = recorder();
  await serve(rpc.asksOf('n2'), answer);
  expect(await late).toMatchObject({ code: 'execution.node_unavailable' });
  expect(inputs).toEqual([]);
  const again = rpc.asksOf('n1').ask('n2', typed('again'));
  await again;
  expect(inputs).toEqual(['again']);
});

it('a copy of a question that was done does nothing', async () => {
  const rpc = server.make(SECRET);
  const { inputs, answer } = recorder();
  const held = Promise.withResolvers<void>();
  const copies: string[] = [];
  const hold: typeof rpc.doorbells = {
    ...rpc.doorbells,
    // Each doorbell of a question is late, so the test can read the question.
    async listen(channel, listener) {
      return rpc.doorbells.listen(channel, async (message) => {
        copies.push(...(await question(rpc)));
        held.resolve();
        listener(message);
      });
    },
  };
  await serve(rpc.asksOf('n2', SECRET, hold, 60_000), answer);
  await rpc.asksOf('n1').ask('n2', typed('once'));
  await held.promise;
  expect(copies).toHaveLength(1);
  await server.redis.rpush(rpc.asksKey('n2'), ...copies, ...copies);
  await rpc.asksOf('n1').ask('n2', typed('next'));
  expect(inputs).toEqual(['once', 'next']);
});

it('with a signing secret a question or an answer of another client of Redis does not count', async () => {
  const rpc = server.make(SECRET);
  const { inputs, answer } = recorder();
  await serve(rpc.asksOf('n2'), answer);
  const others = [null, createSigner('another secret of thirty-two bytes')];
  for (const other of others)
    await expect(rpc.asksOf('n3', other).ask('n2', typed('forged'))).rejects.toMatchObject({
      code: 'execution.node_unavailable',
    });
  await server.redis.rpush(rpc.asksKey('n2'), 'no question', '{"id":7}', 'null');
  expect(inputs).toEqual([]);

  const asking = rpc.asksOf('n1').ask('n4', typed('x'));
  await eventually(async () => (await question(rpc, 'n4')).length === 1);
  const { id } = JSON.parse((await question(rpc, 'n4'))[0] ?? '');
  const prefix = rpc.asksKey('').replace(/asks:$/, '');
  await server.redis.set(`${prefix}answer:${id}`, '{"answer":"{}","signature":""}');
  await expect(asking).rejects.toMatchObject({ code: 'execution.node_unavailable' });
});

it('a part of a recording crosses; an answer or a question that is too large is an error', async () => {
  const rpc = server.make();
  const part = '\u001b[1m'.repeat(64 * 1024);
  await serve(rpc.asksOf('n2'), async ({ ask }) =>
    ask.kind === 'recording' ? { text: part, next: part.length } : { text: 'x'.repeat(9 * 1024 * 1024) },
  );
  const asks = rpc.asksOf('n1');
  const recording = { sessionId: ulid(), ask: { kind: 'recording', from: 0 } as const };
  expect(await asks.ask('n2', recording)).toEqual({ text: part, next: part.length });
  const screen = { sessionId: ulid(), ask: { kind: 'screen', format: 'ansi' } as const };
  await expect(asks.ask('n2', screen)).rejects.toMatchObject({ code: 'internal.error' });
  const large = typed('\u0003'.repeat(512 * 1024));
  await expect(asks.ask('n2', large)).rejects.toMatchObject({ code: 'request.too_large' });
});

it('a question that no server can have asked is refused: another client of Redis may have', async () => {
  const rpc = server.make();
  const { inputs, answer } = recorder();
  await serve(rpc.asksOf('n2'), answer);
  const asks = rpc.asksOf('n1');
  const { ask } = typed('x');
  const made = [
    { sessionId: '../../secret', ask: { kind: 'remove' } },
    { sessionId: ulid(), ask: { kind: 'resize', cols: 1e9, rows: 24, messageId: null } },
    { sessionId: ulid(), ask: { kind: 'no such kind' } },
    { sessionId: ulid(), ask: { ...ask, more: 1 } },
    null,
  ] as unknown as NodeQuestion[]; // as: none of them is one
  const results = await Promise.allSettled(made.map((question) => asks.ask('n2', question)));
  expect(results.map(({ status }) => status)).toEqual(made.map(() => 'rejected'));
  expect(await asks.ask('n2', typed('then'))).toEqual({ clientSeq: 1, repeated: false });
  expect(inputs).toEqual(['then']);
});

it('a node that stops takes no further question, and answers those it has taken', async () => {
  const rpc = server.make();
  const started = Promise.withResolvers<void>();
  const finish = Promise.withResolvers<string>();
  const service = rpc.asksOf('n2').serve(() => {
    started.resolve();
    return finish.promise;
  });
  await service.start();
  const asking = rpc.asksOf('n1').ask('n2', typed('a'));
  await started.promise;
  const stopping = service.stop();
  finish.resolve('done');
  await stopping;
  expect(await asking).toBe('done');
  await expect(rpc.asksOf('n1').ask('n2', typed('b'))).rejects.toMatchObject({
    code: 'execution.node_unavailable',
  });
  await service.stop();
});
