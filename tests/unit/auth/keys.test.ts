import { pino } from 'pino';
import { afterEach, beforeEach, describe, expect, it, onTestFinished, vi } from 'vitest';
import { createKeys } from '../../../src/auth/keys.ts';
import { ADMIN_PRINCIPAL } from '../../../src/auth/principal.ts';
import { AppError } from '../../../src/errors.ts';
import { createIdFactory } from '../../../src/ids.ts';
import { createFakeDoorbells } from '../../fakes/doorbells.ts';
import { FakeKeyCopies, FakeKeyRecords } from '../../fakes/keys.ts';

const REFRESH_MS = 2000;
const DISK_FULL = new AppError('store.unavailable', 'the disk is full');
const REDIS_AWAY = new AppError('redis.unavailable', 'Redis is away');

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

async function setUp() {
  const [records, copies] = [new FakeKeyRecords(), new FakeKeyCopies()];
  const server = async () => {
    const keys = createKeys({
      ...{ records, copies, doorbells: createFakeDoorbells(), channel: 'keys' },
      ...{ newId: createIdFactory(), signer: null, logger: pino({ enabled: false }) },
    });
    await keys.start();
    onTestFinished(() => keys.stop());
    return keys;
  };
  const keys = await server();
  const create = async () => {
    const made = await keys.create(ADMIN_PRINCIPAL, { name: 'ci', scopes: ['jobs:write'] }, null);
    return { id: made.id, token: made.token ?? expect.unreachable() };
  };
  return { records, copies, server, keys, create };
}

type Parts = Awaited<ReturnType<typeof setUp>>;

const FAULTS = {
  'the disk is full': ({ copies }: Parts) => {
    copies.failure = DISK_FULL;
  },
  'Redis goes away once the key is stored': ({ records }: Parts) => {
    records.onStored = () => {
      records.failure = REDIS_AWAY;
    };
  },
};

describe.each(Object.entries(FAULTS))('when %s', (_name, breakIt) => {
  it('the caller of create gets the token', async () => {
    const parts = await setUp();
    breakIt(parts);
    const { id, token } = await parts.create();
    expect(parts.keys.find(token)).toMatchObject({ id: `key:${id}` });
  });

  it('the caller of rotate gets the token, and the one before is refused', async () => {
    const parts = await setUp();
    const before = await parts.create();
    breakIt(parts);
    const { token } = await parts.keys.rotate(ADMIN_PRINCIPAL, before.id);
    expect(parts.keys.find(token ?? '')).toMatchObject({ id: `key:${before.id}` });
    expect(parts.keys.find(before.token)).toBeNull();
  });
});

it('the answer of rotate has the time of the last use', async () => {
  const { records, keys, create } = await setUp();
  const { id } = await create();
  records.used.set(id, 1000);
  expect(await keys.rotate(ADMIN_PRINCIPAL, id)).toMatchObject({ lastUsedAt: '1970-01-01T00:00:01.000Z' });
});

describe('with a full disk', () => {
  it('keys are copied by a refresh once there is space', async () => {
    const { copies, create } = await setUp();
    copies.failure = DISK_FULL;
    const { id } = await create();
    await vi.advanceTimersByTimeAsync(2 * REFRESH_MS);
    expect(copies.stored.size).toBe(0);
    copies.failure = null;
    await vi.advanceTimersByTimeAsync(REFRESH_MS);
    expect([...copies.stored.keys()]).toEqual([id]);
  });

  it('keys are listed, made and rotated', async () => {
    const { copies, keys, create } = await setUp();
    copies.failure = DISK_FULL;
    const [one, other] = [await create(), await create()];
    await keys.rotate(ADMIN_PRINCIPAL, one.id);
    expect((await keys.list()).map(({ id }) => id)).toEqual([other.id, one.id]);
  });

  it('a revocation holds at once, and is confirmed only when it is on the disk', async () => {
    const { copies, keys, create } = await setUp();
    copies.failure = DISK_FULL;
    const { id, token } = await create();
    for (let times = 0; times < 2; times += 1) {
      await expect(keys.revoke(ADMIN_PRINCIPAL, id)).rejects.toThrow(DISK_FULL);
      expect(keys.find(token)).toBeNull();
    }
    copies.failure = null;
    expect(await keys.revoke(ADMIN_PRINCIPAL, id)).toMatchObject({ status: 'revoked' });
    expect(copies.stored.get(id)).toMatchObject({ revokedAt: expect.any(Number) });
  });

  it('a server that starts takes the keys of Redis, and refuses a token from before a rotation', async () => {
    const { copies, server, keys, create } = await setUp();
    const before = await create();
    copies.failure = DISK_FULL;
    const { token } = await keys.rotate(ADMIN_PRINCIPAL, before.id);
    const restarted = await server();
    expect(restarted.find(token ?? '')).not.toBeNull();
    expect(restarted.find(before.token)).toBeNull();
  });
});
